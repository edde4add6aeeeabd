"""Checkout sessions: made, paid on their page, or left until they expire."""

from typing import Final

from farebox.sandbox.stripe import billing, completing
from farebox.sandbox.stripe.desk import Desk
from farebox.sandbox.stripe.errors import refused, wanted
from farebox.sandbox.stripe.lines import TIMES, amount_of, described
from farebox.sandbox.stripe.room import Room, page
from farebox.sandbox.stripe.rooms.catalog import create_price
from farebox.sandbox.stripe.rooms.payment_methods import known
from farebox.sandbox.stripe.rooms.taxes import check_set_up
from farebox.sandbox.stripe.things import Thing, merged_metadata

room = Room()
DAY_SECONDS: Final = 86_400
SOONEST_SECONDS: Final = 1_800
LINES_MAX: Final = 20
ECHOED: Final = ("allow_promotion_codes", "billing_address_collection", "cancel_url", "client_reference_id",
                 "consent_collection", "customer_email", "locale", "success_url", "return_url", "origin_context",
                 "submit_type", "payment_method_collection", "phone_number_collection")  # fmt: skip
WORKED_WITH: Final = ("subscription_data", "payment_intent_data", "setup_intent_data", "invoice_creation")


@room("POST", "/v1/checkout/sessions", "checkout.SessionCreateParams")
def create(desk: Desk, given: Thing) -> Thing:
    mode = given.get("mode") or ("payment" if given.get("line_items") else "")
    if mode not in {"payment", "setup", "subscription"}:
        raise wanted("mode")
    _check(desk, given, mode)
    now = desk.now()
    found = [_line(desk, wish, mode, place) for place, wish in enumerate(given.get("line_items", []))]
    session = desk.new(
        "checkout.session", mode=mode, status="open", livemode=False, ui_mode=given.get("ui_mode", "hosted_page")
    )
    has_trial = mode == "subscription" and _has_trial(given)
    due = sum(line["amount"] for line in found if not (has_trial and line["price"]["recurring"]))
    has_tax = bool(given.get("automatic_tax", {}).get("enabled"))
    tax = billing.tax_on(due) if has_tax else 0
    session |= {name: given[name] for name in ECHOED if name in given} | {
        "amount_subtotal": due if mode != "setup" else None,
        "amount_total": due + tax if mode != "setup" else None,
        "automatic_tax": billing.taxed(session["automatic_tax"], is_on=has_tax),
        "currency": found[0]["price"]["currency"] if found else given.get("currency"),
        "customer": given.get("customer"),
        "customer_creation": given.get("customer_creation", _creation(given, mode)),
        "expires_at": given.get("expires_at", now + DAY_SECONDS),
        "metadata": given.get("metadata", {}),
        "payment_method_types": given.get("allowed_payment_method_types", ["card"]),
        "payment_method_options": {},
        "payment_status": "no_payment_required" if mode == "setup" else "unpaid",
        "total_details": {"amount_discount": 0, "amount_shipping": 0, "amount_tax": tax, "breakdown": None},
        "payment_method_collection": given.get("payment_method_collection", "always")
        if mode == "subscription"
        else None,
        "url": f"{desk.base_url}/pay/{session['id']}",
        "_lines": found,
        "_due_at": given.get("expires_at", now + DAY_SECONDS),
        "_keeps_address": given.get("customer_update", {}).get("address") == "auto",
        **{f"_{name}": given.get(name, {}) for name in WORKED_WITH},
    }
    return desk.put(session)


def _creation(given: Thing, mode: str) -> str | None:
    if "customer" in given or mode == "setup":
        return None
    if given.get("invoice_creation", {}).get("enabled"):
        return "always"
    return "always" if mode == "subscription" else "if_required"


def _has_trial(given: Thing) -> bool:
    data = given.get("subscription_data", {})
    return bool(data.get("trial_period_days") or data.get("trial_end"))


def _check(desk: Desk, given: Thing, mode: str) -> None:
    if "customer" in given:
        customer = desk.named("customer", given["customer"], "customer")
        if "customer_email" in given:
            raise refused("You may only specify one of these parameters: customer, customer_email.", param="customer")
        _check_address(customer, given)
    if given.get("automatic_tax", {}).get("enabled"):
        check_set_up(desk)
    is_hosted = given.get("ui_mode", "hosted_page") == "hosted_page"
    if is_hosted and "success_url" not in given:
        raise wanted("success_url")
    if mode != "setup" and not given.get("line_items"):
        raise wanted("line_items")
    if len(given.get("line_items", [])) > 2 * LINES_MAX:
        raise refused("A session has at most 20 recurring and 20 one-time line items.", param="line_items")
    for name, of in (
        ("subscription_data", "subscription"),
        ("payment_intent_data", "payment"),
        ("setup_intent_data", "setup"),
        ("invoice_creation", "payment"),
    ):
        if name in given and mode != of:
            raise refused(f"You can not pass `{name}` in `{mode}` mode.", param=name)
    if "expires_at" in given and not SOONEST_SECONDS <= given["expires_at"] - desk.now() + 1 <= DAY_SECONDS + 1:
        raise refused("The `expires_at` timestamp must be at least 30 minutes and at most 24 hours from now.",
                      param="expires_at")  # fmt: skip


