"""Stripe as the port `Payments` has it: customers, checkouts, subscriptions, one-time payments."""

import hashlib
import logging
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final, cast

import stripe

from farebox.adapters.stripe_catalogue import portal_of
from farebox.adapters.stripe_client import id_of, told
from farebox.adapters.stripe_invoices import invoice_of
from farebox.domain.billing import Bought, Checkout, Invoice, Payment, PaymentStatus, Subscription
from farebox.domain.catalogue import plan_of, usage_keys
from farebox.domain.money import NANODOLLARS_PER_CENT
from farebox.domain.period import MICROSECONDS
from farebox.ports.money import PaymentRefused

log = logging.getLogger("farebox.stripe")

NO_CARD: Final = "This account has no saved card. Buy a pack once, and the card is saved for the next time."
NOT_SYNCED: Final = "This cannot be bought at the moment; we have been told. Try again later."
COST_NOTHING: Final = frozenset(
    {"warning_needs_response", "warning_under_review", "warning_closed", "won", "prevented"}
)
"""Disputes that cost nothing (any more): an inquiry takes no money."""
ONCE: Final = "farebox_once"
CLOCKS_SECONDS: Final = 3600
"""How far Stripe's clock may be behind the database's."""
STATUSES: Final[dict[str, PaymentStatus]] = {
    "succeeded": "succeeded",
    "processing": "processing",
    "requires_action": "requires_action",
    "requires_confirmation": "processing",
    "requires_capture": "processing",
    "canceled": "canceled",
}


