"""Check Stripe's keys without asking Stripe: whether they have the form of what they are set as."""

import re
from typing import Final

_KEY: Final = re.compile(r"[sr]k_(?:live|test)_\w+", re.ASCII)
_WEBHOOK_SECRET: Final = re.compile(r"whsec_[^\s,]+")
KEY_REMEDY: Final = "copy the secret key from https://dashboard.stripe.com/apikeys"
SIGNING_REMEDY: Final = "copy it from the endpoint at Stripe"


def wrong_key(key: str) -> str:
    """Why this cannot be Stripe's secret key, without quoting it; empty where it can."""
    if _KEY.fullmatch(key):
        return ""
    if key.startswith("pk_"):
        return "STRIPE_SECRET_KEY is a publishable key, which cannot sell anything"
    if key.startswith("whsec_"):
        return "STRIPE_SECRET_KEY is a webhook's secret, which belongs in STRIPE_WEBHOOK_SECRET"
    if key != key.strip():
        return "STRIPE_SECRET_KEY has a blank or an end of line around it"
    return "STRIPE_SECRET_KEY is not a secret key: those begin with sk_live_ or sk_test_, and have no blanks"


def webhook_secrets(text: str) -> tuple[str, ...]:
    """The secrets that webhooks may be signed with: one for each endpoint, separated by commas."""
    return tuple(secret for part in text.split(",") if (secret := part.strip()))


def wrong_webhook_secret(text: str) -> str:
    """Why these cannot be webhook secrets, without quoting them; empty where they can, or none is set."""
    if text.strip() and not webhook_secrets(text):
        return "STRIPE_WEBHOOK_SECRET has no secret in it"
    if all(_WEBHOOK_SECRET.fullmatch(secret) for secret in webhook_secrets(text)):
        return ""
    return "STRIPE_WEBHOOK_SECRET does not begin with whsec_, or has blanks in it"
