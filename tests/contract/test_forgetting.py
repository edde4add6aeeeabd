"""What has had its time is deleted a few rows at a time: nobody who writes waits for more than a portion."""

from collections.abc import Iterator
from contextlib import closing
from typing import Final

import pytest

from farebox.domain import people
from farebox.domain.people import (
    COUNTED_US,
    DAY_US,
    HOUR_US,
    LINK_US,
    MINUTE_US,
    Allowance,
    Client,
    ceremonies_from,
    guesses_from,
    guesses_of,
    guesses_of_nobody,
    mails_to,
    sign_ups_from,
)
from farebox.store import forgetting
from farebox.store.cursor import Cursor
from farebox.store.database import Database
from farebox.store.forgetting import Forgotten, forget_some
from farebox.store.mail_outbox import OLD, StoredMailOutbox
from farebox.store.money.inbox import OLD as OLD_EVENTS
from farebox.store.own_connection import OwnConnection
from tests.contract.world import ADA, World

ROWS_MAX: Final = 4
TABLES: Final = {
    "guess": "('of {n}', '{n}', {us})",
    "link": "('{n}', 'magic', 'a', NULL, NULL, '{{}}', {us}, {us}, NULL)",
    "session": "('{n}', '{n}', 'p', 'a', 'mail', 0, 0, {us}, 0, '', '')",
    "ceremony": "('{n}', 'totp', NULL, '{{}}', {us})",
    "mail": "('{n}', 'a@x.example', 't', '{{}}', NULL, {us}, NULL, 1, {us}, '', NULL)",
    "webhook_event": "('{n}', 'invoice.paid', 'in_1', {us}, {us}, {us}, 1, NULL, '')",
}
EACH: Final = (*OLD, OLD_EVENTS)
ALL: Final = {each.table: each for each in reversed(EACH)}


@pytest.fixture
def own(database: Database, monkeypatch: pytest.MonkeyPatch) -> Iterator[OwnConnection]:
    monkeypatch.setattr(forgetting, "ROWS_MAX", ROWS_MAX)
    with closing(OwnConnection(database)) as found:
        yield found


def fill(database: Database, table: str, rows: int) -> None:
    """Rows that were over long ago, and one that is not."""
    with database.write() as connection:
        now_us = database.now_us(connection)
        for n in range(rows + 1):
            us = now_us + DAY_US if n == rows else now_us - 100 * DAY_US - n
            connection.exec_driver_sql(f"INSERT INTO {table} VALUES {TABLES[table].format(n=n, us=us)}")


def count(database: Database, table: str) -> int:
    with database.read() as connection:
        return int(connection.exec_driver_sql(f"SELECT count(*) FROM {table}").scalar_one())


def test_every_table_that_is_cleaned_is_filled_here() -> None:
    assert ALL.keys() == TABLES.keys()


@pytest.mark.parametrize("table", TABLES)
def test_a_table_is_cleaned_in_portions_and_another_writes_between_them(
    database: Database, own: OwnConnection, table: str
) -> None:
    fill(database, table, 2 * ROWS_MAX + 1)
    left = []
    with closing(database.connect(busy_seconds=0)) as other:
        for _ in range(3):
            is_more = forget_some(own, ALL[table])
            other.execute("INSERT INTO note VALUES ('another', '') ON CONFLICT (name) DO UPDATE SET value = 'again'")
            left.append((count(database, table), is_more))
    assert left == [(ROWS_MAX + 2, True), (2, True), (1, False)]


def test_a_table_that_is_not_clean_yet_does_not_keep_those_before_it_from_being_cleaned(
    database: Database, own: OwnConnection
) -> None:
    fill(database, "link", ROWS_MAX)
    fill(database, "guess", 1)
    fill(database, "session", ROWS_MAX + 1)
    assert [forget_some(own, *OLD) for _ in range(3)] == [True, True, False]
    assert [count(database, table) for table in ("guess", "link", "session")] == [1, 1, 1]


