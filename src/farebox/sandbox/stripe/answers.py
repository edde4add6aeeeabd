"""From a request to its answer: checks its key, looks for an earlier answer, finds the room that answers."""

import base64
import hashlib
import json
import logging
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final, NamedTuple
from urllib.parse import parse_qsl

from farebox.sandbox.stripe import expand, form, params
from farebox.sandbox.stripe.desk import Desk, random_text
from farebox.sandbox.stripe.errors import StripeError, refused
from farebox.sandbox.stripe.room import Route
from farebox.sandbox.stripe.rooms import (
    catalog,
    checkout,
    clocks,
    customers,
    destinations,
    disputes,
    events,
    invoices,
    meter_events,
    meter_stream,
    meters,
    payment_intents,
    payment_links,
    payment_methods,
    portal,
    previews,
    refunds,
    schedules,
    setup_intents,
    subscription_items,
    subscriptions,
    taxes,
)
from farebox.sandbox.stripe.shapes import API_VERSION
from farebox.sandbox.stripe.shelf import Shelf, now_seconds
from farebox.sandbox.stripe.things import Thing, public

log = logging.getLogger("farebox.stripe")

ROUTES: Final[list[Route]] = [
    route
    for module in (
        previews, customers, payment_methods, catalog, checkout, portal, subscriptions, subscription_items, invoices,
        payment_intents, setup_intents, refunds, disputes, meters, meter_events, meter_stream, payment_links, clocks,
        events, destinations, schedules, taxes,
    )
    for route in module.room.routes
]  # fmt: skip
RENAMED: Final = {"payment_method_types": "allowed_payment_method_types"}
OLD_WORDS: Final = {"jp_bank_account": "jp_bank_transfer"}
"""Names of parameters and values in older versions of the API, with those that they have now."""
KEY_SECONDS: Final = 86_400
"""How long an answer is kept under its Idempotency-Key."""
KEY_CHARS_MAX: Final = 255
METER_STREAM: Final = "/v2/billing/meter_event_stream"
TOKEN_PREFIX: Final = "token_"  # noqa: S105  (what a session's token begins with)
METER_EVENTS: Final = "/v1/billing/meter_events"


class Asked(NamedTuple):
    """A request, as it came."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def idempotency_key(self) -> str:
        return self.headers.get("idempotency-key", "") if self.method == "POST" else ""


class Answer(NamedTuple):
    status: int
    body: bytes
    request_id: str
    is_replayed: bool = False


class Answers:
    """The answers of the API. Any thread may ask.

    Args:
        key: the one secret key that is let in.
    """

    def __init__(self, shelf: Shelf, base_url: str, key: str) -> None:
        self._shelf, self._base_url, self._key = shelf, base_url, key
        self._under_way: set[str] = set()
        self._turn = threading.Lock()

    def to(self, asked: Asked, seconds: float = 0) -> Answer:
        """Answer a request, which is under way for so many seconds more."""
        request_id = f"req_{random_text(14)}"
        try:
            self._let_in(asked)
            given = _given(asked)
            with self._alone(_claims(asked, given)):
                if seconds:
                    time.sleep(seconds)
                return self._answer(asked, given, request_id)
        except StripeError as error:
            return _refusal(error, request_id)
        except Exception:
            log.exception("%s %s failed", asked.method, asked.path)
            return _refusal(StripeError(500, "An unknown error occurred."), request_id)

    # -- who asks

    def _let_in(self, asked: Asked) -> None:
        """Raises StripeError where the key is not the one."""
        given = _key_of(asked.headers.get("authorization", ""))
        if given == self._key or (asked.path == METER_STREAM and given.startswith(TOKEN_PREFIX)):
            return
        if not given:
            raise StripeError(401, "You did not provide an API key. Send it as `Authorization: Bearer sk_test_…`.")
        raise StripeError(401, f"Invalid API Key provided: {given[:8]}{'*' * 8}{given[-4:]}")

    # -- one at a time

    @contextmanager
    def _alone(self, claims: dict[str, StripeError]) -> Iterator[None]:
        """Refuse others with the same claim meanwhile: the same key, or usage of the same customer and meter."""
        with self._turn:
            for claim, error in claims.items():
                if claim in self._under_way:
                    raise error
            self._under_way |= set(claims)
        try:
            yield
        finally:
            with self._turn:
                self._under_way -= set(claims)

    # -- the answer

    def _answer(self, asked: Asked, given: Thing, request_id: str) -> Answer:
        key, digest = asked.idempotency_key, _digest(asked)
        kept: StripeError | None = None
        with self._shelf.transaction() as db:
            if key:
                stored = db.execute(
                    "SELECT digest, status, body FROM answer WHERE key = ? AND made_at > ?",
                    (key, now_seconds(db) - KEY_SECONDS),
                ).fetchone()
                if stored is not None:
                    return _stored(stored, digest, request_id)
            desk = Desk(db, self._base_url, {"id": request_id, "idempotency_key": key or None})
            try:
                status, body = 200, _worked(desk, asked, given)
            except StripeError as error:
                if not error.keeps:
                    raise
                kept, status, body = error, error.status, _body(error, request_id)
            text = json.dumps(body)
            if key:
                db.execute("INSERT OR REPLACE INTO answer (key, digest, status, body, made_at) VALUES (?, ?, ?, ?, ?)",
                           (key, digest, status, text, now_seconds(db)))  # fmt: skip
        return _refusal(kept, request_id) if kept else Answer(status, text.encode(), request_id)


def _worked(desk: Desk, asked: Asked, given: Thing) -> Thing:
    """The answer of the room at this path.

    Raises:
        StripeError: the room refuses, or there is none.
    """
    for route in ROUTES:
        found = route.path.fullmatch(asked.path) if route.method == asked.method else None
        if found is None:
            continue
        wishes = given if route.params is None else params.checked(route.params, _renewed(asked, route.params, given))
        answer = route.handler(desk, wishes, *found.groups())
        return expand.expanded(desk, public(answer), answer, given.get("expand", []))
    raise StripeError(404, f"Unrecognized request URL ({asked.method}: {asked.path}).")


def _renewed(asked: Asked, name: str, given: Thing) -> Thing:
    """Translate the parameters of a client that speaks an older version, as Stripe's command line does, to this one."""
    if asked.headers.get("stripe-version") == API_VERSION:
        return given
    known = params.hints(name)
    names = {old: new for old, new in RENAMED.items() if old not in known and new in known}
    given = {names.get(name, name): _of_today(value) for name, value in given.items()}
    for phase in given.get("phases", []):
        if "iterations" in phase:
            phase["duration"] = {"interval": "month", "interval_count": phase.pop("iterations")}
    return given


