"""The check that other tests lean on: it is content with what the ledger wrote, and sees every kind of damage."""

from collections.abc import Iterator
from contextlib import closing

import pytest

from farebox.store.database import Database
from tests.contract.conftest import Copies
from tests.contract.filled import PRODUCT, fill, open_accounts, tamper
from tests.services.sums import check_limits, check_sums_at, connected, held


def fill_it(database: Database) -> None:
    fill(database, open_accounts(database), 400)


@pytest.fixture
def url(copy_of: Copies) -> str:
    return copy_of(fill_it)


@pytest.fixture
def filled(url: str) -> Iterator[Database]:
    with closing(Database(url)) as found:
        yield found


def test_what_the_ledger_wrote_adds_up(filled: Database, url: str) -> None:
    assert check_sums_at(url) == []
    with connected(url) as connection:
        assert check_limits(connection, PRODUCT.by_name) == []
        assert held(connection) > 0
        assert filled.revision() is not None


ONE = "(SELECT max(call_id) FROM usage_record WHERE state = 'posted' AND calls = 1)"
OF_THE_SAME = "(SELECT max(call_id) FROM usage_record WHERE account_id = hold.account_id)"
DAMAGES = {
    "a row is lost": (f"DELETE FROM usage_record WHERE call_id = {ONE}", "meter", "rollup"),
    "a row has other tokens": (
        f"UPDATE usage_record SET tokens = tokens - 1 WHERE call_id = {ONE} AND tokens > 0",
        "meter",
        "rollup",
    ),
    "a row has another cost": (
        f"UPDATE usage_record SET cost_nanodollars = cost_nanodollars + 1 WHERE call_id = {ONE}",
        "rollup",
    ),
    "a row has another end": (
        f"UPDATE usage_record SET state = 'voided' WHERE call_id = {ONE}",
        "not posted",
        "rollup",
    ),
    "a row belongs to another period": (
        f"UPDATE usage_record SET period_start_us = period_start_us - 1 WHERE call_id = {ONE}",
        "meter",
        "row outside its period",
    ),
    "a row comes before its question": (
        f"UPDATE usage_record SET recorded_us = admitted_us - 1 WHERE call_id = {ONE}",
        "recorded before",
    ),
    "a call is held and recorded": (
        f"UPDATE hold SET call_id = {OF_THE_SAME} WHERE call_id = (SELECT max(call_id) FROM hold)",
        "both held and recorded",
    ),
    "a hold is lost": ("DELETE FROM hold WHERE call_id = (SELECT max(call_id) FROM hold)", "meter"),
    "a hold is outside its period": (
        "UPDATE hold SET admitted_us = period_start_us - 1 WHERE call_id = (SELECT max(call_id) FROM hold)",
        "hold outside its period",
    ),
    "a meter is lost": ("DELETE FROM meter WHERE posted_calls > 0", "meter", "row outside its period"),
    "a meter counts one call too many": ("UPDATE meter SET posted_calls = posted_calls + 1", "meter"),
    "a meter holds what nobody holds": ("UPDATE meter SET held_tokens = held_tokens + 1", "meter"),
    "a meter overlaps the one before": (
        "INSERT INTO meter SELECT account_id, name, period_start_us + 1, period_end_us, 0, 0, 0, 0, 0, 0, 0 FROM meter",
        "meters overlap",
    ),
    "a rollup is lost": ("DELETE FROM rollup_daily WHERE posted > 0", "rollup"),
    "a rollup is of another day": ("UPDATE rollup_daily SET day = '2020-02-02' WHERE posted > 0", "rollup"),
    "a rollup counts one too many": ("UPDATE rollup_daily SET expired = expired + 1", "rollup"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_every_damage_is_found(filled: Database, url: str, damage: str) -> None:
    statement, *kinds = DAMAGES[damage]
    tamper(filled, statement)
    findings = check_sums_at(url)
    for kind in kinds:
        assert any(finding.startswith(kind) for finding in findings), (kind, findings)


def test_a_limit_that_was_passed_is_found(filled: Database, url: str) -> None:
    with filled.read() as connection:
        account = connection.exec_driver_sql("SELECT id FROM account WHERE plan = 'tokens'").scalar_one()
    tamper(filled, f"UPDATE meter SET held_tokens = 1000000001 WHERE account_id = '{account}' AND name = 'live'")
    with connected(url) as connection:
        [finding] = check_limits(connection, PRODUCT.by_name)
    assert finding.startswith("over the plan tokens")
