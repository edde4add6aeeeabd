"""Codes that change with the time, as RFC 6238 has them, and the codes that stand in for a lost device."""

import base64
import random
import re
from urllib.parse import parse_qs, unquote, urlsplit

import pytest

from farebox.domain.second_factor import (
    RECOVERY_ALPHABET,
    STEP_US,
    code_at,
    key_uri,
    read_code,
    recovery_code,
    secret_text,
    step_of,
    step_shown,
)

SECRET = b"12345678901234567890"  # the RFC's own
NOW_US = 1_111_111_111 * 10**6


@pytest.mark.parametrize(
    ("seconds", "eight_digits"),
    [
        (59, "94287082"), (1_111_111_109, "07081804"), (1_111_111_111, "14050471"), (1_234_567_890, "89005924"),
        (2_000_000_000, "69279037"), (20_000_000_000, "65353130"),
    ],
)  # fmt: skip
def test_a_code_is_that_of_the_rfc(seconds: int, eight_digits: str) -> None:
    assert code_at(SECRET, step_of(seconds * 10**6)) == eight_digits[-6:]


@pytest.mark.parametrize("off", [-2, -1, 0, 1, 2])
def test_a_clock_may_be_off_by_one_step_and_no_more(off: int) -> None:
    step = step_of(NOW_US) + off
    assert step_shown(SECRET, code_at(SECRET, step), NOW_US, None) == (step if abs(off) <= 1 else None)


@pytest.mark.parametrize("last", [-1, 0, 1])
def test_a_step_counts_once_and_so_does_none_before_it(last: int) -> None:
    now = step_of(NOW_US)
    for off in (-1, 0, 1):
        shown = step_shown(SECRET, code_at(SECRET, now + off), NOW_US, now + last)
        assert shown == (now + off if off > last else None)


@pytest.mark.parametrize("code", ["", "0", "05047", "0504710", "o50471", "٠٥٠٤٧١", "\ud800", "050471\0"])
def test_what_is_no_code_is_of_no_step(code: str) -> None:
    assert step_shown(SECRET, code, NOW_US, None) is None


def test_blanks_and_dashes_do_not_matter() -> None:
    assert read_code(" 050 471\n") == ("050471", False)
    assert read_code("ABCD-efgh 2345-6789") == ("abcdefgh23456789", True)


def test_the_app_is_told_the_secret_and_whose_it_is() -> None:
    uri = urlsplit(key_uri(SECRET, "ada+x@example.com", "Tags: & Lines"))
    assert (uri.scheme, uri.netloc) == ("otpauth", "totp")
    assert unquote(uri.path) == "/Tags & Lines:ada+x@example.com"
    told = {name: values[0] for name, values in parse_qs(uri.query).items()}
    assert told == {"secret": secret_text(SECRET), "issuer": "Tags & Lines", "digits": "6", "period": "30"}
    assert base64.b32decode(told["secret"]) == SECRET
    assert STEP_US == 30 * 10**6


def test_a_recovery_code_can_be_read_aloud_and_is_long() -> None:
    codes = {recovery_code(random.Random(seed).getrandbits(256)) for seed in range(100)}
    assert len(codes) == 100
    assert all(re.fullmatch(rf"(?:[{RECOVERY_ALPHABET}]{{4}}-){{3}}[{RECOVERY_ALPHABET}]{{4}}", code) for code in codes)
    assert not set("01ilo") & set(RECOVERY_ALPHABET)
    assert len(RECOVERY_ALPHABET) ** 16 > 2**79
