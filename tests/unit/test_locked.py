"""Accounts whose rows somebody else keeps locked, or that are only busy."""

from farebox.store.ledger.locked import REST_SECONDS, TRIAL_SECONDS, LockedAccounts
from farebox.store.ledger.statements import LOCK_SECONDS_MAX

LONG, SHORT = LOCK_SECONDS_MAX, TRIAL_SECONDS


def patience(accounts: LockedAccounts, *owners: str | None) -> list[float]:
    return [accounts.patience_seconds("ada", owner) for owner in owners]


def test_a_row_that_changes_hands_is_waited_for_and_one_that_does_not_is_left_soon() -> None:
    """In a line of many workers, whoever waits long enough has their turn."""
    accounts = LockedAccounts()
    assert patience(accounts, "7") == [SHORT]
    accounts.put("ada", [])
    assert patience(accounts, "7", "7", "8", "8", "9") == [SHORT, SHORT, LONG, SHORT, LONG]


def test_a_row_behind_the_account_s_own_is_no_line_in_which_to_wait() -> None:
    """Each trial has the account's row then, so its owner always is another one."""
    accounts = LockedAccounts()
    accounts.put("ada", [], in_line=False)
    assert patience(accounts, "7", "8", "9") == [SHORT, SHORT, SHORT]


def test_after_a_trial_that_failed_there_is_none_for_a_while_and_a_free_account_is_like_all_others() -> None:
    accounts = LockedAccounts()
    accounts.put("ada", [])
    accounts.tried("ada", 5.0, is_free=False)
    assert accounts._rests_until == 5.0 + REST_SECONDS
    accounts.tried("ada", 9.0, is_free=True)
    assert not accounts
