"""Whatever the provider does, the caller gets an answer of the contract and the call its row."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any, NamedTuple

import pytest

from tests.api.shop import PROVIDER_KEY, Shop, ask, assert_problem, send
from tests.services.load import Reply, fire_all
from tests.services.process import free_port
from tests.services.served import Served
from tests.services.upstream import Behaviour, FakeUpstream, Fault, expected_answer

CALL_SECONDS_MAX = "1.5"
MARKUP = 1.2  # of the plan 'credit'; a token costs 150 in and 600 out, in nanodollars
PROMPT = "Say hello to everyone here"
HONEST = expected_answer({"messages": [{"role": "user", "content": PROMPT}], "max_tokens": 400})
HONEST_COST = HONEST.input_tokens * 150 + HONEST.output_tokens * 600


@pytest.fixture(scope="module")
def patient(shop: Shop) -> Iterator[Served]:
    """One process with the usual deadline: a machine that is slow does not meet it."""
    with shop.served(workers=1) as served:
        yield served


@pytest.fixture
def impatient(shop: Shop) -> Iterator[Served]:
    """One process with a short deadline."""
    with shop.served(workers=1, FAREBOX_CALL_SECONDS_MAX=CALL_SECONDS_MAX) as served:
        yield served


class Row(NamedTuple):
    """A call's usage record, as far as the money table speaks of it."""

    state: str
    marks: str
    error: str
    input_tokens: int
    output_tokens: int
    charge_nanodollars: int
    cost_nanodollars: int
    held_nanodollars: int
    attempts: list[dict[str, Any]]


def rows_of(shop: Shop, key: str) -> list[Row]:
    found = shop.records(", ".join(Row._fields), key)
    return [Row(*row)._replace(attempts=json.loads(row[-1])) for row in found]


def one_call(served: Served, shop: Shop, upstream: FakeUpstream, how: Behaviour) -> tuple[Reply, Row]:
    """A call on a plan that is limited in money, what was answered, and what was written."""
    upstream.program(how)
    key = shop.new_key("credit")
    reply = send(ask(served, key, PROMPT))
    [row] = rows_of(shop, key)
    assert len(row.attempts) == upstream.count() == 1
    assert row.attempts[0]["model"] == "gpt-4o-mini"
    meter = shop.meter(key)
    assert meter["posted_nanodollars"] == row.charge_nanodollars
    assert meter["posted_calls"] == (reply.status == 200)
    assert (meter["held_calls"], meter["held_tokens"], meter["held_nanodollars"]) == (0, 0, 0)
    assert "Traceback" not in served.output()
    return reply, row


def shown(parameter: object) -> str:
    return json.dumps(parameter.as_dict() if isinstance(parameter, Behaviour) else parameter)[:200]


BUSY = [
    (Behaviour(status=429, retry_after=7), 7),
    (Behaviour(status=429), 5),
    (Behaviour(status=429, retry_after="Wed, 21 Oct 2037 07:28:00 GMT"), 3600),
    (Behaviour(status=429, retry_after="-3"), 5),
    (Behaviour(status=429, retry_after=10**9), 3600),
    (Behaviour(status=429, retry_after="9" * 5_000), 3600),
    (Behaviour(status=503), 5),
    (Behaviour(status=503, retry_after=2), 2),
    (Behaviour(status=529), 5),
]


@pytest.mark.parametrize(("how", "seconds"), BUSY, ids=shown)
def test_a_busy_provider_is_a_503_that_says_when_to_come_back(
    how: Behaviour, seconds: int, patient: Served, shop: Shop, upstream: FakeUpstream
) -> None:
    reply, row = one_call(patient, shop, upstream, how)
    assert_problem(reply, 503, "upstream_busy")
    assert reply.headers["retry-after"] == str(seconds)
    assert row[:7] == ("voided", "", "upstream_busy", 0, 0, 0, 0)
    assert row.attempts[0]["status"] == how.status


@pytest.mark.parametrize("status", [302, 400, 401, 403, 404, 418, 500, 502])
def test_a_provider_error_is_a_502_that_costs_nothing(
    status: int, patient: Served, shop: Shop, upstream: FakeUpstream
) -> None:
    reply, row = one_call(patient, shop, upstream, Behaviour(status=status))
    assert_problem(reply, 502, "upstream_failed")
    assert b"Incorrect API key" not in reply.body  # what the provider tells the founder is not for the customer
    assert row[:7] == ("voided", "", "upstream_failed", 0, 0, 0, 0)
    assert row.attempts[0]["status"] == status


