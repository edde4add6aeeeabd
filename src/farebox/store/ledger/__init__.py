"""The ledger on one database: every step of a paid call that is written down."""
