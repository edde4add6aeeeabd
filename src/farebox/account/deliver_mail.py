"""Send the mails that wait in the outbox: at least once after a crash, and exactly once otherwise."""

import logging
import threading
from collections.abc import Callable
from typing import Final

from farebox.account.rounds import Cleaning, Rounds, note_surely, wait_seconds
from farebox.domain.people import HOUR_US
from farebox.ports.people import DueMail, Letter, Mailer, MailNotSent, MailOutbox, MailRefused

log = logging.getLogger("farebox.mail")

FIRST_WAIT_SECONDS: Final = 5.0
WAIT_SECONDS_MAX: Final = 3600.0
GIVEN_UP_US: Final = 48 * HOUR_US
ONLY_TO_PERSONS: Final = {"magic", "reset"}
ONLY_TO_STRANGERS: Final = {"change"}

Render = Callable[[DueMail], Letter]


class Delivery:
    """The sender of one process. `wake` it when a mail was written; it looks by itself as well."""

    def __init__(self, outbox: MailOutbox, render: Render, open_mailer: Callable[[], Mailer]) -> None:
        self._outbox = outbox
        self._render = render
        self._open_mailer = open_mailer
        self._cleaning = Cleaning(outbox.forget)
        self._is_ending = threading.Event()
        self._rounds = Rounds(log)

    def wake(self) -> None:
        """Have the outbox looked into now; may be called from any thread."""
        self._rounds.wake()

    async def run(self, look_seconds: float) -> None:
        """Send for ever."""
        await self._rounds.run(lambda _: self._look(), lambda: self._cleaning.wait_seconds(look_seconds), "mail")

    def _look(self) -> None:
        self.send_all()
        self._cleaning.go_on()

    def end(self) -> None:
        """Send what is in hand, and nothing after it."""
        self._is_ending.set()

    def send_all(self) -> int:
        """Send all mails that are due; return how many were sent."""
        due = self._outbox.claim()
        if due is None:
            return 0
        count, mailer = 0, self._open_mailer()
        try:
            while due is not None:
                count += self._send(due, mailer)
                due = None if self._is_ending.is_set() else self._outbox.claim()
        finally:
            mailer.close()
        return count

    def _send(self, due: DueMail, mailer: Mailer) -> bool:
        reason = reason_not_to_send(due)
        if reason:
            self._outbox.give_up(due.mail.id, reason)
            return False
        try:
            mailer.send(self._render(due))
        except MailRefused as error:
            log.warning("%s was refused: %s", due.mail.id, error)
            self._outbox.give_up(due.mail.id, str(error))
        except MailNotSent as error:
            self._wait(due, str(error))
        except Exception as error:
            log.exception("%s could not be made", due.mail.id)
            self._wait(due, type(error).__name__)
        else:
            # Else the mail would go out again.
            note_surely(lambda: self._outbox.sent(due.mail.id), f"that {due.mail.id} was sent", self._is_ending, log)
            return True
        return False

    def _wait(self, due: DueMail, reason: str) -> None:
        mail = due.mail
        assert mail.next_us is not None, "it is claimed"
        if mail.next_us - mail.created_us > GIVEN_UP_US:
            log.error("gave up sending %s: %s", mail.id, reason)
            self._outbox.give_up(mail.id, reason)
            return
        seconds = wait_seconds(mail.tries, FIRST_WAIT_SECONDS, WAIT_SECONDS_MAX)
        log.warning("%s has to wait %.0f s: %s", mail.id, seconds, reason)
        self._outbox.put_off(mail.id, seconds, reason)


def reason_not_to_send(due: DueMail) -> str:
    """Why a mail would be of no use; empty if it is of use.

    Whether somebody has the address is only asked here: no page that a stranger sees depends on it.
    """
    if due.mail.template in ONLY_TO_PERSONS and not (due.is_known or due.is_awaited):
        return "nobody has this address"
    if due.mail.template in ONLY_TO_STRANGERS and due.is_known:
        return "somebody has this address already"
    if due.mail.link_id is not None and not due.is_link_alive:
        return "its link no longer works"
    return ""
