"""One streamed answer of a model: passed on as it comes, and added up as it passes."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from typing import Final, Self

from farebox.call.attempt import FAILED, silent
from farebox.call.wire import Opened, Question, Wire
from farebox.domain.dialects import StreamReader, Usage
from farebox.domain.dialects.base import Event
from farebox.domain.errors import UpstreamError, UpstreamFailed
from farebox.domain.ledger import Mark
from farebox.ports import Streamed

EVENT_BYTES_MAX: Final = 16 << 20
BLANK: Final = b"\n\n"
BLANK_CRLF: Final = b"\r\n\r\n"
# After the proper end the provider has only to close its body, which lets its connection be used again.
DRAIN_SECONDS: Final = 0.05
BROKEN: Final = "The model broke off in the middle of its answer. Try again."


class MeteredStream:
    """A stream that begins when it is entered; leaving it closes the provider's connection and adds up what came."""

    def __init__(self, wire: Wire, question: Question) -> None:
        self.reader: StreamReader = question.dialect.stream()
        self.waiting_since: float | None = None
        """Since when the provider is waited for, in the event loop's seconds."""
        self.tail: list[bytes] = []
        """The answer's end, which goes out when the call is recorded."""
        self._wire = wire
        self._question = question
        self._opened: Opened | None = None
        self._output_max = 0
        self._rest = b""
        self._has_begun = False
        self._is_ending = False
        self._is_finished = False

    async def __aenter__(self) -> Self:
        wire, question = self._wire, self._question
        self._output_max = wire.reserve(question)
        try:
            self._opened = await wire.open(question, self._output_max)
        except asyncio.CancelledError:
            if wire.asked is not None:  # the provider was asked, and its first piece was not waited for
                usage = wire.estimate(question, 0, self._output_max)
                wire.add(wire.asked, wire.seen_cut(), usage)
                wire.mark(Mark.CUT)
            wire.release(question, self._output_max, None)
            raise
        except BaseException:
            wire.release(question, self._output_max, None)
            raise
        wire.streams.append(self)
        return self

    async def __aexit__(self, _: object, error: BaseException | None, __: object) -> None:
        await self.finish(error)

    async def finish(self, error: BaseException | None) -> None:
        """Close the provider's connection and add up what came. The second time nothing is left to do."""
        if self._is_finished or self._opened is None:
            return
        self._is_finished = True
        self._wire.streams.remove(self)
        try:
            if self.reader.is_done:
                with contextlib.suppress(TimeoutError, UpstreamError):
                    async with asyncio.timeout(DRAIN_SECONDS):
                        await self._opened.stream.read()
        finally:
            self._add_up(error)
            await self._opened.stream.close()

    def _add_up(self, error: BaseException | None) -> None:
        assert self._opened is not None
        wire, usage = self._wire, self.reader.usage
        # A provider that failed before its first token is owed nothing but what it reports.
        if usage is None and (self.reader.text_bytes or not isinstance(error, UpstreamError | TimeoutError)):
            usage = wire.estimate(self._question, self.reader.text_bytes, self._output_max)
        if not self._is_ending:
            wire.mark(Mark.CUT)
            self._opened.seen["cut"] = True
        if usage is not None:
            wire.add(self._opened.model, self._opened.seen, usage)
        wire.release(self._question, self._output_max, usage or Usage(0, 0, 0))

    @property
    def source(self) -> Streamed:
        """Where the pieces after the first come from."""
        assert self._opened is not None
        return self._opened.stream

    @property
    def first(self) -> bytes:
        """The piece that the stream began with."""
        assert self._opened is not None
        return self._opened.piece

    async def next(self) -> bytes:
        """The next piece, or nothing at the end; waited for no longer than a stream may be silent.

        Raises:
            UpstreamError: the provider broke off, or fell silent.
        """
        if not self._has_begun:
            self._has_begun = True
            return self.first
        try:
            # A time-out around all of a stream would reach into what is done with each piece.
            async with asyncio.timeout(self._wire.service.stream_idle_seconds_max):
                return await self.source.read()
        except TimeoutError:
            raise silent() from None

    @property
    def is_between_events(self) -> bool:
        """Whether the next piece begins an event that is not of the answer's end."""
        return not self._rest and not self._is_ending

    def take(self, piece: bytes, *, with_usage: bool = True) -> tuple[bytes, str]:
        """Read one piece: the whole events in it that may go to the customer now, and the text that they add.

        Raises:
            UpstreamFailed: it says that the provider broke off.
        """
        data = self._rest + piece if self._rest else piece
        blank = BLANK_CRLF if BLANK_CRLF in data else BLANK
        whole, found, self._rest = data.rpartition(blank)
        if len(self._rest) > EVENT_BYTES_MAX:
            raise UpstreamFailed(FAILED)
        events = whole.split(blank) if found else ()
        taken = [self._event(event + blank, _payload(event), with_usage=with_usage) for event in events]
        return b"".join(passed for passed, _ in taken), "".join(text for _, text in taken)

    def _event(self, event: bytes, payload: bytes, *, with_usage: bool) -> tuple[bytes, str]:
        """What of one event goes on now, and the text that it adds."""
        what, text = self.reader.read(payload.strip()) if payload else (Event.PASS, "")
        if what is Event.PASS and not self._is_ending:
            return event, text
        if what is Event.ERROR:
            raise UpstreamFailed(BROKEN)
        if what is Event.END:
            self._is_ending = True
        if what is Event.USAGE_ONLY and not with_usage:
            return b"", text
        if not self._is_ending:
            return event, text
        self.tail.append(event)
        return b"", text

    def check_whole(self) -> None:
        """Told after the last piece.

        Raises:
            UpstreamFailed: the stream ended without its proper end.
        """
        if self._rest:
            self.take(BLANK)  # some providers leave out the last one
        if not self._is_ending:
            raise UpstreamFailed(BROKEN)
        self._wire.is_empty = not self.reader.has_message


