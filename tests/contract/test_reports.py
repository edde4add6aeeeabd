"""What is taken out of the ledger, on both databases: every call once, and every sum made again."""

import json
import tracemalloc
from collections.abc import Iterator
from contextlib import closing
from itertools import groupby
from typing import Any, Final

import pytest

from farebox.cli.usage import COLUMNS, row_of
from farebox.domain.errors import FounderError
from farebox.domain.ledger import Hold, Outcome
from farebox.domain.plan import Plan
from farebox.store import reports
from farebox.store.database import Database
from farebox.store.reconcile.findings import Finding
from farebox.store.reconcile.sums import reconcile
from farebox.store.reports import usage
from tests.contract.conftest import Copies
from tests.contract.filled import PRODUCT, fill, open_accounts, query, tamper

CALLS: Final = 1_600
CALLER: Final = "account_id = (SELECT id FROM account WHERE email = 'calls@example.com')"
LIVE: Final = f"{CALLER} AND mode = 'live'"
LIVE_METER: Final = f"{CALLER} AND name = 'live'"
COPIED: Final = ", ".join(name for name in Hold._fields + Outcome._fields if name != "call_id")


def fill_all(database: Database) -> None:
    """Thousands of calls of every kind; each sum of it is right."""
    fill(database, open_accounts(database), CALLS)
    assert found(database) == []


def fill_one(database: Database) -> None:
    """Calls of one account."""
    fill(database, open_accounts(database, ("live",))[:1], 400)


@pytest.fixture
def filled(copy_of: Copies) -> Iterator[Database]:
    with closing(Database(copy_of(fill_all))) as copy:
        yield copy


@pytest.fixture
def of_one(copy_of: Copies) -> Iterator[Database]:
    with closing(Database(copy_of(fill_one))) as copy:
        yield copy


def found(database: Database) -> list[Finding]:
    return reconcile(database, PRODUCT.by_name).findings


def kinds(findings: list[Finding]) -> set[tuple[str, str]]:
    """Whose, and what, without the key and the figure's name."""
    return {(finding.owner, finding.what.partition(":")[0].partition(" of ")[0]) for finding in findings}


def difference(finding: Finding) -> int:
    return int(str(finding.expected)) - int(str(finding.found))


def one_call(database: Database, where: str = "state = 'posted'") -> str:
    """The id of a live call of the plan 'calls'."""
    return str(query(database, f"SELECT min(call_id) FROM usage_record WHERE {LIVE} AND {where}")[0][0])


# -- reconcile


def test_where_every_sum_is_right_nothing_is_found(filled: Database) -> None:
    report = reconcile(filled, PRODUCT.by_name)
    assert (report.findings, report.notes) == ([], [])
    assert (report.calls, report.meters) == (CALLS, 8)
    states = dict(query(filled, "SELECT state, count(*) FROM usage_record GROUP BY state"))
    assert states.keys() == {"posted", "voided", "expired"}
    assert sum(states.values()) < CALLS  # some are held
    marks = {mark for (marks,) in query(filled, "SELECT DISTINCT marks FROM usage_record") for mark in marks.split()}
    assert marks == {"cut", "estimated", "no_message", "over_hold", "unknown_cost", "unpriced"}


def test_an_empty_ledger_is_right(database: Database) -> None:
    assert reconcile(database, PRODUCT.by_name) == ([], [], 0, 0)


