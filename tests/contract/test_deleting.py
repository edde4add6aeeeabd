"""While an account is deleted, what it pays for is ended: meanwhile on both databases, and where that fails."""

import json
from collections.abc import Callable
from typing import Any
from unittest.mock import Mock

import pytest
from sqlalchemy import event

from farebox.account.close import close_account
from farebox.account.keys import create_key, find_key
from farebox.account.till import CannotBuy
from farebox.domain.errors import FounderError, LedgerUnavailable
from farebox.domain.people import MINUTE_US, NotAllowed
from farebox.ports.money import PaymentsUnavailable
from farebox.store.database import Database
from farebox.store.people.deleting import UNDER_WAY_US
from farebox.web.pages.activity import in_words
from tests.contract.test_closing import ClosingWorld
from tests.contract.world import ADA, CLIENT, SECRET


@pytest.fixture
def world(database: Database, migrated_url: str) -> ClosingWorld:
    return ClosingWorld(database, migrated_url)


@pytest.mark.parametrize("is_away", [True, False])
def test_no_call_is_taken_while_what_the_account_pays_for_is_ended(world: ClosingWorld, *, is_away: bool) -> None:
    seen: list[bool] = []

    def refuses() -> bool:
        return not world.key_works()

    def cancel(_: str) -> None:
        seen.append(refuses())
        if is_away:
            raise PaymentsUnavailable("away")

    till = world.till(cancel)
    till.invoice_open = lambda _: seen.append(refuses())
    try:
        close_account(world.desk, world.ada, CLIENT, typed=ADA, till=till)
    except CannotBuy:
        assert is_away
    assert (seen, refuses()) == ([True, True], not is_away)
    assert world.rows("SELECT 1 FROM account WHERE closed_us IS NULL") == ([(1,)] if is_away else [])


