"""Meters: what is counted for whom."""

from farebox.sandbox.stripe.desk import Desk
from farebox.sandbox.stripe.errors import refused
from farebox.sandbox.stripe.room import Room, page
from farebox.sandbox.stripe.things import Thing

room = Room()


@room("POST", "/v1/billing/meters", "billing.MeterCreateParams")
def create(desk: Desk, given: Thing) -> Thing:
    name = given["event_name"]
    if any(meter["event_name"] == name and meter["status"] == "active" for meter in desk.all("billing.meter")):
        raise refused(f"An active meter already exists with the event name '{name}'.", code="resource_already_exists",
                      param="event_name")  # fmt: skip
    mapping = given.get("customer_mapping", {"type": "by_id", "event_payload_key": "stripe_customer_id"})
    meter = desk.new(
        "billing.meter",
        display_name=given["display_name"],
        event_name=name,
        event_time_window=given.get("event_time_window"),
        customer_mapping=mapping,
        default_aggregation=given["default_aggregation"],
        value_settings=given.get("value_settings", {"event_payload_key": "value"}),
        status="active",
        status_transitions={"deactivated_at": None},
        livemode=False,
    )
    meter = desk.put({**meter, "updated": meter["created"]})
    desk.emit("billing.meter.created", meter)
    return meter


@room("GET", "/v1/billing/meters/{id}", "billing.MeterRetrieveParams")
def retrieve(desk: Desk, _given: Thing, id_: str) -> Thing:
    return desk.get("billing.meter", id_)


@room("POST", "/v1/billing/meters/{id}", "billing.MeterUpdateParams")
def update(desk: Desk, given: Thing, id_: str) -> Thing:
    meter = desk.get("billing.meter", id_)
    name = given.get("display_name", meter["display_name"])
    return desk.update(meter, "billing.meter.updated", display_name=name, updated=desk.now())


@room("POST", "/v1/billing/meters/{id}/deactivate", "billing.MeterDeactivateParams")
def deactivate(desk: Desk, _given: Thing, id_: str) -> Thing:
    meter, now = desk.get("billing.meter", id_), desk.now()
    if meter["status"] != "active":
        raise refused("You can only deactivate active meters.")
    return desk.update(meter, "billing.meter.deactivated", status="inactive", updated=now,
                       status_transitions={"deactivated_at": now})  # fmt: skip


@room("POST", "/v1/billing/meters/{id}/reactivate", "billing.MeterReactivateParams")
def reactivate(desk: Desk, _given: Thing, id_: str) -> Thing:
    meter = desk.get("billing.meter", id_)
    if meter["status"] == "active":
        raise refused("You can only reactivate inactive meters.")
    return desk.update(meter, "billing.meter.reactivated", status="active", updated=desk.now(),
                       status_transitions={"deactivated_at": None})  # fmt: skip


@room("GET", "/v1/billing/meters", "billing.MeterListParams")
def list_(desk: Desk, given: Thing) -> Thing:
    return page(desk, "/v1/billing/meters", desk.all("billing.meter"), given, "status")