def test_a_lost_a_doubled_and_an_altered_row_are_found_and_nothing_else(filled: Database) -> None:
    lost, altered = (
        query(
            filled,
            f"SELECT min(call_id) FROM usage_record WHERE state = 'posted' AND mode = 'live' AND plan = '{plan}'",
        )[0][0]
        for plan in ("calls", "tokens")
    )
    doubled = query(
        filled, "SELECT min(call_id) FROM usage_record WHERE plan = 'over' AND mode = 'live' AND state = 'posted'"
    )[0][0]
    tamper(
        filled,
        f"DELETE FROM usage_record WHERE call_id = '{lost}'",
        f"INSERT INTO usage_record (call_id, {COPIED}) SELECT 'req_again', {COPIED} FROM usage_record"
        f" WHERE call_id = '{doubled}'",
        f"UPDATE usage_record SET output_tokens = output_tokens + 7 WHERE call_id = '{altered}'",
    )
    findings = found(filled)
    assert kinds(findings) == {
        ("calls@example.com", "meter"),
        ("calls@example.com", "rollup"),
        ("over@example.com", "meter"),
        ("over@example.com", "rollup"),
        ("tokens@example.com", "rollup"),
        ("tokens@example.com", f"call {altered}"),
    }
    calls = [f for f in findings if f.owner != "tokens@example.com" and f.what == "meter: posted_calls"]
    assert [(f.owner, difference(f)) for f in calls] == [("calls@example.com", -1), ("over@example.com", 1)]
    [output] = [f for f in findings if f.owner == "tokens@example.com" and "output" in f.what]
    assert difference(output) == 7
    assert all(finding.period.endswith(" live") for finding in findings)


@pytest.mark.parametrize(
    ("change", "names"),
    [
        ("cost_nanodollars = cost_nanodollars + 1", {"cost_nanodollars"}),
        ("price_output_per_mtok = price_output_per_mtok + 1000000", {"cost_nanodollars"}),
        ("charge_markup_basis_points = 500", {"held_nanodollars", "marks"}),
        ("marks = 'paid'", {"marks"}),
        ("recorded_us = admitted_us - 1", {"recorded_us"}),
        ("held_tokens = held_tokens + 1, input_tokens_max = input_tokens_max - 1", {"held_tokens"}),
        ("state = 'voided'", {"calls", "tokens"}),
    ],
)
def test_an_altered_row_does_not_come_to_what_it_says(of_one: Database, change: str, names: set[str]) -> None:
    call_id = one_call(of_one, "state = 'posted' AND marks = '' AND output_tokens > 1")
    tamper(of_one, f"UPDATE usage_record SET {change} WHERE call_id = '{call_id}'")
    rows = [finding for finding in found(of_one) if finding.what.startswith(f"call {call_id}: ")]
    assert {finding.what.partition(": ")[2] for finding in rows} == names


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        (f"UPDATE meter SET held_calls = held_calls + 1 WHERE {LIVE_METER}", {"meter: held_calls"}),
        (f"UPDATE meter SET posted_tokens = posted_tokens + 1 WHERE {LIVE_METER}", {"meter: posted_tokens"}),
        (f"UPDATE meter SET posted_nanodollars = 5 WHERE {LIVE_METER}", {"meter: posted_nanodollars"}),
        (f"DELETE FROM meter WHERE {LIVE_METER}", {"meter"}),
        (
            "INSERT INTO meter SELECT account_id, name, 1, 2, 1, 0, 0, 0, 0, 0, 0 FROM meter WHERE posted_calls > 0",
            {"meter"},
        ),
        ("UPDATE rollup_daily SET voided = voided + 1 WHERE model = 'priced'", {"rollup"}),
        ("DELETE FROM rollup_daily WHERE model = 'priced'", {"rollup"}),
        ("DELETE FROM hold", {"meter: held_calls", "meter: held_tokens"}),
        ("UPDATE hold SET held_tokens = held_tokens + 1", {"call: held_tokens", "meter: held_tokens"}),
        ("UPDATE hold SET key_id = 'key_of_nobody'", {"call: key_id"}),
        ("UPDATE hold SET admitted_us = 1", {"call: admitted_us"}),
        (f"UPDATE hold SET admitted_us = (SELECT period_end_us FROM meter WHERE {LIVE_METER})", {"call: admitted_us"}),
        ("DELETE FROM api_key", {"call: key_id"}),
        ("UPDATE api_key SET mode = 'test'", {"call: key_id"}),
        ("UPDATE api_key SET account_id = 'acct_of_nobody'", {"call: key_id"}),
    ],
)  # fmt: skip
def test_a_sum_that_is_off_is_found_where_it_lies(of_one: Database, statement: str, expected: set[str]) -> None:
    tamper(of_one, statement)
    what = {finding.what.partition(" of ")[0] for finding in found(of_one)}
    assert {f"call: {name.partition(': ')[2]}" if name.startswith("call ") else name for name in what} == expected


