"""Whether HTML is valid, as html-validate has it: a process that is given a page a line."""

import json
import subprocess
from pathlib import Path
from typing import Self

from tests.clients.installed import NODE, node_modules

FOLDER = Path(__file__).parent / "node"


class Validator:
    """It ends when its input does, so it never outlives the tests."""

    def __init__(self) -> None:
        node_modules(FOLDER)
        self._process = subprocess.Popen(
            [str(NODE), "validate.js"], cwd=FOLDER, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def faults(self, html: str) -> list[str]:
        """All that is wrong with a page, a sentence each."""
        assert self._process.stdin
        assert self._process.stdout
        print(json.dumps(html), file=self._process.stdin, flush=True)
        found: list[str] = json.loads(self._process.stdout.readline())
        return found

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait(timeout=30)
