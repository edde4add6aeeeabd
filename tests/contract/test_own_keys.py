"""The keys of an account as its members list, make and replace them, on both databases."""

from typing import Any, Final

import pytest

from farebox.account import own_keys
from farebox.account.keys import KeyTerms, NewKey
from farebox.account.own_keys import FormUsed, make_key, replace_key
from farebox.domain.people import PersonError
from farebox.domain.period import DAY_US, day
from farebox.ports.people import SEEN_DAYS, KeyUsed, Visit
from farebox.store.database import Database
from tests.contract.world import CLIENT, World

MINUTE_US: Final = 60 * 10**6


class KeysWorld(World):
    """Ada's account and Eve's."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self.ada = self.visit(self.join().cookie)
        self.eve = self.visit(self.join("eve@example.com").cookie)
        self.forms = 0

    def form(self) -> str:
        self.forms += 1
        return f"{self.forms:043}"

    def make(self, here: Visit, form: str = "", **terms: Any) -> NewKey:  # noqa: ANN401
        return make_key(self.desk, here, CLIENT, KeyTerms(**terms), (), form or self.form())

    def replace(self, old: NewKey, grace_seconds: int) -> NewKey:
        return replace_key(self.desk, self.ada, CLIENT, old.row, grace_seconds, self.form())

    def listed(self, here: Visit, since_us: int) -> dict[str, KeyUsed]:
        return {used.row.id: used for used in self.keys.listed(here.account.id, since_us)}

    def called(self, account_id: str, key: NewKey, at_us: int, calls: int) -> None:
        sums = f"{calls}, 0, 0, {calls}, 0, 0, 0, 0, 0"
        self.rows(
            f"INSERT INTO rollup_daily VALUES (:account, 'live', :day, :key, '/v1/generate', 'm', {sums})",
            account=account_id, day=day(at_us), key=key.row.id,
        )  # fmt: skip

    def counted(self, account_id: str, key: NewKey, start_us: int, calls: int) -> None:
        """On a cap, with one call more under way, in that hour."""
        self.rows(
            f"INSERT INTO meter VALUES (:account, :key, :start, :end, {calls}, 1, 0, 0, 0, 0, 0)",
            account=account_id, key=key.row.id, start=start_us, end=start_us + 60 * MINUTE_US,
        )  # fmt: skip


@pytest.fixture
def world(database: Database) -> KeysWorld:
    return KeysWorld(database)


# -- What is shown of them


def test_a_key_is_listed_with_its_own_calls_of_this_period_and_the_last_day_that_it_was_used(world: KeysWorld) -> None:
    often, once, long_ago, hers = (world.make(here) for here in (world.ada, world.ada, world.ada, world.eve))
    now_us, mine = world.keys.now_us(), world.ada.account.id
    since_us = now_us - 10 * DAY_US
    for days, calls in ((9, 4), (10, 2), (11, 100)):
        world.called(mine, often, now_us - days * DAY_US, calls)
    world.called(mine, once, now_us - 20 * DAY_US, 7)
    world.called(mine, long_ago, now_us - (SEEN_DAYS + 1) * DAY_US, 8)  # so long ago is not told
    world.called(world.eve.account.id, hers, now_us, 5)
    world.called(world.eve.account.id, long_ago, now_us, 6)  # another account's key of the same id
    found = world.listed(world.ada, since_us)
    assert {key_id: (used.last_day, used.calls) for key_id, used in found.items()} == {
        often.row.id: (day(now_us - 9 * DAY_US), 6),
        once.row.id: (day(now_us - 20 * DAY_US), 0),
        long_ago.row.id: ("", 0),
    }


def test_a_cap_is_listed_with_what_counts_on_it_now_calls_under_way_too(world: KeysWorld) -> None:
    capped, unused = (world.make(world.ada, cap_calls=50) for _ in range(2))
    now_us, mine = world.keys.now_us(), world.ada.account.id
    for minutes, calls in ((120, 10), (30, 20), (-30, 30)):
        world.counted(mine, capped, now_us - minutes * MINUTE_US, calls)
    world.counted(mine, unused, now_us - 120 * MINUTE_US, 40)
    world.counted(world.eve.account.id, capped, now_us - 15 * MINUTE_US, 40)
    found = world.listed(world.ada, now_us)
    assert (found[capped.row.id].capped_calls, found[unused.row.id].capped_calls) == (21, 0)


# -- How many there may be


def test_an_account_has_as_many_as_work_and_a_place_is_kept_for_the_old_one_in_its_grace(
    world: KeysWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(own_keys, "WORKING_MAX", 2)
    first, *_ = [world.make(here) for here in (world.ada, world.eve, world.eve)]
    heir = world.replace(first, 3600)
    assert len(world.listed(world.ada, 0)) == 2
    with pytest.raises(PersonError, match="2 keys that work, the most"):
        world.make(world.ada)
    with pytest.raises(PersonError, match="2 keys that work, the most"):
        world.replace(first, 3600)
    last = world.replace(first, 0)
    with pytest.raises(PersonError, match="so it cannot be replaced"):
        world.replace(first, 0)
    assert world.keys.revoke(world.ada, CLIENT, last.row.id)
    new = world.make(world.ada)
    by_rank = [new, heir, last, first]  # those that work first, the newest of each before the others
    assert list(world.listed(world.ada, 0)) == [key.row.id for key in by_rank]


def test_a_form_makes_one_key_and_another_accounts_form_another(world: KeysWorld) -> None:
    form = world.form()
    made = world.make(world.ada, form)
    with pytest.raises(FormUsed):
        world.make(world.ada, form)
    assert world.make(world.eve, form).row.id != made.row.id
