"""Mails to all owners of an account about its money, on a driver's cursor: part of the transaction they tell of."""

import secrets
from collections.abc import Callable
from typing import Final

from farebox.domain.people import Mail
from farebox.store.cursor import Cursor

TOP_UP_FAILED: Final = "top_up_failed"
TOP_UP_ENDED: Final = "top_up_ended"
OWNERS: Final = (
    "SELECT p.email FROM member m JOIN person p ON p.id = m.person_id"
    " WHERE m.account_id = ? AND m.role = 'owner' ORDER BY p.email"
)
WRITE: Final = f"INSERT INTO mail ({', '.join(Mail._fields)}) VALUES ({', '.join('?' * len(Mail._fields))})"  # noqa: S608


def write_to_owners(
    run: Callable[..., None], cursor: Cursor, account_id: str, template: str, data: str, now_us: int
) -> int:
    """Write one mail to each owner, and return how many. `run` runs a statement with `?` in it on the cursor."""
    run(cursor, OWNERS, account_id)
    owners = [row[0] for row in cursor.fetchall()]
    for email in owners:
        new_id = f"mail_{secrets.token_hex(16)}"
        run(cursor, WRITE, *Mail(new_id, email, template, data, None, now_us, now_us, 0, None, "", account_id))
    return len(owners)