def test_each_figure_of_a_meter_and_of_a_days_sum_is_compared(of_one: Database) -> None:
    figures = {
        "meter": {
            f"{side}_{unit}" for side in ("posted", "held") for unit in ("calls", "tokens", "nanodollars")
        },
        "rollup_daily": {
            "posted", "voided", "expired", "calls", "tokens", "input_tokens", "output_tokens", "charge_nanodollars",
            "cost_nanodollars",
        },
    }  # fmt: skip
    for table, names in figures.items():
        tamper(of_one, f"UPDATE {table} SET {', '.join(f'{name} = {name} + 1' for name in names)}")
    found_of = {finding.what.rpartition(": ")[2] for finding in found(of_one)}
    assert found_of == figures["meter"] | figures["rollup_daily"]


def test_a_call_that_is_both_held_and_ended_is_found(of_one: Database) -> None:
    held = ", ".join(Hold._fields)
    call_id = one_call(of_one)
    tamper(of_one, f"INSERT INTO hold ({held}) SELECT {held} FROM usage_record WHERE call_id = '{call_id}'")
    findings = {(finding.what, finding.expected, finding.found) for finding in found(of_one)}
    assert (f"call {call_id}: state", "held or ended", "both") in findings


def test_more_than_the_plan_has_is_worth_a_note_and_no_more(filled: Database) -> None:
    lowered = {plan.name: plan for plan in (Plan("calls", calls=100), Plan("tokens", tokens=5), PRODUCT.plans[1])}
    report = reconcile(filled, lowered)
    assert report.findings == []
    assert {note.partition(" has used")[0] for note in report.notes} == {"calls@example.com", "tokens@example.com"}
    assert any("calls, over the 100 of plan 'calls'" in note for note in report.notes)


def test_what_is_held_counts_towards_a_limit_and_a_limit_that_is_just_reached_is_not_passed(of_one: Database) -> None:
    [(posted, held)] = query(of_one, f"SELECT posted_calls, held_calls FROM meter WHERE {LIVE_METER}")
    assert held > 0

    def notes(calls: int) -> int:
        return len(reconcile(of_one, {"calls": Plan("calls", calls=calls)}).notes)

    assert (notes(posted + held), notes(posted + held - 1)) == (0, 1)
    tamper(of_one, "UPDATE meter SET period_start_us = 1, period_end_us = 2")
    assert notes(1) == 0, "that is over"


@pytest.mark.parametrize(
    ("change", "count"),
    [
        ("posted_nanodollars = 3, held_nanodollars = 3", 1),
        ("posted_nanodollars = 3, held_nanodollars = 2", 0),
        ("posted_nanodollars = 9, name = 'test'", 0),
        ("posted_nanodollars = 9, period_start_us = 1, period_end_us = 2", 0),
    ],
)
def test_what_is_spent_beyond_a_cap_is_of_this_period_held_or_posted_and_not_of_test_keys(
    of_one: Database, change: str, count: int
) -> None:
    tamper(of_one, "UPDATE account SET spend_cap_nanodollars = 5 WHERE email = 'calls@example.com'")
    tamper(of_one, f"UPDATE meter SET {change} WHERE {LIVE_METER}")
    notes = reconcile(of_one, PRODUCT.by_name).notes
    assert sum("their own cap" in note for note in notes) == count


def test_calls_that_are_held_too_long_are_worth_a_note(database: Database) -> None:
    fill(database, open_accounts(database), 400)
    tamper(database, "UPDATE hold SET expires_us = admitted_us + 1")
    [note] = reconcile(database, PRODUCT.by_name).notes
    assert "held past their time" in note


def test_a_call_of_an_account_that_is_gone_is_named_by_its_id(database: Database) -> None:
    fill(database, open_accounts(database, ("live",))[:1], 3)
    [(account_id,)] = query(database, "SELECT id FROM account WHERE email = 'calls@example.com'")
    tamper(database, f"DELETE FROM account WHERE id = '{account_id}'", "DELETE FROM api_key")
    assert {finding.owner for finding in found(database)} == {account_id}


# -- usage


