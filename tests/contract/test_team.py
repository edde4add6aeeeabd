"""The people of an account on both databases: invited, joined, taken out; and never without an owner."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from farebox.account import sessions, team
from farebox.account.log_in import ask_for_link, log_in_by_link
from farebox.account.sign_up import sign_up
from farebox.domain.people import DAY_US, LinkGone, NotAllowed, PersonError, TooOften
from farebox.ports.people import Arrival, Visit
from farebox.store.accounts import StoredAccounts
from farebox.store.database import Database
from farebox.store.mail_outbox import StoredMailOutbox
from farebox.store.people import team as stored
from farebox.store.tables import metadata
from tests.contract.world import ADA, CLIENT, GOOD, OTHER, PRODUCT, World, together

BEA = "bea@example.com"
CEM = "cem@example.com"


class TeamWorld(World):
    """Ada has an account; others come to it."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self.ada_cookie = self.join().cookie

    @property
    def ada(self) -> Visit:
        return self.visit(self.ada_cookie)

    def invite(self, email: str = BEA, role: str = "member", by: Visit | None = None) -> str:
        team.invite(self.desk, by or self.ada, CLIENT, email=email, role=role)
        return self.token("invite", email)

    def accept(self, token: str, password: str = GOOD) -> team.Accepted:
        return team.accept(self.desk, CLIENT, token=token, password=password)

    def invited_in(self, email: str = BEA, role: str = "member") -> str:
        """Somebody new, who has joined; the cookie."""
        came = self.accept(self.invite(email, role)).came
        assert came is not None
        return came.cookie

    def roles(self) -> dict[str, str]:
        return {each.email: each.role for each in self.desk.upkeep.team.members(self.ada_account)}

    @property
    def ada_account(self) -> str:
        [(found,)] = self.rows("SELECT id FROM account WHERE email = :email", email=ADA)
        return str(found)

    def person(self, email: str) -> str:
        [(found,)] = self.rows("SELECT id FROM person WHERE email = :email", email=email)
        return str(found)

    def happened(self) -> list[str]:
        lines = self.desk.upkeep.archive.happened(self.ada_account, None)
        return [f"{line.email} {line.what} {line.about}".strip() for line in lines]


@pytest.fixture
def world(database: Database) -> TeamWorld:
    return TeamWorld(database)


def test_who_has_just_bought_a_plan_does_not_lose_it_to_a_free_one_that_was_chosen_at_that_moment(
    world: TeamWorld,
) -> None:
    before = world.ada
    world.rows("UPDATE account SET plan = 'pro', is_subscribed = 1 WHERE id = :id", id=world.ada_account)
    with pytest.raises(NotAllowed, match="paid for"):
        world.desk.upkeep.plans.choose(before, "free", CLIENT)
    assert world.ada.account.plan == "pro"


# -- Invitations


def test_somebody_new_sets_a_password_and_is_in(world: TeamWorld) -> None:
    token = world.invite()
    [(data, account_id)] = world.rows("SELECT data, account_id FROM mail WHERE template = 'invite'")
    assert (json.loads(data), account_id) == ({"account": ADA, "by": ADA, "role": "member"}, world.ada.account.id)
    found = team.look_at_invitation(world.desk, token)
    assert (found.is_new, found.account.email, found.invitation.email) == (True, ADA, BEA)
    for password in ("", "short", BEA):
        with pytest.raises(PersonError) as told:
            world.accept(token, password)
        assert told.value.field == "password"
    came = world.accept(token).came
    assert came is not None
    here = world.visit(came.cookie)
    assert (here.email, here.account.id, here.role, here.others) == (BEA, world.ada.account.id, "member", ())
    assert here.session.began == "mail"
    assert world.log_in(GOOD, BEA)
    with pytest.raises(LinkGone):
        world.accept(token)
    assert world.rows("SELECT count(*) FROM account") == [(1,)]
    assert world.happened()[0] == f"{BEA} logged_in"
    assert {f"{BEA} joined", f"{ADA} invited {BEA}"} < set(world.happened())


def test_somebody_new_goes_on_in_the_account_that_they_accepted_though_they_own_another(world: TeamWorld) -> None:
    sign_up(StoredAccounts(world.database), PRODUCT, BEA, "free")
    here = world.visit(world.invited_in())
    assert (here.account.email, here.role, [other.email for other in here.others]) == (ADA, "member", [BEA])


