"""Buy a pack automatically when credit runs low: at most one payment at a time, and none after one that failed."""

import json
import logging
import time
from collections.abc import Callable
from typing import Final

from farebox.account.buy import bought, pack_named
from farebox.account.rounds import Rounds
from farebox.account.sync import settle_payment
from farebox.account.till import Till
from farebox.domain.admission import Standing
from farebox.domain.billing import Payment
from farebox.domain.errors import LedgerUnavailable, stops_all
from farebox.domain.events import PaymentFailed
from farebox.domain.ledger import Hold, Outcome
from farebox.domain.money import format_usd
from farebox.domain.people import HOUR_US
from farebox.ports.billing import TopUpAttempt, TopUps
from farebox.ports.calls import AccountRow
from farebox.ports.money import PaymentRefused, PaymentsUnavailable

log = logging.getLogger("farebox.money")

GATHER_SECONDS: Final = 0.5
WAIT_SECONDS: Final = 60.0
PROCESSING_SECONDS: Final = 600.0
LOOK_AT_ALL_SECONDS: Final = 3600.0
GIVEN_UP_US: Final = 23 * HOUR_US  # for a day, Stripe makes no second payment under the same key
NOT_KNOWN: Final = "Stripe could not be asked for a day, so whether it was paid is not known."
NOT_FOR_SALE: Final = "This pack is not for sale any more."
NO_CARD: Final = "No card is kept for this account. Buy a pack once, and the card is kept for the next time."
NEEDS_YOU: Final = "The bank wants you to confirm the payment. Buy a pack yourself."


class TopUpWatch:
    """The watch of one process over the credit of accounts that call here; now and then, over that of all accounts."""

    def __init__(self, top_ups: TopUps, open_till: Callable[[], Till]) -> None:
        self._top_ups = top_ups
        self._open_till = open_till
        self._rounds = Rounds(log, GATHER_SECONDS)
        self._all_at = time.monotonic()

    def recorded(self, hold: Hold, outcome: Outcome, standing: Standing | None) -> None:
        """Mark the account of a recorded call that used credit; this costs next to nothing."""
        del standing
        if outcome.prepaid_nanodollars:
            self._rounds.mark(hold.account_id)

    def soon(self, account_id: str) -> None:
        """Have an account looked at; may be called from any thread."""
        self._rounds.soon(account_id)

    async def run(self, look_seconds: float) -> None:
        """Watch for ever."""
        await self._rounds.run(self.look, lambda: look_seconds, "topping up")

    def look(self, met: set[str]) -> None:
        """Go on with what is under way, and begin what is due for some accounts; now and then, for all."""
        while (due := self._top_ups.claim_due()) is not None:
            pay(self._open_till(), self._top_ups, due)
        for account_id in self._top_ups.low_among(sorted(met)):
            self._begin(account_id)
        if time.monotonic() >= self._all_at:
            after = ""
            while page := self._top_ups.low(after):
                for account_id in page:
                    self._begin(account_id)
                after = page[-1]
            self._all_at = time.monotonic() + LOOK_AT_ALL_SECONDS

    def _begin(self, account_id: str) -> None:
        try:
            attempt = self._top_ups.claim(account_id)
        except LedgerUnavailable as error:
            if stops_all(error):
                raise
            log.warning("the credit of %s is looked at later: %s", account_id, error.detail)
            return
        if attempt is not None:
            pay(self._open_till(), self._top_ups, attempt)


def pay(till: Till, top_ups: TopUps, attempt: TopUpAttempt) -> None:
    """Make a payment, or find out what became of it, and grant its credit before another one may begin."""
    account = till.billing.account(attempt.account_id)
    if account is None or account.closed_us is not None:
        _fail(till, top_ups, attempt, account, NOT_FOR_SALE)
        return
    try:
        payment = _payment(till, top_ups, account, attempt)
    except PaymentsUnavailable:
        if till.billing.now_us() - attempt.begun_us > GIVEN_UP_US:
            _fail(till, top_ups, attempt, account, NOT_KNOWN)
        else:
            top_ups.put_off(account.id, attempt.id, WAIT_SECONDS)
    except PaymentRefused as error:
        _fail(till, top_ups, attempt, account, str(error))
    else:
        _paid(till, top_ups, attempt, account, payment)


def _payment(till: Till, top_ups: TopUps, account: AccountRow, attempt: TopUpAttempt) -> Payment | None:
    """The payment of an attempt, found or made; None if none was made, and none is wanted any more.

    It is looked for before it is made: Stripe forgets a key after a day, and takes it for no other pack or card.

    Raises:
        PaymentsUnavailable: Stripe cannot be asked.
        PaymentRefused: it said no.
    """
    if not account.customer_id:
        raise PaymentRefused(NO_CARD)
    found = till.payments.paid_off_session(account.customer_id, attempt.id, attempt.begun_us)
    if found is not None or not attempt.pack:
        return found
    pack = pack_named(till, attempt.pack)
    if pack is None:
        raise PaymentRefused(NOT_FOR_SALE)
    if not top_ups.is_wanted(account.id, attempt.id):  # it may have waited for Stripe for hours
        return None
    return till.payments.pay_off_session(account.id, account.customer_id, bought(pack), attempt.id)


def _paid(till: Till, top_ups: TopUps, attempt: TopUpAttempt, account: AccountRow, payment: Payment | None) -> None:
    if payment is None:
        top_ups.end(account.id, attempt.id, "", "")
    elif payment.status == "succeeded":
        settle_payment(till, payment)
        top_ups.end(account.id, attempt.id, "", "")
    elif payment.status == "processing":
        top_ups.put_off(account.id, attempt.id, PROCESSING_SECONDS)
    else:
        _fail(till, top_ups, attempt, account, payment.failed or NEEDS_YOU)


def _fail(till: Till, top_ups: TopUps, attempt: TopUpAttempt, account: AccountRow | None, reason: str) -> None:
    pack = pack_named(till, attempt.pack)
    told = {
        "account": account.email if account is not None else "",
        "price": format_usd(pack.price_nanodollars) if pack is not None else "",
        "reason": reason,
    }
    if top_ups.end(attempt.account_id, attempt.id, reason, json.dumps(told)):
        till.mail_written()
    if account is not None:
        till.tell(PaymentFailed(account.id, account.plan))
