"""The call as a handler has it: what it asks, what comes of it, and what it may spend."""

import asyncio
import json
import logging
from collections.abc import AsyncGenerator, Awaitable, Iterable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, Final, Literal

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field

from farebox import Call
from farebox.call import metered
from farebox.call.admit import admit
from farebox.call.attempt import FAILED
from farebox.call.form import form_of
from farebox.call.handling import Choice
from farebox.call.metered import MeteredStream
from farebox.call.service import CallRequest
from farebox.domain.admission import Admitted, Ask
from farebox.domain.apikey import ApiKey
from farebox.domain.dialects import Usage
from farebox.domain.errors import CallError, CallTooLarge, UpstreamFailed, UpstreamNoMessage, UpstreamUnfit
from farebox.domain.ledger import Mark
from farebox.domain.plan import Plan
from farebox.domain.prices import Price, cost_nanodollars
from farebox.sandbox.model import STREAM_HEADERS, SandboxStream
from farebox.testing import call
from tests.unit.asking import SANDBOX, assert_rest_is_left, requests_of, run


class Address(BaseModel):
    city: str = "Graz"


class Lead(BaseModel):
    name: str = Field(min_length=2, title="The name")
    points: int = Field(5, ge=0, le=10)
    stage: Literal["cold", "hot"]
    title: str | None = None
    home: Address = Field(description="Where they live.")


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
    assert_rest_is_left(made)


def test_no_message_is_an_error() -> None:
    with pytest.raises(UpstreamNoMessage):
        run(call(answers=[""]).ask("x"))


def test_what_no_longer_fits_is_not_sent() -> None:
    made = call(max_input_tokens=200)
    asked = requests_of(made)
    with pytest.raises(CallTooLarge, match="This call may use 200 more tokens of input"):
        run(made.ask("x" * 300))
    assert (asked, made.spent.input_tokens) == ([], 0)


def test_a_question_may_have_no_longer_answer_than_the_plan_allows() -> None:
    made = call(answers=["hello"], plan=Plan("short", max_output_tokens=80))
    asked = requests_of(made)
    run(made.ask("x", max_tokens=500))
    assert asked[0]["max_tokens"] == 80


def test_the_answers_of_a_call_end_with_its_hold() -> None:
    made = call(answers=["a b c d e f g h", "more"], max_output_tokens=8, plan=Plan("short"))
    with pytest.raises(CallTooLarge):
        run(_in_order(made.ask("one"), made.ask("two")))


@pytest.mark.parametrize("options", [{"max_tokens": 0}, {"n": 0}, {"web_search_options": {"a": 1}}])
def test_an_option_that_cannot_be_is_the_handlers_mistake(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"has to be a whole number|is not offered here") as told:
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
    made = call(answers=["one two three four five six seven eight"], max_output_tokens=8)
    with pytest.raises(UpstreamUnfit):
        run(made.ask("x", Lead))


@pytest.mark.parametrize(
    ("out", "kinds"),
    [(Lead, "string_too_short, literal_error, missing"), (dict[str, int], "int_parsing")],
    ids=["fields", "keys"],
)
def test_the_log_tells_what_was_wrong_and_not_a_word_of_the_answer(
    out: Any,  # noqa: ANN401
    kinds: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    said = json.dumps({"name": "§", "stage": "a secret"} if out is Lead else {"secret": "no"})
    with pytest.raises(UpstreamUnfit):
        run(call(answers=["a secret", said]).ask("x", out))
    assert caplog.messages[-1].endswith(f"the model did not keep to the form: {kinds}")
    assert "secret" not in caplog.text
    assert "§" not in caplog.text


# -- Streaming


async def collected(stream: AsyncGenerator[str]) -> list[str]:
    return [piece async for piece in stream]


def test_a_stream_comes_piece_by_piece_and_is_the_same_text() -> None:
    made = call()
    pieces = run(collected(made.stream("one two three")))
    assert len(pieces) > 3
    assert "".join(pieces) == run(call().ask("one two three"))
    assert made.spent.output_tokens == len(pieces)


def test_a_stream_that_does_not_begin_gives_back_what_it_held() -> None:
    made = call(answers=[])  # for which the model has no answer
    with pytest.raises(CallError):
        run(collected(made.stream("x")))
    assert_rest_is_left(made)


def test_an_event_of_a_stream_that_does_not_end_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metered, "EVENT_BYTES_MAX", 1_000)
    made = call()
    stream_of(made, [EVENTS[1], b"data: ", b"x" * 1_000])
    with pytest.raises(UpstreamFailed, match=FAILED):
        run(collected(made.stream("x")))


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


