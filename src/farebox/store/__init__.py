"""The database: tables, the ledger's transactions, and what is read from them."""
