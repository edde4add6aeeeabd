"""Buy a plan or credit, change the plan, cancel it: what an owner does at the till."""

import logging
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final, Literal

from farebox.account.sync import sync_checkout, sync_subscription
from farebox.account.till import STRIPE_AWAY, CannotBuy, Till
from farebox.domain.billing import LIVE, Bought
from farebox.domain.catalogue import keys_of, pack_key
from farebox.domain.money import format_usd, usd_to_nanodollars
from farebox.domain.pack import Pack
from farebox.domain.pages import of_account
from farebox.domain.places import NoPlace
from farebox.domain.plan import Plan
from farebox.domain.subscribing import NOT_BEGUN, Known
from farebox.ports.calls import AccountRow
from farebox.ports.money import PaymentRefused, PaymentsUnavailable

log = logging.getLogger("farebox.money")

MONTHS: Final = {"month": 1, "year": 12}
SESSION: Final = "cs_"
NOT_KNOWN: Final = "Stripe does not know this payment."
NOT_SUBSCRIBED: Final = "This account has no subscription to change."
Change = Literal["now", "later", "same"]

MANY_ASK: Final = "The payment service has too much to answer at this moment. Try again in a few seconds."


@contextmanager
def _asking(till: Till, account_id: str) -> Iterator[None]:
    """Tell the person at the page what Stripe said, if there is a place to wait for it.

    Raises:
        CannotBuy: it was refused, or could not be asked.
    """
    try:
        with till.places.take(account_id):
            yield
    except NoPlace as error:
        log.warning("a purchase has to be tried again: %s", error)
        raise CannotBuy(MANY_ASK) from None
    except PaymentsUnavailable as error:
        log.warning("a purchase failed: %s", error)
        raise CannotBuy(STRIPE_AWAY) from None
    except PaymentRefused as error:
        log.warning("a purchase failed: %s", error)
        raise CannotBuy(str(error)) from None


def buy_plan(till: Till, account: AccountRow, name: str) -> str:
    """The address of a page at Stripe to subscribe to a plan.

    Raises:
        CannotBuy: there is no such plan for sale, the account has one already, or Stripe cannot do it now.
    """
    plan = till.product.by_name.get(name)
    known = till.billing.subscription(account.id)
    if plan is None or not plan.price_nanodollars:
        raise CannotBuy("This plan is not for sale.")
    if known is not None and known.is_live:
        raise CannotBuy("This account already has a plan. Change it instead.")
    trial_days = plan.trial_days if has_trial(known) else 0
    with _asking(till, account.id):
        customer = customer_of(till, account)
        return till.payments.checkout_plan(
            account.id, customer, keys_of(plan), trial_days, _paid_url(till, account), _page(till, "/plan", account)
        )


def has_trial(known: Known | None) -> bool:
    """Whether a plan that is bought begins with its trial: only for an account that was never subscribed."""
    return known is None or known.status in NOT_BEGUN


def buy_pack(till: Till, account: AccountRow, name: str) -> str:
    """The address of a page at Stripe to buy credit.

    Raises:
        CannotBuy: there is no such pack, or Stripe cannot do it now.
    """
    pack = pack_named(till, name)
    if pack is None:
        raise CannotBuy("This pack is not for sale.")
    with _asking(till, account.id):
        customer = customer_of(till, account)
        return till.payments.checkout_pack(
            account.id, customer, bought(pack), _paid_url(till, account), _page(till, "/credit", account)
        )


def portal(till: Till, account: AccountRow) -> str:
    """The address of the page at Stripe to change the card, and to find invoices.

    Raises:
        CannotBuy: nothing was ever bought, or Stripe cannot be asked now.
    """
    if not account.customer_id:
        raise CannotBuy("Nothing was bought yet, so there is no card and no invoice.")
    with _asking(till, account.id):
        return till.payments.portal(customer_of(till, account), _page(till, "/plan", account))


def paid(till: Till, account: AccountRow, session_id: str) -> Literal["plan", "credit", "waiting"]:
    """Apply what a customer has paid when they come back from paying, without waiting for Stripe's webhook.

    Raises:
        CannotBuy: it is not this account's payment.
    """
    # With an empty id, Stripe would list all sessions. And who never set out to pay has none to ask Stripe for.
    if not session_id.startswith(SESSION) or not account.customer_id:
        raise CannotBuy(NOT_KNOWN)
    try:
        with till.places.take(account.id):
            checkout = till.payments.checkout(session_id)
            if checkout.account_id != account.id:
                raise CannotBuy("This payment belongs to another account.")
            sync_checkout(till, checkout)
    except (PaymentsUnavailable, NoPlace):
        return "waiting"
    except PaymentRefused:
        raise CannotBuy(NOT_KNOWN) from None
    if not checkout.is_paid and not checkout.subscription_id:
        return "waiting"
    return "plan" if checkout.subscription_id else "credit"


