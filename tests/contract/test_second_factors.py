"""The second factor on both databases: each code counts once, and none is looked at too often."""

import base64
import json
import time

import pytest

from farebox.account.again import show_code_again, show_password_again, ways_of
from farebox.account.desk import LoggedIn
from farebox.account.log_in import log_in
from farebox.account.own_keys import FormUsed
from farebox.account.second_factor import (
    begin_second_factor,
    enrolment,
    form_of_codes,
    log_in_by_code,
    new_recovery_codes,
    turn_off_second_factor,
    turn_on_second_factor,
)
from farebox.adapters.vault import AesVault
from farebox.domain.people import LinkGone, NotAllowed, PersonError, TooOften, WrongPassword, ceremonies_from, codes_of
from farebox.domain.second_factor import code_at, secret_text, step_of
from farebox.ports.people import Visit
from farebox.store.database import Database
from tests.contract.world import ADA, CLIENT, GOOD, OTHER, SECRET, World, together

WRONG = "does not work"


class Guarded(World):
    """Somebody whose second factor is on, and their app."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self.cookie = self.join().cookie
        self.begun = begin_second_factor(self.desk, self.here, CLIENT)
        text = enrolment(self.desk, self.here, self.begun).text
        self.secret = base64.b32decode(text)
        self.codes = self._turned_on()

    def _turned_on(self) -> list[str]:
        """By the code of the half minute before: those after it are the tests' to use."""
        for is_last in (False, True):
            self.first_code = self.code(-1)
            try:
                return list(turn_on_second_factor(self.desk, self.here, CLIENT, token=self.begun, code=self.first_code))
            except PersonError:  # that half minute ended on the way
                if is_last:
                    raise
        raise AssertionError("it was neither turned on nor refused")

    @property
    def here(self) -> Visit:
        return self.visit(self.cookie)

    def new_codes(self, form: str = "") -> list[str]:
        return new_recovery_codes(self.desk, self.here, CLIENT, form or form_of_codes(self.desk, self.here))

    def code(self, off: int = 0) -> str:
        return code_at(self.secret, step_of(self.people.now_us()) + off)

    def first(self, password: str = GOOD) -> str:
        """The token of a log-in whose second factor is due."""
        came = log_in(self.desk, CLIENT, email=ADA, password=password)
        assert came.cookie == ""
        return came.code

    def show(self, code: str, token: str = "") -> LoggedIn:
        return log_in_by_code(self.desk, CLIENT, token=token or self.first(), code=code)


def turn_on(world: Guarded, here: Visit, token: str, secret: bytes) -> list[str]:
    code = code_at(secret, step_of(world.people.now_us()))
    return turn_on_second_factor(world.desk, here, CLIENT, token=token, code=code)


@pytest.fixture
def world(database: Database) -> Guarded:
    return Guarded(database)


def test_a_code_is_asked_for_and_lets_in(world: Guarded) -> None:
    token = world.first()
    with pytest.raises(PersonError, match=WRONG):
        world.show("000000" if world.code() != "000000" else "000001", token)
    here = world.visit(world.show(f" {world.code()[:3]} {world.code()[3:]} ", token).cookie)
    assert (here.person.email, here.session.began) == (ADA, "password")
    with pytest.raises(LinkGone):
        world.show(world.code(1), token)


def test_the_code_that_turned_it_on_and_one_that_was_used_let_nobody_in(world: Guarded) -> None:
    with pytest.raises(PersonError, match=WRONG):
        world.show(world.first_code)
    code = world.code(1)
    world.show(code)
    for used in (code, world.code()):
        with pytest.raises(PersonError, match=WRONG):
            world.show(used)


def test_one_code_shown_by_many_at_once_lets_one_in(world: Guarded) -> None:
    tokens = [world.first()]
    came = together(8, lambda: world.show(world.code(1), tokens[0]))
    assert sum(isinstance(each, LoggedIn) for each in came) == 1