def _payload(event: bytes) -> bytes:
    """What an event of several lines says: the data beside its name, or nothing in a comment."""
    return b"\n".join(line[5:].strip() for line in event.splitlines() if line.startswith(b"data:"))


class Silence:
    """Ends its block with a time-out where a stream is waited for too long. One timer for all of the stream's waits."""

    def __init__(self, stream: MeteredStream, seconds: float) -> None:
        self._stream = stream
        self._seconds = seconds
        self._loop = asyncio.get_running_loop()
        self._scope = asyncio.timeout(None)
        self._timer: asyncio.TimerHandle | None = None

    async def __aenter__(self) -> None:
        await self._scope.__aenter__()
        self._timer = self._loop.call_later(self._seconds, self._look)

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        assert self._timer is not None
        self._timer.cancel()
        await self._scope.__aexit__(kind, error, trace)  # type: ignore[arg-type]  # as it came

    def _look(self) -> None:
        now = self._loop.time()
        since = self._stream.waiting_since
        if since is not None and now - since >= self._seconds:
            self._scope.reschedule(now)
            return
        self._timer = self._loop.call_at((since or now) + self._seconds, self._look)


async def relayed(wire: Wire, question: Question, tail: list[bytes], *, with_usage: bool) -> AsyncGenerator[bytes]:
    """A model's stream as bytes, but for its end, which is put into `tail`.

    Raises:
        CallError: there is no stream, or it broke off.
    """
    stream = MeteredStream(wire, question)
    stream.tail = tail
    try:
        async with stream, Silence(stream, wire.service.stream_idle_seconds_max):
            # Each layer less is a percent of a stream's cost: see bench/streams.py.
            skim, read, now = stream.reader.skim, stream.source.read, asyncio.get_running_loop().time
            piece = stream.first
            while piece:
                passed = piece
                if not (stream.is_between_events and skim(piece)):
                    passed, _ = stream.take(piece, with_usage=with_usage)
                if passed:
                    yield passed
                if stream.reader.is_done:
                    break
                stream.waiting_since = now()
                piece = await read()
                stream.waiting_since = None
            stream.check_whole()
    except TimeoutError:
        raise silent() from None


async def texts(wire: Wire, question: Question) -> AsyncGenerator[str]:
    """The text of a model's stream, as it comes.

    Raises:
        CallError: there is no stream, or it broke off.
    """
    async with MeteredStream(wire, question) as stream:
        while piece := await stream.next():
            _, text = stream.take(piece)
            if text:
                yield text
            if stream.reader.is_done:
                break
        stream.check_whole()
