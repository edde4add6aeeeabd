"""The call as a handler has it: what it asks, what comes of it, and what it may spend."""

import asyncio
import json
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any, Final, Literal

import httpx2
import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field

from farebox import Call
from farebox.adapters.openai_client import BASE_URL
from farebox.call.form import form_of
from farebox.call.handling import Choice
from farebox.call.metered import MeteredStream
from farebox.call.prompt import prompt, within_deadline
from farebox.domain.errors import (
    CallError,
    CallTooLarge,
    InternalError,
    RequestRefused,
    UpstreamFailed,
    UpstreamNoMessage,
    UpstreamUnfit,
)
from farebox.domain.plan import Plan
from farebox.sandbox.model import STREAM_HEADERS, SandboxStream
from farebox.testing import call

SANDBOX: Final = "farebox-sandbox"


class Address(BaseModel):
    city: str = "Graz"


class Lead(BaseModel):
    name: str = Field(min_length=2, title="The name")
    points: int = Field(5, ge=0, le=10)
    stage: Literal["cold", "hot"]
    title: str | None = None
    home: Address = Field(description="Where they live.")


def requests_of(made: Call) -> list[dict[str, Any]]:
    """What the models are asked from now on."""
    asked: list[dict[str, Any]] = []
    upstream = made._wire.service.models["live"][0].upstream
    send = upstream.send

    async def noted(path: str, body: bytes, seconds_max: float) -> Any:  # noqa: ANN401  # a Reply
        asked.append(json.loads(body))
        return await send(path, body, seconds_max)

    upstream.send = noted  # type: ignore[method-assign]
    return asked


def run(work: Awaitable[Any]) -> Any:  # noqa: ANN401
    async def scene() -> Any:  # noqa: ANN401
        return await work

    return asyncio.run(scene())


# -- Asking


def test_a_text_is_asked_for_with_all_that_the_handler_says() -> None:
    made = call(answers=["hello"])
    asked = requests_of(made)
    assert run(made.ask("Say hello", system="Be brief.", max_tokens=9, temperature=0)) == "hello"
    assert asked == [
        {
            "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Say hello"}],
            "temperature": 0, "model": SANDBOX, "max_tokens": 9,
        }
    ]  # fmt: skip


def test_a_conversation_is_asked_as_it_is() -> None:
    made = call(answers=["bye"])
    asked = requests_of(made)
    talk = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}]
    assert run(made.ask(talk, str)) == "bye"
    assert asked[0]["messages"] == talk


def test_what_was_spent_is_the_sum_of_the_questions() -> None:
    made = call()
    run(_in_order(made.ask("one"), made.ask("two")))
    single = call()
    run(single.ask("one"))
    assert made.spent.output_tokens > single.spent.output_tokens > 0
    assert made.spent.cost_nanodollars == 0


async def _in_order(*works: Awaitable[Any]) -> None:
    for work in works:
        await work


def test_several_questions_at_once_are_right() -> None:
    made = call()

    async def scene() -> list[str]:
        return await asyncio.gather(*(made.ask(f"question {number}") for number in range(20)))

    assert len(set(run(scene()))) == 20
    hold = made._wire.admitted.hold
    spent = made.spent
    assert made._wire.input_left == hold.input_tokens_max - spent.input_tokens
    assert made._wire.output_left == hold.output_tokens_max - spent.output_tokens


def test_no_message_is_an_error() -> None:
    with pytest.raises(UpstreamNoMessage):
        run(call(answers=[""]).ask("x"))


def test_what_no_longer_fits_is_not_sent() -> None:
    made = call(max_input_tokens=200)
    asked = requests_of(made)
    with pytest.raises(CallTooLarge, match="This call has room for 200 more tokens of input"):
        run(made.ask("x" * 300))
    assert (asked, made.spent.input_tokens) == ([], 0)


def test_the_answers_of_a_call_end_with_its_hold() -> None:
    made = call(answers=["a b c d e f g h", "more"], max_output_tokens=8, plan=Plan("short"))
    with pytest.raises(CallTooLarge):
        run(_in_order(made.ask("one"), made.ask("two")))


