"""Event destinations: where events of the new, thin kind are sent to."""

from farebox.sandbox.stripe.desk import Desk, iso_time, random_text
from farebox.sandbox.stripe.errors import refused, wanted
from farebox.sandbox.stripe.room import Room
from farebox.sandbox.stripe.things import Thing

room = Room()
KIND = "v2.core.event_destination"


@room("POST", "/v2/core/event_destinations", "v2.core.EventDestinationCreateParams")
def create(desk: Desk, given: Thing) -> Thing:
    if given["type"] != "webhook_endpoint" or given["event_payload"] != "thin":
        raise refused("Only thin events to a webhook_endpoint are sent here.", param="event_payload")
    if "webhook_endpoint" not in given:
        raise wanted("webhook_endpoint")
    now = iso_time(desk.now())
    secret = f"whsec_{random_text(32)}"
    destination = {
        "id": f"ed_test_{random_text(24)}",
        "object": KIND,
        "name": given["name"],
        "type": "webhook_endpoint",
        "description": given.get("description", ""),
        "enabled_events": given["enabled_events"],
        "event_payload": "thin",
        "events_from": ["self"],
        "status": "enabled",
        "metadata": given.get("metadata", {}),
        "created": now,
        "updated": now,
        "livemode": False,
        "webhook_endpoint": {"url": given["webhook_endpoint"]["url"]},
        "_secret": secret,
    }
    return _told(desk.put(destination), given)


def _told(destination: Thing, given: Thing) -> Thing:
    """The destination, with its secret only if the request asks for that."""
    if "webhook_endpoint.signing_secret" not in given.get("include", []):
        return destination
    endpoint = {**destination["webhook_endpoint"], "signing_secret": destination["_secret"]}
    return {**destination, "webhook_endpoint": endpoint}


@room("GET", "/v2/core/event_destinations/{id}", "v2.core.EventDestinationRetrieveParams")
def retrieve(desk: Desk, given: Thing, id_: str) -> Thing:
    return _told(desk.get(KIND, id_), given)


@room("GET", "/v2/core/event_destinations", "v2.core.EventDestinationListParams")
def list_(desk: Desk, _given: Thing) -> Thing:
    return {"data": desk.all(KIND), "next_page_url": None, "previous_page_url": None}


@room("DELETE", "/v2/core/event_destinations/{id}", None)
def delete(desk: Desk, _given: Thing, id_: str) -> Thing:
    return desk.delete(desk.get(KIND, id_))