@pytest.mark.parametrize("fault", ["reset", "close", "reset_mid_body", "close_mid_body", "bad_json", "not_object"])
def test_an_answer_that_is_cut_or_unreadable_is_a_502_that_costs_nothing(
    fault: Fault, patient: Served, shop: Shop, upstream: FakeUpstream
) -> None:
    reply, row = one_call(patient, shop, upstream, Behaviour(fault=fault))
    assert_problem(reply, 502, "upstream_failed")
    assert row[:7] == ("voided", "", "upstream_failed", 0, 0, 0, 0)


def test_an_answer_without_choices_is_a_502_and_the_founders_cost_is_as_reported(
    patient: Served, shop: Shop, upstream: FakeUpstream
) -> None:
    reply, row = one_call(patient, shop, upstream, Behaviour(fault="no_choices"))
    assert reply.status == 502
    assert (row.charge_nanodollars, row.cost_nanodollars) == (0, HONEST_COST)


@pytest.mark.parametrize("fault", ["hang", "hang_mid_body", "drip"])
def test_a_provider_that_hangs_is_a_503_at_the_deadline(
    fault: Fault, impatient: Served, shop: Shop, upstream: FakeUpstream
) -> None:
    reply, row = one_call(impatient, shop, upstream, Behaviour(fault=fault))
    assert_problem(reply, 503, "upstream_timeout")
    assert int(reply.headers["retry-after"]) >= 1
    assert row[:7] == ("voided", "", "upstream_timeout", 0, 0, 0, 0)
    assert float(CALL_SECONDS_MAX) * 900 < row.attempts[0]["ms"]


@pytest.mark.parametrize("fault", ["empty_choices", "no_message", "null_content", "empty_content"])
def test_an_answer_without_a_message_is_free_and_its_cost_is_kept(
    fault: Fault, patient: Served, shop: Shop, upstream: FakeUpstream
) -> None:
    reply, row = one_call(patient, shop, upstream, Behaviour(fault=fault))
    assert_problem(reply, 502, "upstream_no_message")
    assert reply.headers["x-should-retry"] == "false"
    assert row[:3] == ("posted", "no_message", "upstream_no_message")
    assert (row.input_tokens, row.output_tokens) == (HONEST.input_tokens, HONEST.output_tokens)
    assert (row.charge_nanodollars, row.cost_nanodollars) == (0, HONEST_COST)


NO_USAGE = [
    Behaviour(fault="no_usage"),
    Behaviour(fault="null_usage"),
    *(
        Behaviour(usage={name: value})
        for name in ("prompt_tokens", "completion_tokens")
        for value in (None, -5, 1.5, 2**60, 10**40, "12", True, [3])
    ),
]


