"""Which plans the accounts are on, and who they are at Stripe: asked at the start of a process, without SQLAlchemy."""

from collections.abc import Mapping
from contextlib import closing
from typing import Final

from farebox.domain.plan import Plan
from farebox.store.database import Database, unavailable

BY_PLAN: Final = "SELECT plan, count(*), min(email) FROM account WHERE closed_us IS NULL GROUP BY plan ORDER BY plan"

CUSTOMER: Final = (
    "SELECT customer_id FROM account WHERE customer_id <> '' AND closed_us IS NULL ORDER BY created_us DESC LIMIT 1"
)


def lost_plans(database: Database, plans: Mapping[str, Plan]) -> str:
    """A sentence that names the plans of accounts that the file no longer has; empty where there are none.

    Raises:
        LedgerUnavailable: the database cannot be asked.
    """
    try:
        with closing(database.connect()) as connection:
            rows = connection.cursor().execute(BY_PLAN).fetchall()
    except database.outages as error:
        raise unavailable(error) from error
    lost = [row for row in rows if row[0] not in plans]
    if not lost:
        return ""
    named = "; ".join(f"{plan!r} ({_accounts(count, email)})" for plan, count, email in lost)
    return f"your file no longer has the plan {named}. Their calls are refused with 402 until you put it back."


def newest_customer(database: Database) -> str:
    """The Stripe customer of the newest account that has one; empty where there is none.

    Raises:
        LedgerUnavailable: the database cannot be asked.
    """
    try:
        with closing(database.connect()) as connection:
            row = connection.cursor().execute(CUSTOMER).fetchone()
    except database.outages as error:
        raise unavailable(error) from error
    return "" if row is None else str(row[0])


def _accounts(count: int, first: str) -> str:
    return first if count == 1 else f"{first} and {count - 1:,} more"
