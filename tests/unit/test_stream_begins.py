"""A stream begins with its first event: what is none, or an error, goes to nobody, and another model is asked."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

import pytest

from farebox.call import sse
from farebox.call.metered import MeteredStream
from farebox.call.sse import begins
from farebox.domain.breaker import Breaker
from farebox.domain.dialects import CHAT, RESPONSES
from farebox.domain.errors import UpstreamFailed
from farebox.sandbox.model import STREAM_HEADERS, SandboxStream
from farebox.testing import call
from tests.unit.asking import run

FIRST: Final = b'data: {"choices":[{"index":0,"delta":{"content":"dog"},"finish_reason":null}]}\n\n'
LAST: Final = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
PAGE: Final = b"<html>\n<title>Bad gateway at host-7</title>\n\n<body>\n\nRay 123\n\n</body></html>"
ERROR: Final = b'data: {"error": {"message": "overloaded", "code": 503}}\n\n'
FAILED: Final = b'event: response.failed\ndata: {"type": "response.failed", "response": {"usage": %b}}\n\n'
USAGE: Final = b'{"input_tokens": 3, "output_tokens": 0}'


@pytest.mark.parametrize(
    "piece",
    [FIRST, FIRST + ERROR, FIRST.replace(b"\n", b"\r\n"), FIRST[:-2], b": thinking\n\n" + ERROR, b"\n\n" + FIRST,
     b"event: ping\n\n", b"\xef\xbb\xbf" + FIRST, b"id: 1\n" + FIRST, b"odd: 1\n" + FIRST, LAST, b"data: [DONE]\n\n"],
    ids=str,
)  # fmt: skip
def test_a_stream_begins_with_its_first_event(piece: bytes) -> None:
    assert begins(CHAT, piece)


@pytest.mark.parametrize(
    "piece",
    [ERROR, ERROR + FIRST, b"event: error\n" + ERROR, FIRST[:-9], PAGE, b'{"choices": []}', b"data: <html>\n\n"],
)
def test_what_is_no_event_or_an_error_begins_no_stream(piece: bytes) -> None:
    assert not begins(CHAT, piece)


def test_a_response_that_has_failed_begins_only_if_it_has_a_price() -> None:
    assert not begins(RESPONSES, FAILED % b"null")
    assert begins(RESPONSES, FAILED % USAGE)


def test_a_first_event_that_is_long_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "FIRST_BYTES_MAX", 20)
    assert sse.has_first(FIRST[:30])
    assert begins(CHAT, FIRST[:30])
    assert not begins(CHAT, PAGE.replace(b"\n", b"")[:30])


def served(*pieces: bytes) -> tuple[MeteredStream, list[bytes]]:
    """A stream of these pieces, and those of them that nobody has read yet."""
    made, left = call(), list(pieces)

    def read() -> Iterator[bytes]:
        while left:
            yield left.pop(0)

    async def answers(*_: object) -> SandboxStream:
        return SandboxStream(200, STREAM_HEADERS, read())

    made._wire.service.models["live"][0].upstream.stream = answers  # type: ignore[assignment,method-assign]
    return MeteredStream(made._wire, made._question({"messages": []}, None)), left


async def passed(stream: MeteredStream) -> bytes:
    async with stream:
        return b"".join([passed async for passed, _ in stream])


def test_an_error_is_waited_for_in_pieces_and_nothing_behind_a_first_event_is() -> None:
    async def begin(stream: MeteredStream) -> None:
        async with stream:
            raise EOFError

    stream, left = served(ERROR[:9], ERROR[9:], LAST)
    with pytest.raises(UpstreamFailed):
        run(begin(stream))
    assert left == [LAST]
    stream, left = served(FIRST, LAST)
    with pytest.raises(EOFError):
        run(begin(stream))
    assert left == [LAST]


def test_an_error_that_may_be_about_one_request_alone_puts_the_provider_out_of_order_for_nobody() -> None:
    for pieces, is_open in (((ERROR,), False), ((PAGE,), False), ((), True)):
        stream, _ = served(*pieces)
        wire = stream._wire
        breaker = Breaker(1, 60)
        models = (wire.service.models["live"][0]._replace(breaker=breaker),)
        wire.service = replace(wire.service, models={"live": models, "test": models})
        stream._question = stream._question._replace(models=models)
        with pytest.raises(UpstreamFailed):
            run(passed(stream))
        assert breaker.is_open == is_open, pieces


def test_of_a_page_in_the_middle_of_a_stream_nothing_is_passed_on() -> None:
    comment = b": thinking\n\n"
    assert run(passed(served(FIRST, PAGE + b"\n\n", comment, LAST)[0])) == FIRST + comment