@pytest.mark.parametrize("options", [{"max_tokens": 0}, {"n": 0}, {"web_search_options": {"a": 1}}])
def test_an_option_that_cannot_be_is_the_handlers_mistake(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"is a whole number|is not offered here") as told:
        run(call().ask("x", **options))
    assert not isinstance(told.value, CallError)


def test_a_model_is_chosen_by_its_name_among_those_listed() -> None:
    made = call(answers=["hello"])
    chain = made._models.chain
    made._models = Choice(chain, {"big": chain, "openai:big": chain})
    assert run(made.ask("x", model="big")) == "hello"
    with pytest.raises(ValueError, match=r"There is no model 'other' here. Your file lists: big\."):
        run(made.ask("x", model="other"))


# -- Objects

ADA: Final = {"name": "Ada", "points": 7, "stage": "hot", "title": None, "home": {"city": "Linz"}}


def test_an_object_is_asked_for_by_its_schema() -> None:
    made = call(answers=[json.dumps(ADA)])
    asked = requests_of(made)
    assert run(made.ask("x", Lead)) == Lead(name="Ada", points=7, stage="hot", home=Address(city="Linz"))
    form = asked[0]["response_format"]["json_schema"]
    assert form["strict"] is True
    assert form["schema"] == {
        "type": "object",
        "properties": {
            "name": {"type": "string", "minLength": 2},
            "points": {"type": "integer", "minimum": 0, "maximum": 10},
            "stage": {"type": "string", "enum": ["cold", "hot"]},
            "title": {"anyOf": [{"type": "string"}, {"type": "null"}]},
            "home": {
                "type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"],
                "additionalProperties": False, "description": "Where they live.",
            },
        },
        "required": ["name", "points", "stage", "title", "home"],
        "additionalProperties": False,
        "$defs": {
            "Address": {
                "type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"],
                "additionalProperties": False,
            },
        },
    }  # fmt: skip


@pytest.mark.parametrize(
    ("out", "said", "found"),
    [
        (list[int], '{"result": [1, 2]}', [1, 2]),
        (int, '{"result": 3}', 3),
        (Literal["a", "b"], '{"result": "b"}', "b"),
        (Lead | Address, '{"result": {"city": "Wien"}}', Address(city="Wien")),
        (dict[str, int], '{"a": 1}', {"a": 1}),
        (Address, '```json\n{"city": "Wien"}\n```', Address(city="Wien")),
        (Address, '  {"city": "Wien"}\n', Address(city="Wien")),
    ],
)
def test_what_is_no_object_comes_in_one(out: Any, said: str, found: object) -> None:  # noqa: ANN401
    assert run(call(answers=[said]).ask("x", out)) == found


def test_an_object_of_any_keys_is_not_strict() -> None:
    class Words(BaseModel):
        words: dict[str, int]

    assert form_of(Words).response_format["json_schema"]["strict"] is False
    assert form_of(Address).response_format["json_schema"]["strict"] is True
    assert form_of(Address) is form_of(Address)


def test_the_sandbox_keeps_to_the_form() -> None:
    assert isinstance(run(call().ask("x", Lead)), Lead)
    assert isinstance(run(call().ask("x", list[Lead])), list)


def test_a_wrong_answer_is_repaired_once() -> None:
    made = call(answers=['{"name": "A"}', json.dumps(ADA)])
    asked = requests_of(made)
    assert run(made.ask("x", Lead)).name == "Ada"
    told = asked[1]["messages"][-2:]
    assert told[0] == {"role": "assistant", "content": '{"name": "A"}'}
    assert "name: String should have at least 2 characters" in told[1]["content"]
    assert "stage: Field required" in told[1]["content"]
    assert asked[1]["response_format"] == asked[0]["response_format"]


def test_an_answer_that_stays_wrong_is_an_error_and_a_repair_that_does_not_fit_too() -> None:
    with pytest.raises(UpstreamUnfit):
        run(call(answers=["no", "no again"]).ask("x", Lead))
    made = call(answers=["one two three four five six seven eight"], max_output_tokens=8)
    with pytest.raises(UpstreamUnfit):
        run(made.ask("x", Lead))


# -- Streaming


