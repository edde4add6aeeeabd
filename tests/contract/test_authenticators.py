"""What an authenticator answers holds in every part, or not at all."""

import json
from typing import Any, Final

import pytest

from farebox.adapters.authenticators import WebAuthn
from farebox.domain.people import Passkey, Person, PersonError
from farebox.ports.proofs import Place
from tests.services.authenticator import PRESENT, Authenticator

ORIGIN: Final = "https://till.example"
PLACE: Final = Place("till.example", (ORIGIN,), "Till")
ADA: Final = Person("person_1", "ada@example.com", None, 0, None, None, 0)
CHALLENGE: Final = bytes(range(32))
REFUSED: Final = "does not work here"


@pytest.fixture(scope="module")
def device() -> Authenticator:
    return Authenticator()


@pytest.fixture(scope="module")
def passkey(device: Authenticator) -> Passkey:
    options = WebAuthn().ask_to_make(PLACE, CHALLENGE, ADA, [])
    made = WebAuthn().made(PLACE, CHALLENGE, device.make(options, ORIGIN))
    return Passkey(made.id, ADA.id, made.public_key, made.sign_count, made.transports, "phone", 0, None)


def show(device: Authenticator, passkey: Passkey, **wrong: Any) -> int:  # noqa: ANN401
    answer = device.show(WebAuthn().ask_to_show(PLACE, CHALLENGE, []), ORIGIN, **wrong)
    assert WebAuthn().passkey_id(answer) == passkey.id
    return WebAuthn().shown(PLACE, CHALLENGE, answer, passkey)


def test_a_right_answer_holds(device: Authenticator, passkey: Passkey) -> None:
    assert show(device, passkey, count=7) == 7


@pytest.mark.parametrize(
    "wrong",
    [
        {"origin": "https://till.example.evil.example"}, {"origin": "http://till.example"}, {"origin": ""},
        {"origin": "https://till.example:444"}, {"host": "evil.example"}, {"challenge": "AAAA"}, {"flags": PRESENT},
        {"flags": 0}, {"is_forged": True}, {"kind": "webauthn.create"}, {"user_handle": b"person_2"},
    ],
    ids=str,
)  # fmt: skip
def test_an_answer_that_is_wrong_in_one_part_does_not(
    device: Authenticator, passkey: Passkey, wrong: dict[str, Any]
) -> None:
    with pytest.raises(PersonError, match=REFUSED):
        show(device, passkey, **wrong)


@pytest.mark.parametrize(("before", "now"), [(5, 5), (5, 4), (5, 0), (1, 0)])
def test_a_device_that_has_signed_no_more_often_than_before_is_a_copy(
    device: Authenticator, passkey: Passkey, before: int, now: int
) -> None:
    with pytest.raises(PersonError, match=REFUSED):
        show(device, passkey._replace(sign_count=before), count=now)


def test_another_devices_answer_under_the_same_name_does_not_hold(passkey: Passkey) -> None:
    other = Authenticator()
    other.user_handle = ADA.id.encode()
    answer = json.loads(other.show(WebAuthn().ask_to_show(PLACE, CHALLENGE, []), ORIGIN))
    with pytest.raises(PersonError, match=REFUSED):
        WebAuthn().shown(PLACE, CHALLENGE, json.dumps(answer | {"id": passkey.id, "rawId": passkey.id}), passkey)


@pytest.mark.parametrize("wrong", [{"origin": "https://evil.example"}, {"host": "evil.example"}, {"flags": PRESENT}])
def test_a_passkey_that_was_made_wrongly_is_none(wrong: dict[str, Any]) -> None:
    options = WebAuthn().ask_to_make(PLACE, CHALLENGE, ADA, [])
    with pytest.raises(PersonError, match=REFUSED):
        WebAuthn().made(PLACE, CHALLENGE, Authenticator().make(options, ORIGIN, **wrong))


def test_it_has_to_know_its_person_and_to_be_new(passkey: Passkey) -> None:
    asked = json.loads(WebAuthn().ask_to_make(PLACE, CHALLENGE, ADA, [passkey]))
    chosen = asked["authenticatorSelection"]
    assert (chosen["residentKey"], chosen["userVerification"]) == ("required", "required")
    assert asked["rp"] == {"id": "till.example", "name": "Till"}
    assert [each["id"] for each in asked["excludeCredentials"]] == [passkey.id]


RESPONSE: Final = {"clientDataJSON": "AA", "attestationObject": "gw", "authenticatorData": "AA", "signature": "AA"}


@pytest.mark.parametrize(
    "answer",
    [
        "", "{", "[]", "{}", "null", "1", '{"id": 1}', "\ud800", "[" * 100_000,
        json.dumps({"id": "AA", "rawId": "AA", "type": "public-key", "response": {}}),
        json.dumps({"id": "AA", "rawId": "AA", "type": "public-key", "response": RESPONSE}),
        json.dumps({"id": "é", "rawId": "!", "type": "public-key", "response": RESPONSE}),
    ],
    ids=range(12),
)  # fmt: skip
def test_what_is_no_answer_is_refused_and_nothing_breaks(passkey: Passkey, answer: str) -> None:
    with pytest.raises(PersonError, match=REFUSED):
        WebAuthn().made(PLACE, CHALLENGE, answer)
    with pytest.raises(PersonError, match=REFUSED):
        WebAuthn().shown(PLACE, CHALLENGE, answer, passkey)


@pytest.mark.parametrize("id_", ["\ud800", "a\0", "é", "a b", "A" * 1_365, ""], ids=range(6))
def test_an_id_that_no_passkey_has_is_not_looked_for(id_: str) -> None:
    answer = json.dumps({"id": id_, "rawId": "AA", "type": "public-key", "response": RESPONSE})
    with pytest.raises(PersonError, match=REFUSED):
        WebAuthn().passkey_id(answer)


@pytest.mark.parametrize("said", [5, True, "usb", {"usb": 1}, [["usb"], {}, "x"], None], ids=str)
def test_ways_to_reach_an_authenticator_that_are_none_are_left_out(device: Authenticator, said: object) -> None:
    answer = json.loads(device.make(WebAuthn().ask_to_make(PLACE, CHALLENGE, ADA, []), ORIGIN))
    answer["response"]["transports"] = said
    assert WebAuthn().made(PLACE, CHALLENGE, json.dumps(answer)).transports == ""
