"""Report to Stripe what calls add to invoices: at least once by us, and exactly once by the events' identifiers."""

import asyncio
import logging
import threading
from collections.abc import Callable
from typing import Final

from farebox.account.check_usage import UsageCheck
from farebox.account.rounds import Rounds, note_surely, wait_seconds
from farebox.domain.money import format_usd
from farebox.ports.money import PaymentRefused, PaymentsUnavailable, UsageEvent, UsageMeter, UsageOutbox

log = logging.getLogger("farebox.usage")

FIRST_WAIT_SECONDS: Final = 5.0
WAIT_SECONDS_MAX: Final = 300.0
FAILURES_MAX: Final = 3
"""After so many in a row Stripe is left alone until the next look."""


class UsageReport:
    """The sender of one process; it also has the sums compared, once a day by one of the processes.

    `open_meter` is asked for Stripe when there is something to send: a process that sells nothing never loads it.
    """

    def __init__(self, outbox: UsageOutbox, check: UsageCheck, open_meter: Callable[[], UsageMeter]) -> None:
        self._outbox = outbox
        self._check = check
        self._open_meter = open_meter
        self._is_ending = threading.Event()

    async def run(self, look_seconds: float) -> None:
        """Send for ever, and compare the sums beside it, which takes an hour for many customers."""
        await asyncio.gather(
            Rounds(log).run(lambda _: self.send_all(), lambda: look_seconds, "reporting usage"),
            Rounds(log).run(lambda _: self._compare(), lambda: look_seconds, "comparing usage with Stripe's"),
        )

    def look(self) -> None:
        """Send whatever is due, and compare the sums where that is due."""
        self.send_all()
        self._compare()

    def _compare(self) -> None:
        if not self._is_ending.is_set():
            self._check.look()

    def end(self) -> None:
        """Send what is in hand, and nothing after it."""
        self._is_ending.set()

    def flush(self, customer: str) -> int:
        """Send all usage of one customer now, as their invoice is about to close; return how many calls are left.

        What is left is sent later: with the time of the calls while that still comes onto their invoice, and else onto
        the next one.
        """
        self.send_all(customer)
        left = self._outbox.waiting(customer)
        if left:
            log.warning("%d calls of %s are not reported yet, and their invoice is about to close", left, customer)
        return left

    def send_all(self, customer: str = "") -> int:
        """Send what is due, of everybody or of one customer; return how many events Stripe has taken."""
        count = failures = 0
        while failures < FAILURES_MAX and not self._is_ending.is_set():
            event = self._outbox.claim(customer)
            if event is None:
                if not self._outbox.collect(customer):
                    break
                continue
            is_taken = self._send(event)
            count += is_taken
            failures = 0 if is_taken else failures + 1
        return count

    def _send(self, event: UsageEvent) -> bool:
        try:
            self._open_meter().send_usage(event)
        except PaymentsUnavailable as error:
            seconds = wait_seconds(event.tries, FIRST_WAIT_SECONDS, WAIT_SECONDS_MAX)
            log.warning("%s has to wait %.0f s: %s", event.id, seconds, error)
            self._outbox.put_off(event.id, seconds, str(error))
        except PaymentRefused as error:
            log.error("%s is held, Stripe does not take it: %s", event.id, error)  # noqa: TRY400  # its words are all there is
            self._outbox.hold(event.id, str(error))
        else:
            log.info("%s: %s of %d calls", event.id, format_usd(event.nanodollars), event.calls)
            # Sent again after a day, it would count twice.
            note_surely(lambda: self._outbox.taken(event.id), f"that {event.id} was taken", self._is_ending, log)
            return True
        return False
