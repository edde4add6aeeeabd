"""The doctor's checks of Stripe: the key, the webhook's secret, and whether the plans are there."""

from collections.abc import Iterator
from contextlib import closing

from farebox import wiring_money
from farebox.account.offer import missing
from farebox.cli.findings import Finding, fix, note, ok
from farebox.domain.catalogue import for_sale
from farebox.domain.errors import FounderError, LedgerUnavailable
from farebox.domain.product import Product
from farebox.domain.stripe_keys import KEY_REMEDY, SIGNING_REMEDY, wrong_key, wrong_webhook_secret
from farebox.ports_money import KeyRefused, PaymentRefused, PaymentsUnavailable
from farebox.settings import Settings
from farebox.store.database import Database
from farebox.store.migrations import HEAD
from farebox.store.plans import newest_customer

SYNC = "farebox stripe sync"


def check_stripe(settings: Settings, product: Product) -> Iterator[Finding]:
    """Whether what the file sells can be bought."""
    try:
        sold = for_sale(product.plans, product.packs)
    except FounderError as error:
        yield Finding("FIX", f"stripe: {error}")
        return
    if settings.stripe_secret_key is None:
        if sold:
            wrong = f"{len(sold)} prices of your file cannot be paid: STRIPE_SECRET_KEY is not set"
            yield note("stripe", f"{wrong}; in farebox dev a stand-in takes its place")
        return
    wrong = wrong_key(settings.stripe_secret_key.get_secret_value())
    if wrong:
        yield fix("stripe", wrong, KEY_REMEDY)
        return
    try:
        payments = wiring_money.payments_of(settings, is_brief=True)  # calls wait for `serve`, which looks as well
        name, customer = payments.check(), _customer(settings)
        is_other = bool(customer) and not payments.knows(customer)
        lacking = missing(wiring_money.catalogue_of(settings), product)
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
    if is_other:
        mode = "live" if settings.sells_live else "test"
        wrong = f"this database has customers that the {mode} key does not know, as {customer}"
        yield fix("stripe", wrong, "set the key that they were made with, or use another database")
    yield from _webhooks(settings)


def _customer(settings: Settings) -> str:
    """One that was made with the key of the time; none where the database cannot be asked, which others tell."""
    try:
        with closing(Database(settings.database_url)) as database:
            return "" if database.is_memory or database.revision() != HEAD else newest_customer(database)
    except (FounderError, LedgerUnavailable):
        return ""


def _webhooks(settings: Settings) -> Iterator[Finding]:
    secret = settings.stripe_webhook_secret.get_secret_value() if settings.stripe_webhook_secret else ""
    wrong = wrong_webhook_secret(secret)
    if not secret.strip():
        where = f"{settings.own_url}/stripe/webhook"
        yield fix(
            "stripe", "STRIPE_WEBHOOK_SECRET is not set", f"add an endpoint for {where} at Stripe, set its secret"
        )
    elif wrong:
        yield fix("stripe", wrong, SIGNING_REMEDY)
    else:
        yield ok("stripe", "webhooks are verified")