def test_the_outbox_has_one_portion_forgotten_at_a_time(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forgetting, "ROWS_MAX", ROWS_MAX)
    fill(database, "guess", ROWS_MAX)
    with closing(StoredMailOutbox(database)) as outbox:
        assert [outbox.forget(), outbox.forget()] == [True, False]
    assert count(database, "guess") == 1


def test_what_somebody_else_is_deleting_is_not_waited_for(database: Database, own: OwnConnection) -> None:
    if database.is_sqlite:
        pytest.skip("SQLite has no locked rows: one process writes at a time")
    fill(database, "session", ROWS_MAX)
    with database.write() as connection:
        connection.exec_driver_sql("DELETE FROM session WHERE id = '0'")
        assert not forget_some(own, ALL["session"])
    assert count(database, "session") == 1


def test_a_count_that_names_an_address_is_forgotten_as_soon_as_it_does_not_count(database: Database) -> None:
    world, client = World(database), Client("203.0.113.9", "")
    theirs = [mails_to(ADA, "invite"), guesses_of(ADA), guesses_of_nobody(ADA)]
    beside = [guesses_from(client), ceremonies_from(client)]  # as many as theirs, so that no portion walks over them
    assert {each.window_us for each in theirs} == {COUNTED_US}
    for each in (*theirs, *beside, sign_ups_from(client)):
        world.people.count(each)
    with closing(StoredMailOutbox(database)) as outbox:
        outbox.forget()
        assert world.count("guess") == 6
        world.rows("UPDATE guess SET at_us = at_us - :us", us=COUNTED_US)
        outbox.forget()
    assert world.rows("SELECT subject FROM guess") == [(sign_ups_from(client).subject,)]


def test_no_count_is_forgotten_while_it_counts_and_each_is_within_an_hour(database: Database) -> None:
    world = World(database)
    makers = [each for each in vars(people).values() if getattr(each, "__annotations__", {}).get("return") is Allowance]
    makers.remove(mails_to)
    whose = {"email": ADA, "client": Client("203.0.113.9", ""), "person_id": "person_1", "account_id": "acct_1"}
    counted = [make(*(whose[name] for name in make.__annotations__ if name in whose)) for make in makers]
    counted += [mails_to(ADA, purpose) for purpose in LINK_US]
    for each in counted:
        world.people.count(each)
        soon = {"us": each.window_us - MINUTE_US, "subject": each.subject}
        world.rows("UPDATE guess SET at_us = at_us - :us WHERE subject = :subject", **soon)
    with closing(StoredMailOutbox(database)) as outbox:
        outbox.forget()
        assert world.count("guess") == len(counted)
        world.rows("UPDATE guess SET at_us = at_us - :us", us=HOUR_US)
        outbox.forget()
    assert world.count("guess") == 0


@pytest.mark.parametrize("each", EACH, ids=[f"{each.table}{each.only}" for each in EACH])
def test_a_portion_is_found_by_an_index(database: Database, own: OwnConnection, each: Forgotten) -> None:
    """On a table without statistics PostgreSQL has to be told that reading it all would be slow."""
    with own.cursor() as cursor:
        plan = plan_of(own, cursor, each, is_sqlite=database.is_sqlite)
    assert f"{each.table}_{each.time.removesuffix('_us')}" in plan
    assert not any(word in plan for word in ("Seq Scan", "SCAN", "Sort", "TEMP B-TREE"))


def plan_of(own: OwnConnection, cursor: Cursor, each: Forgotten, *, is_sqlite: bool) -> str:
    if not is_sqlite:
        cursor.execute("SET enable_seqscan = off")
        cursor.execute("SET enable_sort = off")
    own.run(cursor, f"EXPLAIN {'QUERY PLAN ' * is_sqlite}{forgetting._portion(own, each)}", 0)
    return "\n".join(str(row[-1]) for row in cursor.fetchall())
