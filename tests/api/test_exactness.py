"""Promise P1: never over a limit, not by one, on four processes under a thousand callers."""

import random
from typing import Any

import pytest

from tests.api.meter_log import logged, meter_log
from tests.api.shop import Shop, ask, assert_problem, get, send
from tests.services.load import Reply, Request, fire_all, statuses
from tests.services.served import Served
from tests.services.upstream import Behaviour, FakeUpstream

rounds = pytest.mark.parametrize("turn", range(5))

CREDIT_NANODOLLARS = 20_000_000  # credit_usd of the plan 'credit'
TOKENS = 20_000  # of the plan 'tokens'


def refusals(replies: list[Reply]) -> list[Reply]:
    return [reply for reply in replies if reply.status == 429]


def shuffled_latency(upstream: FakeUpstream, seed: int) -> random.Random:
    upstream.reset(seed=seed)
    upstream.program(Behaviour(latency_seconds=0, latency_seconds_max=0.3))
    return random.Random(seed)


@rounds
def test_of_a_thousand_callers_exactly_a_hundred_pass(
    turn: int, shop: Shop, served: Served, upstream: FakeUpstream, seed: int
) -> None:
    dice = shuffled_latency(upstream, seed + turn)
    key = shop.new_key("hundred")
    replies = fire_all([ask(served, key, "Say " + "hello " * dice.randint(1, 20)) for _ in range(1000)])
    assert statuses(replies) == {200: 100, 429: 900}
    for reply in refusals(replies):
        assert reply.json()["error"]["code"] == "insufficient_quota"
        assert int(reply.headers["retry-after"]) > 0
        assert reply.headers["x-should-retry"] == "false"
    assert upstream.count() == 100
    assert shop.records("state", key) == [("posted",)] * 100
    assert max(reply.json()["calls_used"] for reply in replies if reply.ok) == 100
    assert shop.meter(key)["posted_calls"] == 100
    assert shop.held() == 0


@rounds
def test_of_a_thousand_callers_exactly_one_passes(
    turn: int, shop: Shop, served: Served, upstream: FakeUpstream, seed: int
) -> None:
    shuffled_latency(upstream, seed + turn)
    key = shop.new_key("one")
    replies = fire_all([ask(served, key)] * 1000)
    assert statuses(replies) == {200: 1, 429: 999}
    assert upstream.count() == 1
    assert shop.records("state", key) == [("posted",)]


def test_fifty_first_calls_of_a_new_account_share_one_meter(
    shop: Shop, served: Served, upstream: FakeUpstream, seed: int
) -> None:
    shuffled_latency(upstream, seed)
    key = shop.new_key("hundred")
    replies = fire_all([ask(served, key)] * 50)
    assert statuses(replies) == {200: 50}
    assert shop.meter(key)["posted_calls"] == 50  # and `meter` finds no second one


def random_calls(served: Served, key: str, dice: random.Random, count: int) -> list[Request]:
    calls = []
    for _ in range(count):
        prompt = "dog " * dice.randint(1, 500)
        limit = dice.choice([None, dice.randint(1, 60), dice.randint(1, 5_000)])
        calls.append(ask(served, key, prompt, **({} if limit is None else {"max_tokens": limit})))
    return calls


def logged_at_every_commit(shop: Shop, key: str) -> list[dict[str, Any]]:
    """The states of a key's meter: as many as there were batches, each of which stamps its rows with one time."""
    log = logged(shop, key)
    batches = {at_us for row in shop.records("admitted_us, recorded_us", key) for at_us in row}
    assert len(log) >= len(batches) > 1
    return log


@rounds
def test_a_money_limit_holds_at_every_commit(
    turn: int, shop: Shop, served: Served, upstream: FakeUpstream, seed: int
) -> None:
    dice = shuffled_latency(upstream, seed + turn)
    key = shop.new_key("credit")
    with meter_log(shop):
        replies = fire_all(random_calls(served, key, dice, 500))
        log = logged_at_every_commit(shop, key)
    assert statuses(replies).keys() == {200, 429}, statuses(replies)
    most = max(state["posted_nanodollars"] + state["held_nanodollars"] for state in log)
    assert CREDIT_NANODOLLARS * 0.9 < most <= CREDIT_NANODOLLARS  # it was reached, and not passed
    assert min(min(figure for name, figure in state.items() if name != "account_id") for state in log) >= 0
    charges = [charge for (charge,) in shop.records("charge_nanodollars", key)]
    meter = shop.meter(key)
    # To the nanodollar: what the holds had beyond the charges has been given back.
    assert meter["posted_nanodollars"] == sum(charges) == log[-1]["posted_nanodollars"]
    assert meter["held_nanodollars"] == meter["held_tokens"] == meter["held_calls"] == 0
    assert len(charges) == upstream.count() == len(replies) - len(refusals(replies))
    for reply in refusals(replies):
        assert reply.json()["error"]["code"] == "insufficient_quota"


