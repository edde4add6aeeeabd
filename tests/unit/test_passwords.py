"""Which passwords are refused, and what a hash of one costs."""

import itertools
import threading

import pytest
from argon2 import extract_parameters
from argon2.low_level import Type

from farebox.adapters.passwords import AT_ONCE_MAX, MEMORY_KIB, PASSES, Argon2Passwords
from farebox.domain.common_words import WORDS
from farebox.domain.passwords import ROWS, check_password, is_common
from farebox.domain.people import Busy, PersonError

COMMON = (
    "password", "password1", "Password1!", "P@ssw0rd", "passw0rd", "12345678", "123456789", "1234567890",
    "qwerty123", "qwertyuiop", "1q2w3e4r", "1qaz2wsx", "iloveyou", "iloveyou2", "sunshine1", "letmein!",
    "letmein123", "welcome1", "Welcome2026!", "admin123", "dragon12", "monkey123", "football1", "baseball",
    "abc12345", "abcd1234", "aaaaaaaa", "11111111", "12121212", "passwordpassword", "trustno1", "superman",
    "superman1", "princess1", "charlie1", "summer2026", "Summer2026!", "20240101", "31121999", "31.12.1999",
    "zaq12wsx", "asdfghjkl", "asdf1234", "zxcvbnm1", "qazwsxedc", "1234qwer", "q1w2e3r4", "changeme1", "computer",
    "starwars1", "michael1", "jennifer", "87654321", "00000000", "password123", "pa55word", "tagliner1",
    "ada.lovelace", "AdaLovelace", "Farebox123",
)  # fmt: skip
GOOD = (
    "correct horse battery", "xk29-fpq1", "tr0ub4dor&3", "mein hund ist blau", "Zw7!pLq2", "ahornblatt im wind",
    "dragonfly over kyoto", "9273648150", "kvantumfizika", "ünïcödé wörter", "密码不是这个词哦",
    "x" * 7 + "y z" + "q" * 1_000,
)  # fmt: skip


def check(password: str) -> None:
    check_password(password, email="ada.lovelace@example.com", product="Tagliner")


@pytest.mark.parametrize("password", COMMON)
def test_a_password_that_anybody_would_try_is_refused(password: str) -> None:
    with pytest.raises(PersonError, match="first passwords that anybody would try") as told:
        check(password)
    assert told.value.field == "password"


@pytest.mark.parametrize("password", GOOD)
def test_another_one_is_taken_whatever_it_is_made_of(password: str) -> None:
    check(password)


def test_thousands_of_common_ones_are_covered() -> None:
    tails = ("", "1", "12", "123", "!", "2026", "69", "007")
    made = {word + tail for word, tail in itertools.product(WORDS, tails) if len(word + tail) >= 8}
    made |= {row[at : at + 8] for row in ROWS for at in range(len(row) - 7)}
    assert len(made) > 2_000
    assert [password for password in made if not is_common(password)] == []


@pytest.mark.parametrize(
    ("password", "told"), [("7 chars", "at least 8"), ("", "at least 8"), ("ab " * 342, "at most")]
)
def test_length_is_bounded(password: str, told: str) -> None:
    with pytest.raises(PersonError, match=told):
        check(password)
    check("8 chars.")
    check(("xk " * 342)[:1_024])


def test_a_hash_has_owasps_parameters_and_the_dummy_has_the_same() -> None:
    passwords = Argon2Passwords()
    for made in (passwords.hash("three odd words"), passwords._dummy):
        found = extract_parameters(made)
        assert (found.type, found.memory_cost, found.time_cost, found.parallelism) == (Type.ID, 19_456, 2, 1)
    assert (MEMORY_KIB, PASSES) == (19_456, 2)


def test_a_hash_is_of_its_password_alone_and_nobodys_matches_nothing() -> None:
    passwords = Argon2Passwords()
    made = passwords.hash("three odd words ü \ud800")
    assert passwords.check(made, "three odd words ü \ud800")
    assert not passwords.check(made, "three odd words ü")
    assert not passwords.check(None, "nobody has this password")
    assert not passwords.check("not a hash", "three odd words")
    assert not passwords.is_outdated(made)
    assert passwords.is_outdated(made.replace("m=19456", "m=8192"))


def test_nobodys_password_is_as_much_work_as_somebodys(monkeypatch: pytest.MonkeyPatch) -> None:
    passwords, checked = Argon2Passwords(), []

    def verify(made: str, _: str) -> bool:
        checked.append(made)
        return True

    monkeypatch.setattr(passwords, "_verify", verify)
    assert not passwords.check(None, "nobody has this password")
    assert checked == [passwords._dummy]


def test_only_a_few_are_hashed_at_once_and_who_waits_too_long_is_told() -> None:
    passwords = Argon2Passwords(wait_seconds_max=0.05)
    gate = threading.Event()
    for _ in range(AT_ONCE_MAX):
        passwords._threads.submit(gate.wait)
    with pytest.raises(Busy) as told:
        passwords.hash("three odd words")
    assert (told.value.status, told.value.retry_after_seconds) == (503, 5)
    passwords._wait_seconds_max = 30
    threading.Timer(0.05, gate.set).start()
    assert passwords.check(passwords.hash("three odd words"), "three odd words")
