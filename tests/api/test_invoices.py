"""The invoice equals the ledger: what was used is on it once, opens onto its calls, and was told beforehand."""

import csv
import io
import re
import secrets
from collections.abc import Callable, Iterator, Sequence
from html import unescape
from pathlib import Path
from typing import Final

import pytest

from farebox.domain.billing import lines_from_json
from farebox.domain.money import cents_of, format_usd
from tests.api.billed import APP, EACH, INCLUDED, Billed, Subscriber, billed
from tests.api.conftest import empty_database
from tests.api.shop import generate
from tests.services.load import Reply, fire_all
from tests.services.process import wait_until
from tests.services.upstream import FakeUpstream

BASE_CENTS: Final = 2900
OFTEN: Final = 10**6
CALLS_MAX: Final = 10_000
BLOCKED_SECONDS: Final = 10  # no measure: only a call that waits for Stripe takes as long
FAULTS: Final[tuple[dict[str, object], ...]] = (
    {"kind": "refuse"},
    {"kind": "status", "status": 429},
    {"kind": "status", "status": 500},
    {"kind": "die"},  # it was counted, and its answer is lost
    {"kind": "slow", "seconds": 3},
)


@pytest.fixture(scope="module")
def place(
    database_kind: str, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory,
    upstream_process: FakeUpstream,
) -> Iterator[Billed]:  # fmt: skip
    folder = tmp_path_factory.mktemp("billed")
    with empty_database(database_kind, folder, request) as url, billed(folder, url, upstream_process) as found:
        yield found


def words(html: str) -> str:
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]+>", " ", html)))


def invoices(place: Billed, who: Subscriber, status: str) -> list[tuple[str, str]]:
    """The ids and lines of an account's invoices, as they are kept."""
    sql = "SELECT id, lines FROM invoice WHERE account_id = %s AND status = %s ORDER BY created_us, id"
    return place.shop.query(sql, who.customer.account.id, status)


def usage_of(place: Billed, who: Subscriber, status: str) -> list[int]:
    """What the usage lines of those invoices say, of the ones that have any."""
    found = [line for _, text in invoices(place, who, status) for line in lines_from_json(text) if line.is_usage]
    return [line.quantity for line in found]


def record_late(place: Billed, who: Subscriber, nanodollars: int) -> None:
    """A call that was admitted in the period, and whose record comes after its end."""
    account_id = who.customer.account.id
    place.shop.query(
        "INSERT INTO usage_outbox (account_id, call_id, customer, period_start_us, admitted_us, nanodollars)"
        " SELECT account_id, substr(call_id, 1, 16) || %s, customer,"
        " period_start_us, admitted_us, CAST(%s AS bigint) FROM usage_outbox WHERE account_id = %s"
        " ORDER BY call_id DESC LIMIT 1",
        secrets.token_hex(10), nanodollars, account_id,
    )  # fmt: skip


@pytest.mark.parametrize("case", ["a year", "an end", "a trial"])
def test_other_subscriptions_are_previewed_as_stripe_does(place: Billed, case: str) -> None:
    eve = place.subscriber("yearly" if case == "a year" else "pro", trial_days=7 if case == "a trial" else 0)
    place.call(eve, INCLUDED + 2)
    place.wait_until_reported(eve)
    if case == "an end":
        place.api.subscriptions.update(eve.subscription_id, {"cancel_at_period_end": True})
        sql = "SELECT ends_at_period_end FROM subscription WHERE account_id = %s"
        wait_until(lambda: place.shop.scalar(sql, eve.customer.account.id) == 1, "the end to be known")
    preview = place.api.invoices.create_preview({"subscription": eve.subscription_id})
    used = cents_of(2 * EACH)
    assert preview.total == {"a year": 29_000 + used, "an end": used, "a trial": BASE_CENTS}[case]
    page = words(eve.browser.get("/invoices").text)
    assert f"So far it comes to {format_usd(preview.total * 10**7)}" in page


def test_a_period_that_is_over_is_not_told_as_one_that_is_going_to_end(place: Billed) -> None:
    amy = place.subscriber()
    assert "It is made when this period ends, on" in words(amy.browser.get("/invoices").text)
    over = "UPDATE subscription SET period_end_us = period_start_us + 1 WHERE account_id = %s"
    told = r"Its period ended on [-\d]+ [:\d]+ UTC \. It is being made, and will be listed below soon\."

    def is_told() -> bool:
        place.shop.query(over, amy.customer.account.id)  # again, as word of the purchase may have come in between
        page = words(amy.browser.get("/invoices").text)
        return re.search(told, page) is not None and "when this period ends" not in page

    wait_until(is_told, "its own words")


