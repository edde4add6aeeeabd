"""The doctor's checks of Stripe: the key, whether the plans are there, and what happens to webhooks."""

from collections.abc import Iterator
from contextlib import closing

from farebox.account.stripe_catalogue import missing
from farebox.cli.findings import Finding, fix, note, ok
from farebox.domain.catalogue import for_sale
from farebox.domain.errors import FounderError, LedgerUnavailable
from farebox.domain.product import Product
from farebox.domain.stripe_keys import KEY_REMEDY, SIGNING_REMEDY, webhook_secrets, wrong_key, wrong_webhook_secret
from farebox.domain.webhooks import PATH, Endpoint, endpoint_at, webhook_url
from farebox.ports.billing import Catalogue
from farebox.ports.money import KeyRefused, PaymentRefused, PaymentsUnavailable
from farebox.settings import Settings
from farebox.store.database import Database
from farebox.store.migrations import HEAD
from farebox.store.money.plans import newest_customer
from farebox.wiring import money as wiring_money

SYNC = "farebox stripe sync"
SYNC_MAKES_IT = "farebox stripe sync, which makes it and prints its secret"
TAXES_AT = "https://dashboard.stripe.com/settings/tax"
ENDPOINTS_AT = "https://dashboard.stripe.com/webhooks"


def check_stripe(settings: Settings, product: Product | None) -> Iterator[Finding]:
    """Whether what the file sells can be bought; where the file is not known, whether Stripe can be asked."""
    try:
        sold = for_sale(product.plans, product.packs) if product is not None else []
    except FounderError as error:
        yield Finding("FIX", f"stripe: {error}")
        return
    if settings.stripe_secret_key is None:
        if settings.stripe_webhook_secret and wrong_webhook_secret(settings.stripe_webhook_secret.get_secret_value()):
            yield from _secret(settings, may_see=True)
        if sold:
            prices = "1 price" if len(sold) == 1 else f"{len(sold)} prices"
            wrong = f"{prices} of your file cannot be paid: STRIPE_SECRET_KEY is not set"
            yield note("stripe", f"{wrong}; in farebox dev a stand-in takes its place")
        return
    wrong = wrong_key(settings.stripe_secret_key.get_secret_value())
    if wrong:
        yield fix("stripe", wrong, KEY_REMEDY)
    else:
        yield from _at_stripe(settings, product, sells=bool(sold))


def _at_stripe(settings: Settings, product: Product | None, *, sells: bool) -> Iterator[Finding]:
    """What is found by asking."""
    try:
        payments = wiring_money.payments_of(settings, is_brief=True)  # calls wait for `serve`, which looks as well
        name, customer = payments.check(), _customer(settings)
        is_other = bool(customer) and not payments.knows(customer)
        catalogue = wiring_money.catalogue_of(settings)
        lacking, has_no_portal = missing(catalogue, product) if product is not None else ([], False)
        endpoints = _endpoints(catalogue) if sells else None
    except (KeyRefused, PaymentRefused) as error:
        yield fix("stripe", str(error), "set another STRIPE_SECRET_KEY")
        return
    except PaymentsUnavailable:
        where = settings.stripe_api_base or "api.stripe.com"
        yield fix("stripe", f"{where} does not answer", "see whether this machine reaches it, or try again later")
        return
    yield ok("stripe", f"the key is of {name}, {'live' if settings.sells_live else 'in test mode'}")
    if lacking:
        yield fix("stripe", f"{len(lacking)} of your prices are not there, as {lacking[0]}", SYNC)
    elif has_no_portal:
        yield fix("stripe", "it has no settings for the portal where customers change their card", SYNC)
    if is_other:
        mode = "live" if settings.sells_live else "test"
        wrong = f"this database has customers that the {mode} key does not know, as {customer}"
        yield fix("stripe", wrong, "set the key that they were made with, or use another database")
    if sells and settings.stripe_tax:
        yield from _taxes(catalogue)
    if endpoints is not None:
        yield from _endpoint(settings, endpoints)
    yield from _secret(settings, may_see=endpoints is not None or not sells)


def _customer(settings: Settings) -> str:
    """One that was made with the key of the time; none where the database cannot be asked, which others tell."""
    try:
        with closing(Database(settings.database_url)) as database:
            return "" if database.is_memory or database.revision() != HEAD else newest_customer(database)
    except (FounderError, LedgerUnavailable):
        return ""


def _endpoints(catalogue: Catalogue) -> list[Endpoint] | None:
    """None where the key may not look at them."""
    try:
        return catalogue.endpoints()
    except KeyRefused:
        return None


def _taxes(catalogue: Catalogue) -> Iterator[Finding]:
    """Whether Stripe would reckon taxes, rather than refuse what is bought."""
    try:
        lacks = catalogue.taxes_lack()
    except PaymentsUnavailable:  # a restricted key, as a rule
        yield note("stripe", f"whether Stripe Tax is set up could not be seen: look at {TAXES_AT}")
        return
    if lacks:
        wrong = f"FAREBOX_STRIPE_TAX is on, and Stripe Tax lacks {', '.join(lacks)}, so nothing can be bought"
        yield fix("stripe", wrong, f"set it up at {TAXES_AT}")


def _endpoint(settings: Settings, endpoints: list[Endpoint]) -> Iterator[Finding]:
    """Whether Stripe tells what happens, and all of it."""
    ours = webhook_url(settings.public_url)
    found = endpoint_at(endpoints, ours)
    if found is None:
        where = ours or f"an address that ends in {PATH}"
        first = "set FAREBOX_PUBLIC_URL to the https address that customers use, then "
        wrong = f"it has no webhook endpoint at {where}, so nothing is told of payments"
        yield fix("stripe", wrong, SYNC_MAKES_IT if ours else first + SYNC_MAKES_IT)
    elif not found.is_enabled:
        wrong = f"the webhook endpoint at {found.url} is disabled"
        yield fix("stripe", wrong, SYNC if ours else f"enable it at {ENDPOINTS_AT}")
    elif found.lacks:
        wrong = f"the webhook endpoint at {found.url} is not told of {', '.join(found.lacks)}"
        yield fix("stripe", wrong, SYNC if ours else f"choose them at {ENDPOINTS_AT}")
    else:
        yield ok("stripe", f"webhooks are sent to {found.url}")


def _secret(settings: Settings, *, may_see: bool) -> Iterator[Finding]:
    """Whether what it tells can be verified."""
    secrets = settings.stripe_webhook_secret.get_secret_value() if settings.stripe_webhook_secret else ""
    wrong = wrong_webhook_secret(secrets)
    if not webhook_secrets(secrets):
        yield fix("stripe", "STRIPE_WEBHOOK_SECRET is not set, so no webhook is taken", SIGNING_REMEDY)
    elif wrong:
        yield fix("stripe", wrong, SIGNING_REMEDY)
    elif not may_see:
        yield note("stripe", f"whether webhooks are sent, this key may not see: look at {ENDPOINTS_AT}")
