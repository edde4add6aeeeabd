"""OpenAI's own client understands the fake provider."""

import json
from collections.abc import Iterator
from typing import Any, Literal

import openai
import pytest
from openai import OpenAI
from openai.types.responses import Response
from pydantic import BaseModel

from tests.services.upstream import (
    CHAT,
    EMBEDDINGS,
    RESPONSES,
    Behaviour,
    FakeUpstream,
    count_tokens,
    expected_answer,
    expected_embedding,
)

MODEL = "gpt-4o-mini"


@pytest.fixture
def client(upstream: FakeUpstream) -> Iterator[OpenAI]:
    with OpenAI(api_key="sk-test", base_url=upstream.base_url, max_retries=0, timeout=10) as client:
        yield client


class Weather(BaseModel):
    """A structure with most of what structures have."""

    place: str
    degrees: float
    sky: Literal["clear", "clouds"]
    days: list[int]
    wind: "Weather | None"


PARAMETERS: dict[str, Any] = {
    "type": "object",
    "properties": {"place": {"type": "string"}, "days": {"type": "integer", "minimum": 2}},
    "required": ["place", "days"],
    "additionalProperties": False,
}
ARGUMENTS = {"place": "dog fun", "days": 2}
CHAT_TOOLS: Any = [
    {"type": "function", "function": {"name": "other", "parameters": {"type": "object", "properties": {}}}},
    {"type": "function", "function": {"name": "weather", "parameters": PARAMETERS}},
]
RESPONSE_TOOLS: Any = [{"type": "function", "strict": True, **tool["function"]} for tool in CHAT_TOOLS]


# -- responses


def test_a_response(client: OpenAI, upstream: FakeUpstream) -> None:
    for given in ("Hello", [{"role": "user", "content": [{"type": "input_text", "text": "Hello"}]}]):
        body: Any = {"model": MODEL, "input": given, "instructions": "Be brief"}
        answer, expected = client.responses.create(**body), expected_answer(body)
        assert (answer.status, answer.output_text) == ("completed", expected.text)
        assert answer.usage is not None
        assert answer.usage.input_tokens == expected.input_tokens
        assert answer.usage.output_tokens == expected.output_tokens
        assert answer.usage.total_tokens == expected.input_tokens + expected.output_tokens
        assert answer.usage.input_tokens_details.cached_tokens == 0
        assert answer.usage.output_tokens_details.reasoning_tokens == 0
        Response.model_validate(answer.model_dump(warnings="error"), strict=True)
        assert upstream.calls(path=RESPONSES)[-1].usage["output_tokens"] == expected.output_tokens
    assert upstream.count(path=RESPONSES) == 2


@pytest.mark.parametrize("limit", [None, 16])
def test_a_streamed_response(client: OpenAI, upstream: FakeUpstream, limit: int | None) -> None:
    body: Any = {"model": MODEL, "input": "Hello there", "max_output_tokens": limit}
    expected = expected_answer(body)
    with client.responses.create(**body, stream=True) as stream:
        events = list(stream)
    assert [event.sequence_number for event in events] == list(range(len(events)))
    deltas = [event.delta for event in events if event.type == "response.output_text.delta"]
    assert "".join(deltas) == expected.text
    assert len(deltas) == expected.output_tokens == upstream.calls(path=RESPONSES)[0].tokens_streamed
    last = "response.incomplete" if limit else "response.completed"
    assert [event.type for event in events if event.type != "response.output_text.delta"] == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        last,
    ]
    whole: Response = events[-1].response
    assert whole.usage is not None
    assert whole.usage.output_tokens == expected.output_tokens
    assert whole.output_text == expected.text
    assert (whole.incomplete_details is not None) == bool(limit)


def test_the_sdks_own_helpers_follow_a_streamed_response(client: OpenAI) -> None:
    with client.responses.stream(model=MODEL, input="Hi", text_format=Weather) as stream:
        parsed = stream.get_final_response().output_parsed
    assert isinstance(parsed, Weather)


