"""The same Python program in several processes, which all do at one moment what they are there for."""

import subprocess
import sys
from typing import Final

SECONDS_MAX: Final = 60
WAIT: Final = """
import sys

def wait_for_all():
    sys.stdout.write("ready\\n")
    sys.stdout.flush()
    sys.stdin.readline()

"""


def at_once(count: int, program: str, *arguments: str) -> list[str]:
    """What each of them printed; each must succeed. The program says by `wait_for_all()` that it has come so far."""
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", WAIT + program, *arguments],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for _ in range(count)
    ]  # fmt: skip
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    ended = [(*process.communicate(timeout=SECONDS_MAX), process.returncode) for process in processes]
    assert {(error, code) for _, error, code in ended} == {("", 0)}, ended
    return [output for output, *_ in ended]
