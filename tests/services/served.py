"""A server under test, as a process group of its own."""

import atexit
import http.client
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

from farebox.cli.server import SHARES_OUT
from farebox.domain.providers import PROVIDERS
from tests.services.process import ProcessGroup, free_port, listening, wait_until

# The settings of whoever runs the tests must not leak into what they test.
FOREIGN_SETTINGS = (
    "FAREBOX_",
    "STRIPE_",
    "SMTP_",
    "GOOGLE_",
    "GITHUB_",
    "OIDC_",
    *(f"{name.upper()}_" for name in PROVIDERS),
)


class Served:
    """`farebox serve`, or another command in which {port} and {workers} are filled in; in settings {port} is, too."""

    def __init__(
        self,
        command: Sequence[str] | None = None,
        *,
        app: str | None = None,
        workers: int = 1,
        processors: int | None = None,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        health_path: str = "/health",
        port: int | None = None,
        in_earnest: bool = False,
    ) -> None:
        """Not yet started; where a start is what is tested, or memory, `in_earnest` has Farebox import itself.

        All workers take calls, however few processors this machine has, unless `processors` says otherwise.
        """
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._command = list(command or farebox_serve(app))
        self._is_farebox = command is None
        self._forks = self._is_farebox and not in_earnest
        self._workers = workers
        self._processors = processors
        settings = {name: value.replace("{port}", str(self.port)) for name, value in (env or {}).items()}
        self._env = _own_environment() | settings
        self._cwd = cwd
        self._health_path = health_path
        self._home = Path(tempfile.mkdtemp(prefix="farebox-served-"))
        self._process: ProcessGroup | None = None
        atexit.register(self.close)

    def start(self, timeout_seconds: float = 60) -> Self:
        """Start, again on the same port after a stop or a kill, and wait until it is healthy and all workers serve."""
        values = {
            "{port}": str(self.port),
            "{workers}": str(self._workers),
            "{processors}": str(self._processors or self._workers),
        }
        command = [values.get(part, part) for part in self._command]
        log = self._home / "log"
        process = ProcessGroup(command, log=log, env=self._env, cwd=self._cwd, forks=self._forks)
        self._process = process

        def healthy() -> bool:
            process.require_running()
            return self.health() == 200 and self._all_listen()

        try:
            wait_until(healthy, f"{self.url}{self._health_path} to be 200", timeout_seconds=timeout_seconds)
        except TimeoutError as error:
            self.kill()
            error.add_note(process.output()[-4000:])
            raise
        return self

    def stop(self, timeout_seconds: float = 30) -> int:
        """SIGTERM to the first process, as a service manager does. The exit code; -9 if it took too long."""
        process, self._process = self._running(), None
        return process.stop(signal.SIGTERM, timeout_seconds)

    def kill(self) -> None:
        """SIGKILL to the whole group."""
        process, self._process = self._running(), None
        process.kill()

    def kill_worker(self) -> int:
        """SIGKILL to one worker, or to the only process there is. The process id."""
        workers = self.worker_pids()
        victim = workers[0] if workers else self.pid
        os.kill(victim, signal.SIGKILL)
        return victim

    def worker_pids(self) -> list[int]:
        children = self._running().children()
        return [pid for pid, command in children.items() if "resource_tracker" not in command]

    def close(self) -> None:
        atexit.unregister(self.close)
        if self._process is not None:
            self.kill()
        shutil.rmtree(self._home, ignore_errors=True)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def pid(self) -> int:
        return self._running().pid

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.running

    def health(self) -> int | None:
        """The status of its health page; None where nobody answers."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request("GET", self._health_path)
            return connection.getresponse().status
        except (OSError, http.client.HTTPException):
            return None
        finally:
            connection.close()

    def output(self) -> str:
        """All that it printed, to both outputs, since the first start."""
        return (self._home / "log").read_text(errors="replace")

    def _all_listen(self) -> bool:
        """Whether every worker takes calls: each with a socket of its own listens once it does."""
        if not SHARES_OUT or not self._is_farebox or self._processors not in {None, self._workers}:
            return True
        return listening(self.port) == self._workers

    def _running(self) -> ProcessGroup:
        assert self._process is not None, "it is not running"
        return self._process


def farebox_serve(app: str | None) -> list[str]:
    command = [sys.executable, "-m", "farebox", "serve"]
    command += [*([app] if app else []), "--port", "{port}", "--workers", "{workers}"]
    return [*command, "--processors", "{processors}"]


def _own_environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN_SETTINGS)}
