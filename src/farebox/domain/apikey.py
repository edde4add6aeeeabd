"""API keys: `{brand}_{live|test}_{32 base62}{6 base62 of the CRC32 of the 32}`.

The form follows GitHub's (https://github.blog/2021-04-05-behind-githubs-new-authentication-token-formats/):
a prefix that scanners can find, high entropy, and a checksum that tells a typo without asking a database.
"""

import hmac
import re
from collections.abc import Callable
from functools import lru_cache
from typing import Final, Literal, NamedTuple
from zlib import crc32

ALPHABET: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
PAIRS: Final = tuple(first + second for first in ALPHABET for second in ALPHABET)
BODY_CHARS: Final = 32  # 190 bits
KEY_CHARS_MAX: Final = 120
KEYS_KNOWN_MAX: Final = 1024  # how many recently sent keys stay parsed and digested

Mode = Literal["live", "test"]
MODES: Final[tuple[Mode, Mode]] = ("live", "test")
_KEY = re.compile(r"([a-z][a-z0-9]{1,23})_(live|test)_([0-9A-Za-z]{30,64})([0-9A-Za-z]{6})", re.ASCII)


class ApiKey(NamedTuple):
    """A key as the caller sends it. Never stored, never logged."""

    text: str
    mode: Mode

    @property
    def prefix(self) -> str:
        """What a list shows: brand, mode and the first four characters."""
        return self.text[: self.text.rindex("_") + 5]

    @property
    def last4(self) -> str:
        return self.text[-4:]


def base62(number: int, width: int) -> str:
    digits = []
    for _ in range(width):
        number, digit = divmod(number, 62)
        digits.append(ALPHABET[digit])
    return "".join(reversed(digits))


def checksum(body: str) -> str:
    """The CRC-32 of a key's body in six characters, made in pairs for speed: each call checks one."""
    rest, last = divmod(crc32(body.encode()), len(PAIRS))
    first, middle = divmod(rest, len(PAIRS))
    return PAIRS[first] + PAIRS[middle] + PAIRS[last]


def brand_of(product: str) -> str:
    """The prefix of a product's keys. 'sk' is Stripe's and OpenAI's: their scanners would fire."""
    letters = re.sub(r"[^a-z0-9]", "", product.lower())[:24]
    return letters if re.fullmatch(r"[a-z][a-z0-9]+", letters) and letters not in {"sk", "pk", "rk"} else "farebox"


def mint(brand: str, mode: Mode, randbelow: Callable[[int], int]) -> ApiKey:
    """A new key; `randbelow` must be a cryptographic source such as `secrets.randbelow`."""
    return _complete(brand, mode, "".join(ALPHABET[randbelow(62)] for _ in range(BODY_CHARS)))


def derive(brand: str, mode: Mode, secret: bytes, purpose: str) -> ApiKey:
    """A key that the holder of the secret can make again, so that it need not be kept anywhere."""
    number = int.from_bytes(hmac.digest(secret, purpose.encode(), "sha256"))
    return _complete(brand, mode, base62(number, BODY_CHARS))


def _complete(brand: str, mode: Mode, body: str) -> ApiKey:
    return ApiKey(f"{brand}_{mode}_{body}{checksum(body)}", mode)


def parse(text: str) -> ApiKey | None:
    """The key, or None where the form or the checksum is wrong. Costs no look-up."""
    return _parse(text) if len(text) <= KEY_CHARS_MAX else None  # longer texts must not fill the cache


@lru_cache(maxsize=KEYS_KNOWN_MAX)
def _parse(text: str) -> ApiKey | None:
    match = _KEY.fullmatch(text)
    if match is None or checksum(match[3]) != match[4]:
        return None
    return ApiKey(text, "live" if match[2] == "live" else "test")


@lru_cache(maxsize=KEYS_KNOWN_MAX)
def digest(secret: bytes, key: ApiKey) -> str:
    """What is stored of a key: HMAC-SHA-256 under the server's secret, in hex."""
    return hmac.digest(secret, key.text.encode(), "sha256").hex()
