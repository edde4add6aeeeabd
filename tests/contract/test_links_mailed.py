"""Whether the link of a mail still works as the mail goes out, on both databases."""

from contextlib import closing

import pytest

from farebox.account.log_in import ask_for_link
from farebox.store.database import Database
from farebox.store.mail_outbox import StoredMailOutbox
from tests.contract.test_team import CEM, TeamWorld
from tests.contract.world import ADA, CLIENT


@pytest.fixture
def world(database: Database) -> TeamWorld:
    found = TeamWorld(database)
    found.rows("DELETE FROM mail")
    return found


def is_alive(world: TeamWorld) -> bool:
    """Of the mail that comes first."""
    with closing(StoredMailOutbox(world.database)) as outbox:
        due = outbox.claim()
    assert due is not None
    return due.is_link_alive


@pytest.mark.parametrize("change", ["expires_us = 1", "used_us = 1"])
def test_a_link_that_is_over_or_used_no_longer_works(world: TeamWorld, change: str) -> None:
    world.invite()
    world.rows(f"UPDATE link SET {change}")
    assert not is_alive(world)


def test_a_newer_link_takes_the_place_of_one_of_its_purpose_address_and_account_alone(world: TeamWorld) -> None:
    eve = world.visit(world.join("eve@example.com").cookie)
    world.rows("DELETE FROM mail")
    world.invite()
    world.invite(CEM)
    world.invite(by=eve)
    assert is_alive(world)
    world.rows("DELETE FROM mail")
    ask_for_link(world.desk, CLIENT, email=ADA, purpose="magic")
    ask_for_link(world.desk, CLIENT, email=ADA, purpose="reset")
    assert is_alive(world)
    ask_for_link(world.desk, CLIENT, email=ADA, purpose="magic")
    oldest = "SELECT id FROM mail WHERE template = 'magic' ORDER BY created_us LIMIT 1"
    world.rows(f"UPDATE mail SET next_us = 0 WHERE id = ({oldest})")
    assert not is_alive(world)
