"""The items of subscriptions, one by one."""

from farebox.sandbox.stripe import changes, cycle
from farebox.sandbox.stripe.desk import Desk
from farebox.sandbox.stripe.errors import missing
from farebox.sandbox.stripe.room import Room, page
from farebox.sandbox.stripe.things import Thing

room = Room()
OF_ITEM = ("price", "price_data", "quantity", "metadata")
OF_SUBSCRIPTION = ("proration_behavior", "proration_date", "payment_behavior", "off_session")


def _owner(desk: Desk, id_: str) -> tuple[Thing, Thing]:
    """Find an item; return its subscription and the item.

    Raises:
        StripeError: there is no such item.
    """
    row = desk.db.execute(
        "SELECT object.id FROM object, json_each(object.body, '$.items.data') AS item"
        " WHERE object.kind = 'subscription' AND json_extract(item.value, '$.id') = ?",
        (id_,),
    ).fetchone()
    if row is None:
        raise missing("subscription_item", id_)
    subscription = desk.get("subscription", row[0])
    return subscription, next(item for item in cycle.items_of(subscription) if item["id"] == id_)


@room("POST", "/v1/subscription_items", "SubscriptionItemCreateParams")
def create(desk: Desk, given: Thing) -> Thing:
    subscription = desk.named("subscription", given["subscription"], "subscription")
    known = {item["id"] for item in cycle.items_of(subscription)}
    after = changes.changed(desk, subscription, _change(given, {}))
    return next(item for item in cycle.items_of(after) if item["id"] not in known)


def _change(given: Thing, item: Thing) -> Thing:
    more = {name: given[name] for name in OF_SUBSCRIPTION if name in given}
    return {"items": [{**item, **{name: given[name] for name in OF_ITEM if name in given}}], **more}


@room("GET", "/v1/subscription_items/{id}", "SubscriptionItemRetrieveParams")
def retrieve(desk: Desk, _given: Thing, id_: str) -> Thing:
    return _owner(desk, id_)[1]


@room("POST", "/v1/subscription_items/{id}", "SubscriptionItemUpdateParams")
def update(desk: Desk, given: Thing, id_: str) -> Thing:
    subscription, _ = _owner(desk, id_)
    after = changes.changed(desk, subscription, _change(given, {"id": id_}))
    return next(item for item in cycle.items_of(after) if item["id"] == id_)


@room("DELETE", "/v1/subscription_items/{id}", "SubscriptionItemDeleteParams")
def delete(desk: Desk, given: Thing, id_: str) -> Thing:
    subscription, _ = _owner(desk, id_)
    changes.changed(desk, subscription, _change(given, {"id": id_, "deleted": True}))
    return {"id": id_, "object": "subscription_item", "deleted": True}


@room("GET", "/v1/subscription_items", "SubscriptionItemListParams")
def list_(desk: Desk, given: Thing) -> Thing:
    subscription = desk.named("subscription", given["subscription"], "subscription")
    return page(desk, "/v1/subscription_items", cycle.items_of(subscription), given)
