"""Usage as it is reported: meter events, their sums, and taking one back."""

import re
import secrets
import time
from typing import Final

from farebox.sandbox.stripe.desk import Desk, iso_time
from farebox.sandbox.stripe.errors import StripeError, refused
from farebox.sandbox.stripe.room import Room, page
from farebox.sandbox.stripe.shelf import setting
from farebox.sandbox.stripe.things import Thing

room = Room()
DAY_SECONDS: Final = 86_400
OLD_SECONDS_MAX: Final = 35 * DAY_SECONDS
AHEAD_SECONDS_MAX: Final = 300
UNIQUE_SECONDS: Final = DAY_SECONDS
IDENTIFIER_CHARS_MAX: Final = 100
AGGREGATION_SECONDS: Final = 0.2
"""How long an event takes to count, unless a test sets another delay."""
WINDOWS: Final = {"hour": 3_600, "day": DAY_SECONDS}
WHOLE: Final = re.compile(r"[+-]?\d{1,18}")


@room("POST", "/v1/billing/meter_events", "billing.MeterEventCreateParams")
def create(desk: Desk, given: Thing) -> Thing:
    return reported(desk, given)


def reported(desk: Desk, given: Thing) -> Thing:
    """Take a meter event, which does not mean yet that it counts.

    Raises:
        StripeError: its identifier was there in the last 24 hours, or its time is out of bounds.
    """
    now = desk.now()
    identifier = given.get("identifier") or secrets.token_hex(16)
    timestamp = given.get("timestamp", now)
    clocks = {now, *(desk.now(desk.clock_of(str(value))) for value in given["payload"].values())}
    _check_form(identifier, timestamp, clocks)
    row = desk.db.execute(
        "SELECT 1 FROM usage WHERE identifier = ? AND received_at > ?", (identifier, now - UNIQUE_SECONDS)
    ).fetchone()
    if row is not None:
        raise refused(f"An event already exists with identifier {identifier}.", code="duplicate_meter_event",
                      param="identifier")  # fmt: skip
    payload = {name: str(value) for name, value in given["payload"].items()}
    event = desk.new("billing.meter_event", event_name=given["event_name"], identifier=identifier, timestamp=timestamp,
                     payload=payload, livemode=False, created=now)  # fmt: skip
    _count(desk, event)
    return event


def _check_form(identifier: str, timestamp: int, clocks: set[int]) -> None:
    """Check the identifier and the time; a customer on a test clock has two times, of which either will do."""
    if len(identifier) > IDENTIFIER_CHARS_MAX:
        raise refused("The identifier has more than 100 characters.", param="identifier")
    if timestamp < min(clocks) - OLD_SECONDS_MAX:
        raise refused("The timestamp must be within the past 35 days.", code="timestamp_too_far_in_past",
                      param="timestamp")  # fmt: skip
    if timestamp > max(clocks) + AHEAD_SECONDS_MAX:
        raise refused("The timestamp must be at most 5 minutes in the future.", code="timestamp_in_future",
                      param="timestamp")  # fmt: skip


def _count(desk: Desk, event: Thing) -> None:
    """Have an event count some time later; one that cannot count is reported by a thin event."""
    meter = next((meter for meter in desk.all("billing.meter") if meter["event_name"] == event["event_name"]), None)
    if meter is None or meter["status"] != "active":
        _tell(desk, None, event, "no_meter" if meter is None else "archived_meter")
        _keep(desk, event, "", "", 0)
        return
    customer = event["payload"].get(meter["customer_mapping"]["event_payload_key"])
    value = event["payload"].get(meter["value_settings"]["event_payload_key"], "")
    if meter["default_aggregation"]["formula"] == "count" and not value:
        value = "1"
    wrong = _wrong(desk, customer, value)
    if wrong:
        _tell(desk, meter, event, wrong)
        _keep(desk, event, meter["id"], "", 0)
    else:
        _keep(desk, event, meter["id"], customer or "", int(value))


def _wrong(desk: Desk, customer: str | None, value: str) -> str:
    """Why an event cannot count."""
    if not customer:
        return "meter_event_no_customer_defined"
    found = desk.find(customer)
    if found is None or found["object"] != "customer" or found.get("deleted"):
        return "meter_event_customer_not_found"
    return "" if WHOLE.fullmatch(value) else "meter_event_invalid_value"


