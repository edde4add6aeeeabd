"""Credit on four processes under hundreds of callers: no more is spent than was bought, the soonest to end first."""

import json
import random
import time
from contextlib import closing
from typing import Final

from farebox.domain.wallet import Grant, parts_of
from farebox.store.database import Database
from farebox.store.money.wallet import StoredCredit
from tests.api.shop import Shop, ask, assert_problem, get, send
from tests.services.load import fire_all, statuses
from tests.services.served import Served
from tests.services.upstream import Behaviour, FakeUpstream

CENT: Final = 10_000_000  # what a call of the plan 'prepaid' costs
# In the order in which they are bought; the days after which they end give another one.
BOUGHT: Final = (("late", 220_000_000, 300), ("soon", 75_000_000, 3), ("later", 205_000_000, 30))


def grants(shop: Shop, key: str) -> list[Grant]:
    """The credit of a key's account, what ends first first; nothing of it is below zero."""
    with closing(Database(shop.database_url)) as database:
        found = [granted.grant for granted in StoredCredit(database).purse(shop.account_of(key)).grants]
    for grant in found:
        assert min(grant[2:6]) >= 0
        assert grant.left_nanodollars >= 0
    return found


def left(served: Served, key: str) -> int:
    """What credit a customer is told of."""
    return int(get(f"{served.url}/v1/usage", key).json()["prepaid_remaining_nanodollars"])


def slow(upstream: FakeUpstream, seed: int) -> random.Random:
    upstream.reset(seed=seed)
    upstream.program(Behaviour(latency_seconds=0, latency_seconds_max=0.3))
    return random.Random(seed)


def test_of_two_hundred_callers_exactly_the_fifty_pass_that_credit_pays_for(
    shop: Shop, served: Served, upstream: FakeUpstream, seed: int
) -> None:
    slow(upstream, seed)
    key = shop.new_key("prepaid")
    shop.buy(key, *BOUGHT)
    replies = fire_all([ask(served, key)] * 200)
    assert statuses(replies) == {200: 50, 402: 150}
    assert upstream.count() == 50
    for reply in replies:
        if reply.status != 200:
            body = assert_problem(reply, 402, "payment_required")
            assert "can come to $0.01 beyond what plan" in body["detail"]
            assert "of credit. Nothing can be bought online here yet. Write to" in body["detail"], "it has no Stripe"
            assert body["page"].endswith(f"/plan?account={shop.account_of(key)}")
            assert reply.headers["x-prepaid-remaining-nanodollars"] == "0"
    found = grants(shop, key)
    assert [grant.amount_nanodollars for grant in found] == [75_000_000, 205_000_000, 220_000_000]
    assert [grant.left_nanodollars for grant in found] == [0, 0, 0]
    # Each call took of the grant that ended first, and of the next one where that was not enough. Those that were
    # admitted together have one moment.
    order = [grant.id for grant in found]
    ranks: dict[int, list[int]] = {}
    for admitted_us, credit in shop.records("admitted_us, spent_credit", key):
        ranks.setdefault(admitted_us, []).extend(order.index(grant_id) for grant_id, _ in parts_of(credit))
    at_once = [sorted(ranks[admitted_us]) for admitted_us in sorted(ranks)]
    assert [rank for some in at_once for rank in some] == sorted(rank for some in at_once for rank in some)
    assert shop.records("charge_nanodollars, prepaid_nanodollars, invoiced_nanodollars", key) == [(CENT, CENT, 0)] * 50
    assert get(f"{served.url}/v1/usage", key).json()["prepaid_remaining_nanodollars"] == 0
    assert shop.query("SELECT count(*) FROM usage_outbox WHERE account_id = %s", shop.account_of(key)) == [(0,)]


def test_what_calls_hold_and_give_back_comes_to_what_was_bought(
    shop: Shop, served: Served, upstream: FakeUpstream, seed: int
) -> None:
    """Calls that are held for more than they come to, some of which fail."""
    dice = slow(upstream, seed)
    odd = (Behaviour(status=400), Behaviour(fault="empty_content"), *[Behaviour(latency_seconds=0.1)] * 4)
    upstream.program_next(*dice.choices(odd, k=150))
    key = shop.new_key("words")
    shop.buy(key, *BOUGHT)
    replies = []
    for _ in range(3):
        prompts = ["dog " * dice.randint(1, 300) for _ in range(100)]
        replies += fire_all([ask(served, key, prompt, max_tokens=dice.randint(1, 400)) for prompt in prompts])
        assert sum(grant.held_nanodollars for grant in grants(shop, key)) == 0
    assert {200, 402, 502} <= statuses(replies).keys() <= {200, 400, 402, 502}, statuses(replies)
    rows = shop.records("charge_nanodollars, prepaid_nanodollars, tokens, state", key)
    assert all(charge == prepaid == tokens * 10_000 for charge, prepaid, tokens, _ in rows)
    spent = sum(prepaid for _, prepaid, _, _ in rows)
    found = grants(shop, key)
    assert spent == sum(grant.spent_nanodollars for grant in found)
    assert spent > found[0].amount_nanodollars
    left = sum(grant.left_nanodollars for grant in found)
    assert get(f"{served.url}/v1/usage", key).json()["prepaid_remaining_nanodollars"] == left