def _check_address(customer: Thing, given: Thing) -> None:
    """Raises StripeError if taxes need the customer's address, and it is neither known nor will be kept."""
    keeps = given.get("customer_update", {}).get("address") == "auto"
    if given.get("automatic_tax", {}).get("enabled") and customer["address"] is None and not keeps:
        raise refused(
            "Taxes need an address of the customer: add one, or set `customer_update[address]` to 'auto', which keeps "
            "what is entered here.",
            code="customer_tax_location_invalid",
        )


def _line(desk: Desk, wish: Thing, mode: str, place: int) -> Thing:
    where = f"line_items[{place}]"
    if "price_data" in wish:
        price = create_price(desk, wish["price_data"])
    elif "price" in wish:
        price = desk.named("price", wish["price"], f"{where}[price]")
    else:
        raise wanted(f"{where}[price]")
    if not price["active"]:
        raise refused(f"The price specified is inactive: {price['id']}", param=f"{where}[price]")
    if mode == "payment" and price["recurring"] is not None:
        raise refused("`payment` mode takes only one-time prices; `subscription` mode takes recurring ones.",
                      param=f"{where}[price]")  # fmt: skip
    is_metered = price["recurring"] is not None and price["recurring"]["usage_type"] == "metered"
    if is_metered and "quantity" in wish:
        raise refused("You cannot set a quantity for a metered price.", param=f"{where}[quantity]")
    if not is_metered and "quantity" not in wish:
        raise wanted(f"{where}[quantity]")
    quantity = wish.get("quantity", 0)
    return {"price": price, "quantity": quantity, "amount": amount_of(price, quantity), "is_metered": is_metered}


def items_of(desk: Desk, session: Thing) -> list[Thing]:
    """The session's lines, as they are shown."""
    return [
        desk.new("item", amount_subtotal=line["amount"], amount_total=line["amount"], amount_discount=0, amount_tax=0,
                 currency=line["price"]["currency"], price=line["price"], discounts=[], taxes=[],
                 quantity=None if line["is_metered"] else line["quantity"],
                 description=described(desk, line["price"], line["quantity"]).split(f" {TIMES} ", 1)[1])
        for line in session["_lines"]
    ]  # fmt: skip


@room("GET", "/v1/checkout/sessions/{id}", "checkout.SessionRetrieveParams")
def retrieve(desk: Desk, _given: Thing, id_: str) -> Thing:
    return desk.get("checkout.session", id_)


@room("POST", "/v1/checkout/sessions/{id}", "checkout.SessionUpdateParams")
def update(desk: Desk, given: Thing, id_: str) -> Thing:
    session = desk.get("checkout.session", id_)
    return desk.put({**session, "metadata": merged_metadata(session["metadata"], given.get("metadata"))})


@room("GET", "/v1/checkout/sessions/{id}/line_items", "checkout.SessionListLineItemsParams")
def line_items(desk: Desk, given: Thing, id_: str) -> Thing:
    session = desk.get("checkout.session", id_)
    return page(desk, f"/v1/checkout/sessions/{id_}/line_items", items_of(desk, session), given)


@room("POST", "/v1/checkout/sessions/{id}/expire", "checkout.SessionExpireParams")
def expire(desk: Desk, _given: Thing, id_: str) -> Thing:
    session = desk.get("checkout.session", id_)
    if session["status"] != "open":
        raise refused(
            f'Only Checkout Sessions with a status in ["open"] can be expired. This one is {session["status"]}.'
        )
    return expired(desk, session)


def expired(desk: Desk, session: Thing) -> Thing:
    session = desk.put({**session, "status": "expired", "url": None, "_due_at": None})
    desk.emit("checkout.session.expired", session)
    return session


@room("GET", "/v1/checkout/sessions", "checkout.SessionListParams")
def list_(desk: Desk, given: Thing) -> Thing:
    found = desk.all("checkout.session", given.get("customer"))
    return page(desk, "/v1/checkout/sessions", found, given, "status", "subscription", "payment_intent")


# -- requests of Stripe's own page, and of its command line


@room("GET", "/v1/payment_pages/{id}", None)
def payment_page(desk: Desk, _given: Thing, id_: str) -> Thing:
    return {**desk.get("checkout.session", id_), "object": "checkout.session"}


@room("POST", "/v1/payment_pages/{id}/init", None)
def init(desk: Desk, given: Thing, id_: str) -> Thing:
    return payment_page(desk, given, id_)


@room("POST", "/v1/payment_pages/{id}/confirm", None)
def confirm(desk: Desk, given: Thing, id_: str) -> Thing:
    session = desk.get("checkout.session", id_)
    if "expected_amount" in given and int(given["expected_amount"]) != session["amount_total"]:
        raise refused("The expected amount does not match the current amount.", code="checkout_amount_mismatch")
    method = known(desk, given.get("payment_method", ""), "payment_method")
    return completing.completed(desk, session, method)


def money_came(desk: Desk, intent: Thing) -> None:
    """Note on the session, or on the invoice, that a promised payment has come, or never will."""
    session = desk.find(intent.get("_session") or "")
    went_well = intent["status"] == "succeeded"
    if session is not None:
        session = desk.put({**session, "payment_status": "paid" if went_well else "unpaid"})
        desk.emit(f"checkout.session.async_payment_{'succeeded' if went_well else 'failed'}", session)
    invoice = desk.find(intent.get("_invoice") or "")
    if invoice is not None and invoice["status"] == "open":
        (billing.paid if went_well else billing.failed)(desk, invoice)
