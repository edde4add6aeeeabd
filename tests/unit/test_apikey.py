"""API keys: what is minted is read again, what is mistyped is refused without a look-up, and nothing reveals one."""

import random
import re
import secrets
import tracemalloc
from collections.abc import Callable
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farebox.domain.apikey import ALPHABET, KEY_CHARS_MAX, Mode, base62, brand_of, derive, digest, mint, parse

SECRET = b"a secret of the server, for tests"
brands = st.from_regex(r"[a-z][a-z0-9]{1,23}", fullmatch=True)
modes = st.sampled_from(["live", "test"])
seeds = st.integers(0, 2**64)


@given(brands, modes, seeds)
def test_a_minted_key_is_read_again(brand: str, mode: Mode, seed: int) -> None:
    key = mint(brand, mode, random.Random(seed).randrange)
    assert parse(key.text) == key
    assert key.mode == mode
    assert re.fullmatch(rf"{brand}_{mode}_[0-9A-Za-z]{{38}}", key.text)
    assert len(key.text) <= KEY_CHARS_MAX


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_one_changed_character_is_refused_at_every_place(seed: int) -> None:
    key = mint("till", "live", random.Random(seed).randrange)
    for place, there in enumerate(key.text):
        if place < key.text.rindex("_"):
            continue  # brand and mode carry no secret; the look-up finds no such key
        for other in ALPHABET:
            mistyped = key.text[:place] + other + key.text[place + 1 :]
            assert (parse(mistyped) is not None) == (other == there)


@given(seeds, st.data())
def test_two_swapped_characters_are_refused(seed: int, data: st.DataObject) -> None:
    key = mint("till", "live", random.Random(seed).randrange)
    body = key.text.rindex("_") + 1
    places = st.integers(body, len(key.text) - 1)
    first, second = data.draw(places), data.draw(places)
    letters = list(key.text)
    letters[first], letters[second] = letters[second], letters[first]
    swapped = "".join(letters)
    assert (parse(swapped) is not None) == (swapped == key.text)


CHANGES: Final[dict[str, Callable[[str], str]]] = {
    "one more": lambda text: text + "0",
    "one less": lambda text: text[:-1],
    "a line's end": lambda text: text + "\n",
    "a space before": lambda text: " " + text,
    "in capitals": lambda text: text.upper(),
    "the mode in capitals": lambda text: text.replace("_live_", "_Live_"),
    "no such mode": lambda text: text.replace("_live_", "_prod_"),
    "no brand's end": lambda text: text.replace("_live_", "__live_"),
    "a brand with a digit first": lambda text: text.replace("till", "1till"),
    "a brand too short": lambda text: text.replace("till", "t"),
    "a brand too long": lambda text: text.replace("till", "t" * 25),
    "a letter of no key": lambda text: text[:-6] + "é" + text[-5:],
    "a NUL": lambda text: text + "\x00",
    "twice": lambda text: text * 2,
    "the body alone": lambda text: text.rpartition("_")[2],
    "nothing": lambda _: "",
    "a million digits": lambda _: "_".join(["till", "live", "0" * 1_000_000]),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_what_has_another_form_is_refused(change: Callable[[str], str]) -> None:
    assert parse(change(mint("till", "live", random.Random(4).randrange).text)) is None


def test_a_list_shows_the_prefix_and_the_last_four_and_most_of_the_key_stays_hidden() -> None:
    key = mint("till", "test", random.Random(5).randrange)
    body = key.text.rpartition("_")[2]
    assert key.prefix == "till_test_" + body[:4]
    assert key.last4 == body[-4:]
    assert len(body) - 8 == 30


@pytest.mark.parametrize(
    ("product", "brand"),
    [
        ("Tagliner", "tagliner"),
        ("Farebox demo", "fareboxdemo"),
        ("Ad Copy 2.0!", "adcopy20"),
        ("Überprüfer", "berprfer"),
        ("A very long name of a product indeed", "averylongnameofaproducti"),
        ("Sk", "farebox"),
        ("PK", "farebox"),
        ("r-k", "farebox"),
        ("skate", "skate"),
        ("3D Models", "farebox"),
        ("x", "farebox"),
        ("日本語", "farebox"),
        ("", "farebox"),
    ],
)
def test_the_brand_is_the_products_letters_and_never_stripes(product: str, brand: str) -> None:
    assert brand_of(product) == brand


@given(st.text())
def test_every_product_has_a_brand_that_its_keys_can_carry(product: str) -> None:
    brand = brand_of(product)
    assert brand not in {"sk", "pk", "rk"}
    assert parse(mint(brand, "live", random.Random(6).randrange).text) is not None


def test_a_derived_key_is_the_same_for_the_same_secret_and_another_for_another() -> None:
    key = derive("till", "test", SECRET, "demo")
    assert key == derive("till", "test", SECRET, "demo")
    assert parse(key.text) == key
    # Written out, because a key that a founder has copied has to work after an update.
    assert key.text == "till_test_5cl39ZVVX9XROptj5rpIXzJFrzv4k6hr1hSdbG"
    others = [
        derive("till", "test", SECRET, "other"),
        derive("till", "test", SECRET + b"!", "demo"),
        derive("till", "live", SECRET, "other"),
    ]
    assert key.text.rpartition("_")[2] not in {other.text.rpartition("_")[2] for other in others}


def test_what_is_stored_depends_on_the_whole_key_and_on_the_secret() -> None:
    key = mint("till", "live", secrets.randbelow)
    stored = digest(SECRET, key)
    assert re.fullmatch(r"[0-9a-f]{64}", stored)
    assert stored == digest(SECRET, key)
    assert stored != digest(SECRET + b"!", key)
    assert stored != digest(SECRET, key._replace(text=key.text.replace("till", "bill")))


def test_what_is_far_too_long_for_a_key_is_not_kept() -> None:
    tracemalloc.start()
    try:
        for number in range(200):
            assert parse(f"{number:06d}" * 10_000) is None
        kept_bytes, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept_bytes < 1_000_000


def test_minted_keys_are_never_the_same() -> None:
    assert len({mint("till", "live", secrets.randbelow).text for _ in range(1_000)}) == 1_000


@given(st.integers(0, 62**6 - 1))
def test_base62_says_each_number_in_its_own_way(number: int) -> None:
    read = 0
    for digit in base62(number, 6):
        read = read * 62 + ALPHABET.index(digit)
    assert read == number
