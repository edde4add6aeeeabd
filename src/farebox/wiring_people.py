"""Settings → the part of the running system that people need. All of it is loaded when it is first used."""

from collections.abc import Callable
from functools import cache
from pathlib import Path

from farebox.account.deliver import Post
from farebox.account.desk import Desk
from farebox.domain.events import Event
from farebox.domain.mail import parse_sender, parse_smtp
from farebox.domain.product import Product
from farebox.ports import Readings
from farebox.ports_people import Due, Letter, Mailer
from farebox.sandbox.mailbox import Mailbox
from farebox.settings import Settings
from farebox.store.database import Database
from farebox.store.outbox import StoredOutbox


def check_mail(product: Product, settings: Settings) -> None:
    """Find what no mail could be sent with, before a process is started.

    Raises:
        FounderError: the server's address, or the sender's, is none.
    """
    parse_sender(settings.mail_from, product.name, settings.own_url)
    if settings.smtp_url is not None:
        parse_smtp(settings.smtp_url.get_secret_value())


def post_of(
    product: Product,
    settings: Settings,
    folder: Path | None,
    outbox: StoredOutbox,
    secret: bytes,
    mailbox: Mailbox | None,
) -> Post:
    """The sender of mails of one process; `folder` may have templates of the founder's.

    Raises:
        FounderError: as `check_mail`.
    """

    @cache
    def letters() -> Callable[[Due], Letter]:
        from farebox.web.letters import Letters  # noqa: PLC0415  # Jinja2 is loaded when there is a mail

        return Letters(product, settings.own_url, folder, secret).render

    def render(due: Due) -> Letter:
        return letters()(due)

    return Post(outbox, render, _mailers(product, settings, mailbox))


def _mailers(product: Product, settings: Settings, mailbox: Mailbox | None) -> Callable[[], Mailer]:
    if settings.smtp_url is None:
        return _to_console if mailbox is None else lambda: mailbox
    server = parse_smtp(settings.smtp_url.get_secret_value())
    sender = parse_sender(settings.mail_from, product.name, settings.own_url)

    def to_server() -> Mailer:
        from farebox.adapters.mail_smtp import SmtpMailer  # noqa: PLC0415  # as above

        return SmtpMailer(server, sender)

    return to_server


def _to_console() -> Mailer:
    from farebox.adapters.mail_console import ConsoleMailer  # noqa: PLC0415  # as above

    return ConsoleMailer()


def mailbox_of(settings: Settings) -> Mailbox | None:
    """Where `farebox dev` keeps mails to be looked at; none where they are really sent."""
    return Mailbox(_to_console()) if settings.smtp_url is None else None


def desk_of(product: Product, database: Database, secret: bytes, post: Post, tell: Callable[[Event], None]) -> Desk:
    """Where people are let in. For pages only: this loads SQLAlchemy and argon2."""
    from farebox.adapters.passwords import Argon2Passwords  # noqa: PLC0415  # as above
    from farebox.store.keys import StoredKeys  # noqa: PLC0415  # as above
    from farebox.store.people import StoredPeople  # noqa: PLC0415  # as above

    people, keys = StoredPeople(database), StoredKeys(database)
    return Desk(people, Argon2Passwords(), secret, product, post.wake, tell, keys)


def readings_of(database: Database) -> Readings:
    """What customers read of their calls. For pages only: this loads SQLAlchemy."""
    from farebox.store.readings import StoredReadings  # noqa: PLC0415  # as above

    return StoredReadings(database)