def test_somebody_known_joins_without_a_password_and_is_not_let_in_by_the_link(world: TeamWorld) -> None:
    bea_cookie = world.join(BEA).cookie
    token = world.invite(role="owner")
    assert not team.look_at_invitation(world.desk, token).is_new
    hashed = len(world.passwords.done)
    joined, came = world.accept(token, "")
    assert (came, joined.person_id, len(world.passwords.done)) == (None, world.person(BEA), hashed)
    here = world.visit(bea_cookie)
    assert (here.account.email, here.role) == (BEA, "owner"), "where they were they still are"
    assert [other.email for other in here.others] == [ADA]
    assert world.roles() == {ADA: "owner", BEA: "owner"}


def test_who_was_known_at_the_invitation_and_is_forgotten_before_they_accept_needs_a_password(world: TeamWorld) -> None:
    link_id = world.invite().partition("-")[0]
    with pytest.raises(PersonError) as told:
        world.desk.upkeep.team.accept(link_id, None, Arrival("a digest", "mail", CLIENT))
    assert told.value.field == "password"
    assert world.roles() == {ADA: "owner"}


def test_only_the_newest_invitation_works_and_none_that_was_revoked_or_is_old(world: TeamWorld) -> None:
    older, newer = world.invite(), world.invite(role="owner")
    assert [(each.email, each.role) for each in world.desk.upkeep.team.invitations(world.ada_account)] == [
        (BEA, "owner")
    ]
    with pytest.raises(LinkGone):
        world.accept(older)
    link_id = newer.partition("-")[0]
    assert world.desk.upkeep.team.revoke(world.ada, link_id, CLIENT)
    assert not world.desk.upkeep.team.revoke(world.ada, link_id, CLIENT)
    for token in (older, newer):
        with pytest.raises(LinkGone):
            world.accept(token)
    assert world.desk.upkeep.team.invitations(world.ada_account) == []
    last = world.invite()
    world.rows("UPDATE link SET expires_us = expires_us - :us", us=7 * DAY_US)
    with pytest.raises(LinkGone):
        world.accept(last)
    assert world.rows("SELECT count(*) FROM person") == [(1,)]


def test_an_invitation_that_was_revoked_is_not_even_sent(world: TeamWorld, database: Database) -> None:
    token = world.invite()
    world.rows("DELETE FROM mail WHERE template <> 'invite'")
    world.desk.upkeep.team.revoke(world.ada, token.partition("-")[0], CLIENT)
    outbox = StoredMailOutbox(database)
    due = outbox.claim()
    outbox.close()
    assert due is not None
    assert not due.is_link_alive


def test_a_link_of_another_purpose_invites_nobody_and_an_invitation_logs_nobody_in(world: TeamWorld) -> None:
    token = world.invite()
    ask_for_link(world.desk, CLIENT, email=ADA, purpose="magic")
    with pytest.raises(LinkGone):
        world.accept(world.token("magic"))
    with pytest.raises(LinkGone):
        log_in_by_link(world.desk, CLIENT, token=token)


def test_eight_who_accept_at_once_are_one_person(world: TeamWorld) -> None:
    token = world.invite()
    came = together(8, lambda: world.accept(token))
    assert sum(isinstance(each, team.Accepted) for each in came) == 1
    assert sum(isinstance(each, LinkGone) for each in came) == 7
    assert world.roles() == {ADA: "owner", BEA: "member"}


@pytest.mark.parametrize("change", ["state = 'suspended'", "closed_us = 1"])
def test_nobody_joins_an_account_that_nobody_can_work_in(world: TeamWorld, change: str) -> None:
    world.join(CEM)
    new, known = world.invite(), world.invite(CEM)
    world.rows(f"UPDATE account SET {change}")
    for token in (new, known):
        with pytest.raises(NotAllowed):
            world.accept(token)
    assert (world.count("person"), world.roles()) == (2, {ADA: "owner"})


