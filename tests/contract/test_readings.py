"""What customers read, on both databases: exact, of one account only, and never by going through all of its calls."""

import re
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any, Final, NamedTuple

import pytest
from sqlalchemy import Connection, event, text

from farebox.domain.apikey import Mode
from farebox.domain.ledger import State
from farebox.domain.period import DAY_US, MICROSECONDS, day
from farebox.domain.reading import Search, day_start_us
from farebox.ports.calls import CallRow
from farebox.store import readings as readings_module
from farebox.store import search as search_module
from farebox.store.database import Database
from farebox.store.readings import StoredReadings
from tests.services.many_calls import ENDPOINTS, Customer, add_calls, new_customer
from tests.services.postgres import PostgresServer
from tests.services.sums import DAY_POSTGRES, DAY_SQLITE, check_sums_at

SECRET: Final = b"a secret of the tests, long enough"
CALLS: Final = 20_000
DAYS: Final = 60


class Books(NamedTuple):
    """A ledger, read by two customers."""

    url: str
    database: Database
    readings: StoredReadings
    customer: Customer
    other: Customer

    @property
    def id(self) -> str:
        return self.customer.account.id

    def query(self, sql: str, *, of: Customer | None = None, **parameters: object) -> list[tuple[Any, ...]]:
        """Rows of a statement about a customer's :account."""
        account = {"account": (of or self.customer).account.id}
        with self.database.read() as connection:
            return [tuple(row) for row in connection.execute(text(sql), account | parameters)]


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def books(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Books]:
    """Twenty thousand calls of one customer, and some of another."""
    if request.param == "sqlite":
        with _books(f"sqlite:///{tmp_path_factory.mktemp('books')}/farebox.db") as found:
            yield found
        return
    server: PostgresServer = request.getfixturevalue("postgres")
    with server.database() as url, _books(url) as found:
        yield found


@contextmanager
def _books(url: str) -> Iterator[Books]:
    with closing(Database(url)) as database:
        database.migrate()
        customer, other = (new_customer(database, SECRET, "open") for _ in range(2))
        add_calls(database, customer, CALLS, days=DAYS, held=5)
        add_calls(database, other, 700, days=25, held=2)
        if not database.is_sqlite:
            with database.write() as connection:
                connection.execute(text("ANALYZE"))
        yield Books(url, database, StoredReadings(database), customer, other)


def test_the_books_of_these_tests_are_in_order(books: Books) -> None:
    assert check_sums_at(books.url) == []


# -- How it is read


@contextmanager
def explained(books: Books, explain: str = "EXPLAIN") -> Iterator[list[tuple[str, str]]]:
    """The statements that are run meanwhile, each with the database's plan for it, made where it is run."""
    plans: list[tuple[str, str]] = []
    explain = "EXPLAIN QUERY PLAN" if books.database.is_sqlite else explain

    def look(connection: Connection, _cursor: object, statement: str, parameters: Any, *_: object) -> None:  # noqa: ANN401
        if statement.startswith("SELECT") and "usage_record" in statement:
            rows = connection.exec_driver_sql(f"{explain} {statement}", parameters).all()
            plans.append((statement, "\n".join(str(row[-1]) for row in rows)))

    event.listen(books.database.engine, "before_cursor_execute", look)
    yield plans
    event.remove(books.database.engine, "before_cursor_execute", look)


NARROW: Final = (
    Search(state=State.EXPIRED), Search(state=State.POSTED), Search(state=State.VOIDED, endpoint=ENDPOINTS[0]),
    Search(mode="test"), Search(endpoint=ENDPOINTS[1]), Search(endpoint="/v1/none"), Search(day="{yesterday}"),
    Search(day="{yesterday}", state=State.VOIDED, mode="live"), Search(state=State.HELD),
)  # fmt: skip


def searches(books: Books, customer: Customer) -> list[Search]:
    with books.database.read() as connection:
        now_us = books.database.now_us(connection)
    found = [one._replace(day=day(now_us - DAY_US)) if one.day else one for one in NARROW]
    return [Search(), *found, Search(key_id=customer.keys[2].id)]


def read_all(books: Books) -> None:
    """Whatever a page may ask for."""
    anchor_us = books.customer.account.anchor_us
    summary = books.readings.summary(books.id, anchor_us)
    books.readings.period(books.id, anchor_us, "live", None)
    for search in searches(books, books.customer):
        found = books.readings.find(books.id, search)
        books.readings.find(books.id, search._replace(before=found.older))
    books.readings.call(books.id, summary.calls[-1].hold.call_id)
    next(iter(books.readings.all_calls(books.id, summary.period)))
    next(iter(books.readings.all_use(books.id, summary.period)))


