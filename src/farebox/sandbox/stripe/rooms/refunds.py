"""Refunds, of a whole payment or of a part of it."""

from farebox.sandbox.stripe.desk import Desk, random_text
from farebox.sandbox.stripe.errors import refused, wanted
from farebox.sandbox.stripe.room import Room, page
from farebox.sandbox.stripe.things import Thing, merged_metadata

room = Room()


@room("POST", "/v1/refunds", "RefundCreateParams")
def create(desk: Desk, given: Thing) -> Thing:
    charge = _charge(desk, given)
    left = charge["amount_captured"] - charge["amount_refunded"]
    amount = given.get("amount", left)
    if charge["status"] != "succeeded":
        raise refused("This PaymentIntent does not have a successful charge to refund.", param="payment_intent")
    if left == 0:
        raise refused(f"Charge {charge['id']} has already been refunded.", code="charge_already_refunded")
    if charge["disputed"]:
        raise refused(f"Charge {charge['id']} has been charged back; cannot issue a refund.", code="charge_disputed")
    if not 0 < amount <= left:
        raise refused(f"Refund amount (${amount / 100:.2f}) is greater than unrefunded amount on charge "
                      f"(${left / 100:.2f})", param="amount")  # fmt: skip
    refund = desk.new(
        "refund",
        clock=charge.get("_clock"),
        amount=amount,
        charge=charge["id"],
        payment_intent=charge["payment_intent"],
        currency=charge["currency"],
        reason=given.get("reason"),
        status="succeeded",
        metadata=given.get("metadata", {}),
        balance_transaction=f"txn_{random_text(24)}",
        _of=charge["customer"],
    )
    refund = desk.put(refund)
    charge = {**charge, "_refunds": [*charge.get("_refunds", []), refund["id"]]}
    total = charge["amount_refunded"] + amount
    desk.emit("refund.created", refund)
    desk.update(charge, "charge.refunded", amount_refunded=total, refunded=total == charge["amount_captured"])
    return refund


def _charge(desk: Desk, given: Thing) -> Thing:
    if "charge" in given:
        return desk.named("charge", given["charge"], "charge")
    if "payment_intent" not in given:
        raise wanted("charge")
    intent = desk.named("payment_intent", given["payment_intent"], "payment_intent")
    if intent["latest_charge"] is None:
        raise refused("This PaymentIntent does not have a successful charge to refund.", param="payment_intent")
    return desk.get("charge", intent["latest_charge"])


@room("GET", "/v1/refunds/{id}", "RefundRetrieveParams")
def retrieve(desk: Desk, _given: Thing, id_: str) -> Thing:
    return desk.get("refund", id_)


@room("POST", "/v1/refunds/{id}", "RefundUpdateParams")
def update(desk: Desk, given: Thing, id_: str) -> Thing:
    refund = desk.get("refund", id_)
    new = desk.update(
        refund, "charge.refund.updated", metadata=merged_metadata(refund["metadata"], given.get("metadata"))
    )
    desk.emit("refund.updated", new, {"metadata": refund["metadata"]})
    return new


@room("GET", "/v1/refunds", "RefundListParams")
def list_(desk: Desk, given: Thing) -> Thing:
    return page(desk, "/v1/refunds", desk.all("refund"), given, "charge", "payment_intent")