def test_who_cannot_be_invited(world: TeamWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    world.invited_in()
    for email, field in ((BEA, "email"), (ADA, "email"), ("no address", "email")):
        with pytest.raises(PersonError) as told:
            world.invite(email)
        assert told.value.field == field
    with pytest.raises(PersonError) as told:
        world.invite(CEM, "admin")
    assert told.value.field == "role"
    eve = world.visit(world.join("eve@example.com").cookie)
    world.invite("0@example.com", by=eve)  # who is elsewhere takes no room here
    monkeypatch.setattr(stored, "TEAM_MAX", 4)
    for number in range(2):
        world.invite(f"{number}@example.com")
    with pytest.raises(PersonError, match="including those invited"):
        world.invite("last@example.com")


def test_invitations_have_a_bound_for_an_address_and_for_an_account(world: TeamWorld) -> None:
    for _ in range(5):
        world.invite()
    with pytest.raises(TooOften, match="invited several times") as told:
        world.invite()
    assert told.value.retry_after_seconds
    for number in range(45):
        world.invite(f"{number}@example.com")
    with pytest.raises(TooOften, match="many invitations"):
        world.invite("last@example.com")


# -- Members


def test_members_may_look_and_nothing_more(world: TeamWorld) -> None:
    bea = world.visit(world.invited_in())
    token = world.invite(CEM)
    people = world.desk.upkeep.team
    refused: list[Callable[[], Any]] = [
        lambda: world.invite("x@example.com", by=bea),
        lambda: people.revoke(bea, token.partition("-")[0], CLIENT),
        lambda: people.set_role(bea, bea.person.id, "owner", CLIENT),
        lambda: people.remove(bea, world.ada.person.id, CLIENT),
        lambda: world.desk.upkeep.plans.choose(bea, "pro", CLIENT),
        lambda: world.desk.upkeep.plans.set_spend_cap(bea, 1, CLIENT),
        lambda: world.desk.upkeep.plans.set_limit_mails(bea, CLIENT, wanted=False),
        lambda: world.desk.upkeep.closing.refuse_calls(bea, CLIENT),
        lambda: world.desk.upkeep.closing.close(bea, CLIENT),
    ]
    before = world.rows("SELECT * FROM account"), world.roles(), world.count("link")
    for act in refused:
        with pytest.raises(NotAllowed):
            act()
    assert before == (world.rows("SELECT * FROM account"), world.roles(), world.count("link"))


def test_whoever_was_an_owner_a_moment_ago_is_looked_at_again(world: TeamWorld) -> None:
    bea = world.visit(world.invited_in(role="owner"))
    world.desk.upkeep.team.set_role(world.ada, bea.person.id, "member", CLIENT)
    assert bea.role == "owner", "as their page still has it"
    with pytest.raises(NotAllowed, match="no longer"):
        world.desk.upkeep.team.remove(bea, world.ada.person.id, CLIENT)


def test_ids_of_another_account_are_nobody_here(world: TeamWorld) -> None:
    eve = world.visit(world.join("eve@example.com").cookie)
    token = world.invite()
    people = world.desk.upkeep.team
    assert not people.remove(eve, world.ada.person.id, CLIENT)
    assert not people.set_role(eve, world.ada.person.id, "member", CLIENT)
    assert not people.revoke(eve, token.partition("-")[0], CLIENT)
    assert not people.switch(eve, world.ada.account.id, CLIENT)
    assert world.accept(token).came


def test_a_role_is_of_one_account(world: TeamWorld) -> None:
    at_home = world.join(BEA).cookie
    world.accept(world.invite(role="owner"))
    assert world.desk.upkeep.team.set_role(world.ada, world.person(BEA), "member", CLIENT)
    assert (world.visit(at_home).account.email, world.visit(at_home).role) == (BEA, "owner")
    assert world.roles() == {ADA: "owner", BEA: "member"}


def test_a_removal_ends_the_sessions_here_and_forgets_who_is_nowhere_else(world: TeamWorld) -> None:
    cookies = [world.invited_in(), world.log_in(GOOD, BEA)]
    bea = world.person(BEA)
    world.rows("INSERT INTO passkey VALUES ('k', :bea, :key, 0, '', 'phone', 1, NULL)", bea=bea, key=b"k")
    ask_for_link(world.desk, CLIENT, email=BEA, purpose="magic")
    world.rows("INSERT INTO mail VALUES ('m', :bea, 'new_password', '{}', NULL, 1, NULL, 1, 1, '', NULL)", bea=BEA)
    elsewhere = world.invite(by=world.visit(world.join("eve@example.com").cookie))
    assert team.remove(world.desk, world.ada, CLIENT, bea)
    assert world.is_out(*cookies)
    assert world.roles() == {ADA: "owner"}
    assert world.traces_of(bea, BEA) == ["link", "mail: invite", "mail: removed"], "Eve still wants her"
    assert world.accept(elsewhere, OTHER).came
    assert world.accept(world.invite(), ""), "and may be invited again"
    assert world.is_out(*cookies)


def test_who_is_elsewhere_as_well_keeps_all_but_the_sessions_here(world: TeamWorld) -> None:
    at_home = world.join(BEA).cookie
    world.accept(world.invite())
    here = world.log_in(GOOD, BEA)
    assert world.desk.upkeep.team.switch(world.visit(here), world.ada.account.id, CLIENT)
    assert world.visit(here).account.email == ADA
    world.rows("UPDATE member SET role = 'member' WHERE person_id = :bea", bea=world.person(BEA))
    team.remove(world.desk, world.ada, CLIENT, world.person(BEA))
    assert world.is_out(here)
    assert world.visit(at_home).account.email == BEA
    assert world.log_in(GOOD, BEA)


def test_a_session_that_a_removal_missed_does_not_live_again(world: TeamWorld) -> None:
    world.join(BEA)
    world.accept(world.invite())
    late = world.log_in(GOOD, BEA)
    world.desk.upkeep.team.switch(world.visit(late), world.ada.account.id, CLIENT)
    team.remove(world.desk, world.ada, CLIENT, world.person(BEA))
    world.log_in(GOOD, BEA)
    world.rows(
        "UPDATE session SET account_id = :id WHERE person_id = :bea", id=world.ada_account, bea=world.person(BEA)
    )
    world.accept(world.invite())
    assert world.rows(
        "SELECT count(*) FROM session WHERE account_id = :id AND person_id = :bea",
        id=world.ada_account, bea=world.person(BEA),
    ) == [(0,)]  # fmt: skip


def test_an_account_is_never_without_an_owner(world: TeamWorld) -> None:
    world.invited_in()
    world.join("eve@example.com")  # an owner, of another one
    people, ada, bea = world.desk.upkeep.team, world.ada.person.id, world.person(BEA)
    with pytest.raises(NotAllowed, match="needs an owner"):
        people.remove(world.ada, ada, CLIENT)
    with pytest.raises(NotAllowed, match="needs an owner"):
        people.set_role(world.ada, ada, "member", CLIENT)
    assert people.set_role(world.ada, bea, "owner", CLIENT)
    assert people.set_role(world.ada, ada, "member", CLIENT)
    assert world.roles() == {BEA: "owner", ADA: "member"}


def test_of_two_owners_who_remove_each_other_one_stays(world: TeamWorld) -> None:
    ada, bea = world.ada, world.visit(world.invited_in(role="owner"))
    pairs = iter([(ada, bea.person.id), (bea, ada.person.id)])

    def remove() -> bool:
        here, other = next(pairs)
        return team.remove(world.desk, here, CLIENT, other)

    came = together(2, remove)
    assert sorted(type(each).__name__ for each in came) == ["NotAllowed", "bool"]
    assert world.rows("SELECT role FROM member") == [("owner",)]
    assert world.is_out(world.ada_cookie) == (world.rows("SELECT email FROM person") == [(BEA,)])


def test_of_two_owners_who_leave_at_once_one_stays(world: TeamWorld) -> None:
    bea = world.visit(world.invited_in(role="owner"))
    who = iter([world.ada, bea])

    def leave() -> bool:
        here = next(who)
        return team.remove(world.desk, here, CLIENT, here.person.id)

    came = together(2, leave)
    assert sorted(type(each).__name__ for each in came) == ["NotAllowed", "bool"]
    assert next(each for each in came if isinstance(each, NotAllowed)).detail.startswith("An account needs an owner")
    assert world.count("member") == 1


def test_a_member_leaves(world: TeamWorld) -> None:
    cookie = world.invited_in()
    bea = world.visit(cookie)
    assert team.remove(world.desk, bea, CLIENT, bea.person.id)
    assert world.is_out(cookie)
    assert world.happened()[0] == "None left"


# -- Several accounts


def test_a_session_works_in_one_account_at_a_time_and_only_in_those_of_its_person(world: TeamWorld) -> None:
    cookie = world.join(BEA).cookie
    world.accept(world.invite())
    assert world.desk.upkeep.team.switch(world.visit(cookie), world.ada_account, CLIENT)
    here = world.visit(cookie)
    assert (here.account.email, here.role, [other.email for other in here.others]) == (ADA, "member", [BEA])
    world.rows("UPDATE account SET state = 'suspended' WHERE email = :email", email=BEA)
    with pytest.raises(NotAllowed):
        world.desk.upkeep.team.switch(world.visit(cookie), here.others[0].id, CLIENT)
    assert world.visit(cookie).others == ()
    assert sessions.visit(world.desk, cookie) is not None


def test_nobody_known_by_an_id_is_left_out_when_somebody_is_forgotten() -> None:
    """A new table that knows people has to say here whose it is."""
    known = {table.name for table in metadata.sorted_tables if "person_id" in table.c}
    assert known == {"member", "session", "link", "recovery_code", "passkey", "identity", "ceremony", "audit"}
