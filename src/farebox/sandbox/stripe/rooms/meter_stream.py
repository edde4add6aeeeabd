"""Usage in bulk, as the second version of Stripe's API takes it: a session for 15 minutes, and events in JSON."""

from datetime import UTC, datetime
from typing import Any, Final

from farebox.sandbox.stripe.desk import Desk, iso_time, random_text
from farebox.sandbox.stripe.errors import refused, wanted
from farebox.sandbox.stripe.room import Room
from farebox.sandbox.stripe.rooms.meter_events import reported
from farebox.sandbox.stripe.things import Thing

room = Room()
EVENTS_MAX: Final = 100
SESSION_SECONDS: Final = 900


@room("POST", "/v2/billing/meter_event_session", None)
def session(desk: Desk, _given: Thing) -> Thing:
    now = desk.now()
    return {"id": f"bmes_test_{random_text(24)}", "object": "v2.billing.meter_event_session", "livemode": False,
            "authentication_token": f"token_{random_text(40)}", "created": iso_time(now),
            "expires_at": iso_time(now + SESSION_SECONDS)}  # fmt: skip


@room("POST", "/v2/billing/meter_event_stream", None)
def stream(desk: Desk, given: Thing) -> Thing:
    events = given.get("events")
    if not events:
        raise wanted("events")
    if len(events) > EVENTS_MAX:
        raise refused("At most 100 events are taken at once.", param="events")
    for event in events:
        reported(desk, _of_v2(event))
    return {}


@room("POST", "/v2/billing/meter_events", None)
def one(desk: Desk, given: Thing) -> Thing:
    event = reported(desk, _of_v2(given))
    return {**event, "object": "v2.billing.meter_event", "created": iso_time(event["created"]),
            "timestamp": iso_time(event["timestamp"])}  # fmt: skip


def _of_v2(event: Any) -> Thing:
    if not isinstance(event, dict) or not {"event_name", "payload"} <= set(event):
        raise wanted("event_name")
    when = event.get("timestamp")
    if when is None:
        return {name: value for name, value in event.items() if name != "timestamp"}
    try:
        moment = datetime.fromisoformat(when)
    except (TypeError, ValueError) as error:
        raise refused(f"Invalid timestamp: {when}", param="timestamp") from error
    return {**event, "timestamp": int(moment.replace(tzinfo=moment.tzinfo or UTC).timestamp())}
