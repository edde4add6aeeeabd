"""The OpenAI client of a call, and how a handler's failure ends."""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import openai
import pytest

from farebox import Call
from farebox.adapters.openai_client import BASE_URL
from farebox.call.handling import Choice
from farebox.call.prompt import prompt, within_deadline
from farebox.domain.dialects import estimated_tokens
from farebox.domain.errors import (
    CallError,
    CallTooLarge,
    InternalError,
    RequestRefused,
    UpstreamFailed,
    UpstreamTimeout,
)
from farebox.testing import call
from tests.unit.asking import assert_rest_is_left, requests_of, run

# -- The OpenAI client


def chat(made: Call, **more: Any) -> Awaitable[Any]:  # noqa: ANN401
    messages: list[Any] = [{"role": "user", "content": "hi"}]
    return made.openai.chat.completions.create(model="gpt-4o-mini", messages=messages, **more)


def test_the_client_is_openais_own_and_one_for_each_call(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    made = call(answers=["hello"])
    assert isinstance(made.openai, openai.AsyncOpenAI)
    assert made.openai is made.openai
    assert (str(made.openai.base_url), made.openai.max_retries) == (f"{BASE_URL}/", 0)
    answer = run(chat(made))
    assert answer.choices[0].message.content == "hello"
    assert answer.usage.completion_tokens == made.spent.output_tokens > 0


def test_chat_responses_and_embeddings_are_metered() -> None:
    made = call()

    async def scene() -> tuple[int, int]:
        found = await made.openai.responses.create(model="x", input="hi")
        assert found.usage is not None
        vectors = await made.openai.embeddings.create(model="x", input=["a", "b"])
        assert len(vectors.data) == 2
        return found.usage.input_tokens + vectors.usage.prompt_tokens, found.usage.output_tokens

    assert run(scene()) == (made.spent.input_tokens, made.spent.output_tokens)


@pytest.mark.parametrize("with_usage", [True, False])
def test_a_stream_of_the_client_is_whole(with_usage: bool) -> None:  # noqa: FBT001
    made = call(answers=["one two three"])

    async def scene() -> list[Any]:
        more = {"stream_options": {"include_usage": True}} if with_usage else {}
        return [chunk async for chunk in await chat(made, stream=True, **more)]

    chunks = run(scene())
    said = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert said == "one two three"
    assert chunks[-2 if with_usage else -1].choices[0].finish_reason == "stop"
    assert (chunks[-1].usage is not None) is with_usage
    assert not made._wire.streams


def test_what_a_test_says_is_said_on_every_endpoint_for_text() -> None:
    made = call(answers=["chat", "response", "one two three"])

    async def scene() -> list[str]:
        first = await chat(made, tools=[{"type": "function", "function": {"name": "look", "parameters": {}}}])
        second = await made.openai.responses.create(model="x", input="hi")
        vectors = await made.openai.embeddings.create(model="x", input="a")  # says nothing, and takes no answer
        async with made.openai.responses.stream(model="x", input="hi") as stream:
            third = await stream.get_final_response()
        return [first.choices[0].message.content, second.output_text, third.output_text, vectors.object]

    assert run(scene()) == ["chat", "response", "one two three", "list"]
    with pytest.raises(TypeError, match="answers is a list of texts"):
        call(answers="hello")


def test_a_stream_of_responses_is_whole() -> None:
    made = call()

    async def scene() -> list[str]:
        async with made.openai.responses.stream(model="x", input="hi") as stream:
            return [event.type async for event in stream]

    assert run(scene())[-1] == "response.completed"
    assert made.spent.output_tokens > 0


def test_a_stream_of_the_client_that_is_closed_gives_back_what_it_held() -> None:
    made = call(answers=["one two three four five"])

    async def scene() -> None:
        stream = await chat(made, stream=True)
        async for chunk in stream:
            if chunk.choices[0].delta.content:
                break
        await stream.close()

    run(scene())
    assert not made._wire.streams
    assert 0 < made.spent.output_tokens < 5
    assert_rest_is_left(made)


def test_several_answers_share_what_is_left_and_give_back_what_they_did_not_use() -> None:
    made = call(max_output_tokens=100)
    asked = requests_of(made)
    run(chat(made, n=3))
    assert asked[0]["max_tokens"] == 33
    assert_rest_is_left(made)


def test_several_answers_that_are_left_are_paid_as_far_as_each_came() -> None:
    made = call()

    async def scene() -> str:
        stream = await chat(made, stream=True, n=8, max_tokens=20)
        said = ""
        async for chunk in stream:
            said += chunk.choices[0].delta.content or ""
            if len(said) > 400:
                break
        await stream.close()
        return said

    said = run(scene())
    assert made.spent.output_tokens >= estimated_tokens(len(said)) > 20


@pytest.mark.parametrize(
    ("ask", "error", "code"),
    [
        (lambda made: chat(made, max_tokens=0), openai.UnprocessableEntityError, "invalid_request_error"),
        (lambda made: chat(made, service_tier="flex"), openai.UnprocessableEntityError, "invalid_request_error"),
        (lambda made: made.openai.models.list()._get_page(), openai.NotFoundError, "not_found"),
        (lambda made: made.openai.images.generate(prompt="x"), openai.NotFoundError, "not_found"),
        (lambda made: chat(made, stream=True), openai.BadRequestError, "request_refused"),
        (chat, openai.BadRequestError, "request_refused"),
    ],
    ids=range(6),
)  # fmt: skip
def test_what_cannot_be_is_told_in_the_clients_own_errors(
    ask: Callable[[Call], Awaitable[Any]], error: type[openai.APIStatusError], code: str
) -> None:
    with pytest.raises(error) as told:
        run(ask(call(answers=[])))
    assert told.value.code == code


@pytest.mark.parametrize("is_stream", [True, False])
def test_the_clients_own_time_out_holds(*, is_stream: bool) -> None:
    made = call(answers=["late"])
    upstream: Any = made._wire.service.models["live"][0].upstream

    async def too_late(*_: object) -> None:
        await asyncio.sleep(0.5)

    upstream.send = upstream.stream = too_late

    async def impatient(made: Call) -> None:
        with pytest.raises(openai.APITimeoutError):
            await chat(made, stream=is_stream, timeout=0.01)
        assert made.spent.cost_nanodollars == 0
        assert '"cut":true' in made.spent.attempts
        await chat(made, stream=is_stream, timeout=0.01)

    assert type(ended(made, impatient)) is UpstreamTimeout


def test_a_model_that_is_not_listed_is_not_found() -> None:
    made = call()
    made._models = Choice(made._models.chain, {"big": made._models.chain})
    with pytest.raises(openai.NotFoundError, match="There is no model 'gpt-4o-mini' here"):
        run(chat(made))


# -- How a handler's failure ends


def ended(made: Call, work: Callable[[Call], Awaitable[Any]]) -> CallError | None:
    async def scene() -> CallError | None:
        _, _, error = await prompt(made._wire, lambda wire: within_deadline(wire, work(made)))
        return error

    return asyncio.run(scene())


async def agent(made: Call) -> str:
    # What it brings is loaded where it is used, and not by each of pytest's processes.
    from pydantic_ai import Agent, ModelHTTPError  # noqa: PLC0415
    from pydantic_ai.models.openai import OpenAIChatModel  # noqa: PLC0415
    from pydantic_ai.providers.openai import OpenAIProvider  # noqa: PLC0415

    model = OpenAIChatModel("x", provider=OpenAIProvider(openai_client=made.openai))
    try:
        return (await Agent(model).run("hi " * 100)).output
    except ModelHTTPError as error:
        raise LookupError("no agent") from error


@pytest.mark.parametrize("ask", [lambda made: made.ask("x" * 200), agent, chat], ids=["ask", "agent", "client"])
def test_what_does_not_fit_is_told_to_the_customer_and_the_founder_whoever_wrapped_it(
    ask: Callable[[Call], Awaitable[Any]], caplog: pytest.LogCaptureFixture
) -> None:
    made = call(max_input_tokens=10)
    made._wire.place = "shop.py, line 4"
    assert type(ended(made, ask)) is CallTooLarge
    [told] = caplog.messages
    assert told.startswith("shop.py, line 4: This call may use 10 more tokens of input and ")
    asks = " Send less. Raise max_input_tokens or max_output_tokens of its decorator: max_input_tokens="
    assert re.search(re.escape(asks) + "[1-9]_000 has room for this question[.]$", told)


def test_the_log_says_what_a_picture_counts_and_the_number_to_write(caplog: pytest.LogCaptureFixture) -> None:
    async def look(made: Call) -> str:
        url = {"url": "data:image/png;base64,AAAA", "detail": "low"}
        return await made.ask([{"role": "user", "content": [{"type": "image_url", "image_url": url}]}])

    made = call(max_input_tokens=32_000)
    made._wire.place = "shop.py, line 4"
    assert type(ended(made, look)) is CallTooLarge
    told = "max_input_tokens=60_000 has room for this question (each picture counts for 50,000)."
    assert caplog.messages[0].endswith(told)
    assert isinstance(asyncio.run(look(call(max_input_tokens=60_000))), str)


def test_what_the_provider_has_against_a_handlers_request_is_not_its_customers_affair(
    caplog: pytest.LogCaptureFixture,
) -> None:
    for work in (lambda made: made.ask("x"), chat):
        assert type(ended(call(answers=[]), work)) is UpstreamFailed
    assert "has no answer left" in caplog.text


def test_any_other_failure_is_ours_and_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    async def broken(made: Call) -> str:
        nothing: dict[str, str] = {}
        return nothing[made.id]

    for work in (broken, lambda made: made.ask("x", max_tokens=0), lambda made: chat(made, max_tokens=0)):
        assert type(ended(call(), work)) is InternalError
    assert "KeyError: 'req_testing'" in caplog.text


async def to_its_end(stream: AsyncIterator[str]) -> list[str]:
    return [piece async for piece in stream]


@pytest.mark.parametrize(
    "ask",
    [
        lambda made: made.ask("x"),
        lambda made: to_its_end(made.stream("x")),
        chat,
        lambda made: chat(made, stream=True),
        lambda made: made.openai.embeddings.create(model="x", input="x"),
    ],
    ids=["ask", "stream", "client", "client's stream", "embeddings"],
)
def test_who_asks_from_another_threads_event_loop_is_told_so_at_once(
    ask: Callable[[Call], Awaitable[Any]], caplog: pytest.LogCaptureFixture
) -> None:
    made = call()

    async def in_a_thread(made: Call) -> None:
        made._wire.loop = asyncio.get_running_loop()
        made._wire.error = UpstreamFailed("An earlier failure is not what it fails with.")
        await asyncio.to_thread(lambda: run(ask(made)))

    assert type(ended(made, in_a_thread)) is InternalError
    assert "Await it in the function" in caplog.text
    assert made.spent.attempts == "[]"


def test_several_failures_at_once_are_told_by_the_one_that_is_known() -> None:
    async def group(made: Call) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(made.ask("x" * 200))

    assert type(ended(call(max_input_tokens=100), group)) is CallTooLarge


def test_a_refusal_may_have_a_status_of_its_own() -> None:
    assert RequestRefused("No.").of_status(409).status == 409
    assert RequestRefused("No.").status == 400


def test_what_a_handler_leaves_under_way_ends_with_its_call() -> None:
    made = call(answers=["first", "second", "third"])
    asked = requests_of(made)
    upstream = made._wire.service.models["live"][0].upstream
    at_once = upstream.send

    async def slowly(path: str, body: bytes, seconds_max: float) -> Any:  # noqa: ANN401  # a Reply
        if b"slow" in body:
            await asyncio.sleep(60)
        return await at_once(path, body, seconds_max)

    upstream.send = slowly  # type: ignore[method-assign]
    left: list[asyncio.Task[str]] = []

    async def hasty(made: Call) -> str:
        left.append(asyncio.create_task(made.ask("slow")))
        await asyncio.sleep(0)
        return await made.ask("quick")

    async def scene() -> None:
        content, _, _ = await prompt(made._wire, lambda wire: within_deadline(wire, hasty(made)))
        assert content == "first"
        assert left[0].cancelled()
        with pytest.raises(CallTooLarge, match="This call has ended"):
            await made.ask("late")

    asyncio.run(asyncio.wait_for(scene(), 30))
    assert len(asked) == 1
