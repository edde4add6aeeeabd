"""Which object an event is about, and what is done about it."""

from typing import Final, get_args
from unittest.mock import Mock

import pytest
from stripe.params import WebhookEndpointCreateParams

from farebox.account.stripe_events import GIVEN_UP_US, WAIT_SECONDS_MAX, Clerk
from farebox.domain.period import MICROSECONDS
from farebox.domain.webhooks import PATH, TYPES, VERBS, Endpoint, endpoint_at, object_of, verb_of
from farebox.ports.billing import Waiting


@pytest.mark.parametrize(
    ("kind", "body", "object_id", "verb"),
    [
        ("checkout.session.completed", {"data": {"object": {"id": "cs_1"}}}, "cs_1", "checkout"),
        ("customer.subscription.deleted", {"data": {"object": {"id": "sub_1"}}}, "sub_1", "subscription"),
        ("invoice.paid", {"data": {"object": {"id": "in_1"}}}, "in_1", "invoice"),
        ("invoice.upcoming", {"data": {"object": {"object": "invoice"}}}, "", None),
        ("charge.refunded", {"data": {"object": {"id": "ch_1", "payment_intent": "pi_1"}}}, "pi_1", "payment"),
        ("charge.refunded", {"data": {"object": {"id": "ch_1", "payment_intent": None}}}, "ch_1", "charge"),
        ("refund.created", {"data": {"object": {"id": "re_1", "payment_intent": {"id": "pi_2"}}}}, "pi_2", "payment"),
        ("charge.dispute.created", {"data": {"object": {"id": "du_1", "charge": "ch_3"}}}, "ch_3", "charge"),
        ("v1.billing.meter.no_meter_found", {"related_object": {"id": "mtr_1"}}, "mtr_1", "usage"),
        ("price.created", {"data": {"object": {"id": "price_1"}}}, "price_1", None),
        ("invoice.paid", {"data": {"object": None}}, "", None),
        ("invoice.paid", {"data": []}, "", None),
        ("invoice.paid", {"data": {"object": {"id": 5}}}, "", None),
        ("invoice.paid", {"data": {"object": {"id": "x" * 300}}}, "", None),
    ],
)
def test_the_object_and_the_verb(kind: str, body: dict[str, object], object_id: str, verb: str | None) -> None:
    found = object_of(kind, body)
    assert (found, verb_of(kind, found)) == (object_id, verb)


FAMILIES: Final = {
    "checkout.session.": "checkout", "customer.subscription.": "subscription", "invoice.": "invoice",
    "payment_intent.": "payment", "charge.refund": "charge", "refund.": "charge", "charge.dispute.": "charge",
}  # fmt: skip
LEFT_OUT: Final = {
    # They change nothing that is kept, or come with another one that is told.
    "customer.subscription.pending_update_applied", "customer.subscription.pending_update_expired",
    "invoice.deleted", "invoice.overpaid", "invoice.payment_attempt_required", "invoice.sent", "invoice.upcoming",
    "invoice.will_be_due", "payment_intent.amount_capturable_updated", "payment_intent.created",
    "payment_intent.partially_funded", "payment_intent.processing", "payment_intent.requires_action",
}  # fmt: skip


def test_an_endpoint_is_told_of_all_that_happens_to_a_payment_but_for_what_is_left_out() -> None:
    [kinds] = get_args(WebhookEndpointCreateParams.__annotations__["enabled_events"])
    verbs = {kind: verb for kind in get_args(kinds) for head, verb in FAMILIES.items() if kind.startswith(head)}
    assert set(verbs) - set(TYPES) == LEFT_OUT
    assert {kind: VERBS[kind] for kind in TYPES} == {kind: verbs[kind] for kind in TYPES}


def test_of_several_endpoints_one_that_works_comes_first_and_then_what_is_told_of_most() -> None:
    whole, most, few = (Endpoint(f"we_{i}", f"https://{i}{PATH}", True, TYPES[i:]) for i in range(3))  # noqa: FBT003
    off = whole._replace(is_enabled=False)
    for endpoints, best in (([few, most, whole], whole), ([off, few, most], most), ([off], off), ([], None)):
        assert endpoint_at(endpoints, "") == best


def test_an_event_that_never_works_is_tried_for_a_week_and_given_up_with_its_reason() -> None:
    most = int(GIVEN_UP_US // (WAIT_SECONDS_MAX * MICROSECONDS))
    last, over = (Waiting("evt_1", "invoice.paid", "in_1", 0, tries) for tries in (most, most + 1))
    inbox = Mock(claim=Mock(side_effect=[last, over, None]))
    assert Clerk(inbox, Mock(side_effect=RuntimeError("a fault of ours"))).work_off_all() == 2
    inbox.put_off.assert_called_once_with("evt_1", WAIT_SECONDS_MAX, "RuntimeError")
    inbox.done.assert_called_once_with("evt_1", "RuntimeError")
