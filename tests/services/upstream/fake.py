"""The test's handle on the fake provider."""

import http.client
import json
import shutil
import ssl
import sys
import tempfile
from pathlib import Path
from typing import Any, Literal, Self

from tests.services.process import ProcessGroup, free_port, is_listening, wait_until
from tests.services.upstream.behaviour import Behaviour
from tests.services.upstream.certificate import self_signed
from tests.services.upstream.paths import CHAT
from tests.services.upstream.provider import Call

REPOSITORY = Path(__file__).parents[3]


class FakeUpstream:
    """Its calls are kept in its process: `stop` forgets them.

    With `tls` its URL is https, and a client that trusts who it should fails: "self_signed" has a certificate
    that nobody knows (`certificate` trusts it), "garbage" answers a TLS hello in plain text. Without an
    `openssl` command both are garbage.
    """

    def __init__(self, *, tls: Literal["self_signed", "garbage"] | None = None) -> None:
        self.port = free_port()
        self.base_url = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}/v1"
        self.certificate: Path | None = None
        self._tls = tls
        self._folder: Path | None = None
        self._process: ProcessGroup | None = None

    def start(self) -> Self:
        log = Path(tempfile.gettempdir()) / f"farebox-upstream-{self.port}.log"
        log.unlink(missing_ok=True)
        command = [sys.executable, "-m", "tests.services.upstream", "--port", str(self.port)]
        if self._tls == "self_signed":
            self._folder = Path(tempfile.mkdtemp(prefix="farebox-upstream-"))
            self.certificate = self_signed(self._folder)
        if self.certificate is not None:
            command += ["--certificate", str(self.certificate)]
        process = ProcessGroup(command, log=log, cwd=REPOSITORY, forks=True)
        self._process = process

        def ready() -> bool:
            process.require_running()
            return is_listening(self.port)

        wait_until(ready, "the fake provider to listen")
        return self

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.log.unlink(missing_ok=True)
            self._process = None
        if self._folder is not None:
            shutil.rmtree(self._folder)
            self._folder = self.certificate = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def program(self, behaviour: Behaviour, *, path: str = CHAT) -> None:
        """For every call from now on."""
        self._control("program", path=path, behaviour=behaviour.as_dict())

    def program_next(self, *behaviours: Behaviour, path: str = CHAT) -> None:
        """For the next calls, one each, after those already waiting."""
        self._control("program_next", path=path, behaviours=[how.as_dict() for how in behaviours])

    def reset(self, *, seed: int = 0) -> None:
        """Forget all calls and programmes; random latencies begin anew from the seed."""
        self._control("reset", seed=seed)

    def calls(self, *, path: str = CHAT) -> list[Call]:
        return [Call(**fields) for fields in self._control("calls", path=path)]

    def count(self, *, path: str = CHAT) -> int:
        return int(self._control("stats", path=path)["count"])

    def in_flight(self, *, path: str = CHAT) -> int:
        return int(self._control("stats", path=path)["in_flight"])

    def wait_for_calls(self, count: int, *, path: str = CHAT, timeout_seconds: float = 30) -> None:
        wait_until(lambda: self.count(path=path) >= count, f"{count} calls upstream", timeout_seconds=timeout_seconds)

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def _control(self, verb: str, **arguments: object) -> Any:  # noqa: ANN401 - JSON
        connection = self._connection()
        try:
            connection.request("POST", f"/_control/{verb}", json.dumps(arguments))
            response = connection.getresponse()
            body = response.read()
        finally:
            connection.close()
        if response.status != 200:
            raise ValueError(body.decode())
        return json.loads(body)

    def _connection(self) -> http.client.HTTPConnection:
        if self.certificate is None:
            return http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        trusting = ssl.create_default_context(cafile=self.certificate)
        return http.client.HTTPSConnection("127.0.0.1", self.port, timeout=30, context=trusting)
