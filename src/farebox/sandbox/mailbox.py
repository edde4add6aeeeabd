"""The mailbox of `farebox dev`: mails that would have been sent, to be read at /dev/mail."""

from collections import deque
from typing import Final

from farebox.ports.people import Letter, Mailer

KEPT_MAX: Final = 50


class Mailbox:
    """The port `Mailer` that keeps the last mails, and passes them on."""

    def __init__(self, onward: Mailer) -> None:
        self._onward = onward
        self._kept: deque[Letter] = deque(maxlen=KEPT_MAX)

    @property
    def letters(self) -> list[Letter]:
        """The newest first."""
        return list(reversed(self._kept))

    def send(self, letter: Letter) -> None:
        self._kept.append(letter)
        self._onward.send(letter)

    def close(self) -> None:
        self._onward.close()
