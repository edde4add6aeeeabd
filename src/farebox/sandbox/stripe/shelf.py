"""The store of everything: a SQLite file that several processes may share, and that outlives them."""

import json
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from farebox.sandbox.stripe.things import Thing

SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS object (
    id TEXT PRIMARY KEY, kind TEXT NOT NULL, seq INTEGER NOT NULL, customer TEXT, clock TEXT, due_at INTEGER,
    body TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS object_kind ON object (kind, seq);
CREATE INDEX IF NOT EXISTS object_customer ON object (customer, kind, seq);
CREATE INDEX IF NOT EXISTS object_due ON object (due_at) WHERE due_at IS NOT NULL;
CREATE TABLE IF NOT EXISTS answer (
    key TEXT PRIMARY KEY, digest TEXT NOT NULL, status INTEGER NOT NULL, body TEXT NOT NULL, made_at INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS usage (
    id INTEGER PRIMARY KEY, identifier TEXT NOT NULL, meter TEXT NOT NULL, customer TEXT NOT NULL,
    timestamp INTEGER NOT NULL, value INTEGER NOT NULL, received_at INTEGER NOT NULL, counts_from REAL NOT NULL,
    is_cancelled INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX IF NOT EXISTS usage_identifier ON usage (identifier);
CREATE INDEX IF NOT EXISTS usage_customer ON usage (customer, meter, timestamp);
CREATE TABLE IF NOT EXISTS delivery (
    id INTEGER PRIMARY KEY, event TEXT NOT NULL, endpoint TEXT NOT NULL, body TEXT NOT NULL, due_at REAL NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0, state TEXT NOT NULL DEFAULT 'waiting', status INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX IF NOT EXISTS delivery_due ON delivery (due_at) WHERE state = 'waiting';
CREATE TABLE IF NOT EXISTS setting (name TEXT PRIMARY KEY, value TEXT NOT NULL);
"""
BUSY_SECONDS: Final = 30


class Shelf:
    """One connection to the file, used by one thread at a time; there is one writer at a time."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._db = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
        self._turn = threading.Lock()
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = NORMAL")
        self._db.executescript(SCHEMA)

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """A transaction: everything in it is written, or nothing of it."""
        with self._turn:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")

    def read(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        """Rows as they are now, with no transaction."""
        with self._turn:
            return self._db.execute(statement, values).fetchall()

    def close(self) -> None:
        with self._turn:
            self._db.close()


def save(db: sqlite3.Connection, thing: Thing) -> None:
    """Write an object, in place of its old state. `_due_at` is when time changes it, `_clock` by which clock."""
    db.execute(
        "INSERT INTO object (id, kind, seq, customer, clock, due_at, body)"
        " VALUES (?, ?, (SELECT coalesce(max(seq), 0) + 1 FROM object), ?, ?, ?, ?)"
        " ON CONFLICT (id) DO UPDATE SET customer = excluded.customer, clock = excluded.clock,"
        " due_at = excluded.due_at, body = excluded.body",
        (
            thing["id"],
            thing["object"],
            thing.get("customer"),
            thing.get("_clock"),
            thing.get("_due_at"),
            json.dumps(thing),
        ),
    )


def load(db: sqlite3.Connection, id_: str) -> Thing | None:
    row = db.execute("SELECT body FROM object WHERE id = ?", (id_,)).fetchone()
    return None if row is None else json.loads(row[0])


def setting(db: sqlite3.Connection, name: str, default: Any) -> Any:
    row = db.execute("SELECT value FROM setting WHERE name = ?", (name,)).fetchone()
    return default if row is None else json.loads(row[0])


def set_setting(db: sqlite3.Connection, name: str, value: Any) -> None:
    db.execute(
        "INSERT INTO setting (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        (name, json.dumps(value)),
    )


def now_seconds(db: sqlite3.Connection) -> int:
    """The time of the stand-in: the real one, moved as far as a test has asked for."""
    return int(time.time()) + int(setting(db, "offset_seconds", 0))
