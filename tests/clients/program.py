"""A client program: a process that is told what to do, and tells what it saw, a line each."""

import json
import os
import subprocess
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).parents[2]
EMBEDDING_MODEL = "text-embedding-3-small"
MODEL = "gpt-4o-mini"

# What the clients would read from the environment of whoever runs the tests.
FOREIGN_SETTINGS = ("OPENAI_", "LANGCHAIN_", "LANGSMITH_", "LOGFIRE_", "PYDANTIC_AI_", "AI_SDK_", "AI_GATEWAY_")


class Program:
    """It ends when its input does, so it never outlives the tests."""

    def __init__(self, command: Sequence[str], log: Path) -> None:
        self._log = log
        own = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN_SETTINGS)}
        with log.open("ab") as errors:
            self._process = subprocess.Popen(
                command,
                cwd=REPOSITORY,
                env=own | {"NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )

    def do(
        self, scenario: str, base_url: str, api_key: str, prompt: str, timeout_seconds: float = 180
    ) -> dict[str, Any]:
        """What the client saw of one task.

        Raises:
            AssertionError: an error that the client is not meant to raise, with its traceback.
        """
        task = {
            "scenario": scenario,
            "base_url": base_url,
            "api_key": api_key,
            "model": MODEL,
            "embedding_model": EMBEDDING_MODEL,
            "prompt": prompt,
        }
        assert self._process.stdin
        assert self._process.stdout
        alarm = threading.Timer(timeout_seconds, self._process.kill)
        alarm.start()
        try:
            print(json.dumps(task), file=self._process.stdin, flush=True)
            line = self._process.stdout.readline()
        finally:
            alarm.cancel()
        assert line, f"the program ended, or took more than {timeout_seconds} s:\n{self._log.read_text()[-4000:]}"
        said: dict[str, Any] = json.loads(line)
        assert "crash" not in said, said["crash"]
        return said

    def close(self) -> None:
        self._process.communicate(timeout=30)