@pytest.mark.parametrize("error", [LedgerUnavailable("away"), KeyboardInterrupt()], ids=repr)
def test_the_keys_work_on_where_what_is_paid_is_ended_and_the_account_cannot_be_closed(
    world: ClosingWorld, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    till, revoked = world.till(lambda _: None), create_key(world.accounts, SECRET, "till", ADA)
    world.keys.revoke(world.ada, CLIENT, revoked.row.id)  # a moment ago, by its owner: that is no deletion under way
    monkeypatch.setattr(world.desk.upkeep.closing, "close", Mock(side_effect=error))
    with pytest.raises(type(error)):
        close_account(world.desk, world.ada, CLIENT, typed=ADA, till=till)
    assert world.rows("SELECT id FROM api_key WHERE revoked_us IS NULL") == [(world.key.row.id,)]
    again, refused, *_ = world.desk.upkeep.archive.happened(world.ada_account, None)
    assert (in_words(refused), refused.email) == ("blocked all keys, to delete the account", ADA)
    assert (in_words(again), again.email) == ("unblocked all keys, as the account could not be deleted", ADA)


def test_a_second_deletion_waits_for_the_first_and_the_first_gives_its_keys_back(world: ClosingWorld) -> None:
    def second(_: str) -> None:
        with pytest.raises(NotAllowed, match="Look again in five minutes"):
            close_account(world.desk, ada, CLIENT, typed=ADA, till=till)
        assert UNDER_WAY_US == 5 * MINUTE_US
        raise PaymentsUnavailable("away")

    till = world.till(second)
    ada = world.ada
    with pytest.raises(CannotBuy):
        close_account(world.desk, ada, CLIENT, typed=ADA, till=till)
    assert world.key_works()
    close_account(world.desk, ada, CLIENT, typed=ADA, till=world.till(lambda _: None))  # at once, as nothing is open


def test_a_deletion_takes_over_the_keys_of_one_that_broke_off(
    world: ClosingWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: str) -> None:
        raise PaymentsUnavailable("away")

    till, closing = world.till(fail), world.desk.upkeep.closing
    died_us, now_us = closing.refuse_calls(world.ada, CLIENT), Database.now_us
    monkeypatch.setattr(Database, "now_us", lambda *of: now_us(*of) + UNDER_WAY_US)
    late_us = closing.refuse_calls(world.ada, CLIENT)
    line = ":account, :at, :account, NULL, 'keys_refused', '', '{}'"
    world.rows(f"INSERT INTO audit VALUES ({line})", account="acct_elsewhere", at=late_us + 1)
    closing.take_calls(world.ada, CLIENT, died_us)
    assert not world.key_works()
    closing.take_calls(world.ada, CLIENT, late_us)
    assert world.key_works()
    with pytest.raises(CannotBuy):
        close_account(world.desk, world.ada, CLIENT, typed=ADA, till=till)
    assert world.key_works()


@pytest.mark.parametrize("is_founder", [False, True])
def test_a_key_that_is_revoked_while_the_account_is_being_deleted_stays_revoked(
    world: ClosingWorld, *, is_founder: bool
) -> None:
    key = world.key.row

    def revoked(_: str) -> None:
        if is_founder:
            found = find_key(world.accounts, SECRET, key.last4)
            assert world.accounts.revoke_key(found.account_id, found.id)
        else:
            assert world.keys.revoke(ada, CLIENT, key.id)
        assert not world.keys.revoke(ada, CLIENT, key.id)  # it is by now
        raise PaymentsUnavailable("away")

    till, ada = world.till(revoked), world.ada
    with pytest.raises(CannotBuy):
        close_account(world.desk, ada, CLIENT, typed=ADA, till=till)
    assert not world.key_works()
    [(noted,)] = world.rows("SELECT data FROM audit WHERE what = 'key_revoked'")
    assert json.loads(noted) == {"key": key.id} | ({"by": "founder"} if is_founder else {})


def test_no_key_is_made_or_replaced_while_the_account_is_being_deleted(world: ClosingWorld) -> None:
    old, new = world.key.row, world.key.row._replace(id="key_2", digest="another")

    def away(_: str) -> None:
        with pytest.raises(NotAllowed, match="it can have no new key now"):
            world.keys.add(ada, CLIENT, new, 9)
        with pytest.raises(NotAllowed, match="it can have no new key now"):
            world.keys.replace(ada, CLIENT, old, new, 1, 9)
        with pytest.raises(FounderError, match="it can have no new key now"):
            world.accounts.add_key(new)
        with pytest.raises(FounderError, match="it can have no new key now"):
            world.accounts.replace_key(old, new, 1)
        raise PaymentsUnavailable("away")

    world.accounts.revoke_key(old.account_id, old.id)  # so that the deletion has none to refuse
    till, ada = world.till(away), world.ada
    with pytest.raises(CannotBuy):
        close_account(world.desk, ada, CLIENT, typed=ADA, till=till)
    assert world.keys.add(ada, CLIENT, new, 9) == "made"


def test_a_deletion_looks_up_the_last_one_once_and_not_for_each_key(world: ClosingWorld) -> None:
    """For each key it would read all that ever happened in the account, and nobody else could write meanwhile."""
    seen: list[str] = []

    def look(*args: Any) -> None:  # noqa: ANN401
        seen.append(args[2])

    till, engine = world.till(lambda _: None), world.database.engine
    event.listen(engine, "before_cursor_execute", look)
    try:
        close_account(world.desk, world.ada, CLIENT, typed=ADA, till=till)
    finally:
        event.remove(engine, "before_cursor_execute", look)
    changes = [statement for statement in seen if statement.startswith("UPDATE api_key")]
    assert len(changes) == 2
    assert not [statement for statement in changes if "SELECT" in statement]


def test_no_owner_goes_while_one_of_them_deletes_the_account(world: ClosingWorld) -> None:
    bea = world.visit(world.invited_in(role="owner"))
    refused: list[Callable[[], object]] = [
        lambda: world.desk.upkeep.team.set_role(bea, ada.person.id, "member", CLIENT),
        lambda: world.desk.upkeep.team.remove(bea, ada.person.id, CLIENT),
    ]

    def cancel(_: str) -> None:
        for act in refused:
            with pytest.raises(NotAllowed, match="being deleted, or that was interrupted"):
                act()

    till, ada = world.till(cancel), world.ada
    close_account(world.desk, ada, CLIENT, typed=ADA, till=till)
    assert world.count("member") == 0


def test_a_closed_accounts_keys_are_never_given_back(world: ClosingWorld) -> None:
    revoked = create_key(world.accounts, SECRET, "till", ADA).row.id
    world.rows("UPDATE api_key SET revoked_us = 7 WHERE id = :id", id=revoked)
    ada, refused_us = world.ada, world.desk.upkeep.closing.refuse_calls(world.ada, CLIENT)
    world.close()
    assert world.rows("SELECT id FROM api_key WHERE revoked_us = 7") == [(revoked,)], "one keeps the moment of its end"
    world.desk.upkeep.closing.take_calls(ada, CLIENT, refused_us)
    with pytest.raises(NotAllowed):
        world.keys.add(ada, CLIENT, world.key.row._replace(id="key_new", digest="new"), 10)
    assert not world.key_works()