async def collected(stream: AsyncGenerator[str]) -> list[str]:
    return [piece async for piece in stream]


def test_a_stream_comes_piece_by_piece_and_is_the_same_text() -> None:
    made = call()
    pieces = run(collected(made.stream("one two three")))
    assert len(pieces) > 3
    assert "".join(pieces) == run(call().ask("one two three"))
    assert made.spent.output_tokens == len(pieces)


def test_a_stream_that_is_left_is_paid_as_far_as_it_came() -> None:
    made = call(answers=["a b c d e f g h"])

    async def scene() -> None:
        async for _ in made.stream("x"):
            break
        await made._wire.close()

    run(scene())
    assert 0 < made.spent.output_tokens < 8
    assert made.spent.marks


def test_a_stream_without_a_word_is_an_error() -> None:
    with pytest.raises(UpstreamNoMessage):
        run(collected(call(answers=[""]).stream("x")))


EVENTS: Final = (
    b'data: {"choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}\n\n',
    b'data: {"choices":[{"index":0,"delta":{"content":"dog"},"finish_reason":null}]}\n\n',
    'data: {"choices":[{"index":0,"delta":{"content":"ü☀"},"finish_reason":null}]}\n\n'.encode(),
    b": a comment\r\n\r\n",
    b'data: {"choices":[{"index":0,"delta":{"content":"\\n"},"finish_reason":null}]}\r\n\r\n',
    b'data: {"choices":[{"index":0,"delta":{"content":"run"},"finish_reason":null}]}\n\n',
    b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n',
    b'data: {"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":4}}\n\n',
    b"data: [DONE]\n\n",
)


@given(st.sets(st.integers(1, len(b"".join(EVENTS)) - 1), max_size=12))
def test_a_stream_is_the_same_wherever_its_bytes_are_cut(cuts: set[int]) -> None:
    made = call()
    whole, ends = b"".join(EVENTS), sorted(cuts)
    pieces = [whole[start:end] for start, end in zip([0, *ends], [*ends, len(whole)], strict=True)]

    async def answers(*_: object) -> SandboxStream:
        return SandboxStream(200, STREAM_HEADERS, iter(pieces))

    made._wire.service.models["live"][0].upstream.stream = answers  # type: ignore[assignment,method-assign]

    async def scene() -> tuple[bytes, str, bytes]:
        question = made._question({"messages": []}, None)
        async with MeteredStream(made._wire, question, with_usage=False) as stream:
            found = [step async for step in stream]
        return b"".join(passed for passed, _ in found), "".join(text for _, text in found), b"".join(stream.tail)

    assert run(scene()) == (b"".join(EVENTS[:6]), "dogü☀\nrun", EVENTS[6] + EVENTS[8])
    assert (made.spent.input_tokens, made.spent.output_tokens, made.spent.marks) == (3, 4, ())


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
        await anext(aiter(stream))
        await stream.close()

    run(scene())
    assert not made._wire.streams
    assert 0 < made.spent.output_tokens < 5


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


def test_what_the_client_failed_with_is_told_to_the_customer_whoever_wrapped_it() -> None:
    assert type(ended(call(max_input_tokens=100), lambda made: made.ask("x" * 200))) is CallTooLarge
    assert type(ended(call(max_input_tokens=100), agent)) is CallTooLarge
    assert type(ended(call(max_input_tokens=10), chat)) is CallTooLarge


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

    asyncio.run(asyncio.wait_for(scene(), 5))
    assert len(asked) == 1


# -- The rest of a call


def test_a_call_knows_its_caller_and_its_id(caplog: pytest.LogCaptureFixture) -> None:
    made = call(plan=Plan("pro", calls=10))
    assert made.account == ("acct_testing", "pro", "test", 9)
    assert call(plan=Plan("open")).account.calls_remaining is None
    with caplog.at_level(logging.INFO):
        made.log.info("read %d pages", 3)
    assert caplog.messages == ["call req_testing: read 3 pages"]


def test_the_client_goes_nowhere_else() -> None:
    transport = call().openai._client._transport
    assert not isinstance(transport, httpx2.AsyncHTTPTransport)
