"""A ledger with as many calls in it as wanted, written by the database itself in a few statements."""

import secrets
from collections.abc import Sequence
from typing import Final, NamedTuple

from sqlalchemy import Connection, text

from farebox.domain import apikey
from farebox.domain.people import Client, Person, digest
from farebox.domain.period import DAY_US, Period, period_at
from farebox.ports.calls import AccountRow, KeyRow
from farebox.ports.people import Arrival
from farebox.store.database import Database
from farebox.store.people.arrivals import begin_session
from farebox.store.tables import account, api_key, meter
from farebox.store.tables_people import member, person
from tests.services.sums import DAY_POSTGRES, DAY_SQLITE

KEYS: Final = 6
"""Of an account; the last one is a test key."""
ENDPOINTS: Final = ("/v1/generate", "/v1/tagline", "/v1/summary", "/v1/chat/completions")
MODELS: Final = ("gpt-4o-mini", "gpt-4o", "o4-mini")
Names = tuple[Sequence[str], Sequence[str]]
NAMES: Final[Names] = (ENDPOINTS, MODELS)
OVERAGE: Final = 10_000_000
CACHE_KIB: Final = 200_000
HELD_US: Final = 180 * 10**6
HELD: Final = """
    account_id, call_id, key_id, mode, plan, endpoint, model, period_start_us, admitted_us, expires_us, held_calls,
    held_tokens, held_nanodollars, input_tokens_max, output_tokens_max, price_input_per_mtok, price_cached_per_mtok,
    price_output_per_mtok, charge_fixed_nanodollars"""
ENDED: Final = """
    state, calls, tokens, input_tokens, cached_tokens, output_tokens, charge_nanodollars, cost_nanodollars, marks,
    attempts, error, recorded_us"""
ATTEMPT: Final = (
    '[{"model":"gpt-4o-mini","ms":812,"status":200,"input_tokens":60,"output_tokens":90,"cost_nanodollars":9}]'
)


class Customer(NamedTuple):
    """An account with its keys and somebody who is logged in."""

    account: AccountRow
    keys: Sequence[KeyRow]
    cookie: str
    texts: Sequence[str] = ()
    """The keys as they are sent."""


def new_customer(database: Database, secret: bytes, plan: str, *, age_days: int = 75, name: str = "") -> Customer:
    """An account that was opened some days ago, and a browser's session in it."""
    name = name or secrets.token_hex(6)
    with database.write() as connection:
        now_us = database.now_us(connection)
        since_us = now_us - age_days * DAY_US - 5 * 3600 * 10**6  # a period begins within a day
        row = AccountRow(f"acct_{name}", f"{name}@example.com", plan, "active", since_us, since_us)
        connection.execute(account.insert().values(row._asdict()))
        made = [_new_key(row, secret, number) for number in range(KEYS)]
        keys = [key for key, _ in made]
        connection.execute(api_key.insert(), [key._asdict() for key in keys])
        who = Person(f"person_{name}", row.email, "x", since_us, None, None, since_us)
        connection.execute(person.insert().values(who._asdict()))
        owner = {"account_id": row.id, "person_id": who.id, "role": "owner", "joined_us": since_us}
        connection.execute(member.insert().values(owner))
        return Customer(row, keys, _log_in(connection, secret, who, row, now_us), [text for _, text in made])


def known_customer(database: Database, secret: bytes, name: str) -> Customer | None:
    """The one who was made under this name, in another browser."""
    with database.write() as connection:
        found = connection.execute(account.select().where(account.c.id == f"acct_{name}")).first()
        if found is None:
            return None
        row = AccountRow(*found)
        keys = [KeyRow(*key) for key in connection.execute(api_key.select().where(api_key.c.account_id == row.id))]
        who = Person(*connection.execute(person.select().where(person.c.email == row.email)).one())
        return Customer(row, keys, _log_in(connection, secret, who, row, database.now_us(connection)))


def _log_in(connection: Connection, secret: bytes, who: Person, row: AccountRow, now_us: int) -> str:
    """A session; the cookie."""
    token = secrets.token_hex(20)
    arrival = Arrival(digest(secret, "session", token), "password", Client("127.0.0.1", "Tests/1.0"))
    begin_session(connection, who, row.id, arrival, now_us)
    return f"__Host-session={token}"