def stream_of(made: Call, pieces: Iterable[bytes]) -> None:
    """What the model's next stream consists of."""

    async def answers(*_: object) -> SandboxStream:
        return SandboxStream(200, STREAM_HEADERS, iter(pieces))

    made._wire.service.models["live"][0].upstream.stream = answers  # type: ignore[assignment,method-assign]


def test_a_stream_that_is_left_before_its_first_word_is_paid_for_its_question() -> None:
    made = call()
    stream_of(made, EVENTS[:2])

    async def scene() -> None:
        async with MeteredStream(made._wire, made._question({"messages": []}, None)) as stream:
            assert await anext(stream) == (EVENTS[0], "")

    run(scene())
    assert (made.spent.output_tokens, made.spent.marks) == (0, (Mark.CUT, Mark.ESTIMATED))
    assert made.spent.input_tokens > 0


@given(st.sets(st.integers(1, len(b"".join(EVENTS)) - 1), max_size=12))
def test_a_stream_is_the_same_wherever_its_bytes_are_cut(cuts: set[int]) -> None:
    made = call()
    whole, ends = b"".join(EVENTS), sorted(cuts)
    pieces = [whole[start:end] for start, end in zip([0, *ends], [*ends, len(whole)], strict=True)]

    stream_of(made, pieces)

    async def scene() -> tuple[bytes, str, bytes]:
        question = made._question({"messages": []}, None)
        async with MeteredStream(made._wire, question, with_usage=False) as stream:
            found = [step async for step in stream]
        return b"".join(passed for passed, _ in found), "".join(text for _, text in found), b"".join(stream.tail)

    assert run(scene()) == (b"".join(EVENTS[:6]), "dogü☀\nrun", EVENTS[6] + EVENTS[8])
    assert (made.spent.input_tokens, made.spent.output_tokens, made.spent.marks) == (3, 4, ())


@pytest.mark.parametrize("end", [b"", b"\n", b"\n\n", b"\n\n\n", b"\r\n"])
def test_the_last_words_of_a_stream_come_however_it_ends(end: bytes) -> None:
    made = call()
    last = b'data: {"choices":[{"index":0,"delta":{"content":"fun"},"finish_reason":"stop"}]}'

    stream_of(made, [EVENTS[1], last + end])
    assert run(collected(made.stream("x"))) == ["dog", "fun"]
    assert Mark.CUT not in made.spent.marks


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


@pytest.mark.parametrize("answers", [1, 3])
def test_an_estimate_is_never_above_what_was_asked_for(answers: int) -> None:
    made = call()
    question = made._question({"messages": [], "n": answers}, None)
    assert made._wire.estimate(question, 4_000, 100).output_tokens == 100 * answers


def test_a_long_question_is_held_at_the_price_of_its_length() -> None:
    longer = Price(8_000, 800, 30_000)
    wire = call()._wire
    model = wire.service.models["live"][0]._replace(price=Price(4_000, 400, 20_000, tiers=((272_000, longer),)))
    asked: list[Ask] = []

    async def noted(ask: Ask) -> Admitted:
        asked.append(ask)
        return wire.admitted

    ledger: Any = SimpleNamespace(admit=noted)
    service = replace(wire.service, ledger=ledger)
    for tokens in (272_000, 272_001):
        run(admit(service, CallRequest("req_1", ApiKey("key", "live"), "/v1/x", (model,), tokens)))
    assert [ask.price for ask in asked] == [Price(4_000, 400, 20_000), longer]


def test_a_question_costs_what_its_length_and_the_cache_cost() -> None:
    longer = Price(8_000, 800, 30_000, 10_000)
    wire = call()._wire
    model = wire.service.models["live"][0]._replace(price=Price(4_000, 400, 20_000, 5_000, ((272_000, longer),)))
    seen: dict[str, Any] = {}
    wire.add(model, seen, Usage(300_000, 1_000, 10, 2_000))
    assert seen["price"] == longer[:4]
    assert seen["cache_write_tokens"] == 2_000
    assert seen["cost_nanodollars"] == wire.spent.cost_nanodollars
    assert seen["cost_nanodollars"] == cost_nanodollars(longer, 300_000, 1_000, 10, 2_000)
