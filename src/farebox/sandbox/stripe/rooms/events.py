"""Events, the endpoints that want to be told of them, and the account."""

from typing import Final

from farebox.sandbox.stripe.desk import Desk, random_text
from farebox.sandbox.stripe.errors import missing, refused
from farebox.sandbox.stripe.room import Room, page
from farebox.sandbox.stripe.things import Thing, merged_metadata

room = Room()
ACCOUNT: Final = "acct_1Farebox0standin0"


@room("GET", "/v1/events/{id}", "EventRetrieveParams")
def retrieve(desk: Desk, _given: Thing, id_: str) -> Thing:
    return desk.get("event", id_)


@room("GET", "/v1/events", "EventListParams")
def list_(desk: Desk, given: Thing) -> Thing:
    kinds = given.get("types") or ([given["type"]] if "type" in given else None)
    found = [
        event for event in desk.all("event") if kinds is None or any(_is_of(event["type"], kind) for kind in kinds)
    ]
    return page(desk, "/v1/events", found, given)


def _is_of(kind: str, wanted: str) -> bool:
    return kind.startswith(wanted[:-1]) if wanted.endswith("*") else kind == wanted


@room("GET", "/v2/core/events/{id}", None)
def retrieve_thin(desk: Desk, _given: Thing, id_: str) -> Thing:
    return desk.get("v2.core.event", id_)


@room("GET", "/v2/core/events", "v2.core.EventListParams")
def list_thin(desk: Desk, given: Thing) -> Thing:
    found = desk.all("v2.core.event")[: given.get("limit", 100)]
    return {"data": found, "next_page_url": None, "previous_page_url": None}


@room("POST", "/v1/webhook_endpoints", "WebhookEndpointCreateParams")
def create_endpoint(desk: Desk, given: Thing) -> Thing:
    if not given["url"].startswith(("http://", "https://")):
        raise refused(
            "Invalid URL: An explicit scheme (such as https) must be provided.", code="url_invalid", param="url"
        )
    endpoint = desk.new(
        "webhook_endpoint", url=given["url"], enabled_events=given["enabled_events"], status="enabled",
        api_version=given.get("api_version"), description=given.get("description"),
        metadata=given.get("metadata", {}), livemode=False,
    )  # fmt: skip
    endpoint |= {"_secret": f"whsec_{random_text(32)}", "secret": None}
    desk.put(endpoint)
    return {**endpoint, "secret": endpoint["_secret"]}


@room("GET", "/v1/webhook_endpoints/{id}", "WebhookEndpointRetrieveParams")
def retrieve_endpoint(desk: Desk, _given: Thing, id_: str) -> Thing:
    return desk.get("webhook_endpoint", id_)


@room("POST", "/v1/webhook_endpoints/{id}", "WebhookEndpointUpdateParams")
def update_endpoint(desk: Desk, given: Thing, id_: str) -> Thing:
    endpoint = desk.get("webhook_endpoint", id_)
    new: Thing = {name: given[name] for name in ("url", "enabled_events", "description") if name in given}
    if "disabled" in given:
        new["status"] = "disabled" if given["disabled"] else "enabled"
    return desk.put({**endpoint, **new, "metadata": merged_metadata(endpoint["metadata"], given.get("metadata"))})


@room("DELETE", "/v1/webhook_endpoints/{id}", None)
def delete_endpoint(desk: Desk, _given: Thing, id_: str) -> Thing:
    return desk.delete(desk.get("webhook_endpoint", id_))


@room("GET", "/v1/webhook_endpoints", "WebhookEndpointListParams")
def list_endpoints(desk: Desk, given: Thing) -> Thing:
    return page(desk, "/v1/webhook_endpoints", desk.all("webhook_endpoint"), given)


@room("GET", "/v1/account", None)
def account(desk: Desk, _given: Thing) -> Thing:
    return {**desk.new("account"), "id": ACCOUNT, "country": "US", "default_currency": "usd",
            "email": "founder@example.com", "charges_enabled": True, "payouts_enabled": True, "details_submitted": True,
            "type": "standard"}  # fmt: skip


@room("GET", "/v1/accounts/{id}", None)
def account_by_id(desk: Desk, given: Thing, id_: str) -> Thing:
    if id_ != ACCOUNT:
        raise missing("account", id_)
    return account(desk, given)
