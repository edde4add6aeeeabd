"""Log-ins elsewhere on both databases: who comes in, who is connected, and who is not, whatever the service says."""

import json
from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import pytest

from farebox.account.desk import LoggedIn
from farebox.account.join import ask_to_join, confirm
from farebox.account.log_in import ask_for_link, log_in_by_link
from farebox.account.other_services import Answer, CameBack, SetOff, come_back, disconnect, set_off
from farebox.adapters.oauth_github import GitHub
from farebox.adapters.oauth_oidc import OidcService
from farebox.domain.events import SignedUp
from farebox.domain.people import LinkGone, NotAllowed, PersonError, TooOften, WrongPassword
from farebox.ports.people import Visit
from farebox.store.database import Database
from tests.contract.world import ADA, CLIENT, World, together
from tests.services.issuer import CLIENT_ID, CLIENT_SECRET, FakeGitHub, FakeIssuer, Issuer

BACK: Final = "https://till.example/oauth/it/callback"
UNVERIFIED: Final = "has not confirmed your address"
SILENT: Final = "does not answer as it should"


@pytest.fixture(scope="module")
def issuer() -> Iterator[FakeIssuer]:
    with FakeIssuer() as issuer:
        yield issuer


@pytest.fixture(scope="module")
def github() -> Iterator[FakeGitHub]:
    with FakeGitHub() as github:
        yield github


class Elsewhere(World):
    """People who log in at an issuer ("it") or at GitHub ("github")."""

    def __init__(self, database: Database, issuer: FakeIssuer, github: FakeGitHub) -> None:
        super().__init__(database)
        self.issuer, self.github = issuer, github
        issuer.be("subject-1", ADA)
        self.services["it"] = OidcService("It", issuer.url, CLIENT_ID, CLIENT_SECRET)
        self.services["github"] = GitHub(CLIENT_ID, CLIENT_SECRET, github.url)

    def leave(self, name: str = "it", person_id: str | None = None) -> SetOff:
        return set_off(self.desk, CLIENT, name, BACK, "/usage", person_id)

    def agree(self, gone: SetOff, name: str = "it") -> Answer:
        at: Issuer = self.issuer if name == "it" else self.github
        said = {key: values[0] for key, values in parse_qs(urlsplit(at.agree(gone.address)).query).items()}
        return Answer(said["state"], said["code"], said.get("iss", ""))

    def come_back(self, gone: SetOff, answer: Answer, name: str = "it", here: Visit | None = None) -> CameBack:
        return come_back(self.desk, CLIENT, name, BACK, gone.token, answer, here)

    def enter(self, name: str = "it") -> LoggedIn:
        gone = self.leave(name)
        came = self.come_back(gone, self.agree(gone, name), name)
        assert came.next_path == "/usage"
        assert came.logged_in is not None
        return came.logged_in

    def identities(self) -> list[tuple[Any, ...]]:
        return self.rows("SELECT issuer, subject, person_id FROM identity ORDER BY created_us")


@pytest.fixture
def world(database: Database, issuer: FakeIssuer, github: FakeGitHub) -> Elsewhere:
    return Elsewhere(database, issuer, github)


# -- Who comes in


def test_somebody_new_gets_an_account_as_by_a_confirmed_link(world: Elsewhere) -> None:
    here = world.visit(world.enter().cookie)
    assert (here.person.email, here.person.password_hash, here.account.email, here.role) == (ADA, None, ADA, "owner")
    assert (here.account.plan, here.session.began) == ("free", "oauth")
    assert world.told == [SignedUp(here.account.id, "free", ADA)]
    assert world.identities() == [(world.issuer.url, "subject-1", here.person.id)]
    again = world.visit(world.enter().cookie)
    assert (again.person, again.account) == (here.person, here.account)
    assert len(world.told) == 1


def test_a_person_is_their_subject_and_not_their_address(world: Elsewhere) -> None:
    here = world.visit(world.enter().cookie)
    world.issuer.be("subject-1", "ada@elsewhere.example")
    assert world.visit(world.enter().cookie).person == here.person
    world.issuer.be("subject-1", None)
    assert world.visit(world.enter().cookie).person == here.person
    world.issuer.be("subject-2", "ada@elsewhere.example")
    assert world.visit(world.enter().cookie).person != here.person


