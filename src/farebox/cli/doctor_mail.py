"""The doctor's checks of mail: whether the server is there, and lets us in."""

import smtplib
from collections.abc import Iterator

from farebox.adapters.mail_smtp import connect, said
from farebox.cli.findings import Finding, fix, note, ok
from farebox.domain.errors import FounderError
from farebox.domain.mail import SmtpServer, parse_sender, parse_smtp
from farebox.domain.product import Product
from farebox.settings import Settings


def check_mail(settings: Settings, product: Product) -> Iterator[Finding]:
    """Whether mail can be sent, by the server of the settings and from their address."""
    try:
        sender = parse_sender(settings.mail_from, product.name, settings.own_url)
    except FounderError as error:
        yield Finding("FIX", f"mail: {error}")
        return
    if settings.smtp_url is None:
        yield note("mail", "SMTP_URL is not set, so mails are printed where you serve, and sent to nobody")
        return
    try:
        server = parse_smtp(settings.smtp_url.get_secret_value())
    except FounderError as error:
        yield Finding("FIX", f"mail: {error}")
        return
    yield _try(server, sender.address)
    if not settings.public_url:
        yield fix("mail", "links in mails lead to this machine", "set FAREBOX_PUBLIC_URL to your public address")


def _try(server: SmtpServer, sender: str) -> Finding:
    try:
        connection = connect(server)
    except smtplib.SMTPAuthenticationError as error:
        return fix("mail", f"{server.name} does not let {server.user} in ({said(error)})", "mend SMTP_URL")
    except (OSError, smtplib.SMTPException) as error:
        return fix("mail", f"{server.name} cannot be used ({said(error)})", "check host, port and scheme in SMTP_URL")
    connection.close()
    return ok("mail", f"{server.name} takes mails, from {sender}")
