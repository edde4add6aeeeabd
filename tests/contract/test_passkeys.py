"""Passkeys on both databases: each question is good for one answer, from this site, by a person who was verified."""

import json
from typing import Any, Final

import pytest

from farebox.account.again import show_passkey_again, ways_of
from farebox.account.desk import LoggedIn
from farebox.account.passkeys import (
    PASSKEYS_MAX,
    Asked,
    add_passkey,
    ask_for_passkey,
    ask_to_make_passkey,
    log_in_by_passkey,
    remove_passkey,
    rename_passkey,
)
from farebox.domain.people import LinkGone, NotAllowed, Passkey, PersonError
from farebox.ports.people import Visit
from farebox.ports.proofs import Place
from farebox.store.database import Database
from tests.contract.world import CLIENT, World, together
from tests.services.authenticator import PRESENT, Authenticator

ORIGIN: Final = "https://till.example"
PLACE: Final = Place("till.example", (ORIGIN,), "Till")
REFUSED: Final = "does not work here"


class Keyed(World):
    """Somebody with a passkey."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self.cookie = self.join().cookie
        self.device = Authenticator()
        self.add(self.here, self.device)

    @property
    def here(self) -> Visit:
        return self.visit(self.cookie)

    @property
    def passkey(self) -> Passkey:
        [found] = self.desk.proofs.passkeys.of(self.here.person.id)
        return found

    def add(self, here: Visit, device: Authenticator, name: str = " my  phone", **wrong: Any) -> None:  # noqa: ANN401
        asked = ask_to_make_passkey(self.desk, here, CLIENT, PLACE)
        answer = device.make(asked.options, ORIGIN, **wrong)
        add_passkey(self.desk, here, CLIENT, PLACE, token=asked.token, answer=answer, name=name)

    def asked(self) -> Asked:
        return ask_for_passkey(self.desk, CLIENT, PLACE)

    def log_in_by_passkey(self, **wrong: Any) -> LoggedIn:  # noqa: ANN401
        asked = self.asked()
        answer = self.device.show(asked.options, ORIGIN, **wrong)
        return log_in_by_passkey(self.desk, CLIENT, PLACE, token=asked.token, answer=answer)


@pytest.fixture
def world(database: Database) -> Keyed:
    return Keyed(database)


def test_a_passkey_lets_its_owner_in_without_any_name(world: Keyed) -> None:
    asked = json.loads(world.asked().options)
    assert (asked["rpId"], asked["userVerification"], asked["allowCredentials"]) == ("till.example", "required", [])
    here = world.visit(world.log_in_by_passkey().cookie)
    assert (here.person, here.session.began) == (world.here.person, "passkey")
    assert (world.passkey.name, world.passkey.sign_count, world.passkey.transports) == ("my phone", 1, "internal")
    assert world.passkey.used_us is not None


def test_a_passkey_is_two_factors_so_no_code_is_asked_for(world: Keyed) -> None:
    world.rows("UPDATE person SET totp_secret = :secret", secret=b"sealed")
    assert world.visit(world.log_in_by_passkey().cookie)


def test_a_wrong_answer_lets_nobody_in_and_the_next_right_one_does(world: Keyed) -> None:
    for wrong in ({"origin": "https://evil.example"}, {"flags": PRESENT}, {"is_forged": True}):
        with pytest.raises(PersonError, match=REFUSED):
            world.log_in_by_passkey(**wrong)
    assert world.count("session") == 1
    assert world.log_in_by_passkey().cookie


def test_a_device_that_has_signed_less_often_than_before_is_a_copy(world: Keyed) -> None:
    world.log_in_by_passkey(count=5)
    for count in (0, 4, 5):
        with pytest.raises(PersonError, match=REFUSED):
            world.log_in_by_passkey(count=count)
    assert world.passkey.sign_count == 5


def test_a_device_that_does_not_count_is_taken(world: Keyed) -> None:
    for _ in range(2):
        assert world.log_in_by_passkey(count=0).cookie


def test_a_question_is_good_for_one_answer_right_or_wrong(world: Keyed) -> None:
    asked = world.asked()
    answer = world.device.show(asked.options, ORIGIN)
    assert log_in_by_passkey(world.desk, CLIENT, PLACE, token=asked.token, answer=answer).cookie
    for again in (answer, world.device.show(asked.options, ORIGIN)):
        with pytest.raises(LinkGone):
            log_in_by_passkey(world.desk, CLIENT, PLACE, token=asked.token, answer=again)
    asked = world.asked()
    with pytest.raises(PersonError):
        log_in_by_passkey(world.desk, CLIENT, PLACE, token=asked.token, answer="{}")
    answer = world.device.show(asked.options, ORIGIN)
    with pytest.raises(LinkGone):
        log_in_by_passkey(world.desk, CLIENT, PLACE, token=asked.token, answer=answer)


def test_one_answer_sent_by_many_at_once_lets_one_in(world: Keyed) -> None:
    asked = world.asked()
    answer = world.device.show(asked.options, ORIGIN)
    came = together(8, lambda: log_in_by_passkey(world.desk, CLIENT, PLACE, token=asked.token, answer=answer))
    assert sum(isinstance(each, LoggedIn) for each in came) == 1


def test_an_answer_is_good_in_the_browser_that_asked_and_for_ten_minutes(world: Keyed) -> None:
    asked, other = world.asked(), world.asked()
    answer = world.device.show(asked.options, ORIGIN)
    for token in ("", "x", other.token):
        with pytest.raises(PersonError):
            log_in_by_passkey(world.desk, CLIENT, PLACE, token=token, answer=answer)
    world.rows("UPDATE ceremony SET expires_us = expires_us - :us", us=10 * 60 * 10**6)
    with pytest.raises(LinkGone):
        log_in_by_passkey(world.desk, CLIENT, PLACE, token=asked.token, answer=answer)


def test_the_question_of_one_thing_is_not_that_of_another(world: Keyed) -> None:
    making = ask_to_make_passkey(world.desk, world.here, CLIENT, PLACE)
    answer = world.device.show(json.dumps({**json.loads(making.options), "rpId": "till.example"}), ORIGIN)
    with pytest.raises(LinkGone):
        log_in_by_passkey(world.desk, CLIENT, PLACE, token=making.token, answer=answer)
    again = ask_for_passkey(world.desk, CLIENT, PLACE, world.here.person)
    with pytest.raises(LinkGone):
        log_in_by_passkey(world.desk, CLIENT, PLACE, token=again.token, answer=world.device.show(again.options, ORIGIN))


def test_the_question_that_a_passkey_is_made_by_is_good_once_and_for_ten_minutes(world: Keyed) -> None:
    once, late = (ask_to_make_passkey(world.desk, world.here, CLIENT, PLACE) for _ in range(2))

    def make(asked: Asked) -> None:
        answer = Authenticator().make(asked.options, ORIGIN)
        add_passkey(world.desk, world.here, CLIENT, PLACE, token=asked.token, answer=answer, name="phone")

    make(once)
    world.rows("UPDATE ceremony SET expires_us = expires_us - :us", us=10 * 60 * 10**6)
    for asked in (once, late):
        with pytest.raises(LinkGone):
            make(asked)
    assert world.count("passkey") == 2


def test_a_passkey_that_was_made_wrongly_is_not_kept(world: Keyed) -> None:
    with pytest.raises(PersonError, match=REFUSED):
        world.add(world.here, Authenticator(), origin="https://evil.example")
    assert world.count("passkey") == 1


def test_a_passkey_has_one_owner_and_only_they_touch_it(world: Keyed) -> None:
    eve = world.visit(world.join("eve@example.com").cookie)
    with pytest.raises(NotAllowed):
        world.add(eve, world.device)
    with pytest.raises(PersonError):
        rename_passkey(world.desk, eve, world.passkey.id, "mine")
    remove_passkey(world.desk, eve, CLIENT, world.passkey.id)
    asked = ask_for_passkey(world.desk, CLIENT, PLACE, eve.person)
    world.device.user_handle = world.here.person.id.encode()
    answer = world.device.show(asked.options, ORIGIN)
    with pytest.raises(PersonError):
        show_passkey_again(world.desk, eve, CLIENT, PLACE, token=asked.token, answer=answer)
    assert world.passkey.name == "my phone"
    assert world.log_in_by_passkey().cookie


def test_a_passkey_shows_again_who_one_is(world: Keyed) -> None:
    assert ways_of(world.desk, world.here).has_passkey
    world.rows("UPDATE session SET authenticated_us = 0")
    asked = ask_for_passkey(world.desk, CLIENT, PLACE, world.here.person)
    assert [each["id"] for each in json.loads(asked.options)["allowCredentials"]] == [world.passkey.id]
    answer = world.device.show(asked.options, ORIGIN)
    show_passkey_again(world.desk, world.here, CLIENT, PLACE, token=asked.token, answer=answer)
    assert world.here.session.authenticated_us > 0


def test_a_passkey_is_renamed_and_removed_and_its_owner_is_told(world: Keyed) -> None:
    rename_passkey(world.desk, world.here, world.passkey.id, "the old phone")
    for name in ("", " ", "x" * 61, "two\nlines\0"):
        with pytest.raises(PersonError, match="A name has to be one line"):
            rename_passkey(world.desk, world.here, world.passkey.id, name)
    remove_passkey(world.desk, world.here, CLIENT, world.passkey.id)
    with pytest.raises(PersonError, match="not known here"):
        world.log_in_by_passkey()
    told = [json.loads(data)["what"] for (data,) in world.rows("SELECT data FROM mail WHERE template = 'changed'")]
    assert sorted(told) == ["A passkey was added. Its name: my phone", "A passkey was removed. Its name: the old phone"]


def test_who_is_suspended_does_not_come_in_by_a_passkey(world: Keyed) -> None:
    world.rows("UPDATE account SET state = 'suspended'")
    with pytest.raises(NotAllowed, match="suspended"):
        world.log_in_by_passkey()


def test_there_are_so_many_passkeys_and_no_more(world: Keyed) -> None:
    world.rows(
        "INSERT INTO passkey WITH RECURSIVE numbers (n) AS "
        "(SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < :most) "
        "SELECT CAST(n AS TEXT), person_id, public_key, 0, '', name, 0, NULL FROM numbers, passkey",
        most=PASSKEYS_MAX - 1,
    )
    with pytest.raises(NotAllowed, match="Remove one first"):
        ask_to_make_passkey(world.desk, world.here, CLIENT, PLACE)


def test_who_was_deleted_has_no_passkey_added_and_none_removed(world: Keyed) -> None:
    here, known = world.here, world.passkey
    world.rows("DELETE FROM mail")
    world.rows("DELETE FROM person")
    with pytest.raises(NotAllowed, match="no longer in any account"):
        world.add(here, Authenticator())
    with pytest.raises(NotAllowed, match="no longer in any account"):
        remove_passkey(world.desk, here, CLIENT, known.id)
    assert (world.count("passkey"), world.count("mail")) == (1, 0)
