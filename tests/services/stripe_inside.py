"""The stand-in for Stripe inside of this process, without sockets and threads, by a clock that a test moves.

    clock = Clock(start_us)
    with moved_by(clock):                               # Farebox's clocks on SQLite, and the stand-in's
        stripe = InsideStripe(clock)                    # everything in memory
        client = stripe.client()                        # stripe-python's own client; it calls the stand-in's answers
        session = client.v1.checkout.sessions.create({...})
        stripe.pay(session.id)                          # with the card that works; `"failsLater"`, or another one
        clock.now_us += 3_600_000_000
        stripe.work()                                   # whatever became due meanwhile has happened, each at its moment
        for event in stripe.events(): ...               # those that were not fetched before, the oldest first

`stripe.lost = 1` has the next request done, and its answer lost.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final
from unittest.mock import patch
from urllib.parse import urlsplit

import psycopg
import stripe

from farebox.adapters.stripe_client import VERSION
from farebox.domain.period import MICROSECONDS
from farebox.domain.webhooks import Event, object_of
from farebox.sandbox.stripe import DEFAULT_KEY, backstage, outbound
from farebox.sandbox.stripe import shelf as shelves
from farebox.sandbox.stripe.answers import Answers, Asked
from farebox.sandbox.stripe.backstage import Backstage
from farebox.sandbox.stripe.completing import completed
from farebox.sandbox.stripe.desk import Desk
from farebox.sandbox.stripe.rooms import clocks, meter_events
from farebox.sandbox.stripe.rooms.payment_methods import made
from farebox.sandbox.stripe.shelf import Shelf, set_setting
from farebox.sandbox.stripe.things import Thing
from farebox.store import cursor, database

URL: Final = "http://stripe.inside"
TELL_TIME: Final = (shelves, backstage, outbound, clocks, meter_events, cursor, database)
"""The modules that look at a clock; with PostgreSQL, Farebox asks the database instead."""


class Clock:
    """What the module `time` is to whoever asks for the time of day. Farebox never reads one moment twice."""

    def __init__(self, now_us: int) -> None:
        self.now_us = now_us

    def time(self) -> float:
        return self.now_us / MICROSECONDS

    def time_ns(self) -> int:
        self.now_us += 1
        return (self.now_us - 1) * 1000


POSTGRES_CLOCK: Final = """
CREATE SCHEMA moved;
CREATE TABLE moved.clock (us bigint NOT NULL);
INSERT INTO moved.clock VALUES (0);
CREATE SEQUENCE moved.tick MINVALUE 0 START 0;
CREATE FUNCTION moved.clock_timestamp() RETURNS timestamptz LANGUAGE sql VOLATILE AS
    $$ SELECT 'epoch'::timestamptz + (us + nextval('moved.tick')) * interval '1 microsecond' FROM moved.clock $$;
"""
SEEN_FIRST: Final = "options=-csearch_path%3Dmoved,public,pg_catalog"
"""Of a database's URL: its clock is the one above."""


class PostgresClock(Clock):
    """The same of a PostgreSQL that has the clock above."""

    def __init__(self, url: str, now_us: int) -> None:
        self._connection = psycopg.connect(url, autocommit=True)
        super().__init__(now_us)

    @property
    def now_us(self) -> int:
        asked = "SELECT us + last_value + CASE WHEN is_called THEN 1 ELSE 0 END FROM moved.clock, moved.tick"
        row = self._connection.execute(asked).fetchone()
        assert row is not None
        return int(row[0])

    @now_us.setter
    def now_us(self, now_us: int) -> None:
        self._connection.execute("UPDATE moved.clock SET us = %s", (now_us,))
        self._connection.execute("SELECT setval('moved.tick', 0, false)")

    def close(self) -> None:
        self._connection.close()


@contextmanager
def moved_by(clock: Clock) -> Iterator[None]:
    with ExitStack() as stack:
        for module in TELL_TIME:
            stack.enter_context(patch.object(module, "time", clock))
        yield


class InsideStripe:
    """Its state is in memory; `like` is another one's, to begin with."""

    def __init__(self, like: "InsideStripe | None" = None) -> None:
        self.lost = 0
        self._shelf = Shelf(Path(":memory:"))
        self._answers = Answers(self._shelf, URL, DEFAULT_KEY)
        self._backstage = Backstage(self._shelf, URL)
        self._seen = 0
        if like is None:
            with self._shelf.transaction() as db:
                set_setting(db, "aggregation_seconds", 0)
        else:
            like._shelf._db.backup(self._shelf._db)
            self.events()

    def client(self) -> stripe.StripeClient:
        bases: Any = dict.fromkeys(("api", "meter_events", "files", "connect"), URL)
        return stripe.StripeClient(
            DEFAULT_KEY, stripe_version=VERSION, max_network_retries=0, base_addresses=bases, http_client=_Wire(self)
        )

    def answer(self, asked: Asked) -> tuple[bytes, int, Mapping[str, str]]:
        found = self._answers.to(asked)
        if self.lost:
            self.lost -= 1
            raise stripe.APIConnectionError("the answer was lost", should_retry=False)  # type: ignore[no-untyped-call]
        return found.body, found.status, {"request-id": found.request_id}

    def pay(self, session_id: str, card: str = "visa") -> None:
        """Pay a checkout session, as its owner does on its page."""
        with self._shelf.transaction() as db:
            desk = Desk(db, URL)
            method = desk.put({**made(desk, card), "_is_authenticated": True})
            completed(desk, desk.get("checkout.session", session_id), method)

    def work(self) -> None:
        """Have everything happen that is due by now."""
        while self._backstage.work_once():
            pass

    def events(self) -> list[Event]:
        rows = self._shelf.read(
            "SELECT seq, body FROM object WHERE kind = 'event' AND seq > ? ORDER BY seq", self._seen
        )
        self._seen = max((row[0] for row in rows), default=self._seen)
        found = [json.loads(row[1]) for row in rows]
        return [
            Event(one["id"], one["type"], object_of(one["type"], one), one["created"] * MICROSECONDS, is_live=False)
            for one in found
        ]

    def all(self, kind: str) -> list[Thing]:
        """Every object of a kind as it is kept, the oldest first."""
        rows = self._shelf.read("SELECT body FROM object WHERE kind = ? ORDER BY seq", kind)
        return [json.loads(row[0]) for row in rows]

    def close(self) -> None:
        self._shelf.close()


class _Wire(stripe.HTTPClient):
    """The SDK's way to the stand-in."""

    name = "inside"

    def __init__(self, inside: InsideStripe) -> None:
        super().__init__()
        self._inside = inside

    def request(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str] | None,
        post_data: str | bytes | None = None,
        **_: object,
    ) -> Any:  # noqa: ANN401  # as the SDK has it
        at = urlsplit(url)
        body = post_data.encode() if isinstance(post_data, str) else post_data or b""
        named = {name.lower(): value for name, value in (headers or {}).items()}
        return self._inside.answer(Asked(method.upper(), at.path, at.query, named, body))

    def close(self) -> None:
        """There is nothing to close."""
