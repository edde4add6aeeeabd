"""An invitation is as good as whoever made it, on both databases: who may not invite any more has none that works."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from farebox.account import team
from farebox.domain.people import LinkGone, link_token
from farebox.store.database import Database
from farebox.store.people import members
from farebox.store.people import team as stored
from tests.contract.test_team import BEA, CEM, TeamWorld
from tests.contract.world import ADA, CLIENT, GOOD, SECRET

DAN = "dan@example.com"


@pytest.fixture
def world(database: Database) -> TeamWorld:
    return TeamWorld(database)


def owner(world: TeamWorld, *, is_elsewhere: bool) -> str:
    """Bea, who owns Ada's account as well, and perhaps one of her own; the cookie."""
    if not is_elsewhere:
        return world.invited_in(role="owner")
    cookie = world.join(BEA).cookie
    world.accept(world.invite(role="owner"))
    assert world.desk.upkeep.team.switch(world.visit(cookie), world.ada_account, CLIENT)
    return cookie


def remove(world: TeamWorld) -> bool:
    return team.remove(world.desk, world.ada, CLIENT, world.person(BEA))


def leave(world: TeamWorld, cookie: str) -> bool:
    return team.remove(world.desk, world.visit(cookie), CLIENT, world.person(BEA))


def demote(world: TeamWorld) -> bool:
    return world.desk.upkeep.team.set_role(world.ada, world.person(BEA), "member", CLIENT)


@pytest.mark.parametrize("way", ["removed", "left", "role_changed"])
@pytest.mark.parametrize("is_elsewhere", [True, False])
def test_who_is_out_or_no_owner_any_more_lets_nobody_in(world: TeamWorld, way: str, *, is_elsewhere: bool) -> None:
    cookie = owner(world, is_elsewhere=is_elsewhere)
    mine, hers = world.invite(CEM, "owner"), world.invite(DAN, "owner", world.visit(cookie))
    ways: dict[str, Callable[[], bool]] = {
        "removed": lambda: remove(world),
        "left": lambda: leave(world, cookie),
        "role_changed": lambda: demote(world),
    }
    assert ways[way]()
    with pytest.raises(LinkGone, match="was withdrawn"):
        team.look_at_invitation(world.desk, hers)
    with pytest.raises(LinkGone):
        world.accept(hers)
    assert [each.email for each in world.desk.upkeep.team.invitations(world.ada_account)] == [CEM]
    assert any(line.endswith(f"invitation_revoked {DAN}") for line in world.happened())
    assert world.accept(mine).came
    assert DAN not in world.roles()


def test_an_invitation_to_another_account_still_works(world: TeamWorld) -> None:
    owner(world, is_elsewhere=True)
    at_home = world.visit(world.log_in(GOOD, BEA))
    assert at_home.account.email == BEA
    elsewhere = world.invite(DAN, by=at_home)
    assert demote(world)
    assert remove(world)
    assert world.accept(elsewhere)


def test_one_that_a_version_before_made_ends_as_well_as_nobody_knows_whose_it_is(world: TeamWorld) -> None:
    world.invited_in(role="owner")
    token = world.invite(DAN, "owner")
    world.rows("UPDATE link SET person_id = NULL WHERE purpose = 'invite'")
    assert remove(world)
    with pytest.raises(LinkGone):
        world.accept(token)


@pytest.mark.parametrize("way", ["removed", "left", "promoted"])
def test_no_owners_invitation_ends_with_a_plain_member(world: TeamWorld, way: str) -> None:
    cookie = world.invited_in()
    token = world.invite(DAN)
    # As a version before made it; for a promotion, as made by an owner who became a member while that version served.
    maker = world.person(BEA) if way == "promoted" else None
    world.rows("UPDATE link SET person_id = :maker WHERE purpose = 'invite'", maker=maker)
    ways: dict[str, Callable[[], bool]] = {
        "removed": lambda: remove(world),
        "left": lambda: leave(world, cookie),
        "promoted": lambda: world.desk.upkeep.team.set_role(world.ada, world.person(BEA), "owner", CLIENT),
    }
    assert ways[way]()
    assert not any("invitation_revoked" in line for line in world.happened())
    assert world.accept(token).came


@pytest.mark.parametrize("act", [remove, demote])
def test_who_accepts_while_the_inviter_is_taken_out_is_not_let_in(
    world: TeamWorld, monkeypatch: pytest.MonkeyPatch, act: Callable[[TeamWorld], bool]
) -> None:
    hers = world.invite(DAN, "owner", world.visit(world.invited_in(role="owner")))
    end = members.end_invitations_by
    with ThreadPoolExecutor(1) as other:
        accepting = []

        def ending(*given: Any) -> None:  # noqa: ANN401  # whatever it is given
            accepting.append(other.submit(world.accept, hers))
            time.sleep(0.2)  # by now it has found the invitation open, and waits for the account
            end(*given)

        monkeypatch.setattr(stored, "end_invitations_by", ending)
        assert act(world)
        assert isinstance(accepting[0].exception(), LinkGone)
    assert DAN not in world.roles()


def test_of_two_invitations_at_once_the_one_written_last_works_though_it_was_begun_first(
    world: TeamWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun_us = world.desk.people.now_us()
    world.invite(CEM)
    monkeypatch.setattr(world.desk.people, "now_us", lambda: begun_us)
    world.invite(CEM)
    [(last,)] = world.rows("SELECT id FROM link WHERE purpose = 'invite' AND used_us IS NULL")
    assert world.accept(link_token(SECRET, last)).came


def test_no_older_invitation_works_again_when_the_newer_one_is_forgotten(world: TeamWorld) -> None:
    older, newer = world.invite(CEM, "owner"), world.invite(CEM)
    world.accept(newer)
    assert team.remove(world.desk, world.ada, CLIENT, world.person(CEM))
    for token in (older, newer):
        with pytest.raises(LinkGone):
            world.accept(token)
    assert world.roles() == {ADA: "owner"}