def _keep(desk: Desk, event: Thing, meter: str, customer: str, value: int) -> None:
    counts_from = time.time() + setting(desk.db, "aggregation_seconds", AGGREGATION_SECONDS)
    desk.db.execute(
        "INSERT INTO usage (identifier, meter, customer, timestamp, value, received_at, counts_from)"
        " VALUES (?, ?, ?, ?, ?, ?, ?)",
        (event["identifier"], meter, customer, event["timestamp"], value, event["created"], counts_from),
    )


def _tell(desk: Desk, meter: Thing | None, event: Thing, code: str) -> None:
    kind = "v1.billing.meter.no_meter_found" if meter is None else "v1.billing.meter.error_report_triggered"
    now = desk.now()
    sample = {"error_message": code.replace("_", " "), "request": {"identifier": event["identifier"]}}
    data = {
        "developer_message_summary": "There is 1 invalid event",
        "reason": {"error_count": 1, "error_types": [{"code": code, "error_count": 1, "sample_errors": [sample]}]},
        "validation_start": iso_time(now - 60),
        "validation_end": iso_time(now),
    }
    desk.emit_thin(kind, meter, data)


def used(desk: Desk, meter: Thing, customer: str, start: int, end: int) -> int:
    """The usage of [start, end) that counts by now."""
    rows = desk.db.execute(
        "SELECT timestamp, value FROM usage WHERE customer = ? AND meter = ? AND timestamp >= ? AND timestamp < ?"
        " AND counts_from <= ? AND NOT is_cancelled ORDER BY id",
        (customer, meter["id"], start, end, time.time()),
    ).fetchall()
    window = WINDOWS.get(meter["event_time_window"] or "")
    if window:  # only the last value of a window counts
        rows = list({timestamp // window: (timestamp, value) for timestamp, value in rows}.values())
    values = [value for _, value in rows]
    formula = meter["default_aggregation"]["formula"]
    if formula == "count":
        return len(values)
    if formula == "last":
        return int(values[-1]) if values else 0
    return int(sum(values))


@room("GET", "/v1/billing/meters/{id}/event_summaries", "billing.MeterListEventSummariesParams")
def summaries(desk: Desk, given: Thing, id_: str) -> Thing:
    meter = desk.get("billing.meter", id_)
    desk.named("customer", given["customer"], "customer")
    start, end = given["start_time"], given["end_time"]
    if start % 60 or end % 60 or start >= end:
        raise refused("start_time and end_time must be aligned with minute boundaries.", param="start_time")
    step = WINDOWS.get(given.get("value_grouping_window", ""), end - start)
    if "value_grouping_window" in given and (start % step or end % step):
        raise refused("The times must be aligned with the grouping window.", param="value_grouping_window")
    found = []
    for begin in range(start, end, step):
        value = used(desk, meter, given["customer"], begin, min(begin + step, end))
        if value or step == end - start:
            summary = desk.new("billing.meter_event_summary", aggregated_value=value, start_time=begin, meter=id_,
                               end_time=min(begin + step, end), id=f"mtrusg_test_{id_[-8:]}{begin}")  # fmt: skip
            found.append(summary)
    return page(desk, f"/v1/billing/meters/{id_}/event_summaries", found[::-1], given)


@room("POST", "/v1/billing/meter_event_adjustments", "billing.MeterEventAdjustmentCreateParams")
def adjust(desk: Desk, given: Thing) -> Thing:
    identifier = given.get("cancel", {}).get("identifier")
    now = desk.now()
    row = desk.db.execute(
        "SELECT usage.id, received_at, is_cancelled FROM usage JOIN object ON object.id = usage.meter"
        " WHERE identifier = ? AND json_extract(object.body, '$.event_name') = ? ORDER BY usage.id DESC LIMIT 1",
        (identifier, given["event_name"]),
    ).fetchone()
    if row is None:
        raise StripeError(404, f"No event with identifier {identifier} was found.", code="resource_missing",
                          param="cancel[identifier]")  # fmt: skip
    if row[1] <= now - DAY_SECONDS:
        raise refused("An event can only be cancelled within 24 hours of its receipt.", param="cancel[identifier]")
    if row[2]:
        raise refused("This event was cancelled before.", param="cancel[identifier]")
    desk.db.execute("UPDATE usage SET is_cancelled = 1 WHERE id = ?", (row[0],))
    return desk.new("billing.meter_event_adjustment", cancel={"identifier": identifier}, status="pending",
                    event_name=given["event_name"], type="cancel", livemode=False)  # fmt: skip
