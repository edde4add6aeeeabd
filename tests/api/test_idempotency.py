"""P3: what comes again under one Idempotency-Key is done once and charged once, whenever a process dies."""

import random
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.api.conftest import empty_database
from tests.api.shop import Shop, assert_problem, generate, get, send
from tests.services.load import Reply, Request, fire_all
from tests.services.process import wait_until
from tests.services.served import Served
from tests.services.upstream import Behaviour, FakeUpstream, expected_answer

PROMPT = "Say it once"
CHAT = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": PROMPT}]}


def once(served: Served, key: str, name: str, prompt: str = PROMPT, **more: object) -> Request:
    return generate(served.url, key, {"prompt": prompt, **more}, {"idempotency-key": name})


def new_name() -> str:
    return str(uuid.uuid4())


def is_replayed(reply: Reply) -> bool:
    return reply.headers.get("idempotent-replayed") == "true"


def test_one_key_50_times_at_once_is_one_call(shop: Shop, served: Served, upstream: FakeUpstream) -> None:
    upstream.program(Behaviour(latency_seconds=0.3))
    key, name = shop.new_key("hundred"), new_name()
    replies = fire_all([once(served, key, name) for _ in range(50)])
    assert {reply.status for reply in replies} <= {200, 409}
    answered = [reply for reply in replies if reply.status == 200]
    assert len({reply.body for reply in answered}) == 1
    assert sum(not is_replayed(reply) for reply in answered) == 1
    for reply in replies:
        if reply.status == 409:
            assert_problem(reply, 409, "idempotency_in_flight")
            assert int(reply.headers["retry-after"]) >= 1
    assert upstream.count() == 1
    assert shop.records("state, calls", key) == [("posted", 1)]
    shop.assert_sums()


def test_the_answer_comes_again_as_it_was(shop: Shop, served: Served, upstream: FakeUpstream) -> None:
    key, name = shop.new_key("hundred"), new_name()
    first, second = send(once(served, key, name)), send(once(served, key, f'"{name}"'))
    assert (first.status, second.status) == (200, 200)
    assert second.body == first.body
    assert second.headers["content-type"] == first.headers["content-type"]
    assert not is_replayed(first)
    assert is_replayed(second)
    assert second.headers["x-request-id"] == first.headers["x-request-id"]
    assert first.json()["calls_used"] == 1
    assert upstream.count() == 1
    assert shop.meter(key)["posted_calls"] == 1


def test_a_call_after_the_limit_is_reached_still_gets_its_answer_again(shop: Shop, served: Served) -> None:
    key, name = shop.new_key("one"), new_name()
    first = send(once(served, key, name))
    assert_problem(send(once(served, key, new_name())), 429, "insufficient_quota")
    assert send(once(served, key, name)).body == first.body


def test_another_body_under_the_same_key_is_refused(shop: Shop, served: Served, upstream: FakeUpstream) -> None:
    key, name = shop.new_key("hundred"), new_name()
    send(once(served, key, name))
    assert_problem(send(once(served, key, name, "Say something else")), 422, "idempotency_mismatch")
    chat = Request(f"{served.url}/v1/chat/completions", CHAT, {"x-api-key": key, "idempotency-key": name})
    assert_problem(send(chat), 422, "idempotency_mismatch")
    assert upstream.count() == 1


def test_a_key_belongs_to_one_account(shop: Shop, served: Served, upstream: FakeUpstream) -> None:
    name = new_name()
    one, other = shop.new_keys("hundred", 2)
    ids = {send(once(served, key, name)).headers["x-request-id"] for key in (one, other)}
    assert len(ids) == 2
    assert upstream.count() == 2


def test_a_call_that_failed_frees_its_key(shop: Shop, served: Served, upstream: FakeUpstream) -> None:
    key, name = shop.new_key("hundred"), new_name()
    upstream.program_next(Behaviour(status=500))
    assert send(once(served, key, name)).status == 502
    reply = send(once(served, key, name))
    assert reply.status == 200
    assert not is_replayed(reply)
    assert send(once(served, key, name)).body == reply.body
    assert upstream.count() == 2
    assert [state for (state,) in shop.records("state", key)] == ["voided", "posted"]


def test_a_refused_call_keeps_nothing(shop: Shop, served: Served) -> None:
    key = shop.new_key("one")
    send(once(served, key, new_name()))
    name = new_name()
    assert_problem(send(once(served, key, name)), 429, "insufficient_quota")
    account = shop.account_of(key)
    assert shop.scalar("SELECT count(*) FROM idempotency WHERE account_id = %s", account) == 1


def test_the_openai_wire_replays_its_bytes(shop: Shop, served: Served, upstream: FakeUpstream) -> None:
    key, name = shop.new_key("hundred"), new_name()
    request = Request(f"{served.url}/v1/chat/completions", CHAT, {"x-api-key": key, "idempotency-key": name})
    first, second = send(request), send(request)
    assert first.json()["choices"][0]["message"]["content"] == expected_answer(CHAT).text
    assert second.body == first.body
    assert is_replayed(second)
    assert upstream.count() == 1


