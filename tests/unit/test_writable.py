"""A body that is sent on is read at a glance where that is enough, and says the same as under a closer look."""

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic_core import to_json

from farebox.domain.dialects import CHAT, EMBEDDINGS, RESPONSES, Dialect
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


@pytest.mark.parametrize("number", ["NaN", "-Infinity", "1e999", "-1e400", "1" * 400 + ".5"])
@pytest.mark.parametrize("body", ['{"a":%s}', '{"a" : %s}', '{"a": [{"b": [1.5, %s]}]}'])
def test_a_number_that_is_not_finite_is_refused_in_the_same_words(body: str, number: str) -> None:
    for read in (read_json, read_writable):
        with pytest.raises(InvalidRequest, match=rf"^The JSON has {number[:100]}, which is not a finite number\."):
            read((body % number).encode(), EXAMPLE)


NUMBERS = st.from_regex(r"-?(0|[1-9][0-9]{0,20})(\.[0-9]{1,20})?([eE][+-]?[0-9]{1,2})?", fullmatch=True)
VALUES = st.sampled_from(['"hi"', '"\\u0007"', '"\\u00e9\x7f/"', "null", "true", "7"])
LISTS = st.lists(st.one_of(NUMBERS, VALUES), max_size=5).map(lambda found: f"[{','.join(found)}]")
MESSAGES = st.builds('[{{"role":"user","content":{}}}]'.format, st.one_of(VALUES, LISTS))
SCHEMAS = LISTS.map('[{{"type":"function","function":{{"parameters":{{"enum":{}}}}}}}]'.format)
FIELDS = {
    "messages": MESSAGES, "input": st.one_of(VALUES, LISTS), "user": VALUES, "n": st.just("2"), "tools": SCHEMAS,
    "response_format": LISTS, "other": LISTS,
}  # fmt: skip


@pytest.mark.parametrize("dialect", [CHAT, RESPONSES, EMBEDDINGS], ids=lambda dialect: dialect.path)
@given(st.fixed_dictionaries({}, optional=FIELDS))
def test_a_request_that_may_not_grow_is_no_longer_when_it_is_written_again(
    dialect: Dialect, fields: dict[str, str]
) -> None:
    body = "{" + ",".join(f'"{name}":{value}' for name, value in fields.items()) + "}"
    read = read_writable(body.encode(), EXAMPLE)
    with contextlib.suppress(InvalidRequest):
        dialect.check(read)
        assert dialect.may_grow(read) or len(to_json(read)) <= len(body.encode())
