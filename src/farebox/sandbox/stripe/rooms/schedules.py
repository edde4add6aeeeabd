"""Subscription schedules: how a subscription changes later, phase by phase."""

from typing import Any, Final

from farebox.sandbox.stripe import changes, cycle
from farebox.sandbox.stripe.billing import DRAFT_SECONDS
from farebox.sandbox.stripe.desk import Desk
from farebox.sandbox.stripe.errors import refused, wanted
from farebox.sandbox.stripe.periods import moved
from farebox.sandbox.stripe.room import Room, page
from farebox.sandbox.stripe.rooms.subscriptions import created, price_of
from farebox.sandbox.stripe.shapes import nested
from farebox.sandbox.stripe.things import Thing, merged_metadata

room = Room()
KIND: Final = "subscription_schedule"
OVER: Final = frozenset({"canceled", "completed", "released"})
WARNING_SECONDS: Final = 7 * 86_400


@room("POST", "/v1/subscription_schedules", "SubscriptionScheduleCreateParams")
def create(desk: Desk, given: Thing) -> Thing:
    if "from_subscription" in given:
        return _of_subscription(desk, desk.named("subscription", given["from_subscription"], "from_subscription"))
    if "customer" not in given or not given.get("phases"):
        raise wanted("phases" if "customer" in given else "customer")
    customer = desk.named("customer", given["customer"], "customer")
    now = desk.now(customer["test_clock"])
    start = given.get("start_date", "now")
    start = now if start == "now" else int(start)
    schedule = _made(desk, customer, given | {"phases": _phases(desk, given["phases"], start)})
    schedule = desk.put({**schedule, "status": "not_started", "_due_at": start})
    desk.emit("subscription_schedule.created", schedule)
    return _begun(desk, schedule) if start <= now else schedule


def _made(desk: Desk, customer: Thing, given: Thing) -> Thing:
    settings = {**nested(KIND, "DefaultSettings"), "billing_cycle_anchor": "automatic",
                "collection_method": "charge_automatically"}  # fmt: skip
    return desk.new(
        KIND, clock=customer["test_clock"], test_clock=customer["test_clock"], customer=customer["id"],
        phases=given["phases"], metadata=given.get("metadata", {}), end_behavior=given.get("end_behavior", "release"),
        default_settings=settings, billing_mode={"type": "flexible", "flexible": None, "updated_at": None},
        pause_schedules=[], livemode=False,
    )  # fmt: skip


def _of_subscription(desk: Desk, subscription: Thing) -> Thing:
    if subscription["schedule"] is not None:
        raise refused("This subscription has a schedule already.", param="from_subscription")
    items = cycle.items_of(subscription)
    wishes = [{"price": item["price"]["id"], "quantity": item.get("quantity")} for item in items]
    phase = {"items": wishes, "end_date": items[0]["current_period_end"], "proration_behavior": "none"}
    phases = _phases(desk, [phase], items[0]["current_period_start"])
    schedule = _made(desk, desk.get("customer", subscription["customer"]), {"phases": phases})
    desk.put({**subscription, "schedule": schedule["id"]})
    schedule = _at_phase({**schedule, "status": "active", "subscription": subscription["id"]}, 0)
    desk.emit("subscription_schedule.created", desk.put(schedule))
    return schedule


def _phases(desk: Desk, wishes: list[Thing], start: int) -> list[Thing]:
    """The phases, one after the other; one with no end takes one period."""
    found = []
    for wish in wishes:
        begins = wish["start_date"] if isinstance(wish.get("start_date"), int) else start
        prices = [price_of(desk, item) for item in wish["items"]]
        end = wish.get("end_date")
        if not isinstance(end, int):
            every: Any = wish.get("duration")
            every = {"interval_count": 1, **every} if every else prices[0]["recurring"]
            end = moved(begins, every, 1)
        items = [
            {**nested(KIND, "Phase.Item"), "price": price["id"], "plan": price["id"], "discounts": [],
             "quantity": None if price["recurring"]["usage_type"] == "metered" else item.get("quantity") or 1}
            for price, item in zip(prices, wish["items"], strict=True)
        ]  # fmt: skip
        phase = {**nested(KIND, "Phase"), "items": items, "start_date": begins, "end_date": end,
                 "currency": prices[0]["currency"], "metadata": wish.get("metadata", {}),
                 "proration_behavior": wish.get("proration_behavior", "create_prorations")}  # fmt: skip
        found.append(phase)
        start = end
    return found


def _at_phase(schedule: Thing, place: int) -> Thing:
    phase = schedule["phases"][place]
    is_last = place == len(schedule["phases"]) - 1
    warns_at = phase["end_date"] - WARNING_SECONDS
    due_at = warns_at if is_last and warns_at > phase["start_date"] else phase["end_date"]
    current = {"start_date": phase["start_date"], "end_date": phase["end_date"]}
    return {**schedule, "current_phase": current, "_place": place, "_due_at": due_at}


def _begun(desk: Desk, schedule: Thing) -> Thing:
    phase = schedule["phases"][0]
    terms = {"customer": schedule["customer"], "items": _items_of(phase), "metadata": phase["metadata"] or {}}
    subscription = created(desk, {**terms, "payment_behavior": "default_incomplete"})
    if subscription["status"] == "incomplete":  # no customer is there to pay: it runs, and is charged for an hour later
        invoice = desk.get("invoice", subscription["latest_invoice"])
        desk.put({**invoice, "_due_at": desk.now(schedule.get("_clock")) + DRAFT_SECONDS})
    cycle.kept(desk, subscription, "customer.subscription.updated", status="active", schedule=schedule["id"])
    schedule = _at_phase({**schedule, "status": "active", "subscription": subscription["id"]}, 0)
    return desk.put(schedule)


