"""One streamed answer of a model: passed on as it comes, and added up as it passes."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Final, Self

from farebox.call.attempt import FAILED
from farebox.call.sse import BLANK, is_silent, payload_of
from farebox.call.wire import Opened, Question, Wire
from farebox.domain.dialects import StreamReader, Usage
from farebox.domain.dialects.base import Event
from farebox.domain.errors import UpstreamError, UpstreamFailed
from farebox.domain.ledger import Mark

EVENT_BYTES_MAX: Final = 16 << 20
# How long to wait after the proper end until the provider closes the body: then its connection can be used again.
DRAIN_SECONDS: Final = 0.05
BROKEN: Final = "The model stopped in the middle of its answer. Try again."


class MeteredStream:
    """A stream that begins when it is entered; leaving it closes the provider's connection and adds up the usage.

    Each iteration is one read: the whole events, unchanged, for the customer, and the text that they add to the answer.
    Either may be empty.

    Args:
        with_usage: whether events with nothing but usage go to the customer.

    Raises:
        CallError: there is no stream, or it broke off, or it ended without its proper end.
    """

    def __init__(self, wire: Wire, question: Question, *, with_usage: bool = True) -> None:
        self.tail: list[bytes] = []
        """The answer's end, which goes out when the call is recorded."""
        self._wire = wire
        self._question = question
        self._with_usage = with_usage
        assert question.dialect.stream is not None, "who asks for a stream has looked"
        self._reader: StreamReader = question.dialect.stream()
        self._skim = self._reader.skim
        self._opened: Opened | None = None
        self._read: Callable[[], Awaitable[bytes]] = self._first
        """Where the next piece comes from."""
        self._output_max = 0
        self._rest = b""
        self._is_ending = False
        self._is_finished = False

    async def __aenter__(self) -> Self:
        wire, question = self._wire, self._question
        self._output_max = wire.reserve(question)
        try:
            self._opened = await wire.open(question, self._output_max)
        except BaseException:
            wire.release(question, self._output_max, None)
            raise
        wire.streams.append(self)
        return self

    async def __aexit__(self, _: object, error: BaseException | None, __: object) -> None:
        await self.finish(error)

    async def finish(self, error: BaseException | None) -> None:
        """Close the provider's connection and add up the usage. A second call does nothing."""
        if self._is_finished or self._opened is None:
            return
        self._is_finished = True
        self._wire.streams.remove(self)
        try:
            if self._reader.is_done:
                with contextlib.suppress(TimeoutError, UpstreamError):
                    async with asyncio.timeout(DRAIN_SECONDS):
                        await self._opened.stream.read()
        finally:
            self._add_up(error)
            await self._opened.stream.close()

    def _add_up(self, error: BaseException | None) -> None:
        assert self._opened is not None
        wire, usage = self._wire, self._reader.usage
        # A provider that failed before its first token is owed nothing but what it reports.
        if usage is None and (self._reader.text_bytes or not isinstance(error, UpstreamError | TimeoutError)):
            usage = wire.estimate(self._question, self._reader.text_bytes, self._output_max)
        if not self._is_ending:
            wire.mark(Mark.CUT)
            self._opened.seen["cut"] = True
        if usage is not None:
            wire.add(self._opened.model, self._opened.seen, usage)
        wire.release(self._question, self._output_max, usage or Usage(0, 0, 0))

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> tuple[bytes, str]:
        piece = await self._read()
        if not self._rest and not self._is_ending:
            text = self._skim(piece)  # nearly every piece is one event of plain text
            if text is not None:
                return piece, text
        if piece:
            return self._take(piece)
        # Some providers leave out the last blank line.
        rest = self._take(b"\n\n") if self._rest else (b"", "")
        self._rest = b""
        self._check_whole()
        if any(rest):
            return rest
        raise StopAsyncIteration

    async def _first(self) -> bytes:
        assert self._opened is not None
        self._read = self._opened.stream.read
        return self._opened.piece

    def _take(self, piece: bytes) -> tuple[bytes, str]:
        """Read a piece event by event."""
        events, passed, added = self._whole_events(piece), b"", ""
        for event in events:
            text = self._skim(event) if len(events) > 1 and not self._is_ending else None
            passed_now, text = self._event(event) if text is None else (event, text)
            passed += passed_now
            added += text
        return passed, added

    def _whole_events(self, piece: bytes) -> list[bytes]:
        """The events that this piece completes; the bytes after them wait for the rest of their event."""
        data, events, end = self._rest + piece, [], 0
        for blank in BLANK.finditer(data, max(len(self._rest) - 2, 0)):
            events.append(data[end : blank.end()])
            end = blank.end()
        self._rest = data[end:]
        if len(self._rest) > EVENT_BYTES_MAX:
            raise UpstreamFailed(FAILED)
        return events

    def _event(self, event: bytes) -> tuple[bytes, str]:
        """The part of one event that goes on now, and the text that it adds."""
        payload = payload_of(event)
        if not payload and not is_silent(event):
            return b"", ""
        what, text = self._reader.read(payload) if payload else (Event.PASS, "")
        if what is Event.ERROR:
            raise UpstreamFailed(BROKEN)
        if what is Event.END:
            self._is_ending = True
        if self._reader.is_done:
            self._read = _nothing
        if what is Event.USAGE_ONLY and not self._with_usage:
            return b"", text
        if not self._is_ending:
            return event, text
        self.tail.append(event)
        return b"", text

    def _check_whole(self) -> None:
        if not self._is_ending:
            raise UpstreamFailed(BROKEN)
        self._wire.is_empty = not self._reader.has_message


async def _nothing() -> bytes:
    return b""