def test_no_page_goes_through_all_calls_or_sorts_them(books: Books) -> None:
    with explained(books) as plans:
        read_all(books)
    assert len(plans) > 20
    for statement, plan in plans:
        assert "LIMIT" in statement or "call_id = " in statement
        if books.database.is_sqlite:
            assert re.search(r"SEARCH usage_record USING PRIMARY KEY \(account_id=\? AND call_id", plan), plan
            assert not re.search(r"SCAN usage_record|usage_record USING (?!PRIMARY KEY)", plan), plan
            assert "UNION" in plan or "TEMP B-TREE" not in plan, plan
        else:
            assert_by_key(plan)


def assert_by_key(plan: str) -> None:
    """PostgreSQL's plan takes calls in the order of their key, and sorts no more than a page of them."""
    assert re.search(r"Index (Only )?Scan (Backward )?using usage_record_pkey on usage_record", plan), plan
    assert re.search(r"Index Cond: \(\(account_id = .* AND \(call_id ", plan), plan
    assert not re.search(r"Seq Scan|Bitmap", plan), plan
    assert "Append" in plan or "Sort" not in plan, plan


def test_an_account_that_postgresql_takes_for_a_small_one_is_still_read_by_its_key(books: Books) -> None:
    if books.database.is_sqlite:
        pytest.skip("SQLite chooses by the key alone")
    # What it thinks of each account where very many are small, and nobody has told it whose calls are asked for.
    with books.database.write() as connection:
        connection.execute(text("ALTER TABLE usage_record ALTER account_id SET (n_distinct = 200)"))
        connection.execute(text("ANALYZE usage_record"))
    try:
        with explained(books, "EXPLAIN (GENERIC_PLAN)") as plans:
            read_all(books)
    finally:
        with books.database.write() as connection:
            connection.execute(text("ALTER TABLE usage_record ALTER account_id RESET (n_distinct)"))
            connection.execute(text("ANALYZE usage_record"))
    assert len(plans) > 20
    for _, plan in plans:
        assert_by_key(plan)


def test_what_is_used_is_read_from_the_sums_alone(books: Books) -> None:
    with explained(books) as plans:
        use = books.readings.period(books.id, books.customer.account.anchor_us, "live", None)
        assert use is not None
        list(books.readings.all_use(books.id, use.period))
    assert plans == []


# -- What is found


def expected(books: Books, search: Search, customer: Customer) -> list[str]:
    """The ids of all calls that fit, found the slow way."""
    values = {"state": search.state, "endpoint": search.endpoint, "key_id": search.key_id, "mode": search.mode}
    where = "".join(f" AND {name} = :{name}" for name, value in values.items() if value)
    parameters: dict[str, object] = {name: str(value) for name, value in values.items() if value}
    if search.day:
        where += " AND admitted_us >= :start AND admitted_us < :end"
        parameters |= {"start": day_start_us(search.day), "end": day_start_us(search.day) + DAY_US}
    columns = "call_id, account_id, endpoint, key_id, mode, admitted_us"
    calls = f"SELECT {columns}, state FROM usage_record UNION ALL SELECT {columns}, 'held' AS state FROM hold"
    sql = f"SELECT call_id FROM ({calls}) AS calls WHERE account_id = :account{where} ORDER BY call_id DESC"
    return [row[0] for row in books.query(sql, of=customer, **parameters)]


def all_pages(books: Books, search: Search, account_id: str) -> Iterator[list[CallRow]]:
    while True:
        found = books.readings.find(account_id, search)
        yield list(found.calls)
        if not found.older:
            return
        assert not search.before or found.older < search.before, "it does not get further"
        search = search._replace(before=found.older)


