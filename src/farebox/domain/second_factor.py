"""The second factor: codes that change with the time (RFC 6238), and the codes that stand in for a lost device."""

import base64
import hmac
import re
from typing import Final, NamedTuple
from urllib.parse import quote, urlencode

from farebox.domain.period import MICROSECONDS

SECRET_BYTES: Final = 20  # as long as the SHA-1 that authenticator apps use
STEP_US: Final = 30 * MICROSECONDS
DIGITS: Final = 6
STEPS_OFF_MAX: Final = 1  # how far the device's clock may be off, either way

RECOVERY_CODES: Final = 10
RECOVERY_CHARS: Final = 16  # of 5 bits each
GROUP_CHARS: Final = 4
# Without characters that look like others: 0, 1, i, l and o.
RECOVERY_ALPHABET: Final = "23456789abcdefghjkmnpqrstuvwxyz"
_SEPARATORS = re.compile(r"[\s-]+")


class Typed(NamedTuple):
    """What somebody typed as their second factor."""

    text: str
    is_recovery: bool


def step_of(now_us: int) -> int:
    return now_us // STEP_US


def code_at(secret: bytes, step: int) -> str:
    """The code of a step, as the device shows it."""
    seal = hmac.digest(secret, step.to_bytes(8), "sha1")
    offset = seal[-1] & 0x0F
    number = int.from_bytes(seal[offset : offset + 4]) & 0x7FFF_FFFF
    return f"{number % 10**DIGITS:0{DIGITS}}"


def step_shown(secret: bytes, code: str, now_us: int, last_step: int | None) -> int | None:
    """The step whose code this is; None where it is no step that counts now, or one that was used already."""
    now = step_of(now_us)
    found = None
    for step in range(now - STEPS_OFF_MAX, now + STEPS_OFF_MAX + 1):
        is_it = hmac.compare_digest(code_at(secret, step).encode(), code.encode("utf-8", "replace"))
        if is_it and (last_step is None or step > last_step):
            found = step
    return found


def read_code(text: str) -> Typed:
    """What was typed, without the blanks and dashes that make it readable."""
    plain = _SEPARATORS.sub("", text).lower()
    return Typed(plain, len(plain) > DIGITS)


def secret_text(secret: bytes) -> str:
    """A secret as it is typed into an app that cannot scan."""
    return base64.b32encode(secret).decode().rstrip("=")


def key_uri(secret: bytes, email: str, product: str) -> str:
    """The URI that the QR code holds for the app."""
    issuer = " ".join(product.replace(":", " ").split())
    more = {"secret": secret_text(secret), "issuer": issuer, "digits": DIGITS, "period": STEP_US // MICROSECONDS}
    return f"otpauth://totp/{quote(issuer)}:{quote(email)}?{urlencode(more, quote_via=quote)}"


def recovery_code(number: int) -> str:
    """A code of about 80 bits of a larger random number, to be written down."""
    plain = ""
    for _ in range(RECOVERY_CHARS):
        number, place = divmod(number, len(RECOVERY_ALPHABET))
        plain += RECOVERY_ALPHABET[place]
    return "-".join(plain[start : start + GROUP_CHARS] for start in range(0, RECOVERY_CHARS, GROUP_CHARS))