def test_the_same_subject_at_another_issuer_is_somebody_else(world: Elsewhere) -> None:
    here = world.visit(world.enter().cookie)
    world.github.be(1, ("eve@example.com", True, True))
    world.rows("UPDATE identity SET subject = '1'")
    assert world.visit(world.enter("github").cookie).person != here.person


def test_a_confirmed_person_with_the_verified_address_is_connected_and_told(world: Elsewhere) -> None:
    here = world.visit(world.join().cookie)
    assert world.visit(world.enter().cookie).person.id == here.person.id
    assert world.identities() == [(world.issuer.url, "subject-1", here.person.id)]
    [(data,)] = world.rows("SELECT data FROM mail WHERE template = 'changed'")
    assert "It was connected" in json.loads(data)["what"]
    assert world.log_in(), "the password is as it was"


def test_an_address_that_is_not_verified_is_not_connected_and_opens_nothing(world: Elsewhere) -> None:
    world.join()
    before = world.counts()
    for email in (ADA, "new@example.com"):
        world.issuer.be("subject-1", email, is_verified=False)
        with pytest.raises(PersonError, match=UNVERIFIED):
            world.enter()
    assert world.counts() == before
    assert world.identities() == []


def test_who_signed_up_first_with_somebodys_address_has_nothing_of_their_account(world: Elsewhere) -> None:
    """Account pre-hijacking: an attacker has signed up with the address, and knows the password that they chose."""
    browser = ask_to_join(world.desk, CLIENT, email=ADA, password="of the attacker's")
    token = world.token()
    here = world.visit(world.enter().cookie)
    assert here.person.password_hash is None
    with pytest.raises(WrongPassword):
        world.log_in("of the attacker's")
    # Even if the owner follows the mail now, in whatever browser: the password of somebody who exists stays.
    confirm(world.desk, CLIENT, token=token, browser=browser)
    with pytest.raises(WrongPassword):
        world.log_in("of the attacker's")


def test_who_has_a_second_factor_shows_it_and_is_not_connected_by_an_address(world: Elsewhere) -> None:
    world.join()
    world.rows("UPDATE person SET totp_secret = :secret", secret=b"sealed")
    came = world.enter()
    assert (came.cookie, bool(came.code)) == ("", True)
    assert world.identities() == []


def test_who_is_suspended_does_not_come_in_and_nothing_is_kept(world: Elsewhere) -> None:
    world.join()
    world.rows("UPDATE account SET state = 'suspended'")
    with pytest.raises(NotAllowed, match="suspended"):
        world.enter()
    assert world.identities() == []


def test_new_accounts_of_one_network_have_a_bound_and_people_who_are_known_still_come_in(world: Elsewhere) -> None:
    world.enter()
    at_us = world.people.now_us()
    for number in range(19):
        subject = f"sign-up from {CLIENT.address}"
        world.rows("INSERT INTO guess VALUES (:s, :id, :at)", s=subject, id=str(number), at=at_us)
    world.issuer.be("subject-2", "b@example.com")
    with pytest.raises(TooOften):
        world.enter()
    world.issuer.be("subject-1", ADA)
    assert world.enter().cookie


def test_two_log_ins_of_somebody_new_at_once_make_one_person(world: Elsewhere) -> None:
    gone = [world.leave() for _ in range(6)]
    answers = iter([(each, world.agree(each)) for each in gone])
    came = together(6, lambda: world.come_back(*next(answers)))
    assert [each for each in came if not isinstance(each, CameBack)] == []
    assert {world.count(name) for name in ("person", "account", "member", "identity")} == {1}


# -- What ties the way there and the way back together


def test_a_state_of_another_browser_or_none_lets_nobody_in(world: Elsewhere) -> None:
    mine, eves = world.leave(), world.leave()
    theirs = world.agree(eves)
    for token, state in [(mine.token, theirs.state), ("", theirs.state), (mine.token, ""), (mine.token, "é\ud800")]:
        with pytest.raises(LinkGone):
            come_back(world.desk, CLIENT, "it", BACK, token, theirs._replace(state=state), None)
    assert world.count("session") == 0
    assert world.come_back(eves, theirs).logged_in is not None, "and none of these has used it up"


