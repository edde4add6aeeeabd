"""Settings → the part of the running system that sells. The SDK and SQLAlchemy are loaded when they are first used."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from farebox.account.stripe_events import Clerk
from farebox.account.top_up import TopUpWatch
from farebox.domain.errors import FounderError
from farebox.domain.events import Event
from farebox.domain.places import Places
from farebox.domain.product import Product
from farebox.domain.stripe_keys import KEY_REMEDY, SIGNING_REMEDY, webhook_secrets, wrong_key, wrong_webhook_secret
from farebox.ports.billing import Catalogue, Signatures
from farebox.ports.money import Credit
from farebox.settings import Settings
from farebox.store.database import Database
from farebox.store.money.inbox import StoredInbox
from farebox.store.money.top_ups import StoredTopUps

if TYPE_CHECKING:
    from farebox.account.till import Till
    from farebox.adapters.stripe_payments import StripePayments

STRIPES_PAGES: Final = ("https://checkout.stripe.com", "https://billing.stripe.com")


@dataclass(slots=True)
class Money:
    """The parts with which one process sells."""

    open_till: "Callable[[], Till]"
    inbox: StoredInbox
    top_ups: StoredTopUps
    clerk: Clerk
    watch: TopUpWatch
    signatures: Callable[[], Signatures] | None
    """None where webhooks cannot be verified, and so are not taken."""
    changed: list[Callable[[str], None]] = field(default_factory=list)
    """Called when an account's plan, limits or credit may have changed."""
    open_invoice: list[Callable[[str], object]] = field(default_factory=list)
    """Called to send the usage of a customer whose invoice is being made."""

    def close(self) -> None:
        self.inbox.close()
        self.top_ups.close()


def money_of(
    product: Product,
    settings: Settings,
    database: Database,
    mail_written: Callable[[], None],
    tell: Callable[[Event], None],
) -> Money | None:
    """The parts with which one process sells; None without a key of Stripe's.

    Raises:
        FounderError: as `check_keys`.
    """
    check_keys(settings)
    if settings.stripe_secret_key is None:
        return None
    inbox, top_ups = StoredInbox(database), StoredTopUps(database)
    changed: list[Callable[[str], None]] = []
    open_invoice: list[Callable[[str], object]] = []
    places = Places()  # of all tills: pages that come first, at once, may open several

    @cache
    def open_till() -> "Till":
        from farebox.account.till import Till  # noqa: PLC0415  # with all that selling needs
        from farebox.store.money.billing import StoredBilling  # noqa: PLC0415

        return Till(
            payments=payments_of(settings),
            billing=StoredBilling(database),
            credit=credit_of(database),
            product=product,
            url=settings.own_url,
            pay_origins=pay_origins(settings),
            grace_seconds=settings.grace_seconds,
            mail_written=mail_written,
            tell=tell,
            account_changed=lambda account_id: _each(changed, account_id),
            invoice_open=lambda customer: _each(open_invoice, customer),
            places=places,
        )

    return Money(
        open_till, inbox, top_ups, Clerk(inbox, open_till), TopUpWatch(top_ups, open_till),
        signatures_of(settings, inbox.now_us), changed, open_invoice,
    )  # fmt: skip


def check_keys(settings: Settings) -> None:
    """Refuse keys that cannot be right, without asking Stripe.

    Raises:
        FounderError: the key, or the secret of its webhooks, is none.
    """
    key, secret = settings.stripe_secret_key, settings.stripe_webhook_secret
    wrong = wrong_key(key.get_secret_value()) if key is not None else ""
    if wrong:
        raise FounderError(f"{wrong}; {KEY_REMEDY}.")
    wrong = wrong_webhook_secret(secret.get_secret_value()) if secret is not None else ""
    if wrong:
        raise FounderError(f"{wrong}; {SIGNING_REMEDY}.")


def pay_origins(settings: Settings) -> tuple[str, ...]:
    """The origins of the pages on which customers pay."""
    parts = urlsplit(settings.stripe_api_base)
    return (f"{parts.scheme}://{parts.netloc}",) if parts.netloc else STRIPES_PAGES


def payments_of(settings: Settings, *, is_brief: bool = False) -> "StripePayments":
    """Stripe, for which there has to be a key. A brief one tries once and gives up soon: somebody is waiting."""
    from farebox.adapters.stripe_client import open_client  # noqa: PLC0415  # 30 MB
    from farebox.adapters.stripe_payments import StripePayments  # noqa: PLC0415

    assert settings.stripe_secret_key is not None, "nothing is sold without a key"
    key = settings.stripe_secret_key.get_secret_value()
    client = open_client(key, settings.stripe_api_base, is_brief=is_brief)
    return StripePayments(client, is_taxed=settings.stripe_tax)


def catalogue_of(settings: Settings) -> Catalogue:
    """The catalogue at Stripe, for which there has to be a key."""
    from farebox.adapters.stripe_catalogue import StripeCatalogue  # noqa: PLC0415  # as above
    from farebox.adapters.stripe_client import open_client  # noqa: PLC0415

    assert settings.stripe_secret_key is not None, "nothing is sold without a key"
    return StripeCatalogue(open_client(settings.stripe_secret_key.get_secret_value(), settings.stripe_api_base))


def credit_of(database: Database) -> Credit:
    """The store of credit."""
    from farebox.store.money.wallet import StoredCredit  # noqa: PLC0415  # SQLAlchemy

    return StoredCredit(database)


def signatures_of(settings: Settings, now_us: Callable[[], int]) -> Callable[[], Signatures] | None:
    """The check of webhooks; None without a secret, as any signature would do then."""
    secrets = settings.stripe_webhook_secret.get_secret_value() if settings.stripe_webhook_secret else ""
    if not webhook_secrets(secrets):
        return None

    @cache
    def opened() -> Signatures:
        from farebox.adapters.stripe_webhooks import StripeSignatures  # noqa: PLC0415  # as above

        return StripeSignatures(secrets, now_us)

    return opened


def _each(told: Sequence[Callable[[str], object]], about: str) -> None:
    for tell in told:
        tell(about)
