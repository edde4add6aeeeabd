"""A Python program, forked from a process that has imported Farebox already: most of what a start costs is imports.

What runs is the same: its arguments, folder and environment are its own, `python -m` and `python -c` are done as
Python does them, and what it starts or becomes in turn is started in earnest.
"""

import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

_forks = multiprocessing.get_context("forkserver")
_forks.set_forkserver_preload([
    "tests.services.forked", "farebox.cli.commands", "farebox.web.protocol", "farebox.sandbox.stripe",
    "tests.services.upstream.server", "alembic.command", "sqlalchemy",
])  # fmt: skip
START_SECONDS_MAX: Final = 60


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
    sys.path.insert(0, str(cwd))
    kind, name, *arguments = program
    sys.argv = [name if kind == "-m" else kind, *arguments]
    if kind == "-m":
        runpy.run_module(name, run_name="__main__", alter_sys=True)
    else:
        exec(compile(name, "<string>", "exec"), {"__name__": "__main__"})  # noqa: S102 - as Python does it
