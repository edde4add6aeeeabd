"""Accounts whose rows somebody else keeps locked, or only uses all the time."""

import pytest

from farebox.store.ledger import locked
from farebox.store.ledger.locked import LockedAccounts


def test_each_trial_that_fails_is_followed_by_a_longer_one_and_a_longer_rest() -> None:
    """In a line of many workers who waits long enough has their turn; most of the time is the other accounts'."""
    accounts, now, seen = LockedAccounts(), 0.0, []
    accounts.put("ada", [])
    for _ in range(5):
        patience = accounts.patience_seconds("ada")
        accounts.tried("ada", now, is_free=False)
        seen.append((patience, accounts._rests_until - now))
    assert seen == [(0.2, 1.0), (0.4, 1.0), (0.8, 1.6), (1.5, 3.0), (1.5, 3.0)]
    assert accounts.patience_seconds("bea") == locked.TRIAL_SECONDS
    accounts.tried("ada", now, is_free=True)
    assert accounts.patience_seconds("ada") == pytest.approx(locked.TRIAL_SECONDS)
