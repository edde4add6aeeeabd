"""What Stripe is answered, so that it sends again what could not be stored."""

import asyncio
from collections.abc import Callable
from typing import Any, cast

import pytest
from fastapi import Request

from farebox import Farebox
from farebox.domain.errors import LedgerUnavailable
from farebox.domain.webhooks import PATH, Event
from farebox.ports.billing import Signatures
from farebox.web.webhooks import BODY_BYTES_MAX, Webhooks

EVENT = Event("evt_1", "invoice.paid", "in_1", 0, is_live=False)


class Inbox:
    """Stores events, or cannot."""

    def __init__(self, *faults: Exception) -> None:
        self.faults = list(faults)
        self.stored: list[Event] = []
        self.woken = 0

    def add(self, event: Event) -> bool:
        if self.faults:
            raise self.faults.pop()
        is_new = event not in self.stored
        self.stored += [event] if is_new else []
        return is_new

    def wake(self) -> None:
        self.woken += 1


class Believing:
    def read(self, body: bytes, signature: str) -> Event:
        del body, signature
        return EVENT


class Unsure:
    """Asks the database, which is away."""

    def read(self, body: bytes, signature: str) -> Event:
        del body, signature
        raise LedgerUnavailable("away")


def status(inbox: Inbox, body: bytes = b"{}", signatures: Callable[[], Signatures] = Believing) -> int:
    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    webhooks = Webhooks(cast("Any", inbox), signatures, inbox.wake, is_live=False)
    return asyncio.run(webhooks.receive(Request({"type": "http", "headers": []}, receive))).status_code


def test_an_event_that_cannot_be_stored_is_sent_again_and_stored_then() -> None:
    inbox = Inbox(LedgerUnavailable("away"))
    assert status(inbox) == 503
    assert inbox.stored == []
    assert status(inbox, signatures=Unsure) == 503
    assert [status(inbox), status(inbox)] == [200, 200]
    assert (inbox.stored, inbox.woken) == ([EVENT], 1)


@pytest.mark.parametrize(("size", "answer"), [(BODY_BYTES_MAX, 200), (BODY_BYTES_MAX + 1, 413)])
def test_a_body_that_is_larger_than_any_event_is_not_read(size: int, answer: int) -> None:
    inbox = Inbox()
    assert status(inbox, b"x" * size) == answer
    assert len(inbox.stored) == (answer == 200)


def test_who_leaves_before_the_body_is_whole_is_no_failure_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    came: list[dict[str, Any]] = [
        {"type": "http.request", "body": b"{", "more_body": True},
        {"type": "http.disconnect"},
    ]

    async def receive() -> dict[str, Any]:
        return came.pop(0)

    async def send(message: dict[str, Any]) -> None:
        """Nobody is there."""

    inbox, app = Inbox(), Farebox()
    app.router.routes.append(Webhooks(cast("Any", inbox), Believing, inbox.wake, is_live=False).route)
    scope = {"type": "http", "method": "POST", "path": PATH, "headers": [], "query_string": b""}
    asyncio.run(app(scope, receive, cast("Any", send)))
    assert (inbox.stored, caplog.records) == ([], [])
