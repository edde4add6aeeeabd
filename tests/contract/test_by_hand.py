"""What the founder does to an account by hand, beside the calls of a ledger that runs."""

import asyncio
import re
from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from farebox.account import by_hand
from farebox.account.keys import NewKey
from farebox.cli import accounts as commands
from farebox.domain.admission import Admitted, Refused
from farebox.domain.billing import LIVE
from farebox.domain.errors import AccountSuspended, FounderError
from farebox.domain.subscribing import NOT_BEGUN
from farebox.store.accounts import StoredAccounts
from farebox.store.database import Database
from farebox.wiring.people import upkeep_of
from tests.contract.till import PRODUCT, SPENT, Till, ask, running


@pytest.fixture
def till(migrated_url: str, database: Database) -> Till:
    return Till(migrated_url, database)


@pytest.fixture(autouse=True)
def sums_are_right_afterwards(till: Till) -> Iterator[None]:
    yield
    assert till.findings() == []


@pytest.fixture
def accounts(till: Till) -> StoredAccounts:
    return StoredAccounts(till.database)


def email_of(till: Till, key: NewKey) -> str:
    [[email]] = till.query("SELECT email FROM account WHERE id = %s", key.row.account_id)
    return str(email)


def subscribe(till: Till, key: NewKey, status: str) -> None:
    """Have the account a subscription with this status."""
    row = f"(%s, 'sub_1', '{status}', 'fifty', '', 1, 2, NULL, 0, 0, 1, '', 1, 1, 0)"
    till.query(f"INSERT INTO subscription VALUES {row}", key.row.account_id)
    if status in LIVE:
        till.query("UPDATE account SET is_subscribed = 1 WHERE id = %s", key.row.account_id)