def test_what_was_bought_is_what_was_spent_is_left_has_expired_and_was_taken_back(
    shop: Shop, served: Served, upstream: FakeUpstream, seed: int
) -> None:
    """Each figure from a place of its own: the rows of calls, what the customer is told, and what was refunded."""
    slow(upstream, seed)
    key, refunded = shop.new_key("words"), 20_000_000
    account_id = shop.account_of(key)
    shop.buy(key, *BOUGHT)
    asked = [ask(served, key, "dog " * 300, max_tokens=400)] * 20
    assert statuses(fire_all(asked)) == {200: 20}
    with closing(Database(shop.database_url)) as database:
        assert StoredCredit(database).take_back(f"pi_late_{account_id}", refunded) == 0
    before = left(served, key)
    ends = "UPDATE credit_grant SET expires_us = %s WHERE account_id = %s AND pack = %s"
    shop.query(ends, time.time_ns() // 1000 - 1, account_id, "later")
    expired = before - left(served, key)
    assert statuses(fire_all(asked[:5])) == {200: 5}
    spent = sum(prepaid for (prepaid,) in shop.records("prepaid_nanodollars", key))
    told = shop.query("SELECT data FROM audit WHERE account_id = %s AND what = 'credit_taken_back'", account_id)
    assert [json.loads(data)["nanodollars"] for (data,) in told] == [str(refunded)]
    assert sum(nanodollars for _, nanodollars, _ in BOUGHT) == spent + left(served, key) + expired + refunded
    assert min(spent, left(served, key), expired) > 0


def test_a_call_says_who_pays_for_it(shop: Shop, served: Served, upstream: FakeUpstream) -> None:
    upstream.reset()
    key, test = shop.new_key("prepaid"), shop.new_key("prepaid", "test")
    shop.buy(key, ("small", 2 * CENT, 30))
    reply = send(ask(served, key))
    assert reply.headers["x-prepaid-remaining-nanodollars"] == str(CENT)
    call = get(f"{served.url}/v1/usage/calls/{reply.headers['x-request-id']}", key).json()
    names = ("charge_nanodollars", "prepaid_nanodollars", "invoiced_nanodollars")
    assert [call[name] for name in names] == [CENT, CENT, 0]
    unpaid = send(ask(served, test))
    assert unpaid.status == 200
    assert "x-prepaid-remaining-nanodollars" not in unpaid.headers
    assert get(f"{served.url}/v1/usage", test).json()["prepaid_remaining_nanodollars"] is None


def test_beyond_its_plan_a_subscriber_is_invoiced_call_by_call(
    shop: Shop, served: Served, upstream: FakeUpstream, seed: int
) -> None:
    slow(upstream, seed)
    key = shop.new_key("over")
    account_id = shop.account_of(key)
    shop.subscribe(key)
    shop.buy(key, ("small", 10 * CENT, 30))
    assert statuses(fire_all([ask(served, key)] * 60)) == {200: 60}
    sums = shop.query(
        "SELECT sum(charge_nanodollars), sum(prepaid_nanodollars), sum(invoiced_nanodollars) FROM usage_record"
        " WHERE account_id = %s",
        account_id,
    )
    assert [int(figure) for figure in sums[0]] == [50 * CENT, 10 * CENT, 40 * CENT]
    waiting = shop.query("SELECT customer, nanodollars FROM usage_outbox WHERE account_id = %s", account_id)
    customer = shop.scalar("SELECT customer_id FROM account WHERE id = %s", account_id)
    assert waiting == [(customer, CENT)] * 40


def test_the_sums_are_right_after_all_of_it(shop: Shop, served: Served) -> None:
    assert served.running
    shop.assert_sums()
    assert "every sum is right" in shop.farebox("reconcile")
