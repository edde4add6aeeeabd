"""The keys of one account, as its members see and change them. Loaded by pages only."""

from typing import Final

from sqlalchemy import Connection, case, func, insert, select

from farebox.domain.people import Client, NotAllowed
from farebox.domain.period import DAY_US, day
from farebox.ports.calls import KeyRow
from farebox.ports.people import SEEN_DAYS, KeyMade, KeyUsed, Visit
from farebox.store.accounts import end_for_successor, is_key, revoke, works
from farebox.store.audit import write_down
from farebox.store.database import Database
from farebox.store.people.deleting import lock_keys, why_no_key
from farebox.store.tables import api_key, meter, rollup_daily

LISTED_MAX: Final = 300


class StoredKeys:
    """The port `Keys` over one database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def now_us(self) -> int:
        with self._database.read() as connection:
            return self._database.now_us(connection)

    def listed(self, account_id: str, period_start_us: int) -> list[KeyUsed]:
        with self._database.read() as connection:
            now_us = self._database.now_us(connection)
            found = select(api_key).where(api_key.c.account_id == account_id)
            # Working keys come first, and in each group the newest.
            working = case((works(now_us), 0), else_=1)
            rows = connection.execute(
                found.order_by(working, api_key.c.created_us.desc(), api_key.c.id).limit(LISTED_MAX)
            )
            keys = [KeyRow(*row) for row in rows]
            used = _used(connection, account_id, period_start_us, now_us)
            capped = _capped(connection, account_id, now_us)
        return [KeyUsed(key, *used.get(key.id, ("", 0)), capped.get(key.cap_id, 0)) for key in keys]

    def named(self, account_id: str, name: str) -> list[KeyRow]:
        found = select(api_key).where(api_key.c.account_id == account_id, api_key.c.name == name)
        with self._database.read() as connection:
            rows = connection.execute(found.order_by(api_key.c.created_us.desc(), api_key.c.id))
            return [KeyRow(*row) for row in rows]

    def find(self, account_id: str, key_id: str) -> KeyRow | None:
        with self._database.read() as connection:
            row = connection.execute(select(api_key).where(is_key(account_id, key_id))).first()
        return KeyRow(*row) if row is not None else None

    def add(self, here: Visit, client: Client, new: KeyRow, working_max: int) -> KeyMade:
        with self._database.write() as connection:
            now_us = self._database.now_us(connection)
            refused = _hindered(connection, new, working_max - 1, now_us)
            if refused is None:
                connection.execute(insert(api_key).values(new._asdict()))
                _note(connection, "key_created", here, client, now_us, key=new.id)
            return refused or "made"

    def replace(
        self, here: Visit, client: Client, old: KeyRow, new: KeyRow, grace_us: int, working_max: int
    ) -> KeyMade:
        with self._database.write() as connection:
            now_us = self._database.now_us(connection)
            refused = _hindered(connection, new, working_max - 1 if grace_us else working_max, now_us)
            if refused is None and not end_for_successor(connection, old, grace_us, now_us):
                refused = "gone"
            if refused is None:
                connection.execute(insert(api_key).values(new._asdict()))
                _note(connection, "key_rotated", here, client, now_us, key=old.id, successor=new.id)
            return refused or "made"

    def revoke(self, here: Visit, client: Client, key_id: str) -> bool:
        with self._database.write() as connection:
            lock_keys(connection, here.account.id)
            now_us = self._database.now_us(connection)
            revoked = revoke(connection, here.account.id, key_id, now_us)
            if revoked:
                _note(connection, "key_revoked", here, client, now_us, key=key_id)
            return revoked


def _hindered(connection: Connection, new: KeyRow, others_max: int, now_us: int) -> KeyMade | None:
    """Why there cannot be one more key. Locks the keys, so that of two at once the second counts the first."""
    lock_keys(connection, new.account_id)
    refused = why_no_key(connection, new.account_id, now_us)
    if refused is not None:
        raise NotAllowed(refused)
    mine = api_key.c.account_id == new.account_id
    if connection.execute(select(api_key.c.id).where(mine, api_key.c.id == new.id)).first() is not None:
        return "again"
    count = connection.execute(select(func.count()).select_from(api_key).where(mine, works(now_us))).scalar_one()
    return "full" if count > others_max else None


def _note(connection: Connection, what: str, here: Visit, client: Client, now_us: int, **facts: str) -> None:
    write_down(connection, what, client, now_us, person_id=here.person.id, account_id=here.account.id, **facts)


def _used(connection: Connection, account_id: str, period_start_us: int, now_us: int) -> dict[str, tuple[str, int]]:
    """For each key: the last day that it was used, and its calls since the day that the period began."""
    sums, since = rollup_daily.c, day(period_start_us)
    seen = day(now_us - SEEN_DAYS * DAY_US)
    calls = func.sum(case((sums.day >= since, sums.calls), else_=0))
    found = select(sums.key_id, func.max(sums.day), calls).where(
        sums.account_id == account_id, sums.mode.in_(("live", "test")), sums.day >= min(seen, since)
    )
    return {key_id: (last, int(count)) for key_id, last, count in connection.execute(found.group_by(sums.key_id))}


def _capped(connection: Connection, account_id: str, now_us: int) -> dict[str, int]:
    """For each cap: what counts on it in this period, calls under way too."""
    names = select(api_key.c.cap_id).where(api_key.c.account_id == account_id, api_key.c.cap_id != "")
    found = select(meter.c.name, meter.c.posted_calls + meter.c.held_calls).where(
        meter.c.account_id == account_id,
        meter.c.name.in_(names),
        meter.c.period_start_us <= now_us,
        meter.c.period_end_us > now_us,
    )
    return {name: count for name, count in connection.execute(found)}  # noqa: C416  # rows, not pairs
