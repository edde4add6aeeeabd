"""Random lives of subscriptions, about the ends of their months: no usage is lost or billed twice.

Hypothesis writes the lives; `months_model` says what each call comes to and which line of which invoice it is on.
"""

import random
import secrets
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

import psycopg
import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from farebox.store.database import Database
from farebox.store.reconcile.invoices import strays
from tests.property.months_checks import check_invoices, check_state, reconciled
from tests.property.months_shop import DAY_US, HOUR_US, PAID, SECOND_US, Shop, for_sale
from tests.services.postgres import PostgresServer
from tests.services.stripe_inside import POSTGRES_CLOCK, SEEN_FIRST, Clock, InsideStripe, PostgresClock, moved_by

ZONES: Final = ("UTC", "Pacific/Kiritimati", "Pacific/Pago_Pago", "Europe/Vienna", "America/New_York", "Asia/Kathmandu")
TIMES: Final = ((0, 0, 0), (23, 59, 59), (0, 0, 1), (12, 30, 15), (2, 30, 0))
MINUTE_US: Final = 60 * SECOND_US
OFFSETS: Final = (
    -DAY_US, -HOUR_US, -SECOND_US, -1_000, -1, 0, 1, 1_000, 999_999, SECOND_US, 5 * MINUTE_US, 49 * MINUTE_US,
    51 * MINUTE_US, HOUR_US - 1, HOUR_US, 2 * HOUR_US, 3 * DAY_US,
)  # fmt: skip
WAITS: Final = (1, 1_000, SECOND_US, 15 * SECOND_US, 10 * MINUTE_US, HOUR_US, 5 * HOUR_US, DAY_US, 9 * DAY_US)

Place = Callable[[int], AbstractContextManager[tuple[Database, Clock]]]
"""A database of a life's own, and the clock that it goes by."""

small = st.integers(0, 7)
steps = st.one_of(
    st.tuples(st.just("go"), small, st.sampled_from(OFFSETS)),
    st.tuples(st.just("go"), small, st.sampled_from(OFFSETS)),
    st.tuples(st.just("wait"), st.sampled_from(WAITS)),
    st.tuples(st.just("call"), st.integers(1, 6), small, st.booleans()),
    st.tuples(st.just("call"), st.integers(1, 6), small, st.booleans()),
    st.tuples(st.just("call"), st.integers(3, 6), small, st.booleans()),
    st.tuples(st.just("finish"), small, small, st.booleans()),
    st.tuples(st.just("send"), st.booleans()),
    st.tuples(st.just("send"), st.sampled_from([False])),
    st.tuples(st.just("hear"), small),
    st.tuples(st.just("hear"), st.just(0)),
    st.tuples(st.just("buy"), st.sampled_from(PAID), st.booleans()),
    st.tuples(st.just("change"), st.sampled_from([*PAID, "free"])),
    st.tuples(st.just("change"), st.sampled_from(PAID)),
    st.tuples(st.sampled_from(["cancel", "resume", "cancel", "end_at_once", "check_preview", "check_preview"])),
    st.tuples(st.just("card"), st.sampled_from(["chargeCustomerFail", "visa"])),
)
NAMED: Final = {"call": "stays", "finish": "is_answered", "send": "loses", "buy": "comes_back"}


@st.composite
def beginnings(draw: st.DrawFn) -> int:
    """A moment on any day of four years, often at midnight somewhere in the world, and often not at a whole second."""
    day = datetime(2026, 12, 31, *draw(st.sampled_from(TIMES)), tzinfo=ZoneInfo(draw(st.sampled_from(ZONES))))
    month, last = draw(st.integers(0, 47)), draw(st.integers(1, 31))
    year, month0 = divmod(2027 * 12 + month, 12)
    begun = day.replace(year=year, month=month0 + 1, day=1) + timedelta(days=last - 1)
    return int(begun.timestamp()) * SECOND_US + draw(st.sampled_from([0, 1, 500_000, 999_999]))


