"""Invoices, as they are asked for and changed by requests; what time does to them is in billing.py."""

from farebox.sandbox.stripe import billing, cycle
from farebox.sandbox.stripe.desk import Desk
from farebox.sandbox.stripe.errors import refused, wanted
from farebox.sandbox.stripe.room import Room, page
from farebox.sandbox.stripe.rooms.payment_methods import attached
from farebox.sandbox.stripe.things import Thing, merged_metadata

room = Room()
DAY_SECONDS = 86_400


@room("POST", "/v1/invoices", "InvoiceCreateParams")
def create(desk: Desk, given: Thing) -> Thing:
    if "customer" not in given:
        raise wanted("customer")
    customer = desk.named("customer", given["customer"], "customer")
    subscription = (
        desk.named("subscription", given["subscription"], "subscription") if "subscription" in given else None
    )
    takes = given.get("pending_invoice_items_behavior", "exclude" if subscription is None else "include")
    found = cycle.pending_lines(desk, subscription, customer["id"]) if takes == "include" else []
    values: Thing = {name: given[name] for name in ("description", "footer", "default_payment_method") if name in given}
    method = given.get("collection_method", "charge_automatically")
    if method == "send_invoice":
        if "days_until_due" not in given and "due_date" not in given:
            raise refused("If collection_method is send_invoice, days_until_due or due_date is needed.")
        days = given.get("days_until_due", 0)
        values["due_date"] = given.get("due_date", desk.now(customer["test_clock"]) + days * DAY_SECONDS)
    if found and "currency" not in given:
        values["currency"] = found[0]["currency"]
    return billing.drafted(
        desk, customer, found, "manual", collection_method=method, auto_advance=given.get("auto_advance", False),
        metadata=given.get("metadata", {}), parent=billing.parent_of(subscription) if subscription else None, **values,
    )  # fmt: skip


@room("GET", "/v1/invoices/{id}", "InvoiceRetrieveParams")
def retrieve(desk: Desk, _given: Thing, id_: str) -> Thing:
    return billing.refreshed(desk, desk.get("invoice", id_))


@room("POST", "/v1/invoices/{id}", "InvoiceUpdateParams")
def update(desk: Desk, given: Thing, id_: str) -> Thing:
    invoice = desk.get("invoice", id_)
    new: Thing = {
        name: given[name] or None for name in ("description", "footer", "default_payment_method") if name in given
    }
    new["metadata"] = merged_metadata(invoice["metadata"], given.get("metadata"))
    if "auto_advance" in given:
        is_on = given["auto_advance"]
        due_at = invoice["created"] + billing.DRAFT_SECONDS if is_on and invoice["status"] == "draft" else None
        new |= {"auto_advance": is_on, "_due_at": due_at}
    return desk.update(invoice, "invoice.updated", **new)


@room("DELETE", "/v1/invoices/{id}", None)
def delete(desk: Desk, _given: Thing, id_: str) -> Thing:
    invoice = desk.get("invoice", id_)
    if invoice["status"] != "draft":
        raise refused("You can only delete draft invoices.")
    desk.emit("invoice.deleted", invoice)
    return desk.delete(invoice)


@room("POST", "/v1/invoices/{id}/finalize", "InvoiceFinalizeInvoiceParams")
def finalize(desk: Desk, given: Thing, id_: str) -> Thing:
    invoice = desk.get("invoice", id_)
    invoice = billing.finalized(desk, {**invoice, "auto_advance": given.get("auto_advance", invoice["auto_advance"])})
    if invoice["status"] == "open" and invoice["auto_advance"] and invoice["collection_method"] != "send_invoice":
        billing.try_to_charge(desk, invoice)
    return desk.get("invoice", id_)


@room("POST", "/v1/invoices/{id}/pay", "InvoicePayParams")
def pay(desk: Desk, given: Thing, id_: str) -> Thing:
    invoice = desk.get("invoice", id_)
    if invoice["status"] == "draft":
        invoice = billing.finalized(desk, {**invoice, "auto_advance": True})
        if invoice["status"] == "paid":
            return invoice
    if invoice["status"] == "paid":
        raise refused("Invoice is already paid", code="invoice_already_paid")
    if given.get("paid_out_of_band"):
        return billing.paid(desk, invoice, is_elsewhere=True)
    token = given.get("payment_method")
    method = attached(desk, token, invoice["customer"])["id"] if token else None
    return billing.charged(desk, invoice, method, off_session=given.get("off_session", True))


@room("POST", "/v1/invoices/{id}/void", "InvoiceVoidInvoiceParams")
def void(desk: Desk, _given: Thing, id_: str) -> Thing:
    return billing.voided(desk, desk.get("invoice", id_))