def test_a_response_takes_its_usage_from_the_programme(client: OpenAI, upstream: FakeUpstream) -> None:
    lie = {"prompt_tokens": 1, "completion_tokens": 2, "cached_tokens": 3, "reasoning_tokens": 4}
    upstream.program(Behaviour(usage=lie), path=RESPONSES)
    usage = client.responses.create(model=MODEL, input="Hi").usage
    assert usage is not None
    assert (usage.input_tokens, usage.output_tokens, usage.total_tokens) == (1, 2, 3)
    assert usage.input_tokens_details.cached_tokens == 3
    assert usage.output_tokens_details.reasoning_tokens == 4


@pytest.mark.parametrize("stream", [False, True])
def test_a_response_may_be_a_refusal(client: OpenAI, *, stream: bool) -> None:
    marked = Behaviour(fault="null_content").marker()
    if stream:
        with client.responses.stream(model=MODEL, input=marked) as events:
            whole: Any = events.get_final_response()
    else:
        whole = client.responses.create(model=MODEL, input=marked)
    assert whole.output_text == ""
    assert whole.output[0].content[0].refusal.startswith("I'm sorry")


# -- errors


@pytest.mark.parametrize("path", [CHAT, RESPONSES, EMBEDDINGS])
def test_errors_are_raised_on_every_path(client: OpenAI, upstream: FakeUpstream, path: str) -> None:
    def call() -> object:
        match path:
            case "/v1/responses":
                return client.responses.create(model=MODEL, input="Hi")
            case "/v1/embeddings":
                return client.embeddings.create(model=MODEL, input="Hi")
            case _:
                return client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": "Hi"}])

    upstream.program_next(
        Behaviour(status=429, retry_after=7), Behaviour(status=404), Behaviour(fault="close"), path=path
    )
    with pytest.raises(openai.RateLimitError) as limited:
        call()
    assert limited.value.response.headers["retry-after"] == "7"
    with pytest.raises(openai.NotFoundError, match="does not exist"):
        call()
    with pytest.raises(openai.APIConnectionError):
        call()
    call()
    assert upstream.count(path=path) == 4


def test_an_error_in_a_stream_is_raised(client: OpenAI, upstream: FakeUpstream) -> None:
    for path in (CHAT, RESPONSES):
        upstream.program(Behaviour(fault="error_event", cut_after_chunks=6), path=path)
    with (
        pytest.raises(openai.APIError, match="had an error"),
        client.chat.completions.create(
            model=MODEL, messages=[{"role": "user", "content": "Hi"}], stream=True
        ) as chunks,
    ):
        list(chunks)
    with (
        pytest.raises(openai.APIError, match="had an error"),
        client.responses.create(model=MODEL, input="Hi", stream=True) as events,
    ):
        list(events)


# -- embeddings


@pytest.mark.parametrize("encoding", ["float", "base64"])
def test_embeddings(client: OpenAI, encoding: Literal["float", "base64"]) -> None:
    texts = ["one text", "another one", "one text"]
    answer = client.embeddings.create(model="text-embedding-3-small", input=texts)  # decoded from base64
    assert [vector.embedding for vector in answer.data] == [expected_embedding(text) for text in texts]
    assert answer.usage.prompt_tokens == answer.usage.total_tokens == sum(map(count_tokens, texts))
    again = client.embeddings.create(model="m", input=[1, 2, 3], dimensions=20, encoding_format=encoding)
    assert again.usage.prompt_tokens == 3
    assert len(again.data) == 1
    vector = again.data[0].embedding
    assert isinstance(vector, list if encoding == "float" else str)
    if encoding == "float":
        assert sum(number * number for number in vector) == pytest.approx(1)
        assert vector == expected_embedding([1, 2, 3], 20)


# -- tools and structures