def test_a_way_back_works_once_and_for_ten_minutes(world: Elsewhere) -> None:
    gone = world.leave()
    answer = world.agree(gone)
    world.come_back(gone, answer)
    with pytest.raises(LinkGone):
        world.come_back(gone, answer)
    gone = world.leave()
    answer = world.agree(gone)
    world.rows("UPDATE ceremony SET expires_us = expires_us - :us", us=10 * 60 * 10**6)
    with pytest.raises(LinkGone):
        world.come_back(gone, answer)


def test_a_code_of_another_log_in_lets_nobody_in(world: Elsewhere) -> None:
    mine, eves = world.leave(), world.leave()
    stolen = world.agree(eves).code
    with pytest.raises(PersonError, match=SILENT):
        world.come_back(mine, world.agree(mine)._replace(code=stolen))
    mine = world.leave()
    for code in ("", "x"):
        gone = world.leave()
        with pytest.raises(PersonError):
            world.come_back(gone, world.agree(gone)._replace(code=code))
    assert world.count("session") == 0


def test_a_log_in_begun_at_one_service_does_not_end_at_another(world: Elsewhere) -> None:
    gone = world.leave("it")
    with pytest.raises(LinkGone):
        world.come_back(gone, world.agree(gone), "github")
    with pytest.raises(LinkGone):
        world.leave("no-such-service")


# -- GitHub


def test_github_lets_in_by_its_number_and_the_verified_primary_address(world: Elsewhere) -> None:
    world.github.be(7, ("second@example.com", False, True), (ADA, True, True))
    here = world.visit(world.enter("github").cookie)
    assert here.person.email == ADA
    assert world.identities() == [(world.github.url, "7", here.person.id)]
    world.github.be(7)
    assert world.visit(world.enter("github").cookie).person == here.person
    world.github.be(8, ("b@example.com", True, True))
    assert world.visit(world.enter("github").cookie).person != here.person


# -- Connected and disconnected


def test_a_person_connects_a_service_under_another_address_and_logs_in_by_it(world: Elsewhere) -> None:
    here = world.visit(world.join().cookie)
    world.issuer.be("subject-1", "other@example.com", is_verified=False)
    gone = world.leave(person_id=here.person.id)
    assert world.come_back(gone, world.agree(gone), here=here).logged_in is None
    assert world.visit(world.enter().cookie).person == here.person
    disconnect(world.desk, here, CLIENT, world.issuer.url, "subject-1")
    with pytest.raises(PersonError, match=UNVERIFIED):
        world.enter()


def test_a_service_is_connected_to_who_began_it_and_to_nobody_else(world: Elsewhere) -> None:
    here, eve = world.visit(world.join().cookie), world.visit(world.join("eve@example.com").cookie)
    for who in (None, eve):
        gone = world.leave(person_id=here.person.id)
        with pytest.raises(NotAllowed):
            world.come_back(gone, world.agree(gone), here=who)
    assert world.identities() == []
    world.enter()
    gone = world.leave(person_id=eve.person.id)
    with pytest.raises(NotAllowed, match="connected to another person"):
        world.come_back(gone, world.agree(gone), here=eve)
    disconnect(world.desk, eve, CLIENT, world.issuer.url, "subject-1")
    assert world.identities() == [(world.issuer.url, "subject-1", here.person.id)]


def test_who_has_only_a_service_still_gets_in_by_mail_when_it_is_gone(world: Elsewhere) -> None:
    here = world.visit(world.enter().cookie)
    disconnect(world.desk, here, CLIENT, world.issuer.url, "subject-1")
    ask_for_link(world.desk, CLIENT, email=ADA, purpose="magic")
    assert log_in_by_link(world.desk, CLIENT, token=world.token("magic")).cookie


def test_who_is_deleted_while_the_service_is_asked_has_nothing_connected(world: Elsewhere) -> None:
    world.issuer.be("subject-2", "work@example.com")
    here = world.visit(world.join().cookie)
    gone = world.leave(person_id=here.person.id)
    answer = world.agree(gone)
    world.rows("DELETE FROM mail")
    world.rows("DELETE FROM person")
    with pytest.raises(NotAllowed, match="no longer in any account"):
        world.come_back(gone, answer, here=here)
    assert world.identities() == []
    assert world.count("mail") == 0
