"""The database. `ledger/` writes a call down, `people/` and `money/` the rest; `reconcile/` checks the sums."""
