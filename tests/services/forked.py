"""A Python program, forked from a process that has imported Farebox already: most of what a start costs is imports.

What runs is the same: its arguments, folder and environment are its own, and `python -m` and `python -c` are done as
Python does them. The server that a command becomes, and the workers that it starts, are spared their imports as well;
what else it starts is started in earnest.
"""

import gc
import multiprocessing
import os
import runpy
import signal
import stat
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, Final, Never

import farebox
from farebox.cli import GC_THRESHOLD

_forks = multiprocessing.get_context("forkserver")
_forks.set_forkserver_preload([
    "tests.services.forked", "tests.services.upstream.server", "farebox.cli.commands", "farebox.cli.log_lines",
    "farebox.web.protocol", "farebox.web.pages", "farebox.web.letters", "farebox.sandbox.stripe.pages",
    *(f"farebox.store.{name}" for name in (
        "addresses", "archive", "ceremonies", "closing", "identities", "invoices", "keys", "passkeys", "plans_chosen",
        "readings", "search", "second_factors", "team",
    )),
    *(f"farebox.adapters.{name}" for name in (
        "authenticators", "mail_console", "mail_smtp", "oauth_github", "oauth_oidc", "openai_client", "openai_stream",
        "passwords", "stripe_payments", "stripe_usage", "stripe_webhooks", "vault",
    )),
    "alembic.command", "alembic.config", "anyio._backends._asyncio", "fastapi.telemetry._runtime", "psycopg",
    "pydantic.v1",  # FastAPI's own look at each application
    "segno", "sqlalchemy.dialects.postgresql", "sqlalchemy.dialects.sqlite", "truststore", "typer._adapters",
    "typer._click.decorators", "uvicorn.lifespan.on", "uvicorn.loops.uvloop", "uvicorn.protocols.http.auto",
    "uvicorn.protocols.websockets.auto", "websockets.server",
])  # fmt: skip
START_SECONDS_MAX: Final = 60
# What is imported from here is the same in each process; the rest is the founder's.
LIBRARIES: Final = (sys.prefix, sys.base_prefix, str(Path(farebox.__file__).parent))


class Forked:
    """What is needed of `subprocess.Popen`, for `[sys.executable, "-m" or "-c", program, *arguments]`."""

    def __init__(
        self, command: Sequence[str], *, outputs: tuple[Path, Path], env: Mapping[str, str] | None, cwd: Path | None
    ) -> None:
        self.args = command
        for output in outputs:
            output.touch()
        own = dict(os.environ if env is None else env)
        self._process = _forks.Process(target=_run, args=(command[1:], cwd or Path.cwd(), own, outputs))
        self._process.start()
        assert self._process.pid is not None
        self.pid = self._process.pid
        # A signal to its group would be lost before there is one.
        while self.poll() is None and not self._has_group():
            self._process.join(0.001)

    def poll(self) -> int | None:
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        """The exit code.

        Raises:
            TimeoutExpired: it still runs.
        """
        self._process.join(timeout)
        code = self.poll()
        if code is None:
            raise subprocess.TimeoutExpired(self.args, timeout or 0)
        return code

    def send_signal(self, number: signal.Signals) -> None:
        if self.poll() is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def _has_group(self) -> bool:
        with suppress(ProcessLookupError):
            return os.getpgid(self.pid) == self.pid
        return False


def _run(program: Sequence[str], cwd: Path, environment: dict[str, str], outputs: tuple[Path, Path]) -> None:
    os.setsid()
    with Path(os.devnull).open("rb") as nothing:
        os.dup2(nothing.fileno(), 0)
    sys.stdin = open(0, closefd=False)  # noqa: SIM115 - for as long as it runs
    for number, output in enumerate(outputs, start=1):
        with output.open("ab") as file:
            os.dup2(file.fileno(), number)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(environment)
    gc.freeze()  # what was imported stays, and need not be looked through for garbage
    gc.set_threshold(GC_THRESHOLD)  # what a start makes, stays too
    _spare_imports()
    sys.path.insert(0, str(cwd))
    _do(program)


def _do(program: Sequence[str]) -> None:
    kind, name, *arguments = program
    sys.argv = [name if kind == "-m" else kind, *arguments]
    if kind == "-m":
        if not hasattr(sys.modules.get(name), "__path__"):
            sys.modules.pop(name, None)  # it runs anew, as the main module
        runpy.run_module(name, run_name="__main__", alter_sys=True)
    else:
        exec(compile(name, "<string>", "exec"), {"__name__": "__main__"})  # noqa: S102 - as Python does it


def _spare_imports() -> None:
    """Have what this process becomes, and the workers that it starts, be forked as well."""
    from uvicorn.supervisors import multiprocess as supervisor  # noqa: PLC0415  # not in the tests' own process

    os.execv = _become  # type: ignore[assignment]
    supervisor.get_subprocess = _worker  # type: ignore[assignment,attr-defined]


def _become(executable: str, command: Sequence[str]) -> Never:
    """What `os.execv` does where the program is Python's: what this process was is over, and nothing of it goes on."""
    isolated, *program = command[1:]
    assert (executable, isolated) == (sys.executable, "-P"), command
    _forget_the_founder()
    gc.freeze()
    sys.path[:] = [entry for entry in sys.path if entry != str(Path.cwd())]
    os._exit(multiprocessing.Process(target=_do, args=(program,))._bootstrap())  # type: ignore[attr-defined]


def _worker(config: Any, target: Any, sockets: Any) -> BaseProcess:  # noqa: ANN401  # as uvicorn has them
    """What `uvicorn._subprocess.get_subprocess` makes, but forked."""
    return multiprocessing.get_context("fork").Process(target=_work, args=(config, target, sockets))


def _work(config: Any, target: Any, sockets: Any) -> None:  # noqa: ANN401
    """A new process has the system's answers to signals, and no socket but those that it is given."""
    from uvicorn._subprocess import subprocess_started  # noqa: PLC0415

    for number in signal.valid_signals() - {signal.SIGINT}:
        if callable(signal.getsignal(number)):
            signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    own = target.__self__  # uvicorn's side of the worker
    _leave_sockets({own.parent_conn.fileno(), own.child_conn.fileno(), *(each.fileno() for each in sockets)})
    _forget_the_founder()
    gc.freeze()
    subprocess_started(config, target, sockets, 0)


def _leave_sockets(but: set[int]) -> None:
    """Leave all others to the other processes. Their numbers stay taken: objects that nobody uses here know them."""
    nothing = os.open(os.devnull, os.O_RDWR)
    for number in [int(file.name) for file in Path("/dev/fd").iterdir()]:
        with suppress(OSError):  # the list's own
            if number not in but and stat.S_ISSOCK(os.fstat(number).st_mode):
                os.dup2(nothing, number)


def _forget_the_founder() -> None:
    """The founder's modules are to be imported again."""
    for name, module in list(sys.modules.items()):
        place = getattr(module, "__file__", None)
        if place is not None and not place.startswith(LIBRARIES) and not name.startswith("tests."):
            del sys.modules[name]