def _items_of(phase: Thing) -> list[Thing]:
    return [
        {"price": item["price"], **({} if item["quantity"] is None else {"quantity": item["quantity"]})}
        for item in phase["items"]
    ]


def work_off(desk: Desk, schedule: Thing) -> None:
    """Work on a schedule whose time has come: begin it, warn of its end, go to the next phase, or end it."""
    now = desk.now(schedule.get("_clock"))
    if schedule["status"] == "not_started":
        _begun(desk, schedule)
    elif now < schedule["current_phase"]["end_date"]:
        schedule = desk.put({**schedule, "_due_at": schedule["current_phase"]["end_date"]})
        desk.emit("subscription_schedule.expiring", schedule)
    elif schedule["_place"] + 1 < len(schedule["phases"]):
        new = _at_phase(schedule, schedule["_place"] + 1)
        _apply(desk, new)
        desk.update(schedule, "subscription_schedule.updated", **new)
    else:
        _complete(desk, schedule, now)


def _apply(desk: Desk, schedule: Thing) -> None:
    """Give the subscription the items of the phase that begins. At a period's end, nothing is left to prorate."""
    subscription = desk.get("subscription", schedule["subscription"])
    if subscription["status"] in cycle.GONE:
        return
    phase = schedule["phases"][schedule["_place"]]
    old = [item["id"] for item in cycle.items_of(subscription)]
    wishes = _items_of(phase)
    items = [{**wish, "id": id_} for id_, wish in zip(old, wishes, strict=False)] + wishes[len(old) :]
    items += [{"id": id_, "deleted": True} for id_ in old[len(wishes) :]]
    changes.changed(desk, subscription, {"items": items, "proration_behavior": phase["proration_behavior"]})


def _complete(desk: Desk, schedule: Thing, now: int) -> None:
    subscription = desk.get("subscription", schedule["subscription"])
    if schedule["end_behavior"] == "cancel" and subscription["status"] not in cycle.GONE:
        subscription = cycle.ended(desk, subscription, "cancellation_requested", bills_usage=True)
    desk.put({**subscription, "schedule": None})
    done = desk.put({**schedule, "status": "completed", "completed_at": now, "current_phase": None, "_due_at": None})
    desk.emit("subscription_schedule.completed", done)


@room("GET", "/v1/subscription_schedules/{id}", "SubscriptionScheduleRetrieveParams")
def retrieve(desk: Desk, _given: Thing, id_: str) -> Thing:
    return desk.get(KIND, id_)


@room("POST", "/v1/subscription_schedules/{id}", "SubscriptionScheduleUpdateParams")
def update(desk: Desk, given: Thing, id_: str) -> Thing:
    schedule = _open(desk, id_)
    new: Thing = {"metadata": merged_metadata(schedule["metadata"], given.get("metadata"))}
    if "end_behavior" in given:
        new["end_behavior"] = given["end_behavior"]
    if "phases" in given:
        phases = _phases(desk, given["phases"], schedule["phases"][0]["start_date"])
        now = desk.now(schedule.get("_clock"))
        new["phases"] = phases
        if schedule["status"] == "active":
            place = next((place for place, phase in enumerate(phases) if now < phase["end_date"]), len(phases) - 1)
            new = _at_phase({**schedule, **new}, place)
            if place != schedule["_place"] or phases[place]["items"] != schedule["phases"][place]["items"]:
                _apply(desk, new)
    return desk.update(schedule, "subscription_schedule.updated", **new)


def _open(desk: Desk, id_: str) -> Thing:
    schedule = desk.get(KIND, id_)
    if schedule["status"] in OVER:
        raise refused(f"This schedule is {schedule['status']} and cannot be changed.")
    return schedule


def _let_go(desk: Desk, schedule: Thing) -> None:
    subscription = desk.find(schedule["subscription"] or "")
    if subscription is not None:
        desk.put({**subscription, "schedule": None})


@room("POST", "/v1/subscription_schedules/{id}/release", "SubscriptionScheduleReleaseParams")
def release(desk: Desk, _given: Thing, id_: str) -> Thing:
    schedule = _open(desk, id_)
    _let_go(desk, schedule)
    now = desk.now(schedule.get("_clock"))
    schedule = desk.put({**schedule, "status": "released", "released_at": now, "current_phase": None, "_due_at": None,
                         "released_subscription": schedule["subscription"], "subscription": None})  # fmt: skip
    desk.emit("subscription_schedule.released", schedule)
    return schedule


@room("POST", "/v1/subscription_schedules/{id}/cancel", "SubscriptionScheduleCancelParams")
def cancel(desk: Desk, given: Thing, id_: str) -> Thing:
    schedule = _open(desk, id_)
    subscription = desk.find(schedule["subscription"] or "")
    if subscription is not None and subscription["status"] not in cycle.GONE:
        cycle.ended(desk, subscription, "cancellation_requested", bills_usage=given.get("invoice_now", True))
    now = desk.now(schedule.get("_clock"))
    schedule = desk.put({**schedule, "status": "canceled", "canceled_at": now, "current_phase": None, "_due_at": None})
    desk.emit("subscription_schedule.canceled", schedule)
    return schedule


@room("GET", "/v1/subscription_schedules", "SubscriptionScheduleListParams")
def list_(desk: Desk, given: Thing) -> Thing:
    return page(desk, "/v1/subscription_schedules", desk.all(KIND, given.get("customer")), given)
