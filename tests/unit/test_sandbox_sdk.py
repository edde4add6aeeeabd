"""The sandbox through OpenAI's own SDK: what a founder's handler and a customer's program see."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from decimal import Decimal
from typing import Any, Final, Literal, TypeVar

import httpx2
import pytest
from openai import AsyncOpenAI, BadRequestError, NotFoundError
from openai.lib.streaming.responses import ResponseTextDeltaEvent
from pydantic import BaseModel, Field

from farebox.ports.calls import Streamed, Upstream
from farebox.sandbox.model import NAME_TOKEN, SANDBOX_MODEL, SandboxModel

T = TypeVar("T")
UPSTREAM: Final[Upstream] = SandboxModel()
WEATHER: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "unit": {"enum": ["celsius", "fahrenheit"]}},
    "required": ["city", "unit"],
    "additionalProperties": False,
}


class Ingredient(BaseModel):
    name: str
    grams: Decimal | None
    is_fresh: bool


class Recipe(BaseModel):
    kind: Literal["recipe"] = "recipe"
    title: str = Field(max_length=20)
    minutes: int = Field(ge=5, multiple_of=5)
    ingredients: list[Ingredient] = Field(min_length=2)
    leftovers: "Recipe | None" = None


class _Pieces(httpx2.AsyncByteStream):
    def __init__(self, streamed: Streamed) -> None:
        self.streamed = streamed

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while piece := await self.streamed.read():
            yield piece

    async def aclose(self) -> None:
        await self.streamed.close()


class _Transport(httpx2.AsyncBaseTransport):
    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        body, path = await request.aread(), request.url.path.removeprefix("/v1")
        if json.loads(body).get("stream"):
            streamed = await UPSTREAM.stream(path, body, 1)
            return httpx2.Response(streamed.status, headers=dict(streamed.headers), stream=_Pieces(streamed))
        reply = await UPSTREAM.send(path, body, 1)
        return httpx2.Response(reply.status, headers=dict(reply.headers), content=reply.body)


def with_client(use: Callable[[AsyncOpenAI], Awaitable[T]], *, is_strict: bool = True) -> T:
    async def run() -> T:
        http = httpx2.AsyncClient(transport=_Transport())
        async with AsyncOpenAI(
            api_key="sk-none",
            base_url="http://sandbox/v1",
            http_client=http,
            max_retries=0,
            _strict_response_validation=is_strict,
        ) as client:
            return await use(client)

    return asyncio.run(run())


def test_a_chat_completion_is_one_to_the_sdk() -> None:
    answer = with_client(
        lambda client: client.chat.completions.create(model="any", messages=[{"role": "user", "content": "Hello"}], n=2)
    )
    first, second = (choice.message.content for choice in answer.choices)
    assert first is not None
    assert first.startswith(f"{NAME_TOKEN} You wrote: “Hello”")
    assert first != second
    assert answer.model == SANDBOX_MODEL
    assert answer.usage is not None
    assert answer.usage.prompt_tokens_details is not None
    assert answer.usage.prompt_tokens_details.cached_tokens == 0


def test_a_streamed_chat_completion_adds_up_to_the_plain_one() -> None:
    async def use(client: AsyncOpenAI) -> None:
        plain = await client.chat.completions.create(model="any", messages=[{"role": "user", "content": "Hello"}], n=3)
        async with client.chat.completions.stream(
            model="any", messages=[{"role": "user", "content": "Hello"}], n=3, stream_options={"include_usage": True}
        ) as stream:
            whole = await stream.get_final_completion()
        assert [choice.message.content for choice in whole.choices] == [c.message.content for c in plain.choices]
        assert [choice.finish_reason for choice in whole.choices] == ["stop"] * 3
        assert (whole.usage, whole.id) == (plain.usage, plain.id)

    with_client(use)


def test_chat_parse_gets_the_founders_type() -> None:
    answer = with_client(
        lambda client: client.chat.completions.parse(
            model="any", messages=[{"role": "user", "content": "Soup"}], response_format=Recipe
        )
    )
    recipe = answer.choices[0].message.parsed
    assert recipe is not None
    assert recipe.title == SANDBOX_MODEL
    assert (recipe.minutes, len(recipe.ingredients)) == (5, 2)


def test_a_forced_tool_is_called_plain_and_streamed() -> None:
    async def use(client: AsyncOpenAI) -> None:
        request: dict[str, Any] = {
            "model": "any",
            "messages": [{"role": "user", "content": "Weather?"}],
            "tools": [{"type": "function", "function": {"name": "weather", "parameters": WEATHER}}],
            "tool_choice": "required",
        }
        plain = (await client.chat.completions.create(**request)).choices[0]
        assert (plain.finish_reason, plain.message.content) == ("tool_calls", None)
        assert plain.message.tool_calls is not None
        (call,) = plain.message.tool_calls
        assert call.type == "function"
        assert call.function.name == "weather"
        assert json.loads(call.function.arguments) == {"city": SANDBOX_MODEL, "unit": "celsius"}
        async with client.chat.completions.stream(**request) as stream:
            whole = (await stream.get_final_completion()).choices[0]
        assert whole.finish_reason == "tool_calls"
        assert whole.message.tool_calls is not None
        (streamed,) = whole.message.tool_calls
        assert (streamed.id, streamed.function.name) == (call.id, "weather")
        assert streamed.function.arguments == call.function.arguments

    with_client(use)


def test_a_response_is_one_to_the_sdk() -> None:
    answer = with_client(lambda client: client.responses.create(model="any", input="Hello", instructions="Be kind."))
    assert answer.output_text.startswith(f"{NAME_TOKEN} You wrote: “Be kind.\nHello”")
    assert (answer.status, answer.model, answer.instructions) == ("completed", SANDBOX_MODEL, "Be kind.")
    assert answer.usage is not None
    assert answer.usage.total_tokens == answer.usage.input_tokens + answer.usage.output_tokens


def test_a_streamed_response_adds_up_to_the_plain_one() -> None:
    async def use(client: AsyncOpenAI) -> None:
        plain = await client.responses.create(model="any", input="Hello")
        async with client.responses.stream(model="any", input="Hello") as stream:
            deltas = [event.delta async for event in stream if isinstance(event, ResponseTextDeltaEvent)]
            whole = await stream.get_final_response()
        assert "".join(deltas) == whole.output_text == plain.output_text
        assert (whole.usage, whole.id) == (plain.usage, plain.id)

    with_client(use)


def test_responses_parse_gets_the_founders_type() -> None:
    answer = with_client(lambda client: client.responses.parse(model="any", input="Soup", text_format=Recipe))
    assert answer.output_parsed is not None
    assert answer.output_parsed.kind == "recipe"
    assert answer.output_parsed.ingredients[0].is_fresh


def test_a_response_calls_the_forced_tool_plain_and_streamed() -> None:
    async def use(client: AsyncOpenAI) -> None:
        request: dict[str, Any] = {
            "model": "any",
            "input": "Weather?",
            "tools": [{"type": "function", "name": "weather", "parameters": WEATHER, "strict": True}],
            "tool_choice": {"type": "function", "name": "weather"},
        }
        (call,) = (await client.responses.create(**request)).output
        assert call.type == "function_call"
        assert json.loads(call.arguments) == {"city": SANDBOX_MODEL, "unit": "celsius"}
        async with client.responses.stream(**request) as stream:
            (streamed,) = (await stream.get_final_response()).output
        assert streamed.type == "function_call"
        assert (streamed.name, streamed.call_id, streamed.arguments) == (call.name, call.call_id, call.arguments)

    with_client(use)


def test_embeddings_are_the_same_vectors_in_either_encoding() -> None:
    async def use(client: AsyncOpenAI) -> None:
        texts = ["a dog", "a cat"]
        floats = await client.embeddings.create(model="any", input=texts, encoding_format="float")
        packed = await client.embeddings.create(model="any", input=texts)
        assert [one.embedding for one in floats.data] == [one.embedding for one in packed.data]
        assert [len(one.embedding) for one in floats.data] == [256, 256]
        assert floats.usage == packed.usage

    with_client(use, is_strict=False)  # the SDK's own type does not know its default encoding


def test_refusals_are_the_sdks_errors() -> None:
    async def use(client: AsyncOpenAI) -> None:
        with pytest.raises(BadRequestError, match="messages has to be") as refusal:
            await client.chat.completions.create(model="any", messages=[])
        assert refusal.value.param == "messages"
        with pytest.raises(BadRequestError, match="input has to be"):
            await client.responses.create(model="any", input=[], stream=True)
        with pytest.raises(NotFoundError, match="/moderations"):
            await client.moderations.create(input="x")

    with_client(use)
