"""The audit log: rows are only added."""

import json
import secrets

from sqlalchemy import Connection, insert

from farebox.domain.people import Client
from farebox.store.tables_people import audit


def write_down(
    connection: Connection,
    what: str,
    client: Client,
    now_us: int,
    *,
    person_id: str | None = None,
    account_id: str | None = None,
    **facts: str,
) -> None:
    """Note what happened, in the transaction in which it does. No e-mail address: these rows stay."""
    row = {
        "id": f"audit_{secrets.token_hex(16)}",
        "at_us": now_us,
        "account_id": account_id,
        "person_id": person_id,
        "what": what,
        "network": client.network,
        "data": json.dumps(facts),
    }
    connection.execute(insert(audit).values(row))
