"""Mail without a server: printed, so that the founder can read it."""

import sys

from farebox.ports.people import Letter


class ConsoleMailer:
    """The port `Mailer` on standard output."""

    def send(self, letter: Letter) -> None:
        lines = "\n".join(f"  {line}".rstrip() for line in letter.text.strip().splitlines())
        sys.stdout.write(f"\nMail to {letter.to}: {letter.subject}\n{lines}\n\n")
        sys.stdout.flush()

    def close(self) -> None:
        """Do nothing: nothing is open."""