class StripePayments:
    """The port `Payments`. What it sells is taxed by Stripe, or not at all."""

    def __init__(self, client: stripe.StripeClient, *, is_taxed: bool = False) -> None:
        self._api = client.v1
        self._is_taxed = is_taxed

    def check(self) -> str:
        with told():
            account = self._api.accounts.retrieve_current()
        return f"{getattr(account, 'email', None) or account.id}"

    def knows(self, customer: str) -> bool:
        try:
            with told():
                self._api.customers.retrieve(customer)
        except PaymentRefused:
            return False
        return True

    def is_deleted(self, customer: str) -> bool:
        try:
            with told():
                return bool(getattr(self._api.customers.retrieve(customer), "deleted", False))
        except PaymentRefused:
            return False

    # -- Buying

    def create_customer(self, account_id: str, email: str, instead_of: str = "") -> str:
        # With another address it is another request, for which Stripe refuses the same key.
        once = f"farebox-customer-{account_id}-{hashlib.sha256(f'{email}{instead_of}'.encode()).hexdigest()[:12]}"
        with told():
            made = self._api.customers.create(
                {"email": email, "metadata": {"farebox_account": account_id}}, {"idempotency_key": once}
            )
        return made.id

    def checkout_plan(
        self, account_id: str, customer: str, lookup_keys: Sequence[str], trial_days: int, success_url: str,
        cancel_url: str,
    ) -> str:  # fmt: skip
        prices = self._prices(lookup_keys)
        theirs: Any = {"metadata": {"farebox_account": account_id}}
        if trial_days:
            theirs["trial_period_days"] = trial_days
        return self._checkout(
            account_id, customer, success_url, cancel_url,
            mode="subscription", subscription_data=theirs,
            line_items=[_item(prices[key], is_metered=not plan_of(key)) for key in lookup_keys],
        )  # fmt: skip

    def checkout_pack(self, account_id: str, customer: str, bought: Bought, success_url: str, cancel_url: str) -> str:
        price = self._prices([bought.lookup_key])[bought.lookup_key]
        theirs = {"setup_future_usage": "off_session", "metadata": _kept(account_id, bought)}
        return self._checkout(
            account_id, customer, success_url, cancel_url,
            mode="payment", line_items=[_item(price)], payment_intent_data=theirs,
        )  # fmt: skip

    def _checkout(self, account_id: str, customer: str, success_url: str, cancel_url: str, **more: Any) -> str:  # noqa: ANN401  # the SDK's own parameters
        asked = {
            "customer": customer, "client_reference_id": account_id, "metadata": {"farebox_account": account_id},
            "success_url": success_url, "cancel_url": cancel_url, **more,
            # Said even if taxes are not wanted: an account's settings may turn them on where a request does not say.
            "automatic_tax": {"enabled": self._is_taxed},
        }  # fmt: skip
        if self._is_taxed:  # tax depends on the address, which is kept for the invoices to come
            asked |= {"billing_address_collection": "required", "customer_update": {"address": "auto"}}
        with told():
            made = self._api.checkout.sessions.create(cast("Any", asked))
        if not made.url:
            raise PaymentRefused("The payment page could not be opened. Try again.")
        return made.url

    def expire_checkouts(self, customer: str) -> None:
        with told():
            found = self._api.checkout.sessions.list({"customer": customer, "status": "open", "limit": 100})
            ours = [one.id for one in found.auto_paging_iter() if _metadata(one, "farebox_account")]
        for each in ours:
            with suppress(PaymentRefused), told():  # it may have been paid, or be over, by now
                self._api.checkout.sessions.expire(each)

    def portal(self, customer: str, return_url: str) -> str:
        with told():
            ours = portal_of(self._api)
        asked: Any = {"customer": customer, "return_url": return_url}
        if ours:
            asked["configuration"] = ours
        else:  # Stripe takes the settings saved in the dashboard, and refuses if there are none
            log.warning("Stripe has no portal of ours: run farebox stripe sync")
        with told():
            return self._api.billing_portal.sessions.create(asked).url

    # -- What there is

    def checkout(self, session_id: str) -> Checkout:
        with told():
            found = self._api.checkout.sessions.retrieve(session_id)
        return Checkout(
            found.id, found.client_reference_id or "", id_of(found.customer), found.payment_status == "paid",
            id_of(found.subscription), id_of(found.payment_intent),
        )  # fmt: skip

    def subscription(self, subscription_id: str) -> Subscription:
        with told():
            return _subscription(self._api.subscriptions.retrieve(subscription_id))

    def subscriptions_of(self, customer: str) -> list[Subscription]:
        with told():
            found = self._api.subscriptions.list({"customer": customer, "status": "all", "limit": 100})
            return [_subscription(one) for one in found.auto_paging_iter()]

    def invoice(self, invoice_id: str) -> Invoice:
        with told():
            return invoice_of(self._api.invoices.retrieve(invoice_id))

    def payment(self, payment_id: str) -> Payment:
        with told():
            found = self._api.payment_intents.retrieve(payment_id, {"expand": ["latest_charge"]})
            charges = self._api.charges.list({"payment_intent": payment_id, "limit": 100})
            refunded = sum(charge.amount_refunded for charge in charges.data)
            disputed = 0
            if any(charge.disputed for charge in charges.data):
                disputes = self._api.disputes.list({"payment_intent": payment_id, "limit": 100})
                disputed = sum(one.amount for one in disputes.data if one.status not in COST_NOTHING)
        return _payment(found, min(refunded + disputed, found.amount))

    def payment_of_charge(self, charge_id: str) -> str:
        with told():
            return id_of(self._api.charges.retrieve(charge_id).payment_intent)

    # -- Changing

    def change_plan(
        self, subscription_id: str, lookup_keys: Sequence[str], *, prorated: bool, once: str, ends_trial: bool = False
    ) -> None:
        with told():
            items = self._api.subscriptions.retrieve(subscription_id)["items"].data
        # A usage line by the month ends where a plan by the year begins: with both, usage would be billed twice.
        # Usage that is still to be reported needs a line all the same.
        usage, other_usage = usage_keys(lookup_keys)
        ended = [{"id": item.id, "deleted": True} for item in items if item.price.lookup_key == other_usage]
        keys = dict.fromkeys([*lookup_keys, usage] if ended else lookup_keys)
        prices = self._prices(list(keys))
        has = {item.price.id for item in items}
        base = _base(items)
        changed: list[Any] = []
        for key in keys:
            if prices[key] in has:
                continue
            is_base = bool(plan_of(key))
            replaced = {"id": base.id} if is_base and base is not None else {}
            changed.append(_item(prices[key], is_metered=not is_base) | replaced)
        if not changed:
            return
        changed += ended
        # A dearer plan starts only if the difference was paid. Usage stays metered: it is billed at the end.
        how: Any = {"proration_behavior": "always_invoice", "payment_behavior": "error_if_incomplete"}
        if ends_trial:
            how["trial_end"] = "now"
        if not prorated:
            how = {"proration_behavior": "none"}
        with told():
            self._api.subscriptions.update(
                subscription_id, cast("Any", {"items": changed, **how}), {"idempotency_key": once}
            )

    def end_at_period_end(self, subscription_id: str, *, ends: bool) -> None:
        with told():
            self._api.subscriptions.update(subscription_id, {"cancel_at_period_end": ends})

    def cancel_now(self, subscription_id: str, *, bills_use: bool = True) -> None:
        with told():
            self._api.subscriptions.cancel(subscription_id, {"invoice_now": bills_use, "prorate": False})

    def pay_off_session(self, account_id: str, customer: str, bought: Bought, once: str) -> Payment:
        with told():
            card = self._card(customer)
            if not card:
                raise PaymentRefused(NO_CARD)
            made = self._api.payment_intents.create(
                {
                    "amount": bought.cents, "currency": "usd", "customer": customer, "payment_method": card,
                    "off_session": True, "confirm": True, "metadata": {**_kept(account_id, bought), ONCE: once},
                },
                {"idempotency_key": once},
            )  # fmt: skip
        return _payment(made, 0)

    def paid_off_session(self, customer: str, once: str, since_us: int) -> Payment | None:
        asked: Any = {"customer": customer, "created": {"gte": since_us // MICROSECONDS - CLOCKS_SECONDS}, "limit": 100}
        with told():
            some = self._api.payment_intents.list(asked).auto_paging_iter()
            found = next((one.id for one in some if _metadata(one, ONCE) == once), "")
        return self.payment(found) if found else None

    def _card(self, customer: str) -> str:
        found = self._api.customers.retrieve(customer)
        chosen = id_of(found.invoice_settings.default_payment_method) if found.invoice_settings else ""
        if chosen:
            return chosen
        cards = self._api.payment_methods.list({"customer": customer, "type": "card", "limit": 1})
        return cards.data[0].id if cards.data else ""

    def _prices(self, lookup_keys: Sequence[str]) -> dict[str, str]:
        """The ids of the prices with these keys.

        Raises:
            PaymentRefused: one of them is not for sale.
        """
        with told():
            found = self._api.prices.list({"lookup_keys": list(lookup_keys), "active": True, "limit": 100}).data
        ids = {price.lookup_key: price.id for price in found if price.lookup_key}
        missing = [key for key in lookup_keys if key not in ids]
        if missing:
            log.error("Stripe has no price %s: run farebox stripe sync", ", ".join(missing))
            raise PaymentRefused(NOT_SYNCED)
        return {key: ids[key] for key in lookup_keys}


def _item(price: str, *, is_metered: bool = False) -> dict[str, Any]:
    return {"price": price} if is_metered else {"price": price, "quantity": 1}


def _kept(account_id: str, bought: Bought) -> dict[str, str]:
    """The metadata of a payment: the credit that was offered when it was bought is what is granted."""
    return {
        "farebox_account": account_id, "farebox_pack": bought.pack,
        "farebox_credit_nanodollars": str(bought.credit_nanodollars), "farebox_days": str(bought.days),
    }  # fmt: skip


def _metadata(of: Any, name: str) -> str:  # noqa: ANN401  # any of the SDK's resources
    found = of.metadata.to_dict() if of.metadata is not None else {}
    return str(found.get(name, ""))


def _us(seconds: int) -> int:
    return seconds * MICROSECONDS


def _subscription(found: stripe.Subscription) -> Subscription:
    items = found["items"].data
    base = _base(items)
    period = base or items[0]
    cancel_at = found.cancel_at  # may be years ahead
    return Subscription(
        id=found.id,
        customer=id_of(found.customer),
        account_id=_metadata(found, "farebox_account"),
        status=cast("Any", found.status),
        plan=plan_of(base.price.lookup_key or "") if base is not None else "",
        anchor_us=_us(found.billing_cycle_anchor),
        period_start_us=_us(period.current_period_start),
        period_end_us=_us(period.current_period_end),
        trial_end_us=_us(found.trial_end) if found.trial_end else None,
        ends_at_period_end=bool(cancel_at and cancel_at <= period.current_period_end) or found.cancel_at_period_end,
        price_nanodollars=_price(base) if base is not None else None,
        has_usage_line=any(item.price.lookup_key in usage_keys(()) for item in items),
    )


def _base(items: Sequence[stripe.SubscriptionItem]) -> stripe.SubscriptionItem | None:
    """The item that a plan is paid by: one at our price, else one at a price of the founder's own, put in its place."""
    ours = next((item for item in items if plan_of(item.price.lookup_key or "")), None)
    if ours is not None:
        return ours
    return next(
        (item for item in items if item.price.recurring and item.price.recurring.usage_type == "licensed"), None
    )


def _price(base: stripe.SubscriptionItem) -> int | None:
    """The price of a licensed item each period; None where that is no amount in cents."""
    cents, quantity = base.price.unit_amount, getattr(base, "quantity", None)
    return None if cents is None or quantity is None else cents * quantity * NANODOLLARS_PER_CENT


def _payment(found: stripe.PaymentIntent, taken_back_cents: int) -> Payment:
    why = found.last_payment_error
    status = STATUSES.get(found.status, "failed")
    worth, days = _metadata(found, "farebox_credit_nanodollars"), _metadata(found, "farebox_days")
    return Payment(
        id=found.id,
        customer=id_of(found.customer),
        account_id=_metadata(found, "farebox_account"),
        pack=_metadata(found, "farebox_pack"),
        status=status,
        amount_cents=found.amount,
        taken_back_cents=taken_back_cents,
        failed=(why.message or "The payment failed.") if why is not None and status == "failed" else "",
        credit_nanodollars=int(worth) if worth.isdecimal() else 0,
        days=int(days) if days.isdecimal() else 0,
    )
