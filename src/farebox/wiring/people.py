"""Settings → the part of the running system that people need. All of it is loaded when it is first used."""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Final

from farebox.account.deliver_mail import Delivery
from farebox.account.desk import Desk, Proofs, Upkeep
from farebox.account.limit_mails import LimitWatch
from farebox.domain.events import Event
from farebox.domain.mail import parse_sender, parse_smtp
from farebox.domain.product import Product
from farebox.ports.calls import Readings
from farebox.ports.money import Invoices
from farebox.ports.people import DueMail, Letter, Mailer
from farebox.ports.proofs import Authenticators, OtherService, Vault
from farebox.sandbox.mailbox import Mailbox
from farebox.settings import Settings
from farebox.store.database import Database
from farebox.store.mail_outbox import StoredMailOutbox

GOOGLE: Final = "https://accounts.google.com"
GOOGLE_HOSTS: Final = (
    "https://oauth2.googleapis.com", "https://www.googleapis.com", "https://openidconnect.googleapis.com",
)  # fmt: skip


def check_mail(product: Product, settings: Settings) -> None:
    """Refuse settings with which no mail could be sent, before a process is started.

    Raises:
        FounderError: the server's address, or the sender's, is none.
    """
    parse_sender(settings.mail_from, product.name, settings.own_url)
    if settings.smtp_url is not None:
        parse_smtp(settings.smtp_url.get_secret_value())


def delivery_of(
    product: Product,
    settings: Settings,
    folder: Path | None,
    outbox: StoredMailOutbox,
    secret: bytes,
    mailbox: Mailbox | None,
) -> Delivery:
    """The sender of mails of one process; `folder` may have templates of the founder's.

    Raises:
        FounderError: as `check_mail`.
    """

    @cache
    def letters() -> Callable[[DueMail], Letter]:
        from farebox.web.letters import Letters  # noqa: PLC0415  # Jinja2 is loaded when there is a mail

        return Letters(product, settings.own_url, folder, secret).render

    def render(due: DueMail) -> Letter:
        return letters()(due)

    return Delivery(outbox, render, _mailers(product, settings, mailbox))


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
    """The mailbox where `farebox dev` keeps mails to be looked at; None where they are really sent."""
    return Mailbox(_to_console()) if settings.smtp_url is None else None


def desk_of(
    product: Product,
    settings: Settings,
    database: Database,
    secret: bytes,
    delivery: Delivery,
    limits: LimitWatch,
    tell: Callable[[Event], None],
) -> Desk:
    """The desk where people are let in. For pages only: this loads SQLAlchemy and argon2."""
    from farebox.adapters.passwords import Argon2Passwords  # noqa: PLC0415  # as above
    from farebox.store.keys import StoredKeys  # noqa: PLC0415  # as above
    from farebox.store.people.people import StoredPeople  # noqa: PLC0415  # as above

    return Desk(
        people=StoredPeople(database, must_pay=_must_pay(product, settings)),
        keys=StoredKeys(database),
        passwords=Argon2Passwords(),
        secret=secret,
        product=product,
        mail_written=delivery.wake,
        tell=tell,
        proofs=_proofs(product, settings, database, secret),
        upkeep=upkeep_of(database, limits.soon),
    )


def readings_of(database: Database) -> Readings:
    """The readings of customers about their calls. For pages only: this loads SQLAlchemy."""
    from farebox.store.readings import StoredReadings  # noqa: PLC0415  # as above

    return StoredReadings(database)


def invoices_of(database: Database) -> Invoices:
    """The invoices of customers. For pages only, as above."""
    from farebox.store.money.invoices import StoredInvoices  # noqa: PLC0415  # as above

    return StoredInvoices(database)


def upkeep_of(database: Database, limits_changed: Callable[[str], None]) -> Upkeep:
    """The means by which accounts are looked after."""
    from farebox.store.archive import StoredArchive  # noqa: PLC0415  # as above
    from farebox.store.people.closing import StoredClosing  # noqa: PLC0415
    from farebox.store.people.plans_chosen import StoredPlans  # noqa: PLC0415
    from farebox.store.people.team import StoredTeam  # noqa: PLC0415

    return Upkeep(
        StoredTeam(database), StoredPlans(database), StoredArchive(database), StoredClosing(database), limits_changed
    )


def _must_pay(product: Product, settings: Settings) -> bool:
    """Whether a new account has to buy its plan before it can call: where the first one costs, and is for sale."""
    return settings.stripe_secret_key is not None and product.plans[0].price_nanodollars > 0


def _proofs(product: Product, settings: Settings, database: Database, secret: bytes) -> Proofs:
    from farebox.store.people.addresses import StoredAddresses  # noqa: PLC0415  # as above
    from farebox.store.people.ceremonies import StoredCeremonies  # noqa: PLC0415
    from farebox.store.people.identities import StoredIdentities  # noqa: PLC0415
    from farebox.store.people.passkeys import StoredPasskeys  # noqa: PLC0415
    from farebox.store.people.second_factors import StoredSecondFactors  # noqa: PLC0415

    @cache
    def vault() -> Vault:
        from farebox.adapters.vault import AesVault  # noqa: PLC0415  # 14 MB, with the next

        return AesVault(secret)

    @cache
    def authenticators() -> Authenticators:
        from farebox.adapters.authenticators import WebAuthn  # noqa: PLC0415

        return WebAuthn()

    return Proofs(
        StoredCeremonies(database),
        StoredSecondFactors(database),
        StoredPasskeys(database),
        StoredIdentities(database, must_pay=_must_pay(product, settings)),
        StoredAddresses(database),
        vault,
        authenticators,
        _services(settings),
    )


def _services(settings: Settings) -> dict[str, OtherService]:
    """Other services to log in with, by the name in the address. Authlib is loaded if there is one."""
    found: dict[str, OtherService] = {}
    if settings.google_client_secret is not None:
        from farebox.adapters.oauth_oidc import OidcService  # noqa: PLC0415

        secret = settings.google_client_secret.get_secret_value()
        found["google"] = OidcService("Google", GOOGLE, settings.google_client_id, secret, GOOGLE_HOSTS)
    if settings.github_client_secret is not None:
        from farebox.adapters.oauth_github import GitHub  # noqa: PLC0415

        secret = settings.github_client_secret.get_secret_value()
        found["github"] = GitHub(settings.github_client_id, secret, settings.github_base_url)
    if settings.oidc_client_secret is not None:
        from farebox.adapters.oauth_oidc import OidcService  # noqa: PLC0415

        secret = settings.oidc_client_secret.get_secret_value()
        found["oidc"] = OidcService(settings.oidc_name, settings.oidc_issuer, settings.oidc_client_id, secret)
    return found
