"""Disputes: a cardholder tells the bank that they did not make a payment."""

from typing import Final

from farebox.sandbox.stripe.desk import Desk
from farebox.sandbox.stripe.errors import refused
from farebox.sandbox.stripe.room import Room, page
from farebox.sandbox.stripe.things import Thing, merged_metadata

room = Room()
ANSWER_SECONDS: Final = 10 * 86_400
VERDICTS: Final = {"winning_evidence": "won", "losing_evidence": "lost"}
"""Texts of evidence that decide in a test how the dispute ends."""


def opened(desk: Desk, charge: Thing, reason: str) -> Thing:
    """A dispute about a charge. An inquiry is one that takes no money yet."""
    is_inquiry = reason == "warning"
    due_by = desk.now(charge.get("_clock")) + ANSWER_SECONDS
    dispute = desk.new(
        "dispute",
        clock=charge.get("_clock"),
        amount=charge["amount"],
        charge=charge["id"],
        payment_intent=charge["payment_intent"],
        currency=charge["currency"],
        reason="fraudulent" if is_inquiry else reason,
        status="warning_needs_response" if is_inquiry else "needs_response",
        is_charge_refundable=is_inquiry,
        balance_transactions=[],
        enhanced_eligibility_types=[],
        livemode=False,
    )
    details = {**dispute["evidence_details"], "due_by": due_by, "has_evidence": False, "past_due": False,
               "submission_count": 0}  # fmt: skip
    dispute = desk.put({**dispute, "evidence_details": details})
    desk.put({**charge, "disputed": True})
    desk.emit("charge.dispute.created", dispute)
    if not is_inquiry:
        desk.emit("charge.dispute.funds_withdrawn", dispute)
    return dispute


@room("GET", "/v1/disputes/{id}", "DisputeRetrieveParams")
def retrieve(desk: Desk, _given: Thing, id_: str) -> Thing:
    return desk.get("dispute", id_)


@room("GET", "/v1/disputes", "DisputeListParams")
def list_(desk: Desk, given: Thing) -> Thing:
    return page(desk, "/v1/disputes", desk.all("dispute"), given, "charge", "payment_intent")


@room("POST", "/v1/disputes/{id}", "DisputeUpdateParams")
def update(desk: Desk, given: Thing, id_: str) -> Thing:
    dispute = desk.get("dispute", id_)
    evidence = given.get("evidence", {})
    metadata = merged_metadata(dispute["metadata"], given.get("metadata"))
    dispute = desk.update(dispute, "charge.dispute.updated", metadata=metadata,
                          evidence={**dispute["evidence"], **evidence})  # fmt: skip
    verdict = VERDICTS.get(str(evidence.get("uncategorized_text", "")))
    return ended(desk, dispute, verdict) if verdict else dispute


@room("POST", "/v1/disputes/{id}/close", "DisputeCloseParams")
def close(desk: Desk, _given: Thing, id_: str) -> Thing:
    """Close a dispute, which means that the customer is right."""
    return ended(desk, desk.get("dispute", id_), "lost")


def ended(desk: Desk, dispute: Thing, verdict: str) -> Thing:
    """The dispute, 'won' or 'lost'.

    Raises:
        StripeError: it ended before.
    """
    if dispute["status"] in {"won", "lost", "warning_closed"}:
        raise refused("This dispute is already closed")
    is_inquiry = dispute["status"].startswith("warning")
    was_status, status = dispute["status"], "warning_closed" if is_inquiry and verdict == "won" else verdict
    dispute = desk.put({**dispute, "status": status})
    desk.emit("charge.dispute.closed", dispute, {"status": was_status})
    if verdict == "won" and not is_inquiry:
        desk.emit("charge.dispute.funds_reinstated", dispute)
    if verdict == "won":
        charge = desk.get("charge", dispute["charge"])
        desk.put({**charge, "disputed": False})
    return dispute