@pytest.mark.parametrize("number", range(len(NARROW) + 2))
def test_page_by_page_each_call_is_found_once_however_little_a_page_may_look_at(
    books: Books, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    monkeypatch.setattr(readings_module, "PAGE_CALLS", 30)
    monkeypatch.setattr(search_module, "LOOKED_AT_MAX", 70)
    monkeypatch.setattr(search_module, "DAYS_MAX", 4)
    search = searches(books, books.other)[number]
    pages = list(all_pages(books, search, books.other.account.id))
    assert all(len(page) <= 30 for page in pages)
    assert [call.hold.call_id for page in pages for call in page] == expected(books, search, books.other)


@pytest.mark.parametrize("minutes", [-15, -5, 0, 5, 15])
def test_a_call_near_midnight_is_found_once_wherever_a_page_ends(
    books: Books, monkeypatch: pytest.MonkeyPatch, minutes: int
) -> None:
    customer = new_customer(books.database, SECRET, "open")
    with books.database.write() as connection:
        now_us = books.database.now_us(connection)
    until_us = day_start_us(day(now_us)) + minutes * 60 * MICROSECONDS
    add_calls(books.database, customer, 24, days=24, until_us=until_us)
    key = Search(key_id=customer.keys[2].id)
    ids = expected(books, key, customer)
    assert len(ids) == 4
    for days in range(2, 9):
        monkeypatch.setattr(search_module, "DAYS_MAX", days)
        pages = list(all_pages(books, key, customer.account.id))
        assert [call.hold.call_id for page in pages for call in page] == ids, f"{days} days a page"


def test_a_search_that_stops_says_how_far_it_came(books: Books, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search_module, "LOOKED_AT_MAX", 400)
    found = books.readings.find(books.id, Search(state=State.EXPIRED))
    assert found.searched_to_us is not None
    assert found.now_us - 5 * DAY_US < found.searched_to_us < found.now_us
    assert found.older
    whole = books.readings.find(books.id, Search(endpoint="/v1/none"))
    assert (list(whole.calls), whole.older, whole.searched_to_us) == ([], "", None)


def test_a_call_that_was_admitted_after_midnight_belongs_to_its_day_though_its_id_is_older(books: Books) -> None:
    # The id was made while the request was read; the ledger's clock, and its day, come later.
    customer = new_customer(books.database, SECRET, "open", age_days=5)
    with books.database.write() as connection:
        now_us = books.database.now_us(connection)
    midnight_us = day_start_us(day(now_us))
    late_us = midnight_us - 20 * MICROSECONDS
    add_calls(books.database, customer, 1, days=1)
    with books.database.write() as connection:
        row = connection.execute(
            text("SELECT * FROM usage_record WHERE account_id = :account"), {"account": customer.account.id}
        ).one()
        changed = dict(row._mapping) | {
            "call_id": f"req_{late_us // 1000:012x}{'0' * 20}",
            "admitted_us": midnight_us + 5 * MICROSECONDS,
            "recorded_us": midnight_us + 6 * MICROSECONDS,
        }
        names = ", ".join(changed)
        marks = ", ".join(f":{name}" for name in changed)
        connection.execute(text(f"INSERT INTO usage_record ({names}) VALUES ({marks})"), changed)
        connection.execute(
            text("UPDATE rollup_daily SET day = :day WHERE account_id = :account"),
            {"day": day(midnight_us), "account": customer.account.id},
        )
    today = books.readings.find(customer.account.id, Search(day=day(midnight_us)))
    assert changed["call_id"] in [call.hold.call_id for call in today.calls]
    before = books.readings.find(customer.account.id, Search(day=day(midnight_us - DAY_US)))
    assert changed["call_id"] not in [call.hold.call_id for call in before.calls]


# -- What it comes to


def sums_of(books: Books, mode: Mode, group: str, first: str, last: str) -> list[tuple[Any, ...]]:
    start_us, end_us = day_start_us(first), day_start_us(last) + DAY_US
    states = ", ".join(
        f"sum(CASE WHEN state = '{state}' THEN 1 ELSE 0 END)" for state in ("posted", "voided", "expired")
    )
    sums = "sum(calls), sum(tokens), sum(input_tokens), sum(output_tokens), sum(charge_nanodollars)"
    rows = books.query(
        f"SELECT {group}, {states}, {sums} FROM usage_record WHERE account_id = :account AND mode = :mode"
        f" AND admitted_us >= :start AND admitted_us < :end GROUP BY {group}",
        mode=mode, start=start_us, end=end_us,
    )  # fmt: skip
    return sorted((row[0], *map(int, row[1:])) for row in rows)


@pytest.mark.parametrize("mode", ["live", "test"])
def test_every_figure_is_the_sum_of_the_calls(books: Books, mode: Mode) -> None:
    anchor_us = books.customer.account.anchor_us
    newest = books.readings.period(books.id, anchor_us, mode, None)
    assert newest is not None
    assert len(newest.periods) == 3
    for start_us, _ in newest.periods:
        use = books.readings.period(books.id, anchor_us, mode, start_us)
        assert use is not None
        assert use.meter is not None
        posted = "sum(calls), sum(tokens), sum(charge_nanodollars)"
        [sums] = books.query(
            f"SELECT {posted} FROM usage_record WHERE account_id = :account AND mode = :mode"
            " AND period_start_us = :start", mode=mode, start=start_us,
        )  # fmt: skip
        meter = use.meter
        assert (meter.posted_calls, meter.posted_tokens, meter.posted_nanodollars) == tuple(map(int, sums))
        days = day(use.period.start_us), day(use.period.end_us - 1)
        for found, group in ((use.endpoints, "endpoint"), (use.keys, "key_id"), (use.models, "model")):
            assert sorted(tuple(one) for one in found) == sums_of(books, mode, group, *days)
            assert [one.calls for one in found] == sorted((one.calls for one in found), reverse=True)
        name = DAY_SQLITE if books.database.is_sqlite else DAY_POSTGRES
        assert [tuple(one) for one in use.days] == sums_of(books, mode, name, *days)
        assert {one.name for one in use.days} <= {day(us) for us in range(*use.period, DAY_US)} | {days[1]}
        assert {one.id for one in use.key_rows.values()} == {one.name for one in use.keys}


def test_the_summary_is_of_the_period_under_way(books: Books) -> None:
    found = books.readings.summary(books.id, books.customer.account.anchor_us)
    assert found.period.start_us <= found.now_us < found.period.end_us
    assert found.meters.keys() == {"live", "test"}
    assert found.meters["live"].held_calls == 5
    assert [call.hold.call_id for call in found.calls] == expected(books, Search(), books.customer)[:10]
    assert [call.outcome is None for call in found.calls] == [True] * 5 + [False] * 5
    assert len(found.days) in {29, 30}  # there may have been a midnight since, and no call after it
    assert found.has_key
    assert found.keys.keys() == {call.hold.key_id for call in found.calls}


def test_an_account_without_calls_has_a_period_and_nothing_else(books: Books) -> None:
    account = new_customer(books.database, SECRET, "open", age_days=0).account
    found = books.readings.summary(account.id, account.anchor_us)
    assert (found.period.start_us, found.meters, list(found.days), list(found.calls)) == (account.anchor_us, {}, [], [])
    use = books.readings.period(account.id, account.anchor_us, "live", None)
    assert use is not None
    assert (use.meter, list(use.days), list(use.keys)) == (None, [], [])
    assert list(books.readings.find(account.id, Search()).calls) == []
    assert books.readings.period(account.id, account.anchor_us, "live", 17) is None
    assert (books.readings.has_calls(account.id), books.readings.has_calls(books.id)) == (False, True)


# -- Files


def test_the_files_have_every_call_and_every_day_once(books: Books, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readings_module, "EXPORT_CALLS", 1_500)
    newest = books.readings.period(books.id, books.customer.account.anchor_us, "live", None)
    assert newest is not None
    exported = 0
    for period in newest.periods:
        pages = list(books.readings.all_calls(books.id, period))
        assert all(len(page) <= 1_500 for page in pages)
        ids = [call.hold.call_id for page in pages for call in page]
        columns = "call_id FROM {} WHERE account_id = :account AND period_start_us = :start"
        both = f"SELECT {columns.format('usage_record')} UNION ALL SELECT {columns.format('hold')}"
        assert ids == sorted(row[0] for row in books.query(both, start=period.start_us))
        exported += len(ids)
        uses = [use for page in books.readings.all_use(books.id, period) for use in page]
        keys = [(use.sums.name, use.mode, use.endpoint, use.key_id) for use in uses]
        assert keys == sorted(set(keys))
        first, last = day_start_us(day(period.start_us)), day_start_us(day(period.end_us - 1)) + DAY_US
        sql = "SELECT sum(calls), sum(charge_nanodollars) FROM usage_record WHERE account_id = :account"
        [sums] = books.query(f"{sql} AND admitted_us >= :first AND admitted_us < :last", first=first, last=last)
        assert (sum(use.sums.calls for use in uses), sum(use.sums.charge_nanodollars for use in uses)) == (
            tuple(map(int, sums))
        )
    assert exported == CALLS + 5


def test_a_page_of_a_file_is_read_when_it_is_asked_for(books: Books, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readings_module, "EXPORT_CALLS", 100)
    period = books.readings.summary(books.id, books.customer.account.anchor_us).period
    pages = books.readings.all_calls(books.id, period)
    with explained(books) as plans:
        next(pages)
        assert len(plans) == 1
        next(pages)
        assert len(plans) == 2


# -- Whose it is


def test_nothing_is_anybody_elses(books: Books) -> None:
    mine, theirs = books.customer.account, books.other.account
    found = books.readings.find(theirs.id, Search())
    assert {call.hold.account_id for call in found.calls} == {theirs.id}
    assert {key.account_id for key in found.keys.values()} == {theirs.id}
    for call in (found.calls[0], found.calls[-1]):  # one under way, and one that ended
        assert books.readings.call(theirs.id, call.hold.call_id) is not None
        assert books.readings.call(mine.id, call.hold.call_id) is None
    stolen = Search(key_id=books.customer.keys[0].id)
    assert list(books.readings.find(theirs.id, stolen).calls) == []
    assert books.customer.keys[0].id not in books.readings.find(theirs.id, stolen).keys
    assert books.readings.keys(theirs.id, [key.id for key in books.customer.keys]) == {}
    summary = books.readings.summary(theirs.id, theirs.anchor_us)
    assert {call.hold.account_id for call in summary.calls} == {theirs.id}
    assert {meter.account_id for meter in summary.meters.values()} == {theirs.id}
    pages = list(books.readings.all_calls(theirs.id, summary.period))
    assert {call.hold.account_id for page in pages for call in page} == {theirs.id}
