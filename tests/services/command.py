"""A command as a founder runs it: in a folder, with nothing set but what the test sets.

Each runs in a process of its own, which is forked from one that has imported Farebox already: most of the second that
a command takes is its imports. `farebox dev` and `farebox serve` are started in earnest, by `Served` and its like.
"""

import multiprocessing
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

from farebox.cli import main
from tests.services.served import FOREIGN_SETTINGS

SECONDS_MAX: Final = 60
_forks = multiprocessing.get_context("forkserver")
_forks.set_forkserver_preload(["tests.services.command", "farebox.cli.commands", "alembic.command", "sqlalchemy"])


def farebox(folder: Path, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """Run `farebox …` to its end."""
    own = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN_SETTINGS)}
    with tempfile.TemporaryDirectory(prefix="farebox-command-") as place:
        outputs = Path(place, "stdout"), Path(place, "stderr")
        process = _forks.Process(target=_run, args=(folder, own | settings, arguments, outputs))
        process.start()
        process.join(SECONDS_MAX)
        code = process.exitcode
        process.kill()
        process.join()
        stdout, stderr = (output.read_text(encoding="utf-8") for output in outputs)
    if code is None:
        raise subprocess.TimeoutExpired(["farebox", *arguments], SECONDS_MAX, stdout, stderr)
    return subprocess.CompletedProcess(["farebox", *arguments], code, stdout, stderr)


def _run(folder: Path, environment: dict[str, str], arguments: tuple[str, ...], outputs: tuple[Path, Path]) -> None:
    for number, output in enumerate(outputs, start=1):
        with output.open("wb") as file:
            os.dup2(file.fileno(), number)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.path.insert(0, str(folder))
    sys.argv = ["farebox", *arguments]
    main()


def printed(folder: Path, *arguments: str, **settings: str) -> str:
    """What a command printed; it must succeed."""
    done = farebox(folder, *arguments, **settings)
    assert done.returncode == 0, f"farebox {' '.join(arguments)} ended with {done.returncode}:\n{done.stderr}"
    return done.stdout
