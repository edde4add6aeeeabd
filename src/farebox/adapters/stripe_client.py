"""The client of Stripe's SDK, and what its errors mean.

Only the stripe_* adapters and the stand-in import the SDK, which is 30 MB: a process that sells nothing never loads it.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from typing import Final

import stripe
from stripe import _util

from farebox.ports.money import KeyRefused, PaymentRefused, PaymentsUnavailable

VERSION: Final = "2026-10-28.endive"
SECONDS_MAX: Final = 20
TRIES: Final = 2
BRIEF_SECONDS_MAX: Final = 3
UNAVAILABLE: Final = "Stripe cannot be reached right now. Try again in a minute."
BAD_KEY: Final = (
    "Stripe does not know this key, or it may not do this. Look at STRIPE_SECRET_KEY; the keys are at "
    "https://dashboard.stripe.com/apikeys."
)
NANODOLLAR_IN_CENTS: Final = Decimal("0.0000001")
"""The price of one nanodollar, which only usage has: a line at this price is usage."""
AWAY: Final = frozenset({409, 429})  # under way already, or too much at once


class _Silent(logging.Filter):
    """Drops the SDK's log, which names customers, and at its lower levels has whole bodies."""

    def filter(self, record: logging.LogRecord) -> bool:
        del record
        return False


def open_client(key: str, api_base: str, *, is_brief: bool = False) -> stripe.StripeClient:
    """A client for any number of threads, at another address if one is given. With `is_brief` it soon gives up."""
    logger = logging.getLogger("stripe")
    if not any(isinstance(one, _Silent) for one in logger.filters):
        logger.addFilter(_Silent())
    logger.setLevel(logging.CRITICAL)
    _util.STRIPE_LOG = None  # set by the environment, it would have the SDK print whole bodies, past the log
    base = api_base.rstrip("/")
    return stripe.StripeClient(
        key,
        stripe_version=VERSION,
        max_network_retries=0 if is_brief else TRIES,
        http_client=stripe.RequestsClient(timeout=BRIEF_SECONDS_MAX if is_brief else SECONDS_MAX),
        base_addresses={"api": base, "connect": base, "files": base, "meter_events": base} if base else None,
    )


@contextmanager
def told() -> Iterator[None]:
    """Turn the SDK's errors into the port's own, without its request, body or key.

    Raises:
        PaymentsUnavailable: no answer, or one that says to come again.
        KeyRefused: Stripe does not take the key.
        PaymentRefused: Stripe understood, and said no.
    """
    try:
        yield
    except (stripe.AuthenticationError, stripe.PermissionError):
        raise KeyRefused(BAD_KEY) from None
    except (stripe.APIConnectionError, stripe.RateLimitError):
        raise PaymentsUnavailable(UNAVAILABLE) from None
    except stripe.StripeError as error:
        status = error.http_status or 0
        if status in AWAY or status >= 500 or not status:  # noqa: PLR2004  # the server's own failures
            raise PaymentsUnavailable(UNAVAILABLE) from None
        raise PaymentRefused(_words(error)) from None


def id_of(value: object) -> str:
    """The id, or that of an expanded object; empty where there is none."""
    return value if isinstance(value, str) else str(getattr(value, "id", None) or "")


def _words(error: stripe.StripeError) -> str:
    """The reason for people: of a card, Stripe's words for its holder; else code and parameter, which name nobody."""
    if isinstance(error, stripe.CardError):
        return error.user_message or "The card was declined."
    of = f" of {error.param}" if isinstance(error, stripe.InvalidRequestError) and error.param else ""
    what = f"{error.code or type(error).__name__}{of}"
    return f"Stripe refused this ({what}, request {error.request_id or 'unknown'})."