@room("POST", "/v1/invoices/{id}/mark_uncollectible", "InvoiceMarkUncollectibleParams")
def mark_uncollectible(desk: Desk, _given: Thing, id_: str) -> Thing:
    invoice = desk.get("invoice", id_)
    if invoice["status"] != "open":
        raise refused(f"You can only mark open invoices as uncollectible; this one is {invoice['status']}.")
    times = {**invoice["status_transitions"], "marked_uncollectible_at": desk.now(invoice.get("_clock"))}
    invoice = desk.put({**invoice, "status": "uncollectible", "status_transitions": times, "_due_at": None})
    desk.emit("invoice.marked_uncollectible", invoice)
    return invoice


@room("POST", "/v1/invoices/{id}/send", "InvoiceSendInvoiceParams")
def send(desk: Desk, _given: Thing, id_: str) -> Thing:
    invoice = desk.get("invoice", id_)
    if invoice["collection_method"] != "send_invoice":
        raise refused("You can only manually send an invoice if its collection method is 'send_invoice'.")
    if invoice["status"] == "draft":
        invoice = billing.finalized(desk, invoice)
    desk.emit("invoice.sent", invoice)
    return invoice


@room("GET", "/v1/invoices", "InvoiceListParams")
def list_(desk: Desk, given: Thing) -> Thing:
    found = desk.all("invoice", given.get("customer"))
    if "subscription" in given:
        found = [one for one in found if billing.subscription_of(one) == given["subscription"]]
    listed = page(desk, "/v1/invoices", found, given, "status", "collection_method")
    return {**listed, "data": [billing.refreshed(desk, one) for one in listed["data"]]}


@room("GET", "/v1/invoices/{id}/lines", "InvoiceListLinesParams")
def lines_of(desk: Desk, given: Thing, id_: str) -> Thing:
    invoice = billing.refreshed(desk, desk.get("invoice", id_))
    return page(desk, f"/v1/invoices/{id_}/lines", invoice["lines"]["data"], given)


# -- items that wait for an invoice


@room("POST", "/v1/invoiceitems", "InvoiceItemCreateParams")
def create_item(desk: Desk, given: Thing) -> Thing:
    if "customer" not in given:
        raise wanted("customer")
    customer = desk.named("customer", given["customer"], "customer")
    clock, now = customer["test_clock"], desk.now(customer["test_clock"])
    price = desk.named("price", given["pricing"]["price"], "pricing[price]") if "pricing" in given else None
    quantity = given.get("quantity", 1)
    amount = given.get("amount", (price or {}).get("unit_amount", 0) * quantity if price else None)
    if amount is None:
        raise wanted("amount")
    item = desk.new(
        "invoiceitem", clock=clock, amount=amount, currency=(given.get("currency") or "usd").lower(),
        customer=customer["id"], date=now, description=given.get("description"), discountable=True,
        period=given.get("period", {"start": now, "end": now}), quantity=quantity, quantity_decimal=str(quantity),
        metadata=given.get("metadata", {}), proration=False, test_clock=clock, livemode=False,
        _subscription=given.get("subscription"), _price=price,
    )  # fmt: skip
    desk.emit("invoiceitem.created", desk.put(item))
    if "invoice" in given:
        invoice = desk.named("invoice", given["invoice"], "invoice")
        desk.put(billing.with_lines(invoice, [*invoice["lines"]["data"], cycle.line_of(desk, item)]))
        item = desk.put({**item, "invoice": invoice["id"]})
    return item


@room("GET", "/v1/invoiceitems/{id}", "InvoiceItemRetrieveParams")
def retrieve_item(desk: Desk, _given: Thing, id_: str) -> Thing:
    return desk.get("invoiceitem", id_)


@room("GET", "/v1/invoiceitems", "InvoiceItemListParams")
def list_items(desk: Desk, given: Thing) -> Thing:
    found = desk.all("invoiceitem", given.get("customer"))
    if given.get("pending"):
        found = [item for item in found if item["invoice"] is None]
    return page(desk, "/v1/invoiceitems", found, given, "invoice")


@room("DELETE", "/v1/invoiceitems/{id}", None)
def delete_item(desk: Desk, _given: Thing, id_: str) -> Thing:
    item = desk.get("invoiceitem", id_)
    if item["invoice"] is not None:
        raise refused("You can only delete an invoice item that is on no invoice, or on a draft.")
    desk.emit("invoiceitem.deleted", item)
    return desk.delete(item)


# -- how invoices were paid


@room("GET", "/v1/invoice_payments/{id}", "InvoicePaymentRetrieveParams")
def payment(desk: Desk, _given: Thing, id_: str) -> Thing:
    return desk.get("invoice_payment", id_)


@room("GET", "/v1/invoice_payments", "InvoicePaymentListParams")
def payments(desk: Desk, given: Thing) -> Thing:
    found = desk.all("invoice_payment")
    wish = given.get("payment", {}).get("payment_intent")
    if wish:
        found = [one for one in found if one["payment"]["payment_intent"] == wish]
    return page(desk, "/v1/invoice_payments", found, given, "invoice", "status")