def test_late_usage_is_on_the_draft_of_its_period_and_after_that_on_the_next_invoice(place: Billed) -> None:
    # Before others: after this Stripe's time is months ahead of ours, and what is used now is too old for it.
    bob = place.subscriber()
    place.call(bob, INCLUDED + 1)
    place.wait_until_reported(bob)
    place.stripe.advance(by="month")
    wait_until(lambda: usage_of(place, bob, "draft") == [EACH], "the draft")
    record_late(place, bob, 1_000)
    wait_until(lambda: place.counted(bob) == EACH + 1_000, "what came late")
    place.stripe.advance(by="hour")
    wait_until(lambda: usage_of(place, bob, "paid") == [EACH + 1_000], "the invoice, with what came late")
    record_late(place, bob, 20_000)
    wait_until(lambda: place.counted(bob) == EACH + 21_000, "what came too late")
    place.stripe.advance(by="month")
    place.stripe.advance(by="hour")
    wait_until(lambda: usage_of(place, bob, "paid") == [EACH + 1_000, 20_000], "the next invoice")


def test_a_month_of_calls_is_previewed_invoiced_and_opens_onto_its_calls(place: Billed) -> None:
    ada = place.subscriber()
    replies = place.call(ada, INCLUDED + 7)
    assert all(reply.ok for reply in replies)
    place.wait_until_reported(ada)
    used = place.invoiced(ada)
    assert used == 7 * EACH == place.counted(ada)
    total = BASE_CENTS + cents_of(used)

    preview = place.api.invoices.create_preview({"subscription": ada.subscription_id})
    page = words(ada.browser.get("/invoices").text)
    assert preview.total == total
    assert f"So far it comes to {format_usd(total * 10**7)} with 7 calls beyond the plan" in page
    for line in preview.lines.data:
        assert format_usd(line.amount * 10**7) in page
    listed = ada.browser.get("/calls?paid=invoice").text
    assert listed.count('href="/calls/req_') == 7

    place.stripe.advance(by="month")
    wait_until(lambda: usage_of(place, ada, "draft") == [used], "the draft, with all that was used")
    place.stripe.advance(by="hour")
    wait_until(lambda: usage_of(place, ada, "paid") == [used], "the invoice to be paid")
    [(invoice_id, text)] = [row for row in invoices(place, ada, "paid") if '"is_usage":true' in row[1]]
    assert sum(line.amount_cents for line in lines_from_json(text)) == total

    page = ada.browser.get(f"/invoices/{invoice_id}").text
    assert f"7 calls that the plan did not pay, {format_usd(used)} in all, as on the invoice." in words(page)
    shown = set(re.findall(r"/calls/(req_[0-9a-f]{32})", page))
    by_ledger = place.shop.query(
        "SELECT call_id FROM usage_record WHERE account_id = %s AND invoiced_nanodollars > 0", ada.customer.account.id
    )
    assert shown == {row[0] for row in by_ledger}
    rows = list(csv.DictReader(io.StringIO(ada.browser.get(f"/invoices/{invoice_id}.csv").text)))
    assert sum(int(row["invoiced_nanodollars"]) for row in rows) == used
    assert {row["id"] for row in rows} == shown
    assert f'href="/invoices/{invoice_id}"' in ada.browser.get("/invoices").text


def test_nobody_sees_the_invoices_of_others(place: Billed) -> None:
    carl = place.subscriber()
    wait_until(lambda: bool(invoices(place, carl, "paid")), "the first invoice")
    [(invoice_id, _)] = invoices(place, carl, "paid")
    dora = place.subscriber()
    for path in (f"/invoices/{invoice_id}", f"/invoices/{invoice_id}.csv", "/invoices/in_none", "/invoices/%00"):
        assert dora.browser.get(path).status == 404
    assert invoice_id not in dora.browser.get("/invoices").text
    assert carl.browser.get(f"/invoices/{invoice_id}").status == 200


def test_a_serving_process_that_is_killed_while_it_reports_leaves_nothing_out_and_nothing_twice(place: Billed) -> None:
    gus = place.subscriber()
    account_id = gus.customer.account.id
    claimed = "SELECT count(*) FROM usage_event WHERE account_id = %s AND state = 'waiting' AND tries = 1"
    for _ in range(2):
        place.stripe.fault("slow", path="/v1/billing/meter_events", times=None, seconds=10)
        assert all(reply.ok for reply in place.call(gus, INCLUDED + 3))
        wait_until(lambda: place.shop.scalar(claimed, account_id) == 1, "an event to be in hand")
        place.served.kill()
        place.stripe.heal()
        place.served.start()
        place.shop.query("UPDATE usage_event SET next_us = 1 WHERE state = 'waiting'")  # as the lease's end does
        place.wait_until_reported(gus)
    assert place.counted(gus) == (3 + 5) * EACH


