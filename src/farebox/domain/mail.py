"""The mail server and the sender that the settings name."""

import ipaddress
import re
from typing import Final, NamedTuple
from urllib.parse import unquote, urlsplit

from farebox.domain.errors import FounderError

PORTS: Final = {"smtp": 587, "smtps": 465}
FORM: Final = "Write it as smtp://user:password@host:587 (with STARTTLS) or smtps://user:password@host:465."
_SENDER = re.compile(r"(?:([^<>\r\n\"]*?) *<)?([^<>\s@,;:\"]+@[a-zA-Z0-9.-]+)(>?)")


class SmtpServer(NamedTuple):
    """The server that takes our mail, and the user to log in there."""

    host: str
    port: int
    is_tls: bool
    user: str
    password: str

    @property
    def name(self) -> str:
        """The server as it may be shown: without user and password."""
        return f"{self.host}:{self.port}"


class Sender(NamedTuple):
    """The sender of our mail."""

    name: str
    address: str

    @property
    def domain(self) -> str:
        return self.address.rpartition("@")[2]


def parse_smtp(url: str) -> SmtpServer:
    """The server that a URL names.

    Raises:
        FounderError: it names none; the sentence does not show the password.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise FounderError(f"SMTP_URL cannot be read. {FORM} Percent-encode / @ : ? # % in the password.") from None
    if parts.scheme not in PORTS or not host or port == 0 or not _can_be_looked_up(host):
        raise FounderError(f"SMTP_URL names no mail server. {FORM}")
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    if bool(user) != bool(password):
        raise FounderError(f"SMTP_URL has a user without a password, or a password without a user. {FORM}")
    return SmtpServer(host, port or PORTS[parts.scheme], parts.scheme == "smtps", user, password)


def parse_sender(text: str, product: str, url: str) -> Sender:
    """The sender that the setting names; without one, no-reply at the product's own host.

    Raises:
        FounderError: the setting is no address.
    """
    name = " ".join(product.split())
    if not text:
        return Sender(name, f"no-reply@{_host(url)}")
    match = _SENDER.fullmatch(text.strip())
    is_whole = match is not None and (match[1] is None) == (not match[3]) and match[2].isascii()
    if match is None or not is_whole or not text.isprintable():
        raise FounderError("FAREBOX_MAIL_FROM is no address; write hello@example.com or Example <hello@example.com>.")
    return Sender(match[1] or name, match[2])


def _can_be_looked_up(host: str) -> bool:
    """Whether it can be a host's name; one with an empty part, or one too long, Python does not even look up."""
    try:
        host.encode("idna")
    except UnicodeError:
        return False
    return not any(map(str.isspace, host))


def _host(url: str) -> str:
    host = urlsplit(url).hostname or "localhost"
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return host
    return "localhost"