@pytest.mark.parametrize("choice", ["required", "named", "marked"])
def test_a_chat_calls_a_tool_and_comes_to_an_end(client: OpenAI, choice: str) -> None:
    asked: dict[str, Any] = {"model": MODEL, "tools": CHAT_TOOLS}
    messages: list[Any] = [{"role": "user", "content": "Hi [[tool:weather]]" if choice == "marked" else "Hi"}]
    if choice != "marked":
        named = {"type": "function", "function": {"name": "weather"}}
        asked["tool_choice"] = named if choice == "named" else "required"
    answer = client.chat.completions.create(messages=messages, **asked)
    assert answer.choices[0].finish_reason == "tool_calls"
    [call] = answer.choices[0].message.tool_calls or []
    assert call.type == "function"
    assert call.function.name == ("other" if choice == "required" else "weather")
    assert json.loads(call.function.arguments) == ({} if choice == "required" else ARGUMENTS)
    assert answer.usage is not None
    assert answer.usage.completion_tokens == count_tokens(call.function.arguments)
    with client.chat.completions.stream(messages=messages, **asked) as stream:
        streamed = stream.get_final_completion().choices[0].message
    assert [call.function.arguments for call in streamed.tool_calls or []] == [call.function.arguments]
    said: Any = answer.choices[0].message
    result: Any = {"role": "tool", "tool_call_id": call.id, "content": "sunny"}
    done = client.chat.completions.create(messages=[*messages, said, result], **asked)
    assert done.choices[0].finish_reason == "stop"
    assert done.choices[0].message.content


@pytest.mark.parametrize("choice", ["required", "named", "marked"])
def test_a_response_calls_a_tool_and_comes_to_an_end(client: OpenAI, upstream: FakeUpstream, choice: str) -> None:
    asked: dict[str, Any] = {"model": MODEL, "tools": RESPONSE_TOOLS}
    text = "Hi [[tool:weather]]" if choice == "marked" else "Hi"
    if choice != "marked":
        asked["tool_choice"] = {"type": "function", "name": "weather"} if choice == "named" else "required"
    answer = client.responses.create(input=text, **asked)
    [call] = answer.output
    assert call.type == "function_call"
    assert call.name == ("other" if choice == "required" else "weather")
    assert json.loads(call.arguments) == ({} if choice == "required" else ARGUMENTS)
    with client.responses.stream(input=text, **asked) as stream:
        [streamed] = stream.get_final_response().output
    assert streamed.type == "function_call"
    assert streamed.arguments == call.arguments
    assert upstream.calls(path=RESPONSES)[1].tokens_streamed == count_tokens(call.arguments)
    result = {"type": "function_call_output", "call_id": call.call_id, "output": "sunny"}
    items: Any = [{"role": "user", "content": text}, call.model_dump(exclude_none=True), result]
    assert client.responses.create(input=items, **asked).output_text


def test_without_a_call_for_it_no_tool_is_called(client: OpenAI) -> None:
    for text, choice in [("Hi", "auto"), ("Hi [[tool:unknown]]", "auto"), ("Hi [[tool:weather]]", "none")]:
        given: Any = {"tools": RESPONSE_TOOLS, "tool_choice": choice}
        assert client.responses.create(model=MODEL, input=text, **given).output_text


def test_answers_have_the_structure_that_was_asked_for(client: OpenAI) -> None:
    messages: Any = [{"role": "user", "content": "Hi"}]
    chat = client.chat.completions.parse(model=MODEL, messages=messages, response_format=Weather)
    response = client.responses.parse(model=MODEL, input="Hi", text_format=Weather)
    assert chat.choices[0].message.parsed == response.output_parsed != None  # noqa: E711 - of all three
    with client.chat.completions.stream(model=MODEL, messages=messages, response_format=Weather) as stream:
        assert stream.get_final_completion().choices[0].message.parsed == response.output_parsed
    free = client.chat.completions.create(model=MODEL, messages=messages, response_format={"type": "json_object"})
    assert isinstance(json.loads(free.choices[0].message.content or ""), dict)
    with pytest.raises(openai.LengthFinishReasonError):
        client.chat.completions.parse(model=MODEL, messages=messages, response_format=Weather, max_tokens=4)


@pytest.mark.parametrize("stream", [False, True])
def test_several_choices_are_all_counted(client: OpenAI, *, stream: bool) -> None:
    body: Any = {"model": MODEL, "messages": [{"role": "user", "content": "Hi"}], "n": 3}
    expected = expected_answer(body)
    if stream:
        with client.chat.completions.stream(**body, stream_options={"include_usage": True}) as chunks:
            answer: Any = chunks.get_final_completion()
    else:
        answer = client.chat.completions.create(**body)
    assert [choice.message.content for choice in answer.choices] == [expected.text] * 3
    assert answer.usage.completion_tokens == expected.output_tokens == 3 * count_tokens(expected.text)