def price_of(plan: Plan, known: Known | None) -> int:
    """What an account's plan costs it each period, in nanodollars: what it was bought for, else what the file says."""
    if known is None or known.price_nanodollars is None:
        return plan.price_nanodollars
    return known.price_nanodollars


def change_of(plan: Plan | None, known: Known, other: Plan) -> Change:
    """When a change to another plan takes effect: at once if that is dearer, else at the end of what is paid for.

    Dearer than what is paid, not than what the file says by now. A plan that is no longer offered gives nothing, so a
    change from it takes effect at once. If a cheaper plan is noted, Stripe has to be put back onto the price that is
    paid, to count the difference from; if the file has another price by now, it cannot, and the change waits.
    """
    if plan is None:
        return "now"
    if plan is other:
        return "same"
    if known.next_plan and price_of(plan, known) != plan.price_nanodollars:
        return "later"
    is_dearer = other.price_nanodollars * MONTHS[plan.every] > price_of(plan, known) * MONTHS[other.every]
    return "now" if is_dearer else "later"


def change_plan(till: Till, account: AccountRow, name: str) -> Change:
    """Move a subscription to another plan: to a dearer one at once, to a cheaper one at the period's end.

    From a plan that is no longer offered, it moves to any other at once.

    Raises:
        CannotBuy: it cannot be done, or Stripe cannot do it now.
    """
    known = _own(till, account)
    plan, other = till.product.by_name.get(known.plan), till.product.by_name.get(name)
    if other is None:
        raise CannotBuy("This plan is not for sale.")
    if not other.price_nanodollars:
        cancel(till, account)
        return "later"
    change = change_of(plan, known, other)
    if change == "same" and not known.next_plan:
        return change
    if change == "later" and plan is not None and plan.every != other.every:
        raise CannotBuy(f"Your plan is paid by the {plan.every}. Cancel it first, and choose this one when it ends.")
    if change == "now" and known.status == "past_due":
        raise CannotBuy("The last payment failed. Pay it first, under “Card and invoices”.")
    with _asking(till, account.id):
        if change == "now":
            _move_now(till, known, other, is_gone=plan is None)
        else:
            _wish(till, known, other)
    return change


def cancel(till: Till, account: AccountRow) -> None:
    """End a subscription at the end of the period that is paid for.

    Raises:
        CannotBuy: there is none, or Stripe cannot do it now.
    """
    known = _own(till, account)
    with _asking(till, account.id):
        till.payments.end_at_period_end(known.id, ends=True)
        sync_subscription(till, known.id)


def resume(till: Till, account: AccountRow) -> None:
    """Take back a cancellation that has not come into force.

    Raises:
        CannotBuy: there is none, or Stripe cannot do it now.
    """
    known = _own(till, account)
    with _asking(till, account.id):
        _resume(till, known)
        sync_subscription(till, known.id)


def end_for_good(till: Till, account: AccountRow) -> None:
    """End all that an account pays for, now: it is about to be deleted, and nobody calls any more.

    What was used is reported first, as ending a subscription makes its last invoice.

    Raises:
        CannotBuy: Stripe cannot do it now.
    """
    if not account.customer_id:
        return
    with _asking(till, account.id):
        till.payments.expire_checkouts(account.customer_id)
        theirs = till.payments.subscriptions_of(account.customer_id)
        ours = [one.id for one in theirs if one.is_ours and one.status in {*LIVE, "unpaid", "paused", "incomplete"}]
        if ours:
            till.invoice_open(account.customer_id)
        for each in ours:
            till.payments.cancel_now(each)


def wish_top_up(till: Till, account: AccountRow, pack_name: str, below: str) -> None:
    """Have a pack bought automatically when credit falls below an amount; without a pack, stop that.

    Raises:
        CannotBuy: there is no such pack, or `below` is no amount, or is more than the pack is worth.
    """
    if not pack_name:
        till.billing.wish_top_up(account.id, "", 0)
        return
    pack = pack_named(till, pack_name)
    if pack is None:
        raise CannotBuy("This pack is not for sale.", field="pack")
    try:
        amount = usd_to_nanodollars(below.strip().removeprefix("$").replace(",", ""))
    except ValueError:
        raise CannotBuy("Enter US dollars, such as 5 or 2.50.", field="below") from None
    if not 0 < amount <= pack.credit_nanodollars:
        most = format_usd(pack.credit_nanodollars)
        raise CannotBuy(f"Enter more than 0, and at most {most}, which is what the pack is worth.", field="below")
    till.billing.wish_top_up(account.id, pack.name, amount)
    till.account_changed(account.id)