def test_every_call_is_taken_out_once_in_the_order_of_account_and_id(
    filled: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reports, "PAGE_ROWS", 37)
    taken = list(usage(filled))
    assert len(taken) == len({used.hold.call_id for used in taken}) == CALLS
    emails = [email for email, _ in groupby(used.email for used in taken)]
    assert sorted(emails) == sorted(f"{plan.name}@example.com" for plan in PRODUCT.plans)  # each in one piece
    for _, calls in groupby(taken, key=lambda used: used.email):
        ids = [used.hold.call_id for used in calls]
        assert ids == sorted(ids)
    held = query(filled, "SELECT count(*) FROM hold")[0][0]
    assert sum(used.outcome is None for used in taken) == held > 0
    assert [used.hold for used in taken if used.outcome] == [
        Hold(*row)
        for row in query(filled, f"SELECT {', '.join(Hold._fields)} FROM usage_record ORDER BY account_id, call_id")
    ]


def test_one_accounts_calls_are_taken_out_alone(filled: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reports, "PAGE_ROWS", 100)
    mine = [used for used in usage(filled) if used.email == "over@example.com"]
    assert list(usage(filled, " Over@example.com")) == mine
    assert len(mine) == CALLS // 4
    with pytest.raises(FounderError, match="no account 'nobody@"):
        list(usage(filled, "nobody@example.com"))


def test_a_call_that_ends_while_it_is_read_is_seen_once(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(database, open_accounts(database, ("live",))[:1], 300)
    monkeypatch.setattr(reports, "PAGE_ROWS", 10)
    seen = []
    for used in usage(database):
        seen.append(used.hold.call_id)
        if len(seen) == 15:
            columns = ", ".join(Hold._fields)
            outcome = ", ".join(Outcome._fields)
            ended = "'voided', 0, 0, 0, 0, 0, 0, 0, '', '[]', '', admitted_us, 0, 0, ''"
            tamper(
                database,
                f"INSERT INTO usage_record ({columns}, {outcome}) SELECT {columns}, {ended} FROM hold",
                "DELETE FROM hold",
            )
    assert len(seen) == len(set(seen)) == 300


def test_a_long_ledger_is_read_in_constant_memory(database: Database) -> None:
    fill(database, open_accounts(database, ("live",))[:1], 20)
    columns = ", ".join(name for name in Hold._fields + Outcome._fields if name != "call_id")
    copies = f"SELECT n.i || '_' || call_id, {columns} FROM usage_record, n"
    numbers = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 600) "
    tamper(database, f"INSERT INTO usage_record (call_id, {columns}) {numbers}{copies}")
    for _ in zip(range(3), usage(database), strict=False):
        pass  # what is loaded once is not what is measured
    tracemalloc.start()
    count = sum(1 for _ in usage(database))
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert count > 10_000
    assert peak_bytes < 12 * 2**20


def test_a_row_of_the_export_says_all_that_is_known(filled: Database) -> None:
    rows = {used.hold.call_id: row_of(used) for used in usage(filled)}
    assert all(tuple(row) == COLUMNS for row in rows.values())
    posted = rows[one_call(filled, "state = 'posted' AND model = 'priced' AND calls = 1")]
    expected: dict[str, Any] = {
        "account": "calls@example.com", "endpoint": "/v1/generate", "model": "priced", "state": "posted",
        "mode": "live", "plan": "calls", "calls": 1, "unpriced": False, "error": "",
        "attempts": [{"model": "priced", "ms": 1, "status": 200}],
    }  # fmt: skip
    assert posted.items() >= {k: v for k, v in expected.items() if k != "attempts"}.items()
    assert posted["attempts"] == expected["attempts"]
    assert posted["admitted_at"] <= posted["recorded_at"]
    assert posted["recorded_at"].endswith("Z")
    assert posted["key"].startswith("key_")
    held = next(row for row in rows.values() if row["state"] == "held")
    assert (held["recorded_at"], held["calls"], held["charge_nanodollars"], held["attempts"]) == (None, 0, 0, [])
    expired = next(row for row in rows.values() if row["state"] == "expired")
    assert expired["unknown_cost"] is True
    assert json.loads(json.dumps(rows)) == rows
