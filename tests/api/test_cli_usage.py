"""`farebox usage export` and `farebox reconcile`, as processes, on a ledger with some thousand calls."""

import csv
import io
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest

from farebox.account.keys import create_key
from farebox.account.sign_up import sign_up
from farebox.store.accounts import StoredAccounts
from farebox.store.database import Database
from tests.contract.filled import PRODUCT, SECRET, fill, open_accounts, query, tamper
from tests.services.command import farebox, printed

CALLS: Final = 3_000
COLUMNS: Final = (
    "id", "account", "key", "endpoint", "model", "state", "input_tokens", "output_tokens", "charge_nanodollars",
    "cost_nanodollars", "admitted_at", "recorded_at", "mode", "plan", "calls", "cached_tokens", "cut", "estimated",
    "no_message", "over_hold", "unknown_cost", "unpriced", "error", "attempts",
    "prepaid_nanodollars", "invoiced_nanodollars",
)  # fmt: skip
FORMULA: Final = "=cmd|'/ccalc'!a0@evil.example"


class Ledger(NamedTuple):
    database: Database
    folder: Path
    settings: dict[str, str]

    def rows(self, *arguments: str) -> list[dict[str, Any]]:
        text = printed(self.folder, "usage", "export", "--format", "jsonl", *arguments, **self.settings)
        return [json.loads(line) for line in text.splitlines()]


@pytest.fixture
def ledger(tmp_path: Path, empty_url: str) -> Iterator[Ledger]:
    with closing(Database(empty_url)) as database:
        database.migrate()
        fill(database, open_accounts(database), CALLS)
        accounts = StoredAccounts(database)
        sign_up(accounts, PRODUCT, FORMULA, "calls")
        fill(database, [create_key(accounts, SECRET, "till", FORMULA)], 1, first=CALLS)
        settings = {"FAREBOX_DATABASE_URL": empty_url, "FAREBOX_SECRET_KEY": SECRET.decode()}
        yield Ledger(database, tmp_path, settings)


def test_the_export_and_the_sums(ledger: Ledger) -> None:
    """One test, because a ledger of thousands takes its second: the export in both forms, then what is off."""
    database, folder, settings = ledger
    rows = ledger.rows()
    _every_call_is_a_row(database, rows)
    text = printed(folder, "usage", "export", "--format", "csv", **settings)
    _the_table_says_the_same(text, rows)
    mine = [row for row in rows if row["account"] == "over@example.com"]
    assert ledger.rows("--account", "over@example.com") == mine
    assert len(mine) == CALLS // 4
    _a_reader_may_stop_early(ledger)

    done = farebox(folder, "reconcile", "--strict", **settings)
    assert (done.returncode, done.stdout) == (0, f"{CALLS + 1:,} calls, 9 meters: every sum is right.\n")
    tamper(database, "UPDATE hold SET expires_us = admitted_us + 1")
    strict = farebox(folder, "reconcile", "--strict", **settings)
    assert [farebox(folder, "reconcile", **settings).returncode, strict.returncode] == [0, 1]
    assert "held past their time" in strict.stdout
    lost, altered = (
        query(database, f"SELECT min(call_id) FROM usage_record WHERE state = 'posted' AND plan = '{plan}'")[0][0]
        for plan in ("calls", "tokens")
    )
    tamper(
        database,
        f"DELETE FROM usage_record WHERE call_id = '{lost}'",
        f"UPDATE usage_record SET cost_nanodollars = cost_nanodollars + 5 WHERE call_id = '{altered}'",
    )
    done = farebox(folder, "reconcile", **settings)
    assert (done.returncode, done.stderr) == (1, "")
    *findings, last = (line for line in done.stdout.splitlines() if not line.startswith("note: "))
    assert last == f"{CALLS:,} calls, 9 meters: {len(findings)} figures off."
    _are_named(findings, altered)


def _every_call_is_a_row(database: Database, rows: list[dict[str, Any]]) -> None:
    assert all(tuple(row) == COLUMNS for row in rows)
    assert len({row["id"] for row in rows}) == len(rows) == CALLS + 1
    assert {row["state"] for row in rows} == {"held", "posted", "voided", "expired"}
    [(calls, charge, cost)] = query(
        database, "SELECT sum(calls), sum(charge_nanodollars), sum(cost_nanodollars) FROM usage_record"
    )
    sums = [sum(row[name] for row in rows) for name in ("calls", "charge_nanodollars", "cost_nanodollars")]
    assert sums == [calls, charge, cost]
    assert all((row["recorded_at"] is None) == (row["state"] == "held") for row in rows)


def _the_table_says_the_same(text: str, rows: list[dict[str, Any]]) -> None:
    header, *lines = csv.reader(io.StringIO(text))
    assert tuple(header) == COLUMNS
    for line, row in zip(lines, rows, strict=True):
        cells = dict(zip(COLUMNS, line, strict=True))
        expected = row | {"account": row["account"].replace("=cmd", "'=cmd"), "recorded_at": row["recorded_at"] or ""}
        assert json.loads(cells.pop("attempts")) == expected.pop("attempts")
        texts = {n: str(v).lower() if isinstance(v, bool) else str(v) for n, v in expected.items()}
        assert cells == texts
    # No cell is a formula to a spreadsheet, though a customer may be called like one.
    assert not any(cell.startswith(("=", "+", "-", "@", "\t", "\r")) for line in lines for cell in line)
    assert any(cell.startswith("'=cmd") for line in lines for cell in line)


def _are_named(findings: list[str], altered: str) -> None:
    lost = [line for line in findings if line.startswith("calls@example.com  ")]
    rest = [line for line in findings if line not in lost]
    assert any(" live  meter: posted_calls: expected " in line for line in lost)
    assert any(" live  rollup of key_" in line for line in lost)
    assert all(line.startswith("tokens@example.com  2") for line in rest)
    assert sorted("rollup" in line for line in rest) == [False, True]
    [row] = [line for line in rest if f"  call {altered}: cost_nanodollars: expected " in line]
    expected, found = (int(word.rstrip(",")) for word in row.split() if word.rstrip(",").isdigit())
    assert found - expected == 5


def _a_reader_may_stop_early(ledger: Ledger) -> None:
    command = f"{sys.executable} -m farebox usage export | head -n 1"
    env = {"PATH": "/usr/bin:/bin", **ledger.settings}
    done = subprocess.run(
        ["/bin/sh", "-c", command], cwd=ledger.folder, env=env, capture_output=True, text=True, check=True
    )
    assert len(done.stdout.splitlines()) == 1
    assert done.stderr == ""
