"""Customers."""

from farebox.sandbox.stripe.desk import Desk, random_text
from farebox.sandbox.stripe.errors import refused
from farebox.sandbox.stripe.room import Room, page
from farebox.sandbox.stripe.rooms.payment_methods import attached
from farebox.sandbox.stripe.rooms.subscriptions import end_now
from farebox.sandbox.stripe.things import Thing, merged_metadata

room = Room()
PLAIN = ("address", "business_name", "description", "email", "individual_name", "name", "phone", "preferred_locales",
         "shipping", "tax_exempt")  # fmt: skip


@room("POST", "/v1/customers", "CustomerCreateParams")
def create(desk: Desk, given: Thing) -> Thing:
    clock = given.get("test_clock")
    if clock is not None:
        desk.named("test_helpers.test_clock", clock, "test_clock")
    customer = desk.new(
        "customer",
        clock=clock,
        test_clock=clock,
        balance=given.get("balance", 0),
        tax_exempt="none",
        preferred_locales=[],
        invoice_prefix=random_text(8).upper(),
        next_invoice_sequence=1,
        delinquent=False,
        invoice_settings=_settings(given),
    )
    customer = desk.put(_filled(customer, given))
    desk.emit("customer.created", customer)
    return _with_card(desk, customer, given)


def _settings(given: Thing) -> Thing:
    settings = {"custom_fields": None, "default_payment_method": None, "footer": None, "rendering_options": None}
    return {**settings, **given.get("invoice_settings", {}), "default_payment_method": None}


def _filled(customer: Thing, given: Thing) -> Thing:
    plain = {name: given[name] or None for name in PLAIN if name in given}
    return {**customer, **plain, "metadata": merged_metadata(customer["metadata"], given.get("metadata"))}


def _with_card(desk: Desk, customer: Thing, given: Thing) -> Thing:
    """The customer with the payment method that came with the request, and with the one to be charged from now on."""
    default = given.get("invoice_settings", {}).get("default_payment_method")
    token, method = given.get("payment_method") or given.get("source"), None
    if given.get("source"):
        default = token
    if token:
        method = attached(desk, token, customer["id"], "payment_method")
    if default is None:
        return customer
    if default and not (method and default == token):
        method = desk.find(default)
        if method is None or method["object"] != "payment_method":
            method = attached(desk, default, customer["id"], "invoice_settings[default_payment_method]")
        if method["customer"] != customer["id"]:
            raise refused(
                "The customer does not have a payment method with the ID "
                f"{default}. The payment method must be attached to the customer.",
                code="resource_missing",
                param="invoice_settings[default_payment_method]",
            )
    settings = {**customer["invoice_settings"], "default_payment_method": method["id"] if default and method else None}
    return desk.put({**customer, "invoice_settings": settings})


@room("GET", "/v1/customers/{id}", "CustomerRetrieveParams")
def retrieve(desk: Desk, _given: Thing, id_: str) -> Thing:
    return desk.get("customer", id_)


@room("POST", "/v1/customers/{id}", "CustomerUpdateParams")
def update(desk: Desk, given: Thing, id_: str) -> Thing:
    customer = old = desk.get("customer", id_)
    customer = desk.put(_filled(customer, given))
    for name in ("balance", "next_invoice_sequence"):
        if name in given:
            customer = desk.put({**customer, name: given[name]})
    customer = _with_card(desk, customer, given)
    return desk.update(old, "customer.updated", **customer)


@room("DELETE", "/v1/customers/{id}", None)
def delete(desk: Desk, _given: Thing, id_: str) -> Thing:
    customer = desk.get("customer", id_)
    for subscription in desk.all("subscription", id_):
        if subscription["status"] not in {"canceled", "incomplete_expired"}:
            end_now(desk, subscription)
    desk.emit("customer.deleted", customer)
    gone = {"id": id_, "object": "customer", "deleted": True}
    desk.put({**gone, "_clock": customer["test_clock"]})
    return gone


@room("GET", "/v1/customers", "CustomerListParams")
def list_(desk: Desk, given: Thing) -> Thing:
    customers = [customer for customer in desk.all("customer") if not customer.get("deleted")]
    return page(desk, "/v1/customers", customers, given, "email", "test_clock")
