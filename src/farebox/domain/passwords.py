"""Which passwords are refused: too short, too long, or among the first that anybody would try."""

import re
from collections.abc import Iterable
from typing import Final

from farebox.domain.common_words import WORDS
from farebox.domain.people import PersonError

CHARS_MIN: Final = 8
CHARS_MAX: Final = 1_024
RUN_CHARS_MIN: Final = 3
WORD_CHARS_MIN: Final = 4
PIECES_MAX: Final = 2
LOOKED_AT_CHARS_MAX: Final = 40  # longer ones are not common

ROWS: Final = (
    "qwertyuiop", "qwertzuiop", "azertyuiop", "asdfghjkl", "zxcvbnm", "yxcvbnm", "1234567890", "0123456789",
    "abcdefghijklmnopqrstuvwxyz", "1qaz2wsx3edc4rfv5tgb6yhn7ujm8ik", "1q2w3e4r5t6y7u8i9o0p", "q1w2e3r4t5y6u7i8o9p0",
    "qazwsxedcrfvtgbyhnujmik", "!@#$%^&*()", '!"§$%&/()=', "147258369", "159357", "789456123", "a1b2c3d4e5f6g7h8",
    "aabbccddeeff", "112233445566778899", "zaq12wsxcde34rfv", "zaq1xsw2cde3vfr4",
)  # fmt: skip
RUNS: Final = tuple(text for row in ROWS for text in (row, row[::-1]))
LETTERS_MEANT: Final = str.maketrans("013457@$!€", "oieastasie")
_TAIL = re.compile(r"^[\W\d_]{0,4}|[\W\d_]{0,6}$")
_DATE = re.compile(
    r"(?:(?:19|20)\d\d[-./]?[01]\d[-./]?[0-3]\d|[0-3]\d[-./]?[01]\d[-./]?(?:19|20)\d\d|[01]\d[-./]?[0-3]\d[-./]?(?:19|20)\d\d)"
)


def check_password(password: str, *, email: str, product: str) -> None:
    """Refuse a password that would be guessed; which kinds of characters it has does not matter.

    Raises:
        PersonError: it is refused; the sentence says why.
    """
    if len(password) < CHARS_MIN:
        raise PersonError(f"Take at least {CHARS_MIN} characters; three or four words are good.", field="password")
    if len(password) > CHARS_MAX:
        raise PersonError(f"Take at most {CHARS_MAX:,} characters.", field="password")
    if is_common(password, _own_words(email, product)):
        raise PersonError(
            "This is one of the first passwords that anybody would try. Take three or four words that do not belong "
            "together.",
            field="password",
        )


def is_common(password: str, own_words: Iterable[str] = ()) -> bool:
    """Whether it is one or two common words or keyboard runs, a date, or a repeated part, perhaps with a tail."""
    plain = password.strip().casefold()
    if len(plain) > LOOKED_AT_CHARS_MAX and len(set(plain)) > 1:
        return False
    own = frozenset(word for word in own_words if len(word) >= WORD_CHARS_MIN)
    readings = {plain, plain.translate(LETTERS_MEANT), _without_tail(plain).translate(LETTERS_MEANT)}
    return (
        len(set(plain)) <= 2  # noqa: PLR2004  # as aaaaaaaa or 12121212
        or _is_repeated(plain)
        or _DATE.fullmatch(plain) is not None
        or any(_is_made_of(text, own, PIECES_MAX) for reading in readings for text in (reading, _without_tail(reading)))
    )


def _own_words(email: str, product: str) -> set[str]:
    name = re.sub(r"[\W_]", "", product.casefold())
    local, _, domain = email.casefold().partition("@")
    joined = re.sub(r"[\W_]", "", local)
    return {
        email.casefold(),
        local,
        joined,
        *re.split(r"[\W_]", local),
        domain,
        domain.partition(".")[0],
        name,
        "farebox",
    }


def _without_tail(text: str) -> str:
    """The text without the few digits and signs that people add before and after."""
    return _TAIL.sub("", text)


def _is_repeated(text: str) -> bool:
    return any(len(text) % size == 0 and text == text[:size] * (len(text) // size) for size in range(1, 5))


def _is_made_of(text: str, own: frozenset[str], pieces: int) -> bool:
    if not text:
        return pieces < PIECES_MAX
    if pieces == 0:
        return False
    return any(
        _is_piece(text[:end], own) and _is_made_of(text[end:].lstrip(" -_.,;+&"), own, pieces - 1)
        for end in range(len(text), RUN_CHARS_MIN - 1, -1)
    )


def _is_piece(text: str, own: frozenset[str]) -> bool:
    return text in WORDS or text in own or len(set(text)) == 1 or any(text in run for run in RUNS)
