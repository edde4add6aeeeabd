"""The key that the Playground pays with, on each database: made once, known again, and not replaced by itself."""

from dataclasses import replace

import pytest

from farebox.account.keys import new_key
from farebox.account.own_keys import WORKING_MAX
from farebox.account.playground import KEY_NAME, make_playground_key, playground_key
from farebox.domain import apikey
from farebox.domain.product import Product
from farebox.ports.people import Visit
from farebox.store.database import Database
from tests.contract.world import CLIENT, SECRET, World, together


@pytest.fixture
def world(database: Database) -> World:
    return World(database)


@pytest.fixture
def here(world: World) -> Visit:
    return world.visit(world.join().cookie)


def test_it_is_new_then_it_works_and_it_is_the_same_each_time(world: World, here: Visit) -> None:
    found = playground_key(world.desk, here.account, "live")
    assert (found.state, world.count("api_key")) == ("new", 0)
    make_playground_key(world.desk, here, CLIENT, found)
    again = playground_key(world.desk, here.account, "live")
    assert (again.state, again.key, again.id) == ("works", found.key, found.id)
    test = playground_key(world.desk, here.account, "test")
    assert (test.state, test.key.mode, test.key.text != found.key.text) == ("new", "test", True)
    row = world.keys.find(here.account.id, found.id)
    assert row is not None
    assert (row.name, row.digest) == (KEY_NAME, apikey.digest(SECRET, found.key))
    assert world.rows("SELECT count(*) FROM audit WHERE what = 'key_created'") == [(1,)]


def test_another_account_has_another_key(world: World, here: Visit) -> None:
    other = world.visit(world.join("bob@example.com").cookie)
    keys = [playground_key(world.desk, visit.account, "live") for visit in (here, other)]
    assert len({found.key.text for found in keys}) == len({found.id for found in keys}) == 2
    make_playground_key(world.desk, here, CLIENT, keys[0])
    assert playground_key(world.desk, other.account, "live").state == "new"


def test_one_that_was_revoked_is_gone_until_the_next_is_asked_for(world: World, here: Visit) -> None:
    seen = []
    for _ in range(3):
        found = playground_key(world.desk, here.account, "live")
        seen.append((found.state, found.key.text))
        make_playground_key(world.desk, here, CLIENT, found)
        assert playground_key(world.desk, here.account, "live").state == "works"
        assert world.keys.revoke(here, CLIENT, found.id)
        assert playground_key(world.desk, here.account, "live").state == "gone"
    assert [state for state, _ in seen] == ["new", "gone", "gone"]
    assert len({text for _, text in seen}) == 3


def test_one_that_was_replaced_is_gone_though_it_still_works_for_a_while(world: World, here: Visit) -> None:
    found = playground_key(world.desk, here.account, "live")
    make_playground_key(world.desk, here, CLIENT, found)
    old = world.keys.find(here.account.id, found.id)
    assert old is not None
    key = apikey.mint("till", "live", lambda _: 1)
    successor = new_key(SECRET, here.account.id, key, KEY_NAME, world.keys.now_us()).row
    assert world.keys.replace(here, CLIENT, old, successor, 60_000_000, 10) == "made"
    assert playground_key(world.desk, here.account, "live").state == "gone"


def test_a_key_of_the_same_name_is_not_taken_for_it(world: World, here: Visit) -> None:
    key = apikey.mint("till", "live", lambda _: 1)
    world.keys.add(here, CLIENT, new_key(SECRET, here.account.id, key, KEY_NAME, world.keys.now_us()).row, 10)
    found = playground_key(world.desk, here.account, "live")
    assert found.state == "new"
    make_playground_key(world.desk, here, CLIENT, found)
    assert playground_key(world.desk, here.account, "live").state == "works"


def test_many_at_once_make_one(world: World, here: Visit) -> None:
    found = playground_key(world.desk, here.account, "live")
    together(8, lambda: make_playground_key(world.desk, here, CLIENT, found))
    assert world.rows("SELECT id FROM api_key") == [(found.id,)]


def test_a_product_that_is_called_otherwise_gets_another_key(world: World, here: Visit) -> None:
    make_playground_key(world.desk, here, CLIENT, playground_key(world.desk, here.account, "live"))
    renamed = replace(world.desk, product=Product("Other"))
    found = playground_key(renamed, here.account, "live")
    assert (found.state, found.key.text[:11]) == ("new", "other_live_")
    make_playground_key(renamed, here, CLIENT, found)
    assert playground_key(renamed, here.account, "live").state == "works"
    assert playground_key(world.desk, here.account, "live").state == "works"


def test_there_is_room_for_it_beside_all_that_a_customer_may_make(world: World, here: Visit) -> None:
    for number in range(WORKING_MAX):
        key = apikey.derive("till", "live", SECRET, f"another {number}")
        row = new_key(SECRET, here.account.id, key, "", world.keys.now_us()).row
        assert world.keys.add(here, CLIENT, row, WORKING_MAX) == "made"
    make_playground_key(world.desk, here, CLIENT, playground_key(world.desk, here.account, "live"))
    assert playground_key(world.desk, here.account, "live").state == "works"
