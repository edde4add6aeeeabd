"""A link whose button was pressed twice: the browser threw the first answer away, and the session's cookie with it."""

from typing import NamedTuple

from farebox.account import sessions
from farebox.account.desk import Desk
from farebox.domain import people as rules
from farebox.domain.people import Link
from farebox.ports.people import Visit


class UsedLink(NamedTuple):
    """A link that was used a moment ago, and the session that it began, for the browser that opened it."""

    link: Link
    cookie: str
    here: Visit | None


def find_used(desk: Desk, *, token: str, opened: str) -> UsedLink | None:
    """What came of a link that comes again. Its session is found only by the cookie of the browser that opened it."""
    link_id = rules.link_id_of(desk.secret, token)
    link = desk.people.used_lately(link_id) if link_id is not None else None
    if link is None or link.purpose == "code":
        return None
    cookie = rules.session_token(desk.secret, link.id, opened) if opened else ""
    return UsedLink(link, cookie, sessions.visit(desk, cookie))
