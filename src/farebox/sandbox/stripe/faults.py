"""Stripe, broken on purpose: slow, busy, failing, gone, or dead in the middle of an answer."""

import fnmatch
import json
from typing import Final

from starlette.types import Receive, Send

from farebox.sandbox.stripe.answers import Answer
from farebox.sandbox.stripe.desk import random_text
from farebox.sandbox.stripe.errors import StripeError
from farebox.sandbox.stripe.shelf import Shelf, set_setting, setting
from farebox.sandbox.stripe.things import Thing

KINDS: Final = ("slow", "status", "refuse", "die")
"""`slow`: the request is under way for so many `seconds`. `status`: it is answered with that, and nothing is done.
`refuse`: the connection is closed, and nothing is done. `die`: it is done, and closed before the answer."""
MESSAGES: Final = {429: "Request rate limit exceeded.", 401: "Invalid API Key provided."}


class Faults:
    """The faults that requests meet. They are kept with everything else, so that every process knows them."""

    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf

    def next_for(self, method: str, path: str) -> Thing | None:
        """The fault that this request meets, if any; it is counted as one of the fault's `times`."""
        stored = self._shelf.read("SELECT value FROM setting WHERE name = 'faults'")
        if not stored or stored[0][0] == "[]":
            return None
        with self._shelf.transaction() as db:
            faults: list[Thing] = setting(db, "faults", [])
            for fault in faults:
                if fault["method"] in {method, "*"} and fnmatch.fnmatchcase(path, fault["path"]):
                    if fault["times"] is not None:
                        fault["times"] -= 1
                    set_setting(db, "faults", [one for one in faults if one["times"] != 0])
                    return fault
        return None

    def answer(self, fault: Thing) -> Answer:
        """The error that a request gets instead of what it wants."""
        status = fault["status"]
        error = StripeError(status, MESSAGES.get(status, "An unknown error occurred."),
                            code="rate_limit" if status == 429 else "")  # noqa: PLR2004  # fmt: skip
        return Answer(status, json.dumps({"error": error.body}).encode(), f"req_{random_text(14)}")


async def hang_up(receive: Receive, send: Send) -> None:
    """Close the connection, with no answer; where its transport cannot be reached, in the middle of one."""
    transport = getattr(getattr(send, "__self__", None), "transport", None)
    if transport is not None:
        transport.abort()
        while (await receive())["type"] != "http.disconnect":
            continue
        return
    headers = [(b"content-type", b"application/json"), (b"content-length", b"1000")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"{", "more_body": True})
