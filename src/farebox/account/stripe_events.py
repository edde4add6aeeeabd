"""Work off Stripe's events: in any process, at least once, with the same result however often and in any order."""

import logging
import threading
import time
from collections.abc import Callable
from typing import Final

from farebox.account.rounds import CLEAN_SECONDS, Cleaning, Rounds, wait_seconds
from farebox.account.sync import look_again, sync_checkout, sync_invoice, sync_payment, sync_subscription
from farebox.account.till import Till
from farebox.domain.errors import stops_all
from farebox.domain.people import DAY_US
from farebox.domain.period import MICROSECONDS
from farebox.domain.webhooks import verb_of
from farebox.ports.billing import Inbox, Waiting
from farebox.ports.money import PaymentRefused, PaymentsUnavailable

log = logging.getLogger("farebox.money")

FIRST_WAIT_SECONDS: Final = 2.0
WAIT_SECONDS_MAX: Final = 900.0
TELL_SECONDS: Final = 60.0
GIVEN_UP_US: Final = 7 * DAY_US
NOTHING_TO_DO: Final = "nothing is done about this type"


class Clerk:
    """The worker on events in one process. `wake` it when one was stored; it looks by itself as well."""

    def __init__(self, inbox: Inbox, open_till: Callable[[], Till]) -> None:
        self._inbox = inbox
        self._open_till = open_till
        self._tells_at = time.monotonic()
        self._cleaning = Cleaning(inbox.forget, CLEAN_SECONDS)
        self._is_ending = threading.Event()
        self._rounds = Rounds(log)

    def wake(self) -> None:
        """Have the inbox looked into now; may be called from any thread."""
        self._rounds.wake()

    def end(self) -> None:
        """Finish what is in hand, and begin nothing after it."""
        self._is_ending.set()

    async def run(self, look_seconds: float) -> None:
        """Work for ever."""
        await self._rounds.run(
            lambda _: self.look(), lambda: self._cleaning.wait_seconds(look_seconds), "what Stripe has told"
        )

    def look(self) -> None:
        """Work off whatever is due, and look at the accounts whose grace is over, or that wait for another plan."""
        self.work_off_all()
        for account_id in self._inbox.lapsed():
            self._look_again(account_id, "the end of the grace")
        if time.monotonic() >= self._tells_at:
            self._tells_at = time.monotonic() + TELL_SECONDS
            for account_id in self._inbox.wishing():
                if not self._look_again(account_id, "the wish for another plan"):
                    break
        self._cleaning.go_on()

    def _look_again(self, account_id: str, why: str) -> bool:
        """Follow up one account; False if Stripe could not be reached. Any other failure holds up no other account.

        The ledger goes by the clock, so of a grace only a mail is late; a wish has time until its period ends.
        """
        try:
            look_again(self._open_till(), account_id)
        except (PaymentsUnavailable, PaymentRefused) as error:
            log.info("%s of %s is looked at later: %s", why, account_id, error)
            return isinstance(error, PaymentRefused)
        except Exception as error:
            if stops_all(error):
                raise
            log.exception("%s of %s could not be looked at", why, account_id)
        return True

    def work_off_all(self) -> int:
        """Work off what is due; return how many events that were."""
        count = 0
        while not self._is_ending.is_set() and (event := self._inbox.claim()) is not None:
            self._work_off(event)
            count += 1
        return count

    def _work_off(self, event: Waiting) -> None:
        try:
            note = apply(self._open_till, event)
        except PaymentsUnavailable as error:
            self._wait(event, str(error))
        except PaymentRefused as error:
            log.warning("gave up %s (%s): %s", event.id, event.type, error)
            self._inbox.done(event.id, str(error))
        except Exception as error:
            if stops_all(error):
                raise
            log.exception("%s (%s) could not be handled", event.id, event.type)
            self._wait(event, type(error).__name__)
        else:
            self._inbox.done(event.id, note)

    def _wait(self, event: Waiting, reason: str) -> None:
        seconds = wait_seconds(event.tries, FIRST_WAIT_SECONDS, WAIT_SECONDS_MAX)
        if event.tries * WAIT_SECONDS_MAX * MICROSECONDS > GIVEN_UP_US:
            log.error("gave up %s (%s): %s", event.id, event.type, reason)
            self._inbox.done(event.id, reason)
            return
        log.warning("%s (%s) has to wait %.0f s: %s", event.id, event.type, seconds, reason)
        self._inbox.put_off(event.id, seconds, reason)


def apply(open_till: Callable[[], Till], event: Waiting) -> str:
    """Fetch what an event is about, and have our rows follow it; a note where nothing is done.

    Raises:
        PaymentsUnavailable: Stripe cannot be asked.
        PaymentRefused: it does not know the object.
    """
    match verb_of(event.type, event.object_id):
        case None:
            return NOTHING_TO_DO
        case "checkout":
            till = open_till()
            sync_checkout(till, till.payments.checkout(event.object_id))
        case "subscription":
            sync_subscription(open_till(), event.object_id)
        case "invoice":
            sync_invoice(open_till(), event.object_id)
        case "payment":
            sync_payment(open_till(), event.object_id)
        case "charge":
            till = open_till()
            payment_id = till.payments.payment_of_charge(event.object_id)
            if not payment_id:
                return NOTHING_TO_DO
            sync_payment(till, payment_id)
        case "usage":
            log.warning("Stripe has not taken usage that it was sent (%s); see farebox doctor", event.type)
    return ""
