"""Accounts and keys on both databases: created once, rotated as a whole, revoked for good."""

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from farebox.account.developer import DEVELOPER, developer
from farebox.account.keys import KeyTerms, NewKey, account_of, create_key, find_key, rotate_key
from farebox.account.sign_up import sign_up
from farebox.domain import apikey
from farebox.domain.admission import Caller
from farebox.domain.decide import identify
from farebox.domain.errors import FounderError
from farebox.domain.plan import Plan
from farebox.domain.product import Product
from farebox.ports.calls import AccountRow, KeyRow
from farebox.store.accounts import StoredAccounts
from farebox.store.database import Database
from farebox.store.money.plans import lost_plans
from farebox.wiring.people import upkeep_of

SECRET: Final = b"a secret of the tests, long enough"
PRODUCT: Final = Product("Till", plans=(Plan("free", calls=20), Plan("pro", calls=5_000)))
HOUR_US: Final = 3600 * 10**6


@pytest.fixture
def accounts(database: Database) -> StoredAccounts:
    return StoredAccounts(database)


@pytest.fixture
def ada(accounts: StoredAccounts) -> AccountRow:
    return sign_up(accounts, PRODUCT, "ada@example.com", "pro")


def create(accounts: StoredAccounts, email: str = "ada@example.com", name: str = "") -> NewKey:
    return create_key(accounts, SECRET, "till", email, KeyTerms(name))


def stored(accounts: StoredAccounts, key_id: str) -> KeyRow:
    [row] = [row for _, row in accounts.list_keys() if row.id == key_id]
    return row


def works(accounts: StoredAccounts, row: KeyRow, later_us: int = 0) -> bool:
    caller = Caller(row.id, row.account_id, row.mode, row.expires_us, row.revoked_us, "pro", "active", 0)
    return identify(caller, accounts.now_us() + later_us) is None


# -- accounts