def test_a_tokens_limit_holds_at_every_commit(shop: Shop, served: Served, upstream: FakeUpstream, seed: int) -> None:
    dice = shuffled_latency(upstream, seed)
    key = shop.new_key("tokens")
    with meter_log(shop):
        replies = fire_all(random_calls(served, key, dice, 500))
        log = logged_at_every_commit(shop, key)
    assert statuses(replies).keys() == {200, 429}, statuses(replies)
    most = max(state["posted_tokens"] + state["held_tokens"] for state in log)
    assert TOKENS * 0.8 < most <= TOKENS
    used = sum(reply.json()["tokens"] for reply in replies if reply.ok)
    meter = shop.meter(key)
    assert meter["posted_tokens"] == used == sum(tokens for (tokens,) in shop.records("tokens", key))
    assert meter["held_tokens"] == 0


@pytest.mark.parametrize("turn", range(2))
def test_of_three_hundred_callers_exactly_fifty_pass_a_keys_own_cap(
    turn: int, shop: Shop, served: Served, upstream: FakeUpstream, seed: int
) -> None:
    shuffled_latency(upstream, seed + turn)
    key = shop.new_key("open", cap_calls=50)
    replies = fire_all([ask(served, key)] * 300)
    assert statuses(replies) == {200: 50, 429: 250}
    for reply in refusals(replies):
        body = reply.json()
        assert (body["error"]["code"], body["violated-policies"]) == ("insufficient_quota", ["key"])
        assert "This API key's limit of 50 calls a month is used up." in body["detail"]
        assert reply.headers["x-should-retry"] == "false"
        assert reply.headers["ratelimit-policy"] == '"key";q=50'
    assert upstream.count() == 50
    assert {reply.headers["ratelimit"].partition(";t=")[0] for reply in refusals(replies)} <= {'"key";r=0'}
    assert shop.meter(key, of_key=True) == shop.meter(key)
    assert shop.meter(key, of_key=True)["posted_calls"] == 50
    usage = get(f"{served.url}/v1/usage", key).json()
    names = ("key_calls_limit", "key_calls_used", "key_calls_held", "key_calls_remaining", "calls_limit", "calls_used")
    assert [usage[name] for name in names] == [50, 50, 0, 0, None, 50]


def test_a_spend_cap_of_the_customers_own_holds_at_every_commit(
    shop: Shop, served: Served, upstream: FakeUpstream, seed: int
) -> None:
    dice = shuffled_latency(upstream, seed)
    key = shop.new_key("credit")
    spend_cap = CREDIT_NANODOLLARS // 4
    shop.query("UPDATE account SET spend_cap_nanodollars = %s WHERE id = %s", spend_cap, shop.account_of(key))
    with meter_log(shop):
        replies = fire_all(random_calls(served, key, dice, 300))
        log = logged_at_every_commit(shop, key)
    assert statuses(replies).keys() == {200, 429}, statuses(replies)
    most = max(state["posted_nanodollars"] + state["held_nanodollars"] for state in log)
    assert spend_cap * 0.7 < most <= spend_cap
    for reply in refusals(replies):
        assert reply.json()["violated-policies"] == ["spend-cap"]
        assert "An owner can change the cap at /plan." in reply.json()["detail"]


def test_a_key_for_some_endpoints_is_refused_by_the_others_before_anything_is_spent(
    shop: Shop, served: Served, upstream: FakeUpstream
) -> None:
    upstream.reset()
    key = shop.new_key("one", scopes="/v1/embeddings,/v1/responses")
    reply = send(ask(served, key))
    body = assert_problem(reply, 403, "insufficient_permissions")
    assert "may not call /v1/generate, only /v1/embeddings, /v1/responses." in body["detail"]
    assert upstream.count() == 0
    assert shop.records("state", key) == []
    assert get(f"{served.url}/v1/usage", key).json()["calls_remaining"] == 1
    asked = {"model": "text-embedding-3-small", "input": "hello"}
    assert send(Request(f"{served.url}/v1/embeddings", asked, {"x-api-key": key})).status == 200


def test_the_sums_are_right_after_all_of_it(shop: Shop, served: Served) -> None:
    assert served.running
    shop.assert_sums()
    assert "every sum is right" in shop.farebox("reconcile")
