"""Under which keys Stripe is asked for money, so that nothing is paid twice; what is made of its answers and logged."""

import json
import logging
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import pytest
import stripe

from farebox.adapters.stripe_client import open_client
from farebox.adapters.stripe_payments import CLOCKS_SECONDS, StripePayments
from farebox.adapters.stripe_usage import StripeUsage
from farebox.domain.billing import Bought
from farebox.ports.money import PaymentsUnavailable, UsageEvent

PAID: Final = {"object": "payment_intent", "id": "pi_1", "status": "succeeded", "customer": "cus_1", "amount": 1000,
               "metadata": {}, "last_payment_error": None}  # fmt: skip
BOUGHT: Final = Bought("small", "farebox_small_pack_1000", 1000, 10 * 10**9, 30)


class Wire(stripe.RequestsClient):
    """Answers what it was told to, by path, and keeps what was asked."""

    def __init__(self, answers: Mapping[str, dict[str, Any]], status: int = 200) -> None:
        super().__init__()
        self._status = status
        self._answers = answers
        self.asked: list[tuple[str, str]] = []
        """The path and query, and the idempotency key, of each request."""

    def request(  # type: ignore[override]  # the library's own two do not agree either
        self, method: str, url: str, headers: Mapping[str, str] | None, post_data: object = None
    ) -> tuple[str, int, Mapping[str, str]]:
        del method, post_data
        parts = urlsplit(url)
        self.asked.append((f"{parts.path}?{parts.query}", (headers or {}).get("Idempotency-Key", "")))
        return json.dumps(self._answers[parts.path]), self._status, {}

    def keys(self, path: str) -> list[str]:
        return [key for asked, key in self.asked if asked.startswith(f"{path}?")]


def client(wire: Wire) -> stripe.StripeClient:
    return stripe.StripeClient("sk_test_of_the_tests", http_client=wire, max_network_retries=0)


def some(*found: dict[str, Any]) -> dict[str, Any]:
    return {"object": "list", "data": list(found), "has_more": False, "url": "/v1/x"}


# -- Keys


def test_a_payment_is_made_once_whoever_else_makes_it_at_the_same_time() -> None:
    card = {"object": "customer", "id": "cus_1", "invoice_settings": {"default_payment_method": "pm_1"}}
    wire = Wire({"/v1/customers/cus_1": card, "/v1/payment_intents": PAID})
    StripePayments(client(wire)).pay_off_session("acct_1", "cus_1", BOUGHT, "attempt_1")
    assert wire.keys("/v1/payment_intents") == ["attempt_1"]


@pytest.mark.parametrize("status", [409, 429, 500, 503])
def test_a_payment_that_another_process_is_making_at_this_moment_has_not_failed(status: int) -> None:
    under_way = {"error": {"type": "idempotency_error", "message": "There is another request under way."}}
    with pytest.raises(PaymentsUnavailable):
        StripePayments(client(Wire({"/v1/payment_intents/pi_1": under_way}, status))).payment("pi_1")


def test_a_customer_is_made_once_for_an_account_and_its_address_and_anew_where_one_is_gone() -> None:
    wire = Wire({"/v1/customers": {"object": "customer", "id": "cus_1"}})
    payments = StripePayments(client(wire))
    for email, gone in (
        ("ada@x.example", ""),
        ("ada@x.example", ""),
        ("bob@x.example", ""),
        ("ada@x.example", "cus_0"),
    ):
        payments.create_customer("acct_1", email, gone)
    first, again, *others = wire.keys("/v1/customers")
    assert first == again
    assert len({first, *others}) == 3
    assert "acct_1" in first
    assert "ada" not in first


def test_each_try_to_report_usage_is_answered_anew() -> None:
    """Under one key, Stripe would repeat a fault of its own for a day."""
    wire = Wire({"/v1/billing/meter_events": {"object": "billing.meter_event", "identifier": "usage_1"}})
    for tries in (1, 2):
        StripeUsage(client(wire)).send_usage(UsageEvent("usage_1", "acct_1", "cus_1", 0, 5, 1, 10**6, None, tries))
    assert len(set(wire.keys("/v1/billing/meter_events"))) == 2