def test_ten_codes_are_looked_at_and_no_more_though_fifty_come_at_once(world: Guarded) -> None:
    world.rows("DELETE FROM guess")
    token, code = world.first(), world.code()
    wrong = f"{(int(code) + 7) % 10**6:06}"
    came = together(50, lambda: world.show(wrong, token))
    assert all(isinstance(each, PersonError) for each in came)
    assert world.rows("SELECT count(*) FROM audit WHERE what = 'code_wrong'") == [(10,)]
    later = [each for each in came if isinstance(each, PersonError) and each.retry_after_seconds is not None]
    assert len(later) == 40
    assert "Try again in 15 minutes, or log in with a passkey, if you have one. That works now." in str(later[0])
    for right in (world.code(), world.codes[0]):
        with pytest.raises(PersonError, match="not checked"):
            world.show(right, token)
    assert world.count("session") == 1


def test_it_is_not_turned_on_by_guessing_more_often_than_is_allowed(world: Guarded) -> None:
    eve = world.visit(world.join("eve@example.com").cookie)
    token = begin_second_factor(world.desk, eve, CLIENT)
    secret = base64.b32decode(enrolment(world.desk, eve, token).text)
    world.use_up(codes_of(eve.person.id))
    with pytest.raises(WrongPassword, match="not checked"):
        turn_on_second_factor(
            world.desk, eve, CLIENT, token=token, code=code_at(secret, step_of(world.people.now_us()))
        )


def test_who_does_not_know_the_password_uses_up_nobodys_codes(world: Guarded) -> None:
    for _ in range(12):
        with pytest.raises(PersonError):
            log_in(world.desk, CLIENT, email=ADA, password="not the password")
    world.rows("DELETE FROM guess WHERE subject LIKE 'guess%'")
    assert world.show(world.code()).cookie


def test_a_recovery_code_lets_in_once_and_the_owner_is_told(world: Guarded) -> None:
    assert len(set(world.codes)) == 10
    assert world.show(world.codes[3].upper().replace("-", " ")).cookie
    with pytest.raises(PersonError, match=WRONG):
        world.show(world.codes[3])
    assert world.desk.proofs.second_factors.codes_left(world.here.person.id) == 9
    told = [json.loads(data).get("what", "") for (data,) in world.rows("SELECT data FROM mail")]
    assert sum("A recovery code was used" in what for what in told) == 1


def test_one_recovery_code_shown_by_many_at_once_lets_one_in(world: Guarded) -> None:
    tokens = [world.first()]
    came = together(8, lambda: world.show(world.codes[0], tokens[0]))
    assert sum(isinstance(each, LoggedIn) for each in came) == 1


def test_new_recovery_codes_replace_the_old_ones(world: Guarded) -> None:
    fresh = world.new_codes()
    with pytest.raises(PersonError, match=WRONG):
        world.show(world.codes[0])
    assert world.show(fresh[0]).cookie


def test_one_form_for_new_codes_sent_many_times_shows_the_codes_that_count(world: Guarded) -> None:
    form = form_of_codes(world.desk, world.here)
    shown = together(6, lambda: world.new_codes(form))
    codes = world.new_codes(form)
    assert shown == [codes] * 6
    assert world.show(codes[0]).cookie
    assert world.new_codes(form) == codes
    with pytest.raises(PersonError, match=WRONG):
        world.show(codes[0])
    assert world.rows("SELECT count(*) FROM audit WHERE what = 'recovery_codes_made'") == [(1,)]


def test_of_several_forms_for_new_codes_one_counts_and_an_older_one_brings_no_codes_back(world: Guarded) -> None:
    forms = [form_of_codes(world.desk, world.here) for _ in range(6)]
    shown = together(6, lambda: world.new_codes(forms.pop()))
    lists = [each for each in shown if isinstance(each, list)]
    assert [len(lists), sum(isinstance(each, FormUsed) for each in shown)] == [1, 5]
    older = form_of_codes(world.desk, world.here)
    world.new_codes(older)
    newest = world.new_codes()
    with pytest.raises(FormUsed):
        world.new_codes(older)
    assert world.show(newest[0]).cookie


