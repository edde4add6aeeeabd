"""Mail over SMTP, by the standard library, on the sender's own thread."""

import smtplib
import ssl
from base64 import b64encode
from contextlib import suppress
from datetime import UTC, datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from typing import Any, Final

from farebox.domain.mail import Sender, SmtpServer
from farebox.ports.people import Letter, MailNotSent, MailRefused

SECONDS_MAX: Final = 10.0  # of silence, for each answer of the server
# The same while it checks a letter that it has: a client that gives up on a letter that is taken sends it twice.
TAKING_SECONDS_MAX: Final = 60.0
LET_IN: Final = 235
PERMANENT: Final = range(500, 600)


class SmtpMailer:
    """The port `Mailer` over one server. Its connection is for all letters that wait."""

    def __init__(self, server: SmtpServer, sender: Sender) -> None:
        self._server = server
        self._sender = sender
        self._connection: smtplib.SMTP | None = None

    def send(self, letter: Letter) -> None:
        message = message_of(letter, self._sender)
        try:
            self._hand_over(message, letter.to)
        except smtplib.SMTPRecipientsRefused as error:
            code, reason = next(iter(error.recipients.values()))
            raise _told(code, reason) from None
        except smtplib.SMTPDataError as error:
            raise _told(error.smtp_code, error.smtp_error) from None
        except (OSError, smtplib.SMTPException) as error:
            # A wrong password or sender is the founder's to mend: the mail waits for it.
            self._drop()
            raise MailNotSent(f"{self._server.name}: {said(error)}") from None

    def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(OSError, smtplib.SMTPException):
                connection.quit()

    def _hand_over(self, message: EmailMessage, recipient: str) -> None:
        if self._connection is None:
            self._connection = connect(self._server)
        self._connection.sendmail(self._sender.address, [recipient], message.as_bytes(policy=SMTP))

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


class _Patience(smtplib.SMTP):
    """A connection that waits longer for the answer to a letter than for any other answer."""

    def data(self, msg: Any) -> tuple[int, bytes]:  # noqa: ANN401  # as the standard library has it
        if self.sock is not None:
            self.sock.settimeout(TAKING_SECONDS_MAX)
        try:
            return super().data(msg)
        finally:
            if self.sock is not None:
                self.sock.settimeout(SECONDS_MAX)


class _PatienceOverTls(_Patience, smtplib.SMTP_SSL):
    """The same, encrypted from the first byte."""


def connect(server: SmtpServer) -> smtplib.SMTP:
    """A connection that is encrypted where the server can, and always before a password is sent.

    Raises:
        OSError: the server cannot be reached, or is not trusted.
        SMTPException: it does not let us in.
    """
    context = ssl.create_default_context()
    if server.is_tls:
        connection: smtplib.SMTP = _PatienceOverTls(server.host, server.port, timeout=SECONDS_MAX, context=context)
    else:
        connection = _Patience(server.host, server.port, timeout=SECONDS_MAX)
    try:
        _open(connection, server, context)
    except BaseException:
        connection.close()
        raise
    return connection


def message_of(letter: Letter, sender: Sender) -> EmailMessage:
    """The letter as it goes over the wire. No header can be smuggled in: a line break in one is an error."""
    message = EmailMessage(policy=SMTP)
    message["Message-ID"] = f"<{letter.id}@{sender.domain}>"
    message["Date"] = format_datetime(datetime.now(UTC))
    message["From"] = Address(sender.name, addr_spec=sender.address)
    message["To"] = Address(addr_spec=letter.to)
    message["Subject"] = letter.subject
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(letter.text)
    message.add_alternative(letter.html, subtype="html")
    return message


def said(error: Exception) -> str:
    """Why it did not work, in one line."""
    if isinstance(error, smtplib.SMTPResponseException):
        return _line(error.smtp_code, error.smtp_error)
    return " ".join(str(error).split()) or type(error).__name__


def _open(connection: smtplib.SMTP, server: SmtpServer, context: ssl.SSLContext) -> None:
    connection.ehlo_or_helo_if_needed()
    if not server.is_tls and connection.has_extn("starttls"):
        connection.starttls(context=context)
        connection.ehlo()
    elif not server.is_tls and server.user:
        raise smtplib.SMTPNotSupportedError("the server offers no STARTTLS, and a password is not sent without it")
    if server.user:
        _log_in(connection, server)


def _log_in(connection: smtplib.SMTP, server: SmtpServer) -> None:
    if f"{server.user}{server.password}".isascii():
        connection.login(server.user, server.password)
        return
    # smtplib takes ASCII alone; PLAIN is UTF-8, see RFC 4616.
    if "PLAIN" not in connection.esmtp_features.get("auth", "").upper().split():
        raise smtplib.SMTPNotSupportedError("the server offers no AUTH PLAIN, and no other takes what is not ASCII")
    said_so = b64encode(f"\0{server.user}\0{server.password}".encode()).decode()
    code, reason = connection.docmd("AUTH", f"PLAIN {said_so}")
    if code != LET_IN:
        raise smtplib.SMTPAuthenticationError(code, reason)


def _told(code: int, reason: bytes | str) -> MailRefused | MailNotSent:
    return MailRefused(_line(code, reason)) if code in PERMANENT else MailNotSent(_line(code, reason))


def _line(code: int, reason: bytes | str) -> str:
    text = reason.decode("ascii", "replace") if isinstance(reason, bytes) else reason
    return f"{code} {' '.join(text.split())}"