@pytest.fixture
def command(
    accounts: StoredAccounts, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> pytest.CaptureFixture[str]:
    """What the commands say, on the database of the test."""
    monkeypatch.setattr(commands, "open_shop", lambda _app: SimpleNamespace(accounts=accounts))
    return capsys


def test_a_suspended_account_is_refused_at_once_its_call_under_way_is_paid_and_it_can_call_again(
    till: Till, accounts: StoredAccounts
) -> None:
    key, other = till.new_key(), till.new_key()
    email = email_of(till, key)

    async def calls() -> None:
        async with running(till.database) as ledger:
            under_way = await ledger.admit(ask(key))
            assert isinstance(under_way, Admitted)
            assert by_hand.suspend(accounts, email.upper())[1]
            assert not by_hand.suspend(accounts, email)[1]
            refused = await ledger.admit(ask(key))
            assert isinstance(refused, Refused)
            assert isinstance(refused.error, AccountSuspended)
            assert isinstance(await ledger.admit(ask(other)), Admitted)
            await ledger.record(under_way.hold, "post", SPENT, asyncio.get_running_loop().time() + 60)
            assert by_hand.resume(accounts, email)[1]
            assert not by_hand.resume(accounts, email)[1]
            assert isinstance(await ledger.admit(ask(key)), Admitted)
        assert till.state(under_way.hold.call_id) == "posted"

    asyncio.run(calls())
    done = upkeep_of(till.database, print).archive.happened(key.row.account_id, None)
    assert [line.what for line in done][:2] == ["account_resumed", "account_suspended"]


def test_an_account_is_moved_to_another_plan_and_what_it_used_counts_on(till: Till, accounts: StoredAccounts) -> None:
    first, second = [plan.name for plan in PRODUCT.plans if plan.calls][:2]
    key = till.new_key(first)

    async def call() -> Admitted:
        async with running(till.database) as ledger:
            admitted = await ledger.admit(ask(key))
            assert isinstance(admitted, Admitted)
            await ledger.record(admitted.hold, "post", SPENT, asyncio.get_running_loop().time() + 60)
        return admitted

    asyncio.run(call())
    email = email_of(till, key)
    ended = (
        "UPDATE account SET grace_until_us = 1, trial_end_us = 1 WHERE id = %s"  # as a plan, and a trial, that ended
    )
    till.query(ended, key.row.account_id)
    for _ in range(2):
        assert by_hand.move(accounts, PRODUCT, email, second).plan == second
    standing = asyncio.run(call()).standing
    assert (standing.plan.name, standing.meter.held_calls + standing.meter.posted_calls) == (second, 2)
    [moved] = [row for row, _ in accounts.list_accounts() if row.email == email]
    assert (moved.plan, moved.state, moved.grace_until_us, moved.trial_end_us) == (second, "active", None, None)
    done = upkeep_of(till.database, print).archive.happened(key.row.account_id, None)
    [noted] = [line.facts for line in done if line.what == "plan_changed"]
    assert noted == {"by": "founder", "from": first, "to": second}


@pytest.mark.parametrize("status", ["live", "canceled", "incomplete", "incomplete_expired"])
def test_who_ever_had_a_subscription_is_moved_by_stripe_alone(
    till: Till, accounts: StoredAccounts, status: str
) -> None:
    first, second = [plan.name for plan in PRODUCT.plans][:2]
    key = till.new_key(first)
    email = email_of(till, key)
    if status == "live":
        till.query("UPDATE account SET is_subscribed = 1 WHERE id = %s", key.row.account_id)
    else:
        subscribe(till, key, status)
    if status in NOT_BEGUN:
        assert by_hand.move(accounts, PRODUCT, email, second).plan == second
    else:
        with pytest.raises(FounderError, match="or had one, so it gets its plan from there"):
            by_hand.move(accounts, PRODUCT, email, second)
    [plan] = [row.plan for row, _ in accounts.list_accounts() if row.email == email]
    assert plan == (second if status in NOT_BEGUN else first)


def test_an_account_is_suspended_in_any_state_and_can_call_when_it_is_resumed(
    till: Till, accounts: StoredAccounts
) -> None:
    key = till.new_key()
    email = email_of(till, key)
    till.query("UPDATE account SET state = 'past_due' WHERE id = %s", key.row.account_id)
    assert not by_hand.resume(accounts, email)[1]
    states = []
    for act in (by_hand.suspend, by_hand.resume):
        assert act(accounts, email)[1]
        states += till.query("SELECT state FROM account WHERE id = %s", key.row.account_id)
    assert states == [("suspended",), ("active",)]


@pytest.mark.parametrize(
    ("status", "word"), [("active", "paid"), ("trialing", "trial"), ("past_due", "payment failed"), ("canceled", "")]
)
def test_the_commands_tell_what_a_subscription_is_and_that_it_goes_on(
    till: Till, command: pytest.CaptureFixture[str], status: str, word: str
) -> None:
    key = till.new_key("fifty")
    email = email_of(till, key)
    subscribe(till, key, status)
    commands.list_()
    assert re.search(f"  {email}  plan fifty  {f'{word}  ' * bool(word)}[0-9-]{{10}}\n", command.readouterr().out)
    commands.suspend(email)
    told = command.readouterr()
    assert (told.out, "goes on" in told.err) == (f"{email} is suspended.\n", bool(word))
    commands.list_()
    assert re.search(f"  {email}  .*  suspended\n", command.readouterr().out)


def test_what_cannot_be_meant_is_told(till: Till, accounts: StoredAccounts) -> None:
    with pytest.raises(FounderError, match="There is no account"):
        by_hand.suspend(accounts, "no@example.com")
    email = email_of(till, till.new_key())
    with pytest.raises(FounderError, match="There is no plan 'gold'; choose one of"):
        by_hand.move(accounts, PRODUCT, email, "gold")
    till.query("UPDATE account SET closed_us = 1 WHERE email = %s", email)
    with pytest.raises(FounderError, match="There is no account"):
        by_hand.resume(accounts, email)
    assert email not in [row.email for row, _ in accounts.list_accounts()]
