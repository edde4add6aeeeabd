"""The mails that are to be sent, on the driver's own connection: any serving process looks here again and again."""

from typing import Final

from farebox.domain.people import COUNTED_US, DAY_US, HOUR_US, LAST_MAILS, Mail
from farebox.domain.period import MICROSECONDS
from farebox.ports.people import DueMail
from farebox.store.database import Database
from farebox.store.forgetting import Forgotten, forget_some
from farebox.store.own_connection import OwnConnection

LEASE_SECONDS: Final = 240  # longer than sending a letter may take: a test compares it with the adapter's bounds
LOOK: Final = "SELECT id, next_us FROM mail WHERE next_us <= ? ORDER BY next_us, id LIMIT 1"
# Of several processes that have seen the same row, only one can update it.
CLAIM: Final = "UPDATE mail SET next_us = ?, tries = tries + 1 WHERE id = ? AND next_us = ?"
READ: Final = f"""
SELECT {", ".join(f"m.{name}" for name in Mail._fields)},
    EXISTS (SELECT 1 FROM person p WHERE p.email = m.email),
    EXISTS (SELECT 1 FROM link l WHERE l.id = m.link_id AND l.used_us IS NULL AND l.expires_us > ?
        AND NOT EXISTS (SELECT 1 FROM link n WHERE n.email = l.email AND n.purpose = l.purpose
            AND coalesce(n.account_id, '') = coalesce(l.account_id, '')
            AND (n.created_us > l.created_us OR (n.created_us = l.created_us AND n.id > l.id)))),
    EXISTS (SELECT 1 FROM account a WHERE a.email = m.email
        AND NOT EXISTS (SELECT 1 FROM member i WHERE i.account_id = a.id))
FROM mail m WHERE m.id = ?"""  # noqa: S608  # the names of the columns are our own
LAST: Final = ", ".join(f"'{name}'" for name in sorted(LAST_MAILS))
FORGOTTEN: Final = (
    f"next_us = NULL, email = CASE WHEN template IN ({LAST}) THEN '' ELSE email END,"
    f" data = CASE WHEN template IN ({LAST}) THEN '{{}}' ELSE data END"
)
SENT: Final = f"UPDATE mail SET sent_us = ?, failed = '', {FORGOTTEN} WHERE id = ? AND sent_us IS NULL"  # noqa: S608
PUT_OFF: Final = "UPDATE mail SET next_us = ?, failed = ? WHERE id = ? AND sent_us IS NULL"
# Counts that name an address: it may be of somebody who was invited here, or deleted, and is nobody here now. And those
# that come with them, or each portion would walk over these again. All others count for an hour, and are kept so long.
BRIEF: Final = " AND replace(replace(replace(subject, '@', ''), 'guess from ', ''), 'ceremony from ', '') <> subject"
OLD: Final = (
    Forgotten("guess", "subject, id", "at_us", HOUR_US),  # first: what it leaves is all that the next one walks over
    Forgotten("guess", "subject, id", "at_us", COUNTED_US, BRIEF),
    Forgotten("link", "id", "expires_us", 7 * DAY_US),  # an address that was never confirmed goes with its link
    Forgotten("session", "digest", "expires_us", 0),
    Forgotten("ceremony", "digest", "expires_us", 0),
    # The + keeps SQLite from reading all that were ever sent, by the index of next_us.
    Forgotten("mail", "id", "created_us", 30 * DAY_US, " AND +next_us IS NULL"),
)
# What the server said may name the address.
GIVEN_UP: Final = f"failed = CASE WHEN template IN ({LAST}) THEN 'given up' ELSE ? END"
GIVE_UP: Final = f"UPDATE mail SET {GIVEN_UP}, {FORGOTTEN} WHERE id = ? AND sent_us IS NULL"  # noqa: S608


class StoredMailOutbox:
    """The port `MailOutbox` over one database; for one thread at a time."""

    def __init__(self, database: Database) -> None:
        self._own = OwnConnection(database)

    def claim(self) -> DueMail | None:
        with self._own.cursor() as cursor:
            while True:
                now_us = self._own.now_us(cursor)
                self._own.run(cursor, LOOK, now_us)
                seen = cursor.fetchone()
                if seen is None:
                    return None
                if self._own.write(cursor, CLAIM, now_us + LEASE_SECONDS * MICROSECONDS, *seen):
                    self._own.run(cursor, READ, now_us, seen[0])
                    found = cursor.fetchone()
                    if found is not None:  # it may just have been deleted, with its person
                        *row, is_known, is_link_alive, is_awaited = found
                        return DueMail(Mail(*row), bool(is_known), bool(is_link_alive), bool(is_awaited))

    def sent(self, mail_id: str) -> None:
        with self._own.cursor() as cursor:
            self._own.write(cursor, SENT, self._own.now_us(cursor), mail_id)

    def put_off(self, mail_id: str, seconds: float, reason: str) -> None:
        with self._own.cursor() as cursor:
            self._own.write(cursor, PUT_OFF, self._own.now_us(cursor) + int(seconds * MICROSECONDS), reason, mail_id)

    def give_up(self, mail_id: str, reason: str) -> None:
        with self._own.cursor() as cursor:
            self._own.write(cursor, GIVE_UP, reason, mail_id)

    def forget(self) -> bool:
        return forget_some(self._own, *OLD)

    def close(self) -> None:
        self._own.close()
