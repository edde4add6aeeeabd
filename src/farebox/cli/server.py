"""What `dev` and `serve` share: a socket of one's own, and uvicorn on it."""

import errno
import os
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import uvicorn
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors import ChangeReload

from farebox.cli.load import APP_VARIABLE
from farebox.cli.workers import Workers
from farebox.domain.errors import FounderError
from farebox.settings import LISTENING_VARIABLE, TABLES_VARIABLE
from farebox.store.migrations import HEAD
from farebox.web.open_files import raise_files_max

BACKLOG: Final = 2048
SHARES_OUT: Final = sys.platform == "linux"
PORTS_TRIED: Final = 20
IDLE_SECONDS: Final = 75  # clients and load balancers keep a connection for up to 60, and must be the first to leave it
STUCK_SECONDS: Final = 20  # a worker that is silent for so long is replaced; on a busy machine it may start for as long
LOGGING: Final = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "line": {"class": "farebox.cli.log_lines.Lines", "format": "%(asctime)s %(levelname)s %(name)s: %(message)s"}
    },
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["stderr"], "level": "WARNING"},
    "loggers": {"farebox.handler": {"level": "INFO"}},  # what a founder logs about a call should show
}


@contextmanager
def listen(host: str, port: int, command: str, at_work: int = 1) -> Iterator[list[socket.socket]]:
    """Listen at once, so that a taken port is reported before anything else, and an early caller only waits.

    Where the system spreads new connections over sockets of one port, each of the `at_work` processes gets a socket of
    its own: with only one, whichever process is awake takes them all. On its own, a process listens once it is ready:
    until then its share of callers is left to the others (decision 28).

    Raises:
        FounderError: the address cannot be listened on.
    """
    try:
        listeners = [open_port(host, port)]
    except OSError as error:
        wrong, option = cannot_listen(error, host, port)
        raise FounderError(f"{wrong}; try: {command} {option}") from None
    if at_work > 1 and SHARES_OUT:
        address = listeners.pop()
        port = address.getsockname()[1]
        address.close()
        listeners = [shared_port(host, port) for _ in range(at_work)]
    try:
        yield listeners
    finally:
        for listener in listeners:
            listener.close()


def open_port(host: str, port: int) -> socket.socket:
    return socket.create_server((host, port), family=_family(host), backlog=BACKLOG)


def shared_port(host: str, port: int) -> socket.socket:
    """One of several sockets of a port. It does not listen yet, and keeps the port from all other programs."""
    found = socket.socket(_family(host))
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    if found.family == socket.AF_INET6:
        found.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    try:
        found.bind((host, port))
    except OSError:  # connections of a server that had the port alone are still being closed
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind((host, port))
    return found


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def cannot_listen(error: OSError, host: str, port: int) -> tuple[str, str]:
    """Why this address cannot be listened on, and the option that helps."""
    if error.errno == errno.EADDRINUSE:
        return f"Port {port} is taken by another program", f"--port {free_port_after(host, port)}"
    if isinstance(error, PermissionError):
        return f"Port {port} needs an administrator's rights", "--port 8000"
    return f"{host} is not an address of this machine", "--host 127.0.0.1"


def free_port_after(host: str, port: int) -> int:
    """The next port that nobody listens on; 0, for any, where there is none near."""
    for other in range(port + 1, min(port + 1 + PORTS_TRIED, 65536)):
        with suppress(OSError):
            open_port(host, other).close()
            return other
    return 0  # the system chooses one


def url_of(listener: socket.socket) -> str:
    """The address to call from this machine."""
    host, port = listener.getsockname()[:2]
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)  # noqa: S104
    return f"http://{host}:{port}"


def run(
    factory: str,
    target: str | None,
    listeners: list[socket.socket],
    *,
    grace_seconds: int,
    workers: int = 1,
    at_work: int = 1,
    watched: Path | None = None,
    stays: bool = False,
) -> None:
    """Serve until told to stop, then for `grace_seconds` more finish the requests under way.

    Of the `workers`, as many as are `at_work` take callers as they come.
    With `stays` this process is not replaced by a fresh one: the stand-in for Stripe runs in a thread of it.
    """
    raise_files_max()
    os.environ[APP_VARIABLE] = target or ""
    listener = listeners[0]
    os.environ[LISTENING_VARIABLE] = url_of(listener)
    if watched is None and workers == 1 and os.name == "posix" and not stays:
        listener.set_inheritable(True)
        # The same process without all that the command line has loaded, which would take memory as long as it serves.
        again = [sys.executable, "-P", "-m", "farebox.cli.server", factory, str(listener.fileno())]
        os.execv(sys.executable, [*again, str(grace_seconds)])  # noqa: S606
    config = _config(factory, workers, grace_seconds, watched)
    if watched is not None:
        with suppress(KeyboardInterrupt):
            ChangeReload(config, target=uvicorn.Server(config).run, sockets=[listener]).run()
    elif workers > 1:
        os.environ[TABLES_VARIABLE] = HEAD
        parent = Workers(config, listeners, at_work)
        with suppress(KeyboardInterrupt):
            parent.run()
        if parent.could_not_start:
            sys.exit(STARTUP_FAILURE)
    else:
        serve_alone(config, listener)


def serve_alone(config: uvicorn.Config, listener: socket.socket) -> None:
    """Serve in this process."""
    if sys.platform != "win32" and signal.getsignal(signal.SIGHUP) is signal.SIG_DFL:  # and not ignored, as by nohup
        # Closing the terminal ends the process, but not the calls under way: they would be lost, with what they cost.
        signal.signal(signal.SIGHUP, lambda *_: signal.raise_signal(signal.SIGTERM))
    server = uvicorn.Server(config)
    with suppress(KeyboardInterrupt):
        server.run(sockets=[listener])
    if not server.started:
        sys.exit(STARTUP_FAILURE)


def _config(factory: str, workers: int, grace_seconds: int, watched: Path | None = None) -> uvicorn.Config:
    return uvicorn.Config(
        factory, factory=True, workers=workers, http="farebox.web.protocol:Protocol", log_config=LOGGING,
        log_level="warning", access_log=False, backlog=BACKLOG, server_header=False, proxy_headers=False,
        timeout_keep_alive=IDLE_SECONDS,
        timeout_graceful_shutdown=grace_seconds,
        timeout_worker_healthcheck=STUCK_SECONDS,
        reload=watched is not None, reload_dirs=[str(watched)] if watched else None,
        reload_includes=["*.py", ".env"] if watched else None,
    )  # fmt: skip


if __name__ == "__main__":
    serve_alone(_config(sys.argv[1], 1, int(sys.argv[3])), socket.socket(fileno=int(sys.argv[2])))
