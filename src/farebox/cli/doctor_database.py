"""The doctor's checks of the database: reachable, writable, migrated, on time, and set up with this secret."""

import shutil
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Final

from farebox.cli.doctor_provider import clock_off
from farebox.cli.findings import Finding, fix, note, ok
from farebox.domain.errors import FounderError, LedgerUnavailable
from farebox.domain.period import MICROSECONDS
from farebox.domain.product import Product
from farebox.settings import Settings, secret_of
from farebox.store import sqlite_file
from farebox.store.database import CONNECTIONS_MAX, Database
from farebox.store.foreign_database import foreign
from farebox.store.health import (
    DatabaseTrouble,
    connections_allowed,
    folder_lacks,
    noted,
    now_us,
    revision,
    told,
    try_write,
)
from farebox.store.migrations import HEAD
from farebox.store.money.plans import lost_plans
from farebox.store.reconcile.usage import notes_of
from farebox.wiring import FINGERPRINT, fingerprint

DISK_FREE_BYTES_MIN: Final = 200 * 2**20
CLOCK_SECONDS_MAX: Final = 2
URL: Final = "FAREBOX_DATABASE_URL"
TO_FILE: Final = f"{URL}=sqlite:///farebox.db"


def check_database(settings: Settings, product: Product | None, workers: int) -> Iterator[Finding]:
    """Whether calls can be recorded, and keys found. Of a product that is not known, nothing is said."""
    try:
        database = Database(settings.database_url)
    except FounderError as error:
        yield Finding("FIX", f"database: {error}")
        return
    with closing(database):
        yield from _check(database, settings, product, workers)


def _check(database: Database, settings: Settings, product: Product | None, workers: int) -> Iterator[Finding]:
    if database.is_memory:
        each = f", and {workers} workers would each have their own" if workers > 1 else ""
        yield fix("database", f"one in memory ends with its process{each}", f"set {TO_FILE}")
        return
    if database.path is not None:
        found = list(_folder(database.path))
        yield from found
        if found:
            return
    try:
        if database.path is not None and not sqlite_file.has_data(database.path):
            away = sqlite_file.lost(database.path)
            if away is not None:
                yield fix("database", *away)
                return
            yield ok("database", f"{database.path} will be made at the first start")
            _secret_of(settings)
            return
        yield from _inside(database, settings, product, workers)
    except (DatabaseTrouble, LedgerUnavailable) as error:
        yield fix("database", f"{database.name} cannot be used ({error})", f"check {URL} and the database")
    except FounderError as error:
        yield Finding("FIX", f"secret: {error}")


def _folder(path: Path) -> Iterator[Finding]:
    lacking = folder_lacks(path)
    if lacking is not None:
        yield fix("database", *lacking)
        return
    folder = path.resolve().parent
    free = shutil.disk_usage(folder).free
    if free < DISK_FREE_BYTES_MIN:
        yield fix("disk", f"only {free // 2**20} MB are free in {folder}", "make room there")


def _inside(database: Database, settings: Settings, product: Product | None, workers: int) -> Iterator[Finding]:
    try:
        found = revision(database)
    except FounderError as error:
        yield Finding("FIX", f"database: {error}")
        return
    if found != HEAD:
        yield _not_migrated(database, found)
        _secret_of(settings)
        return
    try_write(database)
    yield ok("database", f"{database.name} is written to and up to date")
    yield from _secret(database, settings)
    yield from _clock(database)
    yield from _connections(database, workers)
    lost = lost_plans(database, product.by_name) if product is not None else ""
    if lost:
        yield note("plans", lost)
    with told():
        for sentence in notes_of(database):
            yield note("usage", sentence)


def _not_migrated(database: Database, found: str | None) -> Finding:
    with told():
        wrong = foreign(database)
    if wrong is not None:
        return fix("database", f"it {wrong[0]}", wrong[1])
    if database.is_sqlite:
        return ok("database", f"{database.path} will be brought up to date at the next start")
    if found is None:
        return fix("database", "it has none of Farebox's tables yet", "farebox migrate")
    return fix("database", "its tables are not the ones that this version needs", "farebox migrate")


def _secret_of(settings: Settings) -> bytes | None:
    """The secret that `serve` would use; None where it would make one.

    Raises:
        FounderError: `serve` would refuse it.
    """
    folder = Path.cwd()
    is_there = settings.secret_key is not None or (folder / "farebox.secret").exists()
    return secret_of(settings, folder) if is_there else None


def _secret(database: Database, settings: Settings) -> Iterator[Finding]:
    secret, kept = _secret_of(settings), noted(database, FINGERPRINT)
    if secret is None:
        if kept is not None:
            wrong = "this database's keys were made under a secret that is not here"
            yield fix("secret", wrong, "run Farebox in the folder that has farebox.secret, or set FAREBOX_SECRET_KEY")
        return
    if kept not in (None, fingerprint(secret)):
        wrong = "this database's keys were made under another secret, and none of them is found"
        yield fix("secret", wrong, "set FAREBOX_SECRET_KEY (or bring farebox.secret back) as it was")
    elif settings.secret_key is None and not database.is_sqlite:
        yield note("secret", "it is in ./farebox.secret; set FAREBOX_SECRET_KEY before a second machine serves")


def _clock(database: Database) -> Iterator[Finding]:
    if database.is_sqlite:
        return
    started = time.time()
    there = now_us(database) / MICROSECONDS
    unsure = (time.time() - started) / 2  # the database may have looked at any moment between
    ahead = started + unsure - there
    is_off = abs(ahead) > CLOCK_SECONDS_MAX + unsure
    yield clock_off("the database's", ahead) if is_off else ok("clock", "as the database's")


def _connections(database: Database, workers: int) -> Iterator[Finding]:
    if database.is_sqlite:
        return
    allowed, wanted = connections_allowed(database), workers * CONNECTIONS_MAX
    if wanted > allowed:
        may = f"{workers} {'process' if workers == 1 else 'processes'} may want {wanted} when many pages are asked for"
        remedy = f"give PostgreSQL a max_connections of {wanted + 10} or more, or serve by fewer"
        yield note("connections", f"{database.name} lets in {allowed}, and {may}; {remedy}")
