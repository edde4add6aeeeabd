"""The fake provider refuses what OpenAI refuses: a mistake of ours must not pass the tests."""

from typing import Any

import pytest

from tests.services.load import Request, fire_all
from tests.services.upstream import CHAT, EMBEDDINGS, RESPONSES, FakeUpstream

USER = {"role": "user", "content": "Hi"}
TOOL = {"type": "function", "function": {"name": "f"}, "name": "f"}
RESULT = {"type": "function_call_output", "call_id": "call_1", "output": "x"}
SOUND: dict[str, dict[str, Any]] = {
    CHAT: {"model": "m", "messages": [USER]},
    RESPONSES: {"model": "m", "input": "Hi"},
    EMBEDDINGS: {"model": "m", "input": "Hi"},
}
OPTIONS = {"include_usage": True}
REFUSED: list[tuple[str, dict[str, Any], str]] = [
    *((path, {"model": 7}, "model") for path in SOUND),
    (CHAT, {"stream_options": OPTIONS}, "stream_options"),
    (CHAT, {"stream": False, "stream_options": OPTIONS}, "stream_options"),
    (CHAT, {"stream": "yes"}, "stream"),
    (CHAT, {"messages": []}, "messages"),
    (CHAT, {"messages": [{"role": "robot", "content": "Hi"}]}, "messages[0].role"),
    (CHAT, {"messages": [{"role": "user", "content": 7}]}, "messages[0].content"),
    (CHAT, {"messages": [USER, {"role": "tool", "tool_call_id": "call_1", "content": "x"}]}, "messages[1].role"),
    (CHAT, {"max_tokens": True}, "max_tokens"),
    (CHAT, {"max_tokens": 5, "max_completion_tokens": 5}, "max_tokens"),
    (CHAT, {"max_output_tokens": 50}, "max_output_tokens"),
    (CHAT, {"temperature": 3}, "temperature"),
    (CHAT, {"tool_choice": "required"}, "tool_choice"),
    (CHAT, {"tools": [TOOL], "tool_choice": {"type": "function", "function": {"name": "g"}}}, "tool_choice"),
    (CHAT, {"tools": [{"name": "f"}]}, "tools"),
    (CHAT, {"response_format": {"type": "xml"}}, "response_format"),
    (CHAT, {"response_format": {"type": "json_schema", "json_schema": {"schema": {}}}}, "response_format"),
    (RESPONSES, {"max_output_tokens": 15}, "max_output_tokens"),
    (RESPONSES, {"max_tokens": 50}, "max_tokens"),
    (RESPONSES, {"input": []}, "input"),
    (RESPONSES, {"input": [{"content": "Hi"}]}, "input[0]"),
    (RESPONSES, {"input": [USER, RESULT]}, "input"),
    (RESPONSES, {"stream_options": {"include_obfuscation": False}}, "stream_options"),
    (RESPONSES, {"stream": True, "stream_options": OPTIONS}, "stream_options.include_usage"),
    (EMBEDDINGS, {"input": ""}, "input"),
    (EMBEDDINGS, {"input": []}, "input"),
    (EMBEDDINGS, {"input": ["a", 7]}, "input"),
    (EMBEDDINGS, {"input": ["a"] * 2049}, "input"),
    (EMBEDDINGS, {"dimensions": 0}, "dimensions"),
    (EMBEDDINGS, {"encoding_format": "hex"}, "encoding_format"),
    (EMBEDDINGS, {"stream": True}, "stream"),
]


def send(upstream: FakeUpstream, path: str, **fields: object) -> tuple[int | None, Any]:
    url = f"http://127.0.0.1:{upstream.port}{path}"
    reply = fire_all([Request(url, SOUND[path] | fields, {"authorization": "Bearer sk-test"})])[0]
    return reply.status, reply.json()


@pytest.mark.parametrize("path", SOUND)
def test_what_is_null_is_as_good_as_not_there(upstream: FakeUpstream, path: str) -> None:
    assert send(upstream, path, user=None, temperature=None, metadata=None)[0] == 200


@pytest.mark.parametrize(("path", "wrong", "param"), REFUSED, ids=lambda value: str(value)[:60])
def test_what_is_wrong_is_refused(upstream: FakeUpstream, path: str, wrong: dict[str, Any], param: str) -> None:
    status, body = send(upstream, path, **wrong)
    assert (status, body["error"]["param"], body["error"]["type"]) == (400, param, "invalid_request_error")
    assert body["error"].keys() == {"message", "type", "param", "code"}
    assert upstream.calls(path=path)[0].status == 400
