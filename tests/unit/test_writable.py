"""A body that is sent on is read at a glance where that is enough, and says the same as under a closer look."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farebox.domain.errors import InvalidRequest
from farebox.web import request
from farebox.web.request import read_json, read_writable

EXAMPLE = '{"model": "…"}'
BLANKS = st.sampled_from(["", "", "", " ", "\n", "\t", "\r"])
TEXTS = st.sampled_from(['"a"', '"b"', '"\\u0061"', '":"', '"\\":"', '"x: y"', '"\\\\"', '"ü"'])


@st.composite
def objects(draw: st.DrawFn, depth: int = 3) -> str:
    """JSON as somebody may write it: with keys twice, blanks anywhere, and texts that look like keys."""
    parts = []
    for _ in range(draw(st.integers(0, 3))):
        kind = draw(st.integers(0, 3)) if depth else 0
        value = draw(TEXTS)
        if kind == 1:
            value = draw(objects(depth - 1))
        elif kind == 2:
            value = f"[{draw(objects(depth - 1))}, {draw(TEXTS)}]"
        parts.append(f"{draw(BLANKS)}{draw(TEXTS)}{draw(BLANKS)}:{draw(BLANKS)}{value}")
    return "{" + ",".join(parts) + "}"


def told(read: Any, *more: Any) -> Any:  # noqa: ANN401
    try:
        return read(*more)
    except InvalidRequest:
        return InvalidRequest


@given(objects())
def test_at_a_glance_or_closely_it_says_the_same(text: str) -> None:
    body = text.encode()
    closely = told(read_json, body)
    assert told(read_writable, body, EXAMPLE) == closely
    seen = request._at_a_glance(body)
    assert seen is None or seen == closely


@pytest.mark.parametrize("body", [{"model": "m", "messages": [{"role": "user", "content": "Hi, is it 9:30?"}]}, {}])
@pytest.mark.parametrize("separators", [(",", ":"), (", ", ": ")])
def test_what_clients_send_needs_no_closer_look(body: object, separators: tuple[str, str]) -> None:
    assert request._at_a_glance(json.dumps(body, separators=separators).encode()) == body


@pytest.mark.parametrize(
    "body", ['{"a": 1, "a": 2}', '{"a" : 1, "a" : 2}', '{"b": {"a": 1, "\\u0061": 2}}', '{"a":1,"a"\n:2,"b":":"}']
)
def test_a_key_that_is_in_it_twice_is_refused(body: str) -> None:
    with pytest.raises(InvalidRequest, match="same key twice"):
        read_writable(body.encode(), EXAMPLE)


@pytest.mark.parametrize("body", ['{"a": "\\ud800"}', '{"a":' * 300 + "1" + "}" * 300])
def test_what_cannot_be_written_again_is_refused(body: str) -> None:
    with pytest.raises(InvalidRequest, match="nested too deep, or has half of a surrogate pair"):
        read_writable(body.encode(), EXAMPLE)
