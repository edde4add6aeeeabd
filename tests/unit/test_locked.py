"""Accounts whose rows somebody else keeps locked, or that are only busy."""

from farebox.store.ledger.locked import REST_SECONDS, TRIAL_SECONDS, LockedAccounts
from farebox.store.ledger.statements import LOCK_SECONDS_MAX


def test_a_row_that_changes_hands_is_waited_for_and_one_that_does_not_is_left_soon() -> None:
    """In a line of many workers, whoever waits long enough has their turn."""
    accounts = LockedAccounts()
    assert accounts.patience_seconds("ada", "7") == TRIAL_SECONDS
    accounts.put("ada", [])
    assert [accounts.patience_seconds("ada", owner) for owner in ("7", "7", "8", "8", "9", None, "9")] == [
        TRIAL_SECONDS,
        TRIAL_SECONDS,
        LOCK_SECONDS_MAX,
        TRIAL_SECONDS,
        LOCK_SECONDS_MAX,
        LOCK_SECONDS_MAX,
        TRIAL_SECONDS,
    ]


def test_after_a_trial_that_failed_there_is_none_for_a_while_and_none_of_a_free_account_is_remembered() -> None:
    accounts = LockedAccounts()
    accounts.put("ada", [])
    accounts.tried("ada", 5.0, is_free=False)
    assert accounts._rests_until == 5.0 + REST_SECONDS
    accounts.tried("ada", 9.0, is_free=True)
    assert not accounts