def test_a_stream_is_not_streamed_twice(shop: Shop, served: Served, upstream: FakeUpstream) -> None:
    key, name = shop.new_key("hundred"), new_name()
    first = send(once(served, key, name, stream=True))
    assert b"event: done" in first.body
    problem = assert_problem(send(once(served, key, name, stream=True)), 409, "idempotency_streamed")
    assert first.headers["x-request-id"] in problem["detail"]
    assert upstream.count() == 1


def test_a_stream_that_said_nothing_frees_its_key(shop: Shop, served: Served, upstream: FakeUpstream) -> None:
    key, name = shop.new_key("hundred"), new_name()
    upstream.program_next(Behaviour(fault="empty_content"))
    assert_problem(send(once(served, key, name, stream=True)), 502, "upstream_no_message")
    assert b"event: done" in send(once(served, key, name, stream=True)).body
    assert_problem(send(once(served, key, name, stream=True)), 409, "idempotency_streamed")
    assert upstream.count() == 2
    assert shop.records("state, calls, error", key) == [("posted", 0, "upstream_no_message"), ("posted", 1, "")]


@pytest.mark.parametrize("name", ["", " ", "x" * 256, "caf\xe9", "tab\there"])
def test_a_key_that_cannot_be_one_is_refused(shop: Shop, served: Served, name: str, upstream: FakeUpstream) -> None:
    assert_problem(send(once(served, shop.new_key("hundred"), name)), 422, "invalid_request_error")
    assert upstream.count() == 0


def test_a_revoked_key_gets_no_answer_again(shop: Shop, served: Served) -> None:
    key, name = shop.new_key("hundred"), new_name()
    send(once(served, key, name))
    shop.farebox("keys", "revoke", key)
    assert_problem(send(once(served, key, name)), 401, "invalid_api_key")


def test_answers_are_forgotten_when_their_time_is_over(shop: Shop, served: Served, upstream: FakeUpstream) -> None:
    key, name = shop.new_key("hundred"), new_name()
    send(once(served, key, name))
    account = shop.account_of(key)
    [(expires_us, admitted_us)] = shop.query(
        "SELECT i.expires_us, u.admitted_us FROM idempotency i JOIN usage_record u ON u.call_id = i.call_id"
        " WHERE i.account_id = %s", account,
    )  # fmt: skip
    assert expires_us - admitted_us >= 24 * 3600 * 10**6
    shop.query("UPDATE idempotency SET expires_us = 1 WHERE account_id = %s", account)
    wait_until(
        lambda: shop.scalar("SELECT count(*) FROM idempotency WHERE account_id = %s", account) == 0,
        "the sweep to forget the answer",
    )
    assert not is_replayed(send(once(served, key, name)))
    assert upstream.count() == 2


def test_the_receipt_of_a_replayed_call_is_the_first_ones(shop: Shop, served: Served) -> None:
    key, name = shop.new_key("hundred"), new_name()
    send(once(served, key, name))
    again = send(once(served, key, name))
    receipt = get(f"{served.url}/v1/usage/calls/{again.headers['x-request-id']}", key)
    assert receipt.json()["state"] == "posted"


@pytest.fixture
def own_shop(
    database_kind: str, request: pytest.FixtureRequest, tmp_path: Path, upstream: FakeUpstream
) -> Iterator[Shop]:
    with empty_database(database_kind, tmp_path, request) as url:
        yield Shop(tmp_path, url, upstream)


def test_a_retry_after_kill_9_is_not_charged_twice(own_shop: Shop, upstream: FakeUpstream, seed: int) -> None:
    """Killed at random moments of a call with an Idempotency-Key, and sent again until it is answered."""
    chance = random.Random(seed)
    shop = own_shop
    upstream.program(Behaviour(latency_seconds=0.02, latency_seconds_max=0.08))
    rounds: list[tuple[str, list[str], dict[str, bytes]]] = []
    with shop.served(workers=1, FAREBOX_SWEEP_SECONDS="0.2") as served:
        for _ in range(3):
            key = shop.new_key("hundred")
            names = [new_name() for _ in range(8)]
            seen = _fire_and_kill(served, key, names, chance.uniform(0.0, 0.12))
            shop.query("UPDATE hold SET expires_us = admitted_us")  # as its time to live does: whoever held it is dead
            served.start()
            for name in names:
                reply = _until_answered(served, key, name)
                assert seen.setdefault(name, reply.body) == reply.body
            rounds.append((key, names, seen))
        for key, names, _ in rounds:
            posted = [state for (state,) in shop.records("state", key)].count("posted")
            assert posted == len(names)
            assert shop.meter(key)["posted_calls"] == len(names)
        wait_until(lambda: shop.held() == 0, "all holds to be gone")
    shop.assert_sums()


def _fire_and_kill(served: Served, key: str, names: list[str], after_seconds: float) -> dict[str, bytes]:
    """The answers that came whole before the process was killed."""
    killer = threading.Timer(after_seconds, served.kill)
    killer.start()
    replies = fire_all([once(served, key, name) for name in names], timeout_seconds=60)
    killer.join()
    return {name: reply.body for name, reply in zip(names, replies, strict=True) if reply.ok}


def _until_answered(served: Served, key: str, name: str) -> Reply:
    found: list[Reply] = []

    def answered() -> bool:
        found.append(send(once(served, key, name)))
        assert found[-1].status in {200, 409}, found[-1].body
        return found[-1].status == 200

    wait_until(answered, f"an answer to {name}")
    return found[-1]