def test_the_draft_has_what_was_used_a_moment_before_since_it_has_the_outbox_sent(
    fresh_database_url: str, tmp_path: Path, upstream: FakeUpstream
) -> None:
    # No process looks into the outbox by itself: only Stripe's word that an invoice is made has it sent.
    with billed(tmp_path, fresh_database_url, upstream, FAREBOX_SWEEP_SECONDS="3600") as place:
        hal = place.subscriber()
        # Its first invoice is told of, too.
        place.stripe.settle()
        untold = "SELECT count(*) FROM webhook_event WHERE applied_us IS NULL"
        wait_until(lambda: place.shop.scalar(untold) == 0, "what Stripe told to be worked off")
        assert all(reply.ok for reply in place.call(hal, INCLUDED + 4))
        assert place.counted(hal) == 0
        place.stripe.advance(by="month")
        wait_until(lambda: place.counted(hal) == 4 * EACH, "all to be sent")
        place.stripe.advance(by="hour")
        wait_until(lambda: usage_of(place, hal, "paid") == [4 * EACH], "the invoice")
        assert place.shop.farebox("reconcile").endswith("every sum is right.\n")


def test_a_price_that_was_raised_is_told_to_nobody_who_bought_before(
    fresh_database_url: str, tmp_path: Path, upstream: FakeUpstream
) -> None:
    with billed(tmp_path, fresh_database_url, upstream) as place:
        ada = place.subscriber()
        place.served.stop()
        raised = APP.replace('Plan("pro", usd=29,', 'Plan("basic", usd=9, calls=1), Plan("pro", usd=39,')
        (tmp_path / "app.py").write_text(raised)
        place.shop.farebox("stripe", "sync", "--yes")
        place.served.start()

        def pages(due: int) -> list[str]:
            assert place.api.invoices.create_preview({"subscription": ada.subscription_id}).total == due
            assert f"So far it comes to {format_usd(due * 10**7)}" in words(ada.browser.get("/invoices").text)
            overview, plan = (words(ada.browser.get(path).text) for path in ("/overview", "/plan"))
            [price] = re.findall(r"Plan Pro (\$\d+) a month", overview)
            assert f"Pro Your plan {price} a month." in plan
            return [price, *re.findall(r"no longer sold at (\$\d+): .* charged (\$\d+) a month", plan)]

        assert pages(BASE_CENTS) == ["$29"]
        assert ada.browser.post("/plan/change", name="basic").header("location") == "/plan?told=later"
        assert pages(900) == ["$29", ("$29", "$39")]  # what is in force, and what it costs to keep it
        assert ada.browser.post("/plan/change", name="pro").header("location") == "/plan?told=same"
        assert pages(3_900) == ["$39"]


def call_until(place: Billed, who: Sequence[Subscriber], is_enough: Callable[[], bool]) -> list[Reply]:
    """Calls of these customers, 40 at once, three times and until it is enough. Each has its answer."""
    asked = [generate(place.served.url, one.key, {"prompt": "Say hello"}) for one in who] * (40 // len(who))
    replies: list[Reply] = []
    while len(replies) < 3 * len(asked) or not is_enough():
        replies += fire_all(asked)
        assert len(replies) < CALLS_MAX, "the fault has met nobody"
    assert all(reply.ok for reply in replies)
    return replies


def slowest(replies: Sequence[Reply]) -> float:
    return max(reply.seconds for reply in replies)


def test_calls_go_on_while_stripe_does_not_and_the_outbox_drains_by_itself(place: Billed) -> None:
    """On two processes, whatever path of Stripe's is asked. `tests/chaos/test_slow_stripe.py` outlasts the time-out."""
    usual = slowest(call_until(place, [place.subscriber(), place.subscriber()], lambda: True))
    pairs = [(place.subscriber(), place.subscriber()) for _ in FAULTS]
    for fault, who in zip(FAULTS, pairs, strict=True):
        place.stripe.fault(**fault, times=OFTEN)  # type: ignore[arg-type]  # a fault's values
        took = slowest(call_until(place, who, lambda: place.stripe.control("state")["faults"][0]["times"] < OFTEN))
        print(f"{fault}: the slowest call took {took:.2f} s, {took / usual:.1f} times as long as without")
        assert took < BLOCKED_SECONDS, "no call waits for Stripe"
        place.stripe.heal()
    for one in [one for who in pairs for one in who]:
        # Nobody hurries it: what failed is tried again after 5 seconds, then 10.
        wait_until(lambda: place.counted(one) == place.invoiced(one), "the outbox to drain", timeout_seconds=90)  # noqa: B023
        assert place.invoiced(one) % EACH == 0
        assert place.invoiced(one) >= (3 * 20 - INCLUDED) * EACH
    waiting = "SELECT count(*) FROM usage_event WHERE state = 'waiting'"
    wait_until(lambda: place.shop.scalar(waiting) == 0, "all of it to be noted", timeout_seconds=90)