def test_another_persons_codes_are_none(world: Guarded) -> None:
    eve = world.visit(world.join("eve@example.com").cookie)
    token = begin_second_factor(world.desk, eve, CLIENT)
    with pytest.raises(NotAllowed):
        turn_on_second_factor(world.desk, world.here, CLIENT, token=token, code="000000")
    pia = world.visit(world.join("pia@example.com").cookie)
    with pytest.raises(LinkGone):
        turn_on_second_factor(world.desk, pia, CLIENT, token=token, code="000000")
    world.rows("UPDATE person SET totp_secret = (SELECT totp_secret FROM person WHERE email = :ada) WHERE id = :eve",
               ada=ADA, eve=eve.person.id)  # fmt: skip
    came = log_in(world.desk, CLIENT, email="eve@example.com", password=GOOD)
    for code in (world.code(), world.codes[0]):
        with pytest.raises(PersonError, match=WRONG):
            log_in_by_code(world.desk, CLIENT, token=came.code, code=code)


def test_a_stolen_database_tells_neither_the_secret_nor_a_code(world: Guarded) -> None:
    stored = repr([world.rows(f"SELECT * FROM {table}") for table in ("person", "recovery_code", "ceremony", "mail")])
    assert repr(world.secret)[2:-1] not in stored
    assert secret_text(world.secret) not in stored
    assert world.secret.hex() not in stored
    for code in world.codes:
        assert code not in stored
        assert code.replace("-", "") not in stored
    assert world.begun not in stored


def test_one_secret_is_sealed_in_another_way_each_time() -> None:
    """Under one and the same nonce, two that were stolen would tell of each other."""
    vault = AesVault(SECRET)
    assert vault.seal(b"a secret", "person_1") != vault.seal(b"a secret", "person_1")


def test_what_is_sealed_is_read_under_the_secret_of_its_server_alone() -> None:
    sealed = AesVault(SECRET).seal(b"a secret", "person_1")
    assert AesVault(SECRET).unseal(sealed, "person_1") == b"a secret"
    assert AesVault(b"another secret of the tests, as long").unseal(sealed, "person_1") is None


def test_the_step_before_the_second_factor_ends_in_ten_minutes(world: Guarded) -> None:
    token = world.first()
    world.rows("UPDATE link SET expires_us = expires_us - :us WHERE purpose = 'code'", us=10 * 60 * 10**6)
    with pytest.raises(LinkGone):
        world.show(world.code(), token)


def test_the_token_of_a_mailed_link_is_no_first_step(world: Guarded) -> None:
    for token in ("", "x", world.first().swapcase()):
        with pytest.raises(LinkGone):
            log_in_by_code(world.desk, CLIENT, token=token, code=world.code())


def test_a_change_of_password_ends_the_log_ins_that_wait_for_a_code(world: Guarded) -> None:
    token = world.first()
    world.people.set_password(world.here.person, f"hash of {OTHER}", world.here.session, CLIENT)
    with pytest.raises(LinkGone):
        world.show(world.code(), token)
    assert world.show(world.code(), world.first(OTHER)).cookie


def test_who_is_suspended_between_the_steps_stays_out(world: Guarded) -> None:
    token = world.first()
    world.rows("UPDATE account SET state = 'suspended'")
    with pytest.raises(NotAllowed):
        world.show(world.code(), token)
    world.rows("UPDATE account SET state = 'active'")
    assert world.show(world.code(), token).cookie, "what was refused has used up nothing"


def test_it_is_turned_off_with_all_its_codes_and_on_again_anew(world: Guarded) -> None:
    token = world.first()
    turn_off_second_factor(world.desk, world.here, CLIENT)
    assert world.count("recovery_code") == 0
    with pytest.raises(PersonError):
        world.show(world.code(), token)
    assert log_in(world.desk, CLIENT, email=ADA, password=GOOD).cookie
    with pytest.raises(NotAllowed):
        world.new_codes()
    begun = begin_second_factor(world.desk, world.here, CLIENT)
    with pytest.raises(PersonError, match=WRONG):
        turn_on_second_factor(world.desk, world.here, CLIENT, token=begun, code=world.code())
    assert [row[0] for row in world.rows("SELECT what FROM audit WHERE what LIKE 'second_factor%' ORDER BY at_us")] == [
        "second_factor_on",
        "second_factor_off",
    ]


