"""Have our rows follow what is at Stripe. Each object is fetched anew, so order, repetition and loss do not matter."""

import json
import logging
from typing import Final

from farebox.account.till import Till
from farebox.domain.billing import LIVE, Checkout, Payment, Subscription
from farebox.domain.catalogue import keys_of
from farebox.domain.events import PaymentFailed
from farebox.domain.money import NANODOLLARS_PER_CENT
from farebox.domain.people import DAY_US
from farebox.domain.period import iso
from farebox.domain.subscribing import Followed, Known, Paying, at_own_price, follow, is_charged_again, rival_of
from farebox.ports.calls import AccountRow
from farebox.ports.money import PaymentRefused

log = logging.getLogger("farebox.money")

DAYS_UNSAID: Final = 365
TAKEN_BACK: Final = "A payment for credit was refunded, or is disputed."


def sync_subscription(till: Till, subscription_id: str) -> None:
    """Fetch a subscription, have its account follow it, and have Stripe know the plan that is wanted next.

    Raises:
        PaymentsUnavailable: Stripe cannot be asked.
        PaymentRefused: it knows no such subscription, or does not take that plan.
    """
    if _fetch(till, subscription_id):
        _fetch(till, subscription_id)


def _fetch(till: Till, subscription_id: str) -> bool:
    """Fetch it and apply it; True if that changed it at Stripe, so that it has to be fetched again."""
    fetched_us = till.billing.now_us()
    fetched = till.payments.subscription(subscription_id)
    account = till.billing.account(fetched.account_id) or till.billing.account_of(fetched.customer)
    if account is None:
        log.warning("%s belongs to no account here", subscription_id)
    elif account.closed_us is not None:
        if fetched.is_ours and fetched.status in LIVE:
            log.warning("%s was bought for %s, which is deleted: it is ended, and what was paid for it may be due back",
                        fetched.id, account.id)  # fmt: skip
            till.payments.cancel_now(fetched.id)
    else:
        return _follow(till, account, fetched, fetched_us)
    return False


def _follow(till: Till, account: AccountRow, fetched: Subscription, fetched_us: int) -> bool:
    rival, before, is_changed = "", None, False

    def decide(paying: Paying, known: Known | None, now_us: int) -> Followed | None:
        nonlocal rival, before
        rival, before = rival_of(known, fetched), known
        return follow(paying, known, fetched, fetched_us, now_us, till.rules)

    followed = till.billing.follow(account.id, decide, lambda after: _words(till, account, after))
    if followed is not None:
        if followed.news:
            till.mail_written()
        if "failed" in followed.news:
            till.tell(PaymentFailed(account.id, followed.known.plan))
        till.account_changed(account.id)
        if is_charged_again(before, followed.known):
            log.warning("%s is charged for %s once more: Stripe was not told in time of the move to %s, so money may "
                        "be due back", account.id, followed.known.plan, followed.known.next_plan)  # fmt: skip
        is_changed = _keep_wish(till, followed.known, fetched)
    if rival:
        _end_rival(till, account.id, rival)
    return is_changed


def _words(till: Till, account: AccountRow, after: Followed) -> str:
    """The values that the templates of mails to the owners need, as JSON."""
    until_us = after.paying.grace_until_us
    until = "" if until_us is None else f"{iso(until_us)[:16].replace('T', ' ')} UTC"
    fallback = till.rules.fallback if till.rules.is_fallback_free else ""
    return json.dumps({"account": account.email, "plan": after.known.plan, "until": until, "fallback": fallback})


def _keep_wish(till: Till, known: Known, fetched: Subscription) -> bool:
    """Have Stripe charge the plan that is wanted from the next period on, if it does not yet; True if it was told.

    Our note of the wish is what counts. Several processes may do this at once: it charges nothing, and adds nothing.
    """
    wanted = till.product.by_name.get(known.next_plan)
    if wanted is None or at_own_price(known, fetched).plan == wanted.name or not known.is_live:
        return False
    once = f"farebox-next-{known.id}-{wanted.name}-{known.synced_us}"
    till.payments.change_plan(known.id, keys_of(wanted), prorated=False, once=once)
    after = till.billing.subscription(known.account_id)
    if after is not None and after.id == known.id and not after.next_plan:
        till.billing.want_next(after, after.plan)  # the wish was taken back, or another plan was moved to, meanwhile
    return True


