"""Whose credit is low, and what of a wish may still be bought, on both databases."""

from collections.abc import Iterator
from contextlib import closing

import pytest
from sqlalchemy import insert, text

from farebox.domain.period import MICROSECONDS
from farebox.store.database import Database
from farebox.store.money.top_ups import StoredTopUps
from farebox.store.tables import account
from farebox.store.tables_money import credit_grant, top_up

FAR_US = 10**17
GRANT = {
    "pack": "small", "amount_nanodollars": 100, "spent_nanodollars": 0, "held_nanodollars": 0,
    "taken_back_nanodollars": 0, "due_back_nanodollars": 0, "expires_us": FAR_US, "created_us": 1,
}  # fmt: skip


class Wishes:
    """Accounts that want a pack when less than 50 nanodollars are left."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.top_ups = StoredTopUps(database)

    def add(self, name: str, state: str = "active", closed_us: int | None = None, **grant: int) -> None:
        """One with a grant of 100."""
        row = {"id": name, "email": name, "plan": "pro", "state": state, "anchor_us": 0, "created_us": 0}
        wish = {"account_id": name, "pack": "small", "below_nanodollars": 50, "attempt": "", "failed": ""}
        with self.database.write() as connection:
            connection.execute(insert(account).values(row | {"closed_us": closed_us}))
            connection.execute(insert(top_up).values(wish))
            connection.execute(
                insert(credit_grant).values({"account_id": name, "id": name, "source": name, **GRANT, **grant})
            )

    def change(self, name: str, **values: str | int) -> None:
        changed = ", ".join(f"{column} = :{column}" for column in values)
        with self.database.write() as connection:
            connection.execute(text(f"UPDATE top_up SET {changed} WHERE account_id = :name"), {"name": name, **values})

    def row(self) -> tuple[object, ...]:
        with self.database.read() as connection:
            [found] = connection.execute(text("SELECT attempt, next_us, failed FROM top_up")).all()
        return tuple(found)


@pytest.fixture
def wishes(database: Database) -> Iterator[Wishes]:
    found = Wishes(database)
    with closing(found.top_ups):
        yield found


def test_what_is_held_taken_back_or_over_is_not_left(wishes: Wishes) -> None:
    wishes.add("enough", spent_nanodollars=50)
    wishes.add("expired", expires_us=1)
    wishes.add("held", held_nanodollars=51)
    wishes.add("spent", spent_nanodollars=51)
    wishes.add("taken", taken_back_nanodollars=51, due_back_nanodollars=51)
    low = ["expired", "held", "spent", "taken"]
    assert wishes.top_ups.low("") == low
    assert sorted(wishes.top_ups.low_among(["enough", *low])) == low
    assert wishes.top_ups.low_among(["enough", "held"]) == ["held"]
    assert wishes.top_ups.low("held") == ["spent", "taken"]
    assert wishes.top_ups.claim("enough") is None
    assert all(wishes.top_ups.claim(name) for name in low)


def test_nothing_is_bought_for_whom_nobody_can_call_nor_of_a_wish_that_is_over_or_under_way(wishes: Wishes) -> None:
    wishes.add("closed", closed_us=1, spent_nanodollars=100)
    wishes.add("suspended", state="suspended", spent_nanodollars=100)
    for name, over in (("failed", {"failed": "no card"}), ("none", {"pack": ""}), ("under_way", {"attempt": "one"})):
        wishes.add(name, spent_nanodollars=100)
        wishes.change(name, **over)
    assert wishes.top_ups.low("") == []
    for name in ("closed", "failed", "none", "suspended", "under_way"):
        assert wishes.top_ups.claim(name) is None, name


def test_an_attempt_is_wanted_until_the_wish_or_the_account_ends(wishes: Wishes) -> None:
    for name, change in (("failed", {"failed": "x"}), ("none", {"pack": ""}), ("again", {"attempt": "topup_1_other"})):
        wishes.add(name, spent_nanodollars=100)
        claimed = wishes.top_ups.claim(name)
        assert claimed is not None
        assert wishes.top_ups.is_wanted(name, claimed.id)
        wishes.change(name, **change)
        assert not wishes.top_ups.is_wanted(name, claimed.id), name
    for name, column in (("closed", "closed_us = 1"), ("suspended", "state = 'suspended'")):
        wishes.add(name, spent_nanodollars=100)
        claimed = wishes.top_ups.claim(name)
        assert claimed is not None
        with wishes.database.write() as connection:
            connection.execute(text(f"UPDATE account SET {column} WHERE id = :name"), {"name": name})
        assert not wishes.top_ups.is_wanted(name, claimed.id), name


def test_an_attempt_is_in_one_hand_and_of_a_wish_that_has_ended_nothing_more_is_bought(wishes: Wishes) -> None:
    wishes.add("ada", spent_nanodollars=100)
    claimed = wishes.top_ups.claim("ada")
    assert claimed is not None
    assert wishes.top_ups.claim_due() is None, "it is in hand"
    wishes.change("ada", next_us=1, failed="no longer wanted")
    again = wishes.top_ups.claim_due()
    assert again == claimed._replace(pack="")
    assert wishes.top_ups.claim_due() is None
    wishes.top_ups.put_off("ada", "topup_1_other", -9 * MICROSECONDS)
    wishes.top_ups.end("ada", "topup_1_other", "another", "{}")
    assert wishes.top_ups.claim_due() is None, "that was another attempt's"
    assert wishes.row()[0] == claimed.id
    wishes.top_ups.end("ada", claimed.id, "declined", "{}")
    assert wishes.row() == ("", None, "no longer wanted")
