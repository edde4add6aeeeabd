"""Payment links, and money that customers send by themselves: only as far as Stripe's command line asks for them."""

from farebox.sandbox.stripe.desk import Desk, random_text
from farebox.sandbox.stripe.room import Room
from farebox.sandbox.stripe.things import Thing

room = Room()


@room("POST", "/v1/payment_links", "PaymentLinkCreateParams")
def create(desk: Desk, given: Thing) -> Thing:
    for wish in given["line_items"]:
        desk.named("price", wish.get("price", ""), "line_items[0][price]")
    id_ = f"plink_{random_text(24)}"
    after = {"type": "hosted_confirmation", "hosted_confirmation": {"custom_message": None}, "redirect": None}
    link = desk.new("payment_link", id=id_, active=True, url=f"{desk.base_url}/link/{id_}", currency="usd",
                    metadata=given.get("metadata", {}), after_completion=after, payment_method_collection="always",
                    billing_address_collection="auto", customer_creation="if_required", submit_type="auto")  # fmt: skip
    desk.emit("payment_link.created", desk.put(link))
    return link


@room("GET", "/v1/payment_links/{id}", "PaymentLinkRetrieveParams")
def retrieve(desk: Desk, _given: Thing, id_: str) -> Thing:
    return desk.get("payment_link", id_)


@room("POST", "/v1/payment_links/{id}", "PaymentLinkUpdateParams")
def update(desk: Desk, given: Thing, id_: str) -> Thing:
    new = {name: given[name] for name in ("active", "allow_promotion_codes") if name in given}
    return desk.update(desk.get("payment_link", id_), "payment_link.updated", **new)


@room("POST", "/v1/test_helpers/customers/{id}/fund_cash_balance", "test_helpers.CustomerFundCashBalanceParams")
def fund(desk: Desk, given: Thing, id_: str) -> Thing:
    """Take money of a bank transfer, as a part of what the customer's payment waits for."""
    desk.get("customer", id_)
    made = desk.new("customer_cash_balance_transaction", id=f"ccsbtxn_{random_text(24)}", customer=id_, type="funded",
                    currency=given["currency"], net_amount=given["amount"], ending_balance=given["amount"])  # fmt: skip
    desk.emit("customer_cash_balance_transaction.created", desk.put(made))
    for intent in desk.all("payment_intent", id_):
        if intent["status"] == "requires_action" and given["amount"] < intent["amount"]:
            desk.emit("payment_intent.partially_funded", intent)
    return made
