"""Webhooks on their way: when each is due, as a test may want it."""

import random
import sqlite3
import time
from typing import Final

from farebox.sandbox.stripe.shelf import set_setting, setting
from farebox.sandbox.stripe.things import Thing

NORMAL: Final[Thing] = {"copies": 1, "delay_seconds": 0.0, "shuffle_seconds": 0.0, "hold": False, "lose": 0}
"""`copies` of each are sent after a delay, and up to `shuffle_seconds` more by chance; `hold` keeps all of them back
until they are released, and `lose` is the number of the next ones that are never sent: -1 for all."""
HELD: Final = 1e15


def ways(db: sqlite3.Connection) -> Thing:
    """The settings of webhooks at present."""
    return {**NORMAL, **setting(db, "webhooks", {})}


def send_later(db: sqlite3.Connection, event: str, endpoint: str, body: str) -> None:
    """Put an event on its way to an endpoint, as often and as late as the settings say."""
    how = ways(db)
    if how["lose"]:
        if how["lose"] > 0:
            set_setting(db, "webhooks", {**how, "lose": how["lose"] - 1})
        return
    for _ in range(how["copies"]):
        late = how["delay_seconds"] + random.random() * how["shuffle_seconds"]  # noqa: S311
        due_at = HELD if how["hold"] else time.time() + late
        db.execute(
            "INSERT INTO delivery (event, endpoint, body, due_at) VALUES (?, ?, ?, ?)", (event, endpoint, body, due_at)
        )


def release(db: sqlite3.Connection) -> int:
    """Release the webhooks that were held, in random order; return how many there were."""
    held = [row[0] for row in db.execute("SELECT id FROM delivery WHERE state = 'waiting' AND due_at >= ?", (HELD,))]
    random.shuffle(held)
    now = time.time()
    for place, id_ in enumerate(held):
        db.execute("UPDATE delivery SET due_at = ? WHERE id = ?", (now + place / 1000, id_))
    return len(held)