@pytest.mark.parametrize("how", NO_USAGE, ids=shown)
def test_an_answer_with_no_usage_or_an_absurd_one_is_charged_by_a_marked_estimate(
    how: Behaviour, patient: Served, shop: Shop, upstream: FakeUpstream
) -> None:
    reply, row = one_call(patient, shop, upstream, how)
    assert reply.status == 200
    read, written = -(-len(PROMPT) // 4), -(-len(HONEST.text) // 4)  # four bytes a token
    assert row[:5] == ("posted", "estimated", "", read, written)
    assert (reply.json()["input_tokens"], reply.json()["output_tokens"]) == (read, written)
    assert row.cost_nanodollars == read * 150 + written * 600
    assert row.charge_nanodollars == round(row.cost_nanodollars * MARKUP)


def test_usage_above_the_hold_is_charged_up_to_the_hold_and_sounds_an_alarm(
    patient: Served, shop: Shop, upstream: FakeUpstream
) -> None:
    reply, row = one_call(patient, shop, upstream, Behaviour(usage={"completion_tokens": 9_000}))
    assert reply.status == 200
    assert row[:3] == ("posted", "over_hold", "")
    assert (row.output_tokens, reply.json()["output_tokens"]) == (9_000, 9_000)
    assert row.cost_nanodollars == HONEST.input_tokens * 150 + 9_000 * 600
    assert row.charge_nanodollars == row.held_nanodollars < row.cost_nanodollars
    assert "used more than its hold" in patient.output()


def test_cached_tokens_are_never_more_than_those_read(patient: Served, shop: Shop, upstream: FakeUpstream) -> None:
    reply, row = one_call(patient, shop, upstream, Behaviour(usage={"cached_tokens": 10**6}))
    assert reply.status == 200
    assert row.cost_nanodollars == HONEST_COST  # this model's price has no discount


@pytest.mark.parametrize("fault", ["gzip", "wrong_content_type", "huge_body"])
def test_a_sound_answer_in_odd_clothes_is_delivered(
    fault: Fault, patient: Served, shop: Shop, upstream: FakeUpstream
) -> None:
    reply, row = one_call(patient, shop, upstream, Behaviour(fault=fault))
    assert reply.status == 200
    assert len(reply.json()["text"]) == (5 * 2**20 if fault == "huge_body" else len(HONEST.text))
    assert row[:5] == ("posted", "", "", HONEST.input_tokens, HONEST.output_tokens)
    assert row.charge_nanodollars == round(HONEST_COST * MARKUP)


def test_a_provider_that_refuses_the_connection_is_a_502(shop: Shop) -> None:
    key = shop.new_key("credit")
    with shop.served(workers=1, OPENAI_BASE_URL=f"http://127.0.0.1:{free_port()}/v1") as served:
        assert_problem(send(ask(served, key, PROMPT)), 502, "upstream_failed")
        assert "Traceback" not in served.output()
    [row] = rows_of(shop, key)
    assert row[:7] == ("voided", "", "upstream_failed", 0, 0, 0, 0)
    assert [attempt["error"] for attempt in row.attempts] == ["upstream_failed"]


@pytest.fixture
def elsewhere(upstream: FakeUpstream) -> Iterator[str]:
    """A provider that sends every caller on to another one."""

    class Redirect(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            self.send_response(307)
            self.send_header("location", f"{upstream.base_url}/chat/completions")
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - http.server's name
            """Nothing."""

    server = HTTPServer(("127.0.0.1", 0), Redirect)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/v1"
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_redirect_is_not_followed_so_the_providers_key_stays_where_it_belongs(
    elsewhere: str, shop: Shop, upstream: FakeUpstream
) -> None:
    key = shop.new_key("credit")
    with shop.served(workers=1, OPENAI_BASE_URL=elsewhere) as served:
        assert_problem(send(ask(served, key, PROMPT)), 502, "upstream_failed")
    assert upstream.count() == 0
    [row] = rows_of(shop, key)
    assert row.state == "voided"


def test_the_provider_sees_its_key_and_never_the_customers(patient: Served, shop: Shop, upstream: FakeUpstream) -> None:
    key = shop.new_key("credit")
    assert send(ask(patient, key)).status == 200
    [call] = upstream.calls()
    assert call.authorization == f"Bearer {PROVIDER_KEY}"
    assert key not in json.dumps([dict(call.headers), call.body])


def test_failed_calls_are_sent_again_as_often_as_the_setting_says(shop: Shop, upstream: FakeUpstream) -> None:
    """All of them at once, since each waits between its attempts."""
    cases: list[
        tuple[Behaviour, int, list[int | None]]
    ] = [  # what the provider does to each attempt → the answer, and what the attempts came to
        (Behaviour(status=500), 502, [500, 500, 500]),
        (Behaviour(status=503, retry_after=1), 503, [503, 503, 503]),
        (Behaviour(status=529, retry_after=1), 503, [529, 529, 529]),
        (Behaviour(status=522), 502, [522, 522, 522]),
        (Behaviour(status=429, retry_after=60), 503, [429]),  # past the deadline: not even tried
        (Behaviour(status=400), 502, [400]),  # will not go away by itself
        (Behaviour(fault="close"), 502, [None, None, None]),
        (Behaviour(fault="bad_json"), 502, [200]),
        (Behaviour(fault="null_content"), 502, [200]),  # the provider would charge again
    ]
    upstream.program_next(Behaviour(status=500), Behaviour(fault="reset"))  # for the prompt without a marker
    keys = shop.new_keys("credit", len(cases) + 1)
    often = {"FAREBOX_UPSTREAM_RETRIES_MAX": "2", "FAREBOX_BREAKER_FAILURES": "0", "FAREBOX_CALL_SECONDS_MAX": "20"}
    with shop.served(workers=1, **often) as served:
        prompts = [f"{PROMPT} {how.marker()}" for how, _, _ in cases] + [PROMPT]
        replies = fire_all([ask(served, key, prompt) for key, prompt in zip(keys, prompts, strict=True)])
    cases.append((Behaviour(), 200, [500, None, 200]))
    for key, reply, (_, status, attempts) in zip(keys, replies, cases, strict=True):
        [row] = rows_of(shop, key)
        assert reply.status == status
        assert [attempt.get("status") for attempt in row.attempts] == attempts
    assert upstream.count() == sum(len(attempts) for _, _, attempts in cases)
