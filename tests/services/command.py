"""A command as a founder runs it: in a folder, with nothing set but what the test sets."""

import os
import subprocess
import sys
from pathlib import Path

from tests.services.served import FOREIGN_SETTINGS


def farebox(folder: Path, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """Run `farebox …` to its end."""
    own = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN_SETTINGS)}
    return subprocess.run(
        [sys.executable, "-m", "farebox", *arguments],
        cwd=folder,
        env=own | settings,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def printed(folder: Path, *arguments: str, **settings: str) -> str:
    """What a command printed; it must succeed."""
    done = farebox(folder, *arguments, **settings)
    assert done.returncode == 0, f"farebox {' '.join(arguments)} ended with {done.returncode}:\n{done.stderr}"
    return done.stdout
