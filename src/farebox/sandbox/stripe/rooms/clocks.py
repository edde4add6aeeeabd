"""Test clocks: the time of some customers, which stands still until it is moved."""

import time
from typing import Final

from farebox.sandbox.stripe.desk import Desk
from farebox.sandbox.stripe.errors import StripeError, refused
from farebox.sandbox.stripe.room import Room, page
from farebox.sandbox.stripe.things import Thing

room = Room()
KEPT_SECONDS: Final = 30 * 86_400


@room("POST", "/v1/test_helpers/test_clocks", "test_helpers.TestClockCreateParams")
def create(desk: Desk, given: Thing) -> Thing:
    now = desk.now()
    clock = desk.new("test_helpers.test_clock", frozen_time=given["frozen_time"], name=given.get("name"),
                     status="ready", deletes_after=now + KEPT_SECONDS, status_details={}, livemode=False)  # fmt: skip
    desk.emit("test_helpers.test_clock.created", desk.put(clock))
    return clock


@room("GET", "/v1/test_helpers/test_clocks/{id}", "test_helpers.TestClockRetrieveParams")
def retrieve(desk: Desk, _given: Thing, id_: str) -> Thing:
    return desk.get("test_helpers.test_clock", id_)


@room("GET", "/v1/test_helpers/test_clocks", "test_helpers.TestClockListParams")
def list_(desk: Desk, given: Thing) -> Thing:
    return page(desk, "/v1/test_helpers/test_clocks", desk.all("test_helpers.test_clock"), given)


@room("POST", "/v1/test_helpers/test_clocks/{id}/advance", "test_helpers.TestClockAdvanceParams")
def advance(desk: Desk, given: Thing, id_: str) -> Thing:
    """Begin to move a clock; it arrives some time later."""
    clock = desk.get("test_helpers.test_clock", id_)
    if clock["status"] != "ready":
        raise StripeError(429, "Test clock advancement underway - cannot perform modifications while it is ongoing",
                          code="test_clock_advancing")  # fmt: skip
    if given["frozen_time"] <= clock["frozen_time"]:
        raise refused("The test clock can only be advanced to a future time.", param="frozen_time")
    count_at_once(desk)
    details = {"advancing": {"target_frozen_time": given["frozen_time"]}}
    clock = desk.put({**clock, "status": "advancing", "status_details": details})
    desk.emit("test_helpers.test_clock.advancing", clock)
    return clock


def count_at_once(desk: Desk) -> None:
    """Let usage that was on its way count now, as time has passed for it as well."""
    desk.db.execute("UPDATE usage SET counts_from = 0 WHERE counts_from > ?", (time.time(),))


@room("DELETE", "/v1/test_helpers/test_clocks/{id}", None)
def delete(desk: Desk, _given: Thing, id_: str) -> Thing:
    clock = desk.get("test_helpers.test_clock", id_)
    for row in desk.db.execute("SELECT id FROM object WHERE clock = ?", (id_,)).fetchall():
        desk.db.execute("DELETE FROM object WHERE id = ?", row)
    desk.emit("test_helpers.test_clock.deleted", clock)
    return desk.delete(clock)
