"""An invoice as its customer sees it, and may pay it."""

from starlette.responses import Response

from farebox.sandbox.stripe import billing
from farebox.sandbox.stripe.cards import CARDS
from farebox.sandbox.stripe.pages.frame import TONES, Frame, Look, NotHere, choices
from farebox.sandbox.stripe.rooms.payment_methods import made


def page(frame: Frame, look: Look) -> Response:
    id_, error = look.rest[0], None
    with frame.desk() as desk:
        invoice = desk.find(id_)
        if invoice is None or invoice["object"] != "invoice":
            raise NotHere("There is no such invoice.")
        card = look.form.get("card", "")
        if look.method == "POST" and invoice["status"] == "open" and card in CARDS:
            method = desk.put({**made(desk, card), "_is_authenticated": True})
            error = billing.try_to_charge(desk, invoice, method["id"], off_session=False)
        invoice = billing.refreshed(desk, desk.get("invoice", id_))
    if look.method == "POST" and error is None:
        return frame.to(look, f"invoice/{id_}")
    return frame.show(
        look, "invoice.html", status=200 if error is None else 402, notice=str(error) if error else "", invoice=invoice,
        lines=invoice["lines"]["data"], tone=TONES.get(invoice["status"], ""), cards=choices(),
    )  # fmt: skip
