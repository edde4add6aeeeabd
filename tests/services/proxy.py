"""A TCP proxy that breaks connections on demand, on a thread of its own. Any thread may call its verbs."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Literal, Self

from tests.services.process import free_port

Verdict = Literal["pass", "cut", "forward_then_cut"]
ClientBytesHook = Callable[[bytes], Verdict]
CHUNK_BYTES = 65536


def _pass_all(_data: bytes) -> Verdict:
    return "pass"


class Proxy:
    """Listens on 127.0.0.1:`port` and forwards to the target.

    `on_client_bytes` judges what clients send, before it is forwarded; it is called on the proxy's thread.
    """

    def __init__(self, target_port: int, target_host: str = "127.0.0.1") -> None:
        self.port = free_port()
        self._target = (target_host, target_port)
        self._hook: ClientBytesHook = _pass_all
        self._delay_seconds = 0.0
        self._pipes: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None
        self._loop = asyncio.new_event_loop()
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)

    def start(self) -> Self:
        self._thread.start()
        self._run(self._listen())
        return self

    def stop(self) -> None:
        if self._thread.is_alive():
            self._run(self._shut_down())
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    # -- verbs

    def refuse(self) -> None:
        """Refuse new connections. Open ones live on: `cut` ends them."""
        self._run(self._refuse())

    def cut(self) -> None:
        """Break all open connections at once."""
        self._run(self._cut())

    def blackhole(self) -> None:
        """Accept connections and pass nothing, in either direction, as if every packet were lost."""
        self._run(self._set_flowing(flowing=False))

    def delay(self, seconds: float) -> None:
        """Hold back what clients send for so long, so that each round trip takes that much longer."""
        self._delay_seconds = seconds

    def on_client_bytes(self, hook: ClientBytesHook) -> None:
        """'pass', 'cut', or 'forward_then_cut': the target gets the bytes, the client never the answer."""
        self._hook = hook

    def heal(self) -> None:
        """Undo all of the above; what a black hole swallowed arrives now."""
        self._hook = _pass_all
        self._delay_seconds = 0
        self._run(self._listen())
        self._run(self._set_flowing(flowing=True))

    # -- on the proxy's thread

    def _run(self, work: Coroutine[None, None, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    async def _listen(self) -> None:
        if self._server is None:
            self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port, backlog=4096)

    async def _refuse(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None

    async def _cut(self) -> None:
        for writer in list(self._writers):
            writer.transport.abort()
        for pipe in list(self._pipes):
            pipe.cancel()
        await asyncio.gather(*self._pipes, return_exceptions=True)

    async def _set_flowing(self, *, flowing: bool) -> None:
        (self._flowing.set if flowing else self._flowing.clear)()

    async def _shut_down(self) -> None:
        await self._refuse()
        await self._cut()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        pipe = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self._pipes.add(pipe)
        pipe.add_done_callback(self._pipes.discard)

    async def _serve(self, client_reader: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        async with self._closing(client):
            await self._flowing.wait()
            try:
                target_reader, target = await asyncio.open_connection(*self._target)
            except OSError:
                return
            async with self._closing(target):
                await asyncio.gather(
                    self._pump_up(client_reader, client, target),
                    self._pump_down(target_reader, target, client),
                )

    @asynccontextmanager
    async def _closing(self, writer: asyncio.StreamWriter) -> AsyncIterator[None]:
        self._writers.add(writer)
        try:
            yield
        finally:
            self._writers.discard(writer)
            writer.close()

    async def _pump_up(
        self, reader: asyncio.StreamReader, client: asyncio.StreamWriter, target: asyncio.StreamWriter
    ) -> None:
        with _both_aborted_on_error(client, target):
            while data := await reader.read(CHUNK_BYTES):
                await asyncio.sleep(self._delay_seconds)
                await self._flowing.wait()
                verdict = self._hook(data)
                if verdict != "pass":
                    client.transport.abort()
                if verdict == "cut":
                    target.transport.abort()
                    return
                target.write(data)
                await target.drain()
            target.write_eof()

    async def _pump_down(
        self, reader: asyncio.StreamReader, target: asyncio.StreamWriter, client: asyncio.StreamWriter
    ) -> None:
        with _both_aborted_on_error(client, target):
            while data := await reader.read(CHUNK_BYTES):
                await self._flowing.wait()
                if not client.is_closing():  # it is, after forward_then_cut: then the answer goes nowhere
                    client.write(data)
                    await client.drain()
            if not client.is_closing():
                client.write_eof()


@contextmanager
def _both_aborted_on_error(*writers: asyncio.StreamWriter) -> Iterator[None]:
    try:
        yield
    except OSError:
        for writer in writers:
            writer.transport.abort()