@pytest.mark.parametrize("bills_use", [True, False])
def test_a_plan_that_is_ended_at_once_gives_nothing_back_and_bills_its_use_once(*, bills_use: bool) -> None:
    wire = Wire({"/v1/subscriptions/sub_1": {"object": "subscription", "id": "sub_1"}})
    StripePayments(client(wire)).cancel_now("sub_1", bills_use=bills_use)
    [(asked, _)] = wire.asked
    assert parse_qs(urlsplit(asked).query) == {"invoice_now": [str(bills_use).lower()], "prorate": ["false"]}


# -- The log


def test_the_library_logs_nothing_of_customers_whatever_its_environment_says(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(stripe._util, "STRIPE_LOG", "debug")
    payments = StripePayments(open_client("sk_test_of_the_tests", "http://127.0.0.1:9", is_brief=True))
    with caplog.at_level(logging.DEBUG, "stripe"), pytest.raises(PaymentsUnavailable):
        payments.create_customer("acct_1", "ada@example.com")
    assert caplog.records == []
    assert capsys.readouterr() == ("", "")


# -- Answers


@pytest.mark.parametrize(
    ("refunded", "status", "taken_back"),
    [
        (0, "won", 0),
        (500, "won", 500),
        (0, "needs_response", 1000),
        (500, "needs_response", 1000),
        (1000, "lost", 1000),
    ],
)
def test_a_refund_and_a_dispute_together_take_back_no_more_than_was_paid(
    refunded: int, status: str, taken_back: int
) -> None:
    wire = Wire(
        {
            "/v1/payment_intents/pi_1": PAID,
            "/v1/charges": some({"object": "charge", "id": "ch_1", "amount_refunded": refunded, "disputed": True}),
            "/v1/disputes": some({"object": "dispute", "id": "du_1", "amount": 1000, "status": status}),
        }
    )
    assert StripePayments(client(wire)).payment("pi_1").taken_back_cents == taken_back


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("succeeded", "succeeded"), ("processing", "processing"), ("requires_action", "requires_action"),
        ("canceled", "canceled"), ("requires_payment_method", "failed"),
    ],
)  # fmt: skip
def test_only_what_may_still_be_paid_is_waited_for(theirs: str, ours: str) -> None:
    wire = Wire({"/v1/payment_intents/pi_1": PAID | {"status": theirs}, "/v1/charges": some()})
    assert StripePayments(client(wire)).payment("pi_1").status == ours


def test_a_payment_is_looked_for_though_stripes_clock_is_behind() -> None:
    wire = Wire({"/v1/payment_intents": some()})
    assert StripePayments(client(wire)).paid_off_session("cus_1", "attempt_1", 10_000 * 10**6) is None
    [(asked, _)] = wire.asked
    assert parse_qs(urlsplit(asked).query)["created[gte]"] == [str(10_000 - CLOCKS_SECONDS)]


def test_an_invoice_has_all_its_lines_however_many_pages_they_are() -> None:
    first, last = (
        {"object": "line_item", "id": f"il_{text}", "description": text, "quantity": 1, "amount": 1, "pricing": None,
         "period": {"start": 0, "end": 1}} for text in ("first", "last")
    )  # fmt: skip
    lines = some(first) | {"has_more": True, "url": "/v1/invoices/in_1/lines"}
    invoice = {"object": "invoice", "id": "in_1", "currency": "usd", "total": 2, "amount_paid": 2, "created": 0,
               "period_start": 0, "period_end": 1, "customer": "cus_1", "number": None, "status": "paid",
               "next_payment_attempt": None, "parent": None, "lines": lines}  # fmt: skip
    wire = Wire({"/v1/invoices/in_1": invoice, "/v1/invoices/in_1/lines": some(last)})
    found = StripePayments(client(wire)).invoice("in_1")
    assert [line.text for line in found.lines] == ["first", "last"]
