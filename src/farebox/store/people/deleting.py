"""An account that is being deleted: its keys are refused meanwhile, and given back where that fails."""

from typing import Final

from sqlalchemy import ColumnElement, Connection, Select, func, or_, select

from farebox.store.tables import account, api_key
from farebox.store.tables_people import audit

UNDER_WAY_US: Final = 5 * 60 * 1_000_000  # longer than asking Stripe takes: a deletion that is older has broken off
REFUSED: Final = "keys_refused"
GIVEN_BACK: Final = "keys_given_back"
DELETED: Final = "This account was deleted."
NO_NEW_KEY: Final = (
    "This account is being deleted, or that was interrupted, so it can have no new key now. Try again in five minutes."
)
OWNERS_STAY: Final = (
    "This account is being deleted, or that was interrupted, so no owner can be removed, become a member or "
    "leave now. Try again in five minutes."
)


def lock_keys(connection: Connection, account_id: str) -> None:
    """Lock the account's keys: nobody else makes, refuses or gives back any until the transaction's end."""
    connection.execute(select(account.c.id).where(account.c.id == account_id).with_for_update(key_share=True))


def why_no_key(connection: Connection, account_id: str, now_us: int) -> str | None:
    """Why an account can have no new key: nobody would be billed for its calls. The keys are locked."""
    if connection.execute(select(account.c.closed_us).where(account.c.id == account_id)).scalar() is not None:
        return DELETED
    return NO_NEW_KEY if is_under_way(connection, account_id, now_us) else None


def is_under_way(connection: Connection, account_id: str, now_us: int) -> bool:
    """Whether a deletion has refused the keys just now, and has not given them back."""
    lines = select(audit.c.what, audit.c.at_us).where(audit.c.account_id == account_id)
    last = lines.where(audit.c.what.in_((REFUSED, GIVEN_BACK))).order_by(audit.c.at_us.desc(), audit.c.what).limit(1)
    row = connection.execute(last).first()
    return row is not None and row.what == REFUSED and now_us - row.at_us < UNDER_WAY_US


def unrevoked_of(connection: Connection, account_id: str) -> ColumnElement[bool]:
    """Which of this account's keys nobody has revoked. Looks up the last deletion once, and not for each key."""
    refused_us = connection.execute(last_refusal(account_id)).scalar()
    return or_(api_key.c.revoked_us.is_(None), api_key.c.revoked_us == refused_us)


def is_refused_only() -> ColumnElement[bool]:
    """Whether a key is refused by its account's last deletion, and was revoked by nobody.

    Only for a key or two: it reads the account's lines in the audit log for each one.
    """
    return api_key.c.revoked_us == last_refusal(api_key.c.account_id).correlate(api_key).scalar_subquery()


def last_refusal(account_id: str | ColumnElement[str]) -> Select[int | None]:
    """When the account's last deletion refused its keys, or took over those that another one had refused."""
    return select(func.max(audit.c.at_us)).where(audit.c.account_id == account_id, audit.c.what == REFUSED)
