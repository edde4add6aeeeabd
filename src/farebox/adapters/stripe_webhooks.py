"""Whether a webhook is Stripe's own: by the SDK's check, and bounds on its time in both directions."""

import json
import time
from collections.abc import Callable
from typing import Any, Final

import stripe

from farebox.domain.errors import FounderError
from farebox.domain.period import MICROSECONDS
from farebox.domain.stripe_keys import webhook_secrets
from farebox.domain.webhooks import ID_CHARS_MAX, Event, object_of

TOLERANCE_SECONDS: Final = 300
EVENTS: Final = frozenset({"event", "v2.core.event"})


class StripeSignatures:
    """The port `Signatures`. Each endpoint at Stripe has a secret of its own, so there may be several.

    Args:
        now_us: the clock that all processes share.

    Raises:
        FounderError: there is no secret, so anybody's signature would do.
    """

    def __init__(self, secrets: str, now_us: Callable[[], int]) -> None:
        self._now_us = now_us
        self._secrets = webhook_secrets(secrets)
        if not self._secrets:
            raise FounderError("STRIPE_WEBHOOK_SECRET is empty; it begins with whsec_ and stands beside the endpoint.")

    def read(self, body: bytes, signature: str) -> Event | None:
        if not any(_is_signed(body, signature, secret) for secret in self._secrets):
            return None
        return _event(body) if self._is_recent(_signed_at(signature)) else None

    def _is_recent(self, signed_at: int) -> bool:
        """Whether it was signed about now. If this machine's clock says no, the shared one counts."""
        return _is_near(signed_at, time.time()) or _is_near(signed_at, self._now_us() / MICROSECONDS)


def _is_near(signed_at: int, now: float) -> bool:
    return now - TOLERANCE_SECONDS <= signed_at <= now + TOLERANCE_SECONDS


def _is_signed(body: bytes, signature: str, secret: str) -> bool:
    try:
        # Strictly UTF-8, or one signature could have two readings. Its time is looked at afterwards.
        stripe.WebhookSignature.verify_header(body.decode(), signature, secret, tolerance=None)
    except (stripe.SignatureVerificationError, ValueError, TypeError):  # TypeError: a header that is not ASCII
        return False
    return True


def _signed_at(signature: str) -> int:
    """The time that was signed, read in the same way as by the SDK."""
    parts = [part.split("=", 2) for part in signature.split(",")]
    return int(next(part[1] for part in parts if part[0] == "t"))


def _event(body: bytes) -> Event | None:
    try:
        found: Any = json.loads(body)
    except ValueError:
        return None
    if not isinstance(found, dict) or found.get("object") not in EVENTS:
        return None
    event_id, kind = found.get("id"), found.get("type")
    if not isinstance(event_id, str) or not isinstance(kind, str) or not event_id or not kind:
        return None
    if len(event_id) > ID_CHARS_MAX or len(kind) > ID_CHARS_MAX:
        return None
    created = found.get("created")
    created_us = created * MICROSECONDS if isinstance(created, int) else 0
    return Event(event_id, kind, object_of(kind, found), created_us, bool(found.get("livemode")))