def customer_of(till: Till, account: AccountRow) -> str:
    """The id of the account's customer at Stripe; made once, and anew where it was deleted there.

    Raises:
        PaymentsUnavailable: Stripe cannot be asked.
        PaymentRefused: it said no.
    """
    before = account.customer_id
    if before and not till.payments.is_deleted(before):
        return before
    made = till.payments.create_customer(account.id, account.email, before)
    return till.billing.set_customer(account.id, made, before)


def pack_named(till: Till, name: str) -> Pack | None:
    return next((pack for pack in till.product.packs if pack.name == name), None)


def bought(pack: Pack) -> Bought:
    return Bought(pack.name, pack_key(pack), pack.price_cents, pack.credit_nanodollars, pack.days)


def _own(till: Till, account: AccountRow) -> Known:
    known = till.billing.subscription(account.id)
    if known is None or not known.is_live:
        raise CannotBuy(NOT_SUBSCRIBED)
    return known


def _resume(till: Till, known: Known) -> None:
    if known.ends_at_period_end:
        till.payments.end_at_period_end(known.id, ends=False)


def _wish(till: Till, known: Known, plan: Plan) -> None:
    """Have another plan from the next period on; if Stripe refuses it, what was wanted before stays wanted.

    Our note of the wish counts, whatever happens after it: if Stripe cannot be told now, it is told later.
    """
    till.billing.want_next(known, plan.name)
    try:
        sync_subscription(till, known.id)
        if known.ends_at_period_end:  # only now: where Stripe refuses the new plan, the cancellation stands
            _resume(till, known)
            sync_subscription(till, known.id)
    except PaymentRefused:
        _wish_as_before(till, known)
        raise
    except PaymentsUnavailable as error:
        if known.ends_at_period_end:  # the subscription may still end, so nothing is promised
            _wish_as_before(till, known)
            raise
        log.warning("%s wants %s next, and Stripe will be told later: %s", known.account_id, plan.name, error)


def _wish_as_before(till: Till, known: Known) -> None:
    """Note what was wanted before, or the plan in force: Stripe may do what it was asked for without an answer."""
    till.billing.want_next(known, known.next_plan or known.plan)
    with suppress(PaymentRefused, PaymentsUnavailable):
        sync_subscription(till, known.id)


def _move_now(till: Till, known: Known, plan: Plan, *, is_gone: bool) -> None:
    """Move to another plan now; if that fails, the cheaper plan that was wanted for later stays wanted.

    With `is_gone`, the plan in force is no longer offered: Stripe cannot be put back onto its price. If Stripe has
    another price already, nothing is charged or given back until the next period.
    """
    # A trial is only for the plan that it began with: another plan is paid for.
    ends_trial, once = known.status == "trialing", f"farebox-change-{known.id}-{secrets.token_hex(8)}"
    try:
        if known.next_plan and is_gone:
            till.billing.want_next(known, "")
        elif known.next_plan:
            _forget_wish(till, known)
        prorated = not (known.next_plan and is_gone)
        till.payments.change_plan(known.id, keys_of(plan), prorated=prorated, once=once, ends_trial=ends_trial)
        _resume(till, known)  # only now: where Stripe refuses the new plan, the cancellation stands
    except (PaymentRefused, PaymentsUnavailable):
        if known.next_plan:
            _wish_as_before(till, known)
        raise
    sync_subscription(till, known.id)


def _forget_wish(till: Till, known: Known) -> None:
    """Have Stripe charge the plan in force again: the difference to another plan is counted from that."""
    till.billing.want_next(known, known.plan)
    sync_subscription(till, known.id)
    after = till.billing.subscription(known.account_id)
    if after is not None and after.next_plan:
        raise PaymentsUnavailable(f"{known.id} is not back on {known.plan} yet")


def _paid_url(till: Till, account: AccountRow) -> str:
    return _page(till, "/plan/paid?cs={CHECKOUT_SESSION_ID}", account)


def _page(till: Till, path: str, account: AccountRow) -> str:
    """The page that Stripe sends the customer back to."""
    return till.url + of_account(path, account.id)