def _of_today(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _of_today(inside) for name, inside in value.items()}
    return [_of_today(one) for one in value] if isinstance(value, list) else OLD_WORDS.get(value, value)


def _stored(stored: tuple[Any, ...], digest: str, request_id: str) -> Answer:
    """The answer that this very request had before.

    Raises:
        StripeError: the key was used for another request.
    """
    if stored[0] != digest:
        raise StripeError(
            400, "This idempotency key was used for a request with other parameters.", kind="idempotency_error"
        )
    return Answer(stored[1], stored[2].encode(), request_id, is_replayed=True)


def _claims(asked: Asked, given: Thing) -> dict[str, StripeError]:
    """The claims that only one request may have at a time, each with the error that another one gets meanwhile."""
    claims: dict[str, StripeError] = {}
    key = asked.idempotency_key
    if len(key) > KEY_CHARS_MAX:
        raise refused("The idempotency key has more than 255 characters.")
    if key:
        claims[f"key {key}"] = StripeError(
            409,
            "Another request with this idempotency key is still under way.",
            code="idempotency_key_in_use",
            kind="idempotency_error",
        )
    if asked.path == METER_EVENTS and asked.method == "POST":
        payload = given.get("payload", {})
        whom = payload.get("stripe_customer_id", "") if isinstance(payload, dict) else ""
        claims[f"usage {given.get('event_name')} {whom}"] = StripeError(
            429, "This request was rate limited: one meter event at a time is taken for a customer and a meter.",
            code="rate_limit",
        )  # fmt: skip
    return claims


def _key_of(authorization: str) -> str:
    kind, _, value = authorization.partition(" ")
    if kind.lower() == "basic":
        try:
            return base64.b64decode(value, validate=True).decode().partition(":")[0]
        except ValueError:
            return ""
    return value.strip() if kind.lower() == "bearer" else ""


def _given(asked: Asked) -> Thing:
    """The parameters, of the query and of the body.

    Raises:
        StripeError: they cannot be read.
    """
    pairs = parse_qsl(asked.query, keep_blank_values=True)
    try:
        if "json" in asked.headers.get("content-type", "") and asked.body:
            read: Thing = json.loads(asked.body)
            return read
        pairs += parse_qsl(asked.body.decode(), keep_blank_values=True)
        return form.nested(pairs)
    except (ValueError, AssertionError) as error:
        raise refused(f"Invalid request: {error}") from error


def _digest(asked: Asked) -> str:
    return hashlib.sha256(f"{asked.path}?{asked.query} ".encode() + asked.body).hexdigest()


def _body(error: StripeError, request_id: str) -> Thing:
    return {"error": {**error.body, "request_log_url": f"https://dashboard.stripe.com/test/logs/{request_id}"}}


def _refusal(error: StripeError, request_id: str) -> Answer:
    return Answer(error.status, json.dumps(_body(error, request_id)).encode(), request_id)