def _new_key(row: AccountRow, secret: bytes, number: int) -> tuple[KeyRow, str]:
    key = apikey.mint("till", "test" if number == KEYS - 1 else "live", secrets.randbelow)
    name = ("Website", "Nightly batch", "", "Mobile app", "Partner", "Try-outs")[number]
    return KeyRow(
        row.id, f"key_{row.id[5:]}_{number}", apikey.digest(secret, key), name, key.mode, key.prefix, key.last4,
        row.created_us + number, None, None,
    ), key.text  # fmt: skip


def add_calls(
    database: Database, customer: Customer, calls: int, *, days: int = 60, held: int = 0, names: Names = NAMES,
    until_us: int | None = None,
) -> None:  # fmt: skip
    """So many calls of these endpoints and models, evenly over the days until now or until then, with all their sums.

    A few more are under way.
    """
    with database.write() as connection:
        if database.is_sqlite:
            connection.exec_driver_sql(
                f"PRAGMA cache_size = -{CACHE_KIB}"
            )  # with less, it writes pages again and again
        now_us = database.now_us(connection)
        first_us = (until_us or now_us) - days * DAY_US
        step_us = days * DAY_US // calls
        number, at_us = 0, first_us
        while number < calls:
            period = period_at(customer.account.anchor_us, at_us)
            last = min(calls, (period.end_us - 1 - first_us) // step_us + 1)
            _insert(connection, database, customer.account, period, (number, last), (first_us, step_us), names)
            number, at_us = last, period.end_us
        _sum_up(connection, database, customer.account)
        if held:
            _hold(connection, database, customer.account, held, now_us, names)


def _insert(
    connection: Connection, database: Database, row: AccountRow, period: Period, numbers: tuple[int, int],
    steps: tuple[int, int], names: Names,
) -> None:  # fmt: skip
    first, last = numbers
    ended = """
        CASE WHEN i % 50 = 7 THEN 'voided' WHEN i % 997 = 3 THEN 'expired' ELSE 'posted' END,
        CASE WHEN i % 50 = 7 OR i % 997 = 3 THEN 0 ELSE 1 END,
        CASE WHEN i % 50 = 7 OR i % 997 = 3 THEN 0 ELSE 50 + i % 200 + i % 300 END,
        CASE WHEN i % 997 = 3 THEN 0 ELSE 20 + i % 200 END, 0,
        CASE WHEN i % 50 = 7 OR i % 997 = 3 THEN 0 ELSE 30 + i % 300 END,
        CASE WHEN i % 50 = 7 OR i % 997 = 3 OR i % 6 = 5 OR i % 10 <> 0 THEN 0 ELSE :overage END,
        11000 + i % 1000, CASE WHEN i % 41 = 0 THEN 'estimated' ELSE '' END, :attempt,
        CASE WHEN i % 50 = 7 THEN 'upstream_timeout' ELSE '' END, at_us + 400000 + i % 7000000"""
    selected = f"SELECT {_held(database, names)}, {ended} FROM ({_numbers(database)}) n"
    values = {"first": first, "last": last, "first_us": steps[0], "step_us": steps[1]} | _values(row, period, names)
    insert = f"INSERT INTO usage_record ({HELD}, {ENDED}) {selected}"
    connection.execute(text(insert), values | {"attempt": ATTEMPT})


def _hold(
    connection: Connection, database: Database, row: AccountRow, held: int, now_us: int, names: Names
) -> None:  # fmt: skip
    period = period_at(row.anchor_us, now_us)
    insert = f"INSERT INTO hold ({HELD}) SELECT {_held(database, names)} FROM ({_numbers(database)}) n"
    values = {"first": 0, "last": held, "first_us": now_us - held * 10**6, "step_us": 10**6} | _values(
        row, period, names
    )
    connection.execute(text(insert), values)
    sums = "count(*), sum(held_tokens), sum(held_nanodollars)"
    of_modes = text(f"SELECT mode, {sums} FROM hold WHERE account_id = :account GROUP BY mode")
    for mode, *held_sums in connection.execute(of_modes, {"account": row.id}).all():
        columns = ("held_calls", "held_tokens", "held_nanodollars")
        connection.execute(
            meter.update()
            .where(meter.c.account_id == row.id, list(meter.c)[1] == mode, meter.c.period_start_us == period.start_us)
            .values({name: int(value) for name, value in zip(columns, held_sums, strict=True)})
        )


def _values(row: AccountRow, period: Period, names: Names) -> dict[str, object]:
    chosen = {
        f"{what}{number}": name for what, some in zip("em", names, strict=True) for number, name in enumerate(some)
    }
    return chosen | {
        "account": row.id, "plan": row.plan, "start": period.start_us, "overage": OVERAGE, "key": f"key_{row.id[5:]}_",
    }  # fmt: skip


def _numbers(database: Database) -> str:
    """The numbers of the calls, with the moments at which they came."""
    at = "i, :first_us + i * :step_us AS at_us"
    if database.is_sqlite:
        counted = "WITH RECURSIVE c(i) AS (SELECT :first UNION ALL SELECT i + 1 FROM c WHERE i + 1 < :last)"
        return f"{counted} SELECT {at} FROM c"
    return f"SELECT {at} FROM generate_series(CAST(:first AS bigint), CAST(:last AS bigint) - 1) AS c(i)"


def _held(database: Database, names: Names) -> str:
    hexed = "printf('%012x%020x', at_us / 1000, i)"
    if not database.is_sqlite:
        hexed = "lpad(to_hex(at_us / 1000), 12, '0') || lpad(to_hex(i), 20, '0')"
    return f"""
        CAST(:account AS TEXT), 'req_' || {hexed}, CAST(:key AS TEXT) || (i % {KEYS}),
        CASE WHEN i % {KEYS} = {KEYS - 1} THEN 'test' ELSE 'live' END, CAST(:plan AS TEXT), {_chosen("e", names[0])},
        {_chosen("m", names[1])}, :start, at_us, at_us + {HELD_US}, 1, 900, 2 * {OVERAGE}, 400, 500, 150000000,
        75000000, 600000000, CASE WHEN i % 6 <> 5 AND i % 10 = 0 THEN {OVERAGE} ELSE 0 END"""


def _chosen(what: str, names: Sequence[str]) -> str:
    choices = " ".join(f"WHEN {number} THEN CAST(:{what}{number} AS TEXT)" for number in range(len(names)))
    return f"CASE (i / {KEYS}) % {len(names)} {choices} END"


def _sum_up(connection: Connection, database: Database, row: AccountRow) -> None:
    """The meters and the daily sums, from the rows."""
    of = {"account": row.id}
    names = ", ".join(column.name for column in meter.c)
    ends = connection.execute(
        text("SELECT DISTINCT period_start_us FROM usage_record WHERE account_id = :account"), of
    ).scalars()
    for start_us in ends.all():
        sums = "sum(calls), 0, sum(tokens), 0, sum(charge_nanodollars), 0, 0"
        found = f"SELECT account_id, mode, period_start_us, :end, {sums} FROM usage_record"
        where = "WHERE account_id = :account AND period_start_us = :start GROUP BY account_id, mode, period_start_us"
        end_us = period_at(row.anchor_us, start_us).end_us
        connection.execute(
            text(f"INSERT INTO meter ({names}) {found} {where}"), of | {"start": start_us, "end": end_us}
        )
    states = ", ".join(
        f"sum(CASE WHEN state = '{state}' THEN 1 ELSE 0 END)" for state in ("posted", "voided", "expired")
    )
    summed = ("calls", "tokens", "input_tokens", "output_tokens", "charge_nanodollars", "cost_nanodollars")
    sums = ", ".join(f"sum({name})" for name in summed)
    name = DAY_SQLITE if database.is_sqlite else DAY_POSTGRES
    connection.execute(
        text(
            f"INSERT INTO rollup_daily SELECT account_id, mode, {name} AS day, key_id, endpoint, model, {states},"
            f" {sums} FROM usage_record WHERE account_id = :account"
            " GROUP BY account_id, mode, day, key_id, endpoint, model"
        ),
        of,
    )