def _end_rival(till: Till, account_id: str, rival: str) -> None:
    """End one of two subscriptions that were bought at once: an account keeps only the one that holds."""
    try:
        if till.payments.subscription(rival).status in LIVE:
            log.warning("%s had two subscriptions; %s is ended, and what was paid for it may be due back",
                        account_id, rival)  # fmt: skip
            stays = till.billing.account(account_id)
            plan = till.product.by_name.get(stays.plan) if stays is not None else None
            # If the one that stays bills use, it bills all use of the customer, also from the time of both.
            till.payments.cancel_now(rival, bills_use=plan is None or not plan.is_invoiced)
    except PaymentRefused:
        log.warning("%s, the second subscription of %s, could not be ended", rival, account_id)


def sync_invoice(till: Till, invoice_id: str) -> None:
    """Fetch an invoice, and keep it; its subscription is fetched as well, as it may have been paid, or not.

    Raises:
        PaymentsUnavailable: Stripe cannot be asked.
        PaymentRefused: it knows no such invoice.
    """
    fetched_us = till.billing.now_us()
    fetched = till.payments.invoice(invoice_id)
    if fetched.subscription_id:
        sync_subscription(till, fetched.subscription_id)
    account = till.billing.account_of(fetched.customer)
    if account is None and fetched.subscription_id:  # the customer was deleted, and the account has another by now
        account = till.billing.account(till.payments.subscription(fetched.subscription_id).account_id)
    if account is None:
        log.warning("%s belongs to no account here", invoice_id)
        return
    till.billing.keep_invoice(account.id, fetched, fetched_us)
    if fetched.status == "draft":
        till.invoice_open(fetched.customer)


def sync_checkout(till: Till, checkout: Checkout) -> None:
    """Apply what was bought on a checkout page.

    Raises:
        PaymentsUnavailable: Stripe cannot be asked.
        PaymentRefused: it does not know the subscription, or the payment.
    """
    if checkout.subscription_id:
        sync_subscription(till, checkout.subscription_id)
    if checkout.payment_id:
        sync_payment(till, checkout.payment_id)


def sync_payment(till: Till, payment_id: str) -> None:
    """Fetch a one-time payment: grant its credit once it is paid, and take back what was refunded or is disputed.

    Raises:
        PaymentsUnavailable: Stripe cannot be asked.
        PaymentRefused: it knows no such payment.
    """
    payment = till.payments.payment(payment_id)
    while True:
        settle_payment(till, payment)
        # The payment that was fetched may be older than the one that another process has applied meanwhile.
        again = till.payments.payment(payment_id)
        if (again.status, again.taken_back_cents) == (payment.status, payment.taken_back_cents):
            return
        payment = again


def settle_payment(till: Till, payment: Payment) -> None:
    """Grant the credit of a payment that was just fetched, and take back the share that was refunded or is disputed."""
    if not payment.pack or payment.status != "succeeded":
        return
    account = till.billing.account(payment.account_id) or till.billing.account_of(payment.customer)
    if account is None:
        log.warning("%s belongs to no account here", payment.id)
        return
    if account.closed_us is not None and not till.credit.knows(payment.id):
        if payment.taken_back_cents < payment.amount_cents:
            log.warning("%s was paid for %s, which is deleted, and may be due back", payment.id, account.id)
        return
    amount = payment.credit_nanodollars or payment.amount_cents * NANODOLLARS_PER_CENT
    expires_us = till.billing.now_us() + (payment.days or DAYS_UNSAID) * DAY_US
    is_new = till.credit.grant(account.id, payment.id, payment.pack, amount, expires_us)
    if payment.taken_back_cents or not is_new:
        share = amount * payment.taken_back_cents // payment.amount_cents if payment.amount_cents else 0
        told = json.dumps({"account": account.email, "reason": TAKEN_BACK})
        missing = till.credit.take_back(payment.id, share, ended=TAKEN_BACK, told=told)
        till.mail_written()
        if missing:
            log.warning("%s: %d nanodollars that are due back were spent already", payment.id, missing)
    till.account_changed(account.id)


def look_again(till: Till, account_id: str) -> None:
    """Look at an account whose grace may be over, or whose wish for another plan Stripe may not know.

    Raises:
        PaymentsUnavailable: Stripe cannot be asked.
        PaymentRefused: it does not know the account's subscription.
    """
    known = till.billing.subscription(account_id)
    if known is not None:
        sync_subscription(till, known.id)
