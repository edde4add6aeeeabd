"""A command as a founder runs it: in a folder, with nothing set but what the test sets."""

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

from tests.services.forked import Forked
from tests.services.served import FOREIGN_SETTINGS

SECONDS_MAX: Final = 60
# What the script that is installed as `farebox` does.
SCRIPT: Final = "import sys; from farebox.cli import main; sys.argv[0] = 'farebox'; main()"


def farebox(folder: Path, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """Run `farebox …` to its end."""
    return farebox_onto(None, folder, *arguments, **settings)


def farebox_onto(file: Path | None, folder: Path, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """The same with the file for its output, which is then not looked at."""
    own = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN_SETTINGS)}
    command = ["farebox", *arguments]
    with tempfile.TemporaryDirectory(prefix="farebox-command-") as place:
        told = Path(place, "stdout"), Path(place, "stderr")
        outputs = file or told[0], told[1]
        told[0].touch()
        program = [sys.executable, "-c", SCRIPT, *arguments]
        process = Forked(program, outputs=outputs, env=own | settings, cwd=folder)
        try:
            code = process.wait(SECONDS_MAX)
        except subprocess.TimeoutExpired as error:
            process.send_signal(signal.SIGKILL)
            error.add_note("\n".join(output.read_text(encoding="utf-8") for output in told))
            raise
        stdout, stderr = (output.read_text(encoding="utf-8") for output in told)
    return subprocess.CompletedProcess(command, code, stdout, stderr)


def printed(folder: Path, *arguments: str, **settings: str) -> str:
    """What a command printed; it must succeed."""
    done = farebox(folder, *arguments, **settings)
    assert done.returncode == 0, f"farebox {' '.join(arguments)} ended with {done.returncode}:\n{done.stderr}"
    return done.stdout