def test_an_account_is_found_by_its_address_however_it_is_written(accounts: StoredAccounts, ada: AccountRow) -> None:
    assert accounts.account_by_email(" Ada@Example.COM ") == ada
    assert ada.created_us == ada.anchor_us
    assert abs(ada.created_us - time.time_ns() // 1000) < HOUR_US


def test_a_second_account_of_one_address_is_refused_and_the_first_is_unchanged(
    accounts: StoredAccounts, ada: AccountRow
) -> None:
    with pytest.raises(FounderError, match=r"already an account 'ada@example.com'.*farebox keys create ada@"):
        sign_up(accounts, PRODUCT, "ADA@example.com", "free")
    assert accounts.account_by_email("ada@example.com") == ada


def test_of_ten_sign_ups_at_once_one_wins(accounts: StoredAccounts, database: Database) -> None:
    def try_once(_: int) -> bool:
        try:
            sign_up(accounts, PRODUCT, "bob@example.com", "free")
        except FounderError:
            return False
        return True

    with ThreadPoolExecutor(10) as pool:
        assert sum(pool.map(try_once, range(10))) == 1
    with database.read() as connection:
        assert connection.execute(text("SELECT count(*) FROM account")).scalar() == 1


@pytest.mark.parametrize(
    "email",
    [
        "ada",
        "@example.com",
        "ada@",
        "a@b@c",
        "a b@example.com",
        "a\x1b[0m@example.com",
        "",
        "ada@example..com",
        "ada@m\xfcller.example",
    ],
)
def test_what_is_no_address_is_refused(accounts: StoredAccounts, email: str) -> None:
    with pytest.raises(FounderError, match="is not an e-mail address; write it as name@"):
        sign_up(accounts, PRODUCT, email, "free")


def test_an_unknown_plan_is_refused_with_the_known_ones(accounts: StoredAccounts) -> None:
    with pytest.raises(FounderError, match="no plan 'gold'; choose one of: free, pro"):
        sign_up(accounts, PRODUCT, "ada@example.com", "gold")


def test_accounts_on_plans_that_are_gone_are_told_by_plan(
    accounts: StoredAccounts, database: Database, ada: AccountRow
) -> None:
    for name in ("carl", "bob", "dora"):
        sign_up(accounts, PRODUCT, f"{name}@example.com", "free")
    free, pro = PRODUCT.plans
    assert lost_plans(database, PRODUCT.by_name) == ""
    assert "the plan 'free' (bob@example.com and 2 more). Their calls" in lost_plans(database, {"pro": pro})
    accounts.set_plan(ada.id, "gold")
    assert "the plan 'gold' (ada@example.com). Their calls" in lost_plans(database, PRODUCT.by_name)
    assert "'free' (bob@example.com and 2 more); 'gold' (ada@example.com)" in lost_plans(database, {"other": free})


# -- keys


def test_a_key_is_stored_as_its_digest(accounts: StoredAccounts, ada: AccountRow) -> None:
    new = create(accounts, name="laptop")
    row = stored(accounts, new.row.id)
    assert row == new.row
    assert (row.account_id, row.name, row.mode) == (ada.id, "laptop", "live")
    assert row.digest == apikey.digest(SECRET, new.key)
    assert new.key.text not in str(tuple(row))
    assert works(accounts, row)


def test_a_key_needs_an_account(accounts: StoredAccounts) -> None:
    with pytest.raises(FounderError, match=r"no account 'eve@example\.com'\. Create it with"):
        create(accounts, "eve@example.com")
    with pytest.raises(FounderError, match="There is no account"):
        account_of(accounts, "eve@example.com")


@pytest.mark.parametrize("name", ["two\nlines", "\x1b[31mred", "x" * 101])
@pytest.mark.usefixtures("ada")
def test_a_key_has_a_name_that_a_list_can_show(accounts: StoredAccounts, name: str) -> None:
    with pytest.raises(FounderError, match="one line of at most 100 characters"):
        create(accounts, name=name)
    assert accounts.list_keys() == []


@pytest.mark.usefixtures("ada")
def test_keys_are_listed_by_address_and_age(accounts: StoredAccounts) -> None:
    sign_up(accounts, PRODUCT, "aaron@example.com", "free")
    ids = [create(accounts, email).row.id for email in ("ada@example.com", "aaron@example.com", "ada@example.com")]
    expected = [("aaron@example.com", ids[1]), ("ada@example.com", ids[0]), ("ada@example.com", ids[2])]
    assert [(email, row.id) for email, row in accounts.list_keys()] == expected
    assert [row.id for _, row in accounts.list_keys("Ada@example.com")] == [ids[0], ids[2]]


@pytest.mark.usefixtures("ada")
def test_a_key_is_found_by_its_id_its_end_or_itself(accounts: StoredAccounts) -> None:
    new = create(accounts)
    for what in (new.row.id, new.key.text, new.row.last4):
        assert find_key(accounts, SECRET, what) == new.row
    for what in ("key_0000000000000000", "zz", new.row.last4.swapcase() + "x", new.key.text[:-1], ""):
        with pytest.raises(FounderError, match=r"There is no such key\. 'farebox keys list'"):
            find_key(accounts, SECRET, what)


@pytest.mark.usefixtures("ada")
def test_two_keys_of_one_end_are_told_apart_by_their_ids(accounts: StoredAccounts) -> None:
    first = create(accounts)
    accounts.add_key(first.row._replace(id="key_2", digest="another"))
    with pytest.raises(FounderError, match="2 keys end in") as told:
        find_key(accounts, SECRET, first.row.last4)
    assert first.row.id in str(told.value)
    assert "key_2" in str(told.value)
    assert find_key(accounts, SECRET, first.key.text) == first.row
    accounts.revoke_key(first.row.account_id, "key_2")
    assert find_key(accounts, SECRET, first.row.last4) == first.row


@pytest.mark.usefixtures("ada")
def test_a_revoked_key_is_refused_and_keeps_the_moment(accounts: StoredAccounts) -> None:
    new = create(accounts)
    assert accounts.revoke_key(new.row.account_id, new.row.id)
    revoked = stored(accounts, new.row.id)
    assert not works(accounts, revoked)
    assert not accounts.revoke_key(new.row.account_id, new.row.id)
    assert stored(accounts, new.row.id) == revoked


@pytest.mark.usefixtures("ada")
def test_a_key_of_another_account_is_not_revoked(accounts: StoredAccounts) -> None:
    new = create(accounts)
    assert not accounts.revoke_key("acct_another", new.row.id)
    assert works(accounts, stored(accounts, new.row.id))


@pytest.mark.usefixtures("ada")
def test_a_rotated_key_works_until_its_grace_is_over(accounts: StoredAccounts) -> None:
    old = create(accounts, name="server")
    new = rotate_key(accounts, SECRET, "till", old.row, 3600)
    assert new.key != old.key
    assert (new.row.name, new.row.mode, new.row.account_id) == ("server", "live", old.row.account_id)
    ending = stored(accounts, old.row.id)
    assert works(accounts, ending)
    assert works(accounts, ending, later_us=HOUR_US - 60 * 10**6)
    assert not works(accounts, ending, later_us=HOUR_US)
    assert works(accounts, stored(accounts, new.row.id), later_us=HOUR_US)


@pytest.mark.usefixtures("ada")
def test_a_test_key_is_rotated_to_a_test_key_which_nobody_is_billed_for(accounts: StoredAccounts) -> None:
    old = create_key(accounts, SECRET, "till", "ada@example.com", KeyTerms(mode="test"))
    new = rotate_key(accounts, SECRET, "till", old.row, 0)
    assert (new.key.mode, stored(accounts, new.row.id).mode) == ("test", "test")


@pytest.mark.usefixtures("ada")
def test_without_grace_the_old_key_ends_at_once(accounts: StoredAccounts) -> None:
    old = create(accounts)
    rotate_key(accounts, SECRET, "till", old.row, 0)
    assert not works(accounts, stored(accounts, old.row.id))


@pytest.mark.usefixtures("ada")
def test_rotating_again_can_shorten_the_grace_and_never_prolong_it(accounts: StoredAccounts) -> None:
    old = create(accounts)
    rotate_key(accounts, SECRET, "till", old.row, 3600)
    first_end = stored(accounts, old.row.id).expires_us
    rotate_key(accounts, SECRET, "till", old.row, 86_400)
    assert stored(accounts, old.row.id).expires_us == first_end
    rotate_key(accounts, SECRET, "till", old.row, 60)
    assert works(accounts, stored(accounts, old.row.id))
    assert not works(accounts, stored(accounts, old.row.id), later_us=60 * 10**6)


@pytest.mark.usefixtures("ada")
def test_a_key_that_no_longer_works_is_not_rotated(accounts: StoredAccounts) -> None:
    revoked, expired = create(accounts), create(accounts)
    accounts.revoke_key(revoked.row.account_id, revoked.row.id)
    rotate_key(accounts, SECRET, "till", expired.row, 0)
    before = accounts.list_keys()
    for old in (revoked, expired):
        with pytest.raises(FounderError, match="revoked or has expired; create a new one with: farebox keys create"):
            rotate_key(accounts, SECRET, "till", old.row, 3600)
    assert accounts.list_keys() == before


@pytest.mark.usefixtures("ada")
def test_a_rotation_happens_as_a_whole_or_not_at_all(accounts: StoredAccounts) -> None:
    old, other = create(accounts), create(accounts)
    before = accounts.list_keys()
    with pytest.raises(IntegrityError):
        accounts.replace_key(old.row, other.row._replace(id="key_new"), HOUR_US)  # its digest is there already
    assert accounts.list_keys() == before


@pytest.mark.usefixtures("ada")
def test_what_the_founder_does_is_in_the_accounts_activity_once(accounts: StoredAccounts, database: Database) -> None:
    old = create(accounts)
    new = rotate_key(accounts, SECRET, "till", old.row, 3600)
    for _ in range(2):
        accounts.add_key(new.row)
        accounts.revoke_key(new.row.account_id, new.row.id)
    lines = upkeep_of(database, print).archive.happened(old.row.account_id, None)
    key, successor = {"key": old.row.id}, {"key": new.row.id}
    assert [(line.what, line.email, line.facts) for line in reversed(lines)] == [
        ("account_opened", None, {"by": "founder"}),
        ("key_created", None, {"by": "founder"} | key),
        ("key_rotated", None, {"by": "founder", "successor": new.row.id} | key),
        ("key_revoked", None, {"by": "founder"} | successor),
    ]


# -- the key of `farebox dev`


def test_the_developers_key_is_the_same_at_each_start_and_nowhere_in_plain(accounts: StoredAccounts) -> None:
    first = developer(accounts, PRODUCT, SECRET)
    assert developer(accounts, PRODUCT, SECRET) == first
    assert (first.account.email, first.account.plan, first.moved_from) == (DEVELOPER, "pro", None)
    [(_, row)] = accounts.list_keys()
    assert row.digest == apikey.digest(SECRET, first.key)
    assert works(accounts, row)
    assert developer(accounts, PRODUCT, b"another secret, as long as that").key != first.key


def test_a_developers_key_that_was_revoked_or_rotated_is_followed_by_another(accounts: StoredAccounts) -> None:
    first = developer(accounts, PRODUCT, SECRET)
    accounts.revoke_key(first.account.id, find_key(accounts, SECRET, first.key.text).id)
    second = developer(accounts, PRODUCT, SECRET)
    rotate_key(accounts, SECRET, "till", find_key(accounts, SECRET, second.key.text), 3600)
    third = developer(accounts, PRODUCT, SECRET)
    assert len({first.key, second.key, third.key}) == 3
    assert developer(accounts, PRODUCT, SECRET) == third


def test_the_developers_account_follows_the_file_where_its_plan_is_gone(accounts: StoredAccounts) -> None:
    first = developer(accounts, PRODUCT, SECRET)
    renamed = Product("Till", plans=(Plan("starter", calls=1), Plan("team", calls=2)))
    moved = developer(accounts, renamed, SECRET)
    assert (moved.account.plan, moved.moved_from, moved.key) == ("team", "pro", first.key)
    assert developer(accounts, renamed, SECRET).moved_from is None


def test_the_developers_account_stays_on_a_plan_that_is_still_there(accounts: StoredAccounts) -> None:
    you = developer(accounts, PRODUCT, SECRET)
    accounts.set_plan(you.account.id, "free")
    assert developer(accounts, PRODUCT, SECRET).account.plan == "free"