def live(
    database: Database, clock: Clock, shelves: InsideStripe, first: str, life: list[tuple[Any, ...]], seed: int
) -> None:
    """A life, and all that has to hold at its end."""
    with closing(Shop(database, shelves, clock, random.Random(seed))) as shop:
        shop.buy(first, comes_back=True)
        for name, *given_ in life:
            named = {NAMED[name]: given_.pop()} if name in NAMED else {}
            getattr(shop, name)(*given_, **named)
        shop.settle()
        on_none = check_invoices(shop)
        check_state(shop)
        found = reconciled(shop)
        assert found.findings == []
        with database.read() as connection:
            told = sum(stray.nanodollars for stray in strays(connection, clock.now_us))
        assert told == on_none, "what is on no invoice is told"
        notes = [note for note in found.notes if "right only if the plan was" not in note]
        assert len(notes) == bool(on_none), notes
        shop.check_preview()


def live_all(place: Place, lives: int, length: int = 40, *, always: int | None = None) -> None:
    """So many random lives, each in a place of its own, of so many steps at most; the same ones for a number."""
    with moved_by(Clock(1_800_000_000 * SECOND_US)):
        shelves = for_sale()

    lists_of_steps = st.lists(steps, min_size=length // 3, max_size=length)

    @seed(secrets.randbits(64) if always is None else always)
    @settings(
        max_examples=lives, deadline=None, print_blob=True, suppress_health_check=list(HealthCheck), database=None
    )
    @given(beginnings(), st.sampled_from(PAID), lists_of_steps, st.integers(0, 99))
    def each(begins_us: int, first: str, life: list[tuple[Any, ...]], chance: int) -> None:
        with place(begins_us) as (database, clock), moved_by(clock):
            live(database, clock, shelves, first, life, chance)

    each()
    shelves.close()


@pytest.fixture
def sqlite_place(tmp_path: Path) -> Place:
    """A copy of a migrated database for each life."""
    migrated = tmp_path / "migrated.db"
    with closing(Database(f"sqlite:///{migrated}")) as first:
        first.migrate()

    @contextmanager
    def place(begins_us: int) -> Iterator[tuple[Database, Clock]]:
        with tempfile.TemporaryDirectory(dir=tmp_path) as folder:
            path = Path(folder) / "months.db"
            shutil.copyfile(migrated, path)
            with closing(Database(f"sqlite:///{path}")) as database:
                yield database, Clock(begins_us)

    return place


@pytest.fixture
def postgres_place(postgres: PostgresServer, pg_template: str) -> Iterator[Place]:
    """A copy of a migrated database for each life, whose clock a test moves."""
    with postgres.database(pg_template) as template:
        with closing(psycopg.connect(template, autocommit=True)) as connection:
            connection.execute(POSTGRES_CLOCK)

        @contextmanager
        def place(begins_us: int) -> Iterator[tuple[Database, Clock]]:
            with (
                postgres.database(template.rpartition("/")[2].partition("?")[0]) as url,
                closing(PostgresClock(url, begins_us)) as clock,
                closing(Database(f"{url}{'&' if '?' in url else '?'}{SEEN_FIRST}")) as database,
            ):
                yield database, clock

        yield place


# In parts, so that several processes can share them. The same lives each time: new ones are drawn by the long test.
@pytest.mark.parametrize("part", [pytest.param(n, marks=pytest.mark.xdist_group(f"months {n}")) for n in range(2)])
def test_no_usage_is_lost_or_billed_twice_about_the_ends_of_months(part: int, sqlite_place: Place) -> None:
    live_all(sqlite_place, lives=30, always=part)


def test_no_usage_is_lost_or_billed_twice_about_the_ends_of_months_on_postgresql(postgres_place: Place) -> None:
    live_all(postgres_place, lives=10, always=0)


@pytest.mark.chaos
@pytest.mark.parametrize("part", range(10))
def test_no_usage_is_lost_or_billed_twice_in_2000_lives(part: int, sqlite_place: Place) -> None:
    del part
    live_all(sqlite_place, lives=200, length=60)


@pytest.mark.chaos
def test_no_usage_is_lost_or_billed_twice_in_200_lives_on_postgresql(postgres_place: Place) -> None:
    live_all(postgres_place, lives=200)