def test_it_is_turned_on_once_and_a_step_begun_earlier_does_not_replace_it(world: Guarded) -> None:
    for begin in (
        lambda: begin_second_factor(world.desk, world.here, CLIENT),
        lambda: enrolment(world.desk, world.here, world.begun),
    ):
        with pytest.raises(NotAllowed):
            begin()
    cookie = world.join("eve@example.com").cookie
    eve = world.visit(cookie)
    begun = [begin_second_factor(world.desk, eve, CLIENT) for _ in range(2)]
    secrets = [base64.b32decode(enrolment(world.desk, eve, token).text) for token in begun]
    turn_on(world, eve, begun[0], secrets[0])
    before = world.rows("SELECT totp_secret FROM person WHERE id = :eve", eve=eve.person.id)
    for visit in (eve, world.visit(cookie)):
        with pytest.raises(NotAllowed, match="Keep its entry"):
            turn_on(world, visit, begun[1], secrets[1])
    assert world.rows("SELECT totp_secret FROM person WHERE id = :eve", eve=eve.person.id) == before


def test_a_second_press_of_the_button_shows_the_same_recovery_codes(world: Guarded) -> None:
    cookie = world.join("eve@example.com").cookie
    eve = world.visit(cookie)
    token = begin_second_factor(world.desk, eve, CLIENT)
    secret = base64.b32decode(enrolment(world.desk, eve, token).text)
    came = together(4, lambda: turn_on(world, eve, token, secret))
    assert [each == came[0] for each in came] == [True] * 4
    again = turn_on_second_factor(world.desk, world.visit(cookie), CLIENT, token=token, code="an old one")
    assert again == came[0]
    assert len(world.rows("SELECT 1 FROM audit WHERE what = 'second_factor_on'")) == 2, "hers, and that of Ada"


def test_recovery_codes_that_count_no_longer_are_not_shown_again(world: Guarded) -> None:
    world.new_codes()
    with pytest.raises(NotAllowed, match="Keep its entry"):
        turn_on_second_factor(world.desk, world.here, CLIENT, token=world.begun, code=world.code())
    turn_off_second_factor(world.desk, world.here, CLIENT)
    with pytest.raises(LinkGone, match="remove the entry"):
        turn_on_second_factor(world.desk, world.here, CLIENT, token=world.begun, code=world.code())


def test_a_ceremony_that_is_over_says_to_keep_the_entry_of_what_is_on(world: Guarded) -> None:
    world.rows("DELETE FROM ceremony")
    with pytest.raises(NotAllowed, match="Keep its entry"):
        turn_on_second_factor(world.desk, world.here, CLIENT, token=world.begun, code=world.code())


def test_a_password_alone_does_not_undo_what_guards_against_a_stolen_one(world: Guarded) -> None:
    here = world.here
    assert ways_of(world.desk, here) == (False, True, False)
    world.rows("UPDATE session SET authenticated_us = 0")
    with pytest.raises(NotAllowed):
        show_password_again(world.desk, here, CLIENT, GOOD)
    assert world.here.session.authenticated_us == 0
    code = world.code()
    show_code_again(world.desk, here, CLIENT, code)
    assert abs(world.here.session.authenticated_us - time.time_ns() // 1000) < 60 * 10**6
    with pytest.raises(PersonError, match=WRONG):
        show_code_again(world.desk, here, CLIENT, code)


def test_a_client_begins_so_often_and_no_more(world: Guarded) -> None:
    eve = world.visit(world.join("eve@example.com").cookie)
    world.use_up(ceremonies_from(CLIENT))
    with pytest.raises(TooOften):
        begin_second_factor(world.desk, eve, CLIENT)
