"""Every call, the newest first, and the receipt of each."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Annotated, Final, Literal
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request, Response

from farebox.domain.apikey import Mode
from farebox.domain.bill import bill_of, tries_of
from farebox.domain.errors import CallNotFound, InvalidRequest
from farebox.domain.ledger import State
from farebox.domain.money import format_usd
from farebox.domain.period import Period, iso
from farebox.domain.reading import CALL_ID, PLACE, Search, is_day
from farebox.ports.calls import CallRow, KeyRow, Readings
from farebox.web.pages.call_words import (
    MARKS,
    STATES,
    charge_of,
    key_name,
    key_shown,
    line_of,
    result_of,
    state_of,
    told_of,
    took,
)
from farebox.web.pages.csv_file import Row, csv_file
from farebox.web.pages.frame import Frame
from farebox.web.pages.usage import file_day, period_of
from farebox.web.pages.visitor import Visitor

MODES: Final[Mapping[str, Mode]] = {"live": "live", "test": "test"}
"""The modes, which may be chosen in place of a key."""
TRIES_MAX: Final = 20
COLUMNS: Final = (
    "id", "admitted_at", "recorded_at", "mode", "endpoint", "key", "key_name", "model", "plan", "state", "calls",
    "input_tokens", "cached_tokens", "output_tokens", "charge_nanodollars", "charge_usd", "marks", "error",
    "prepaid_nanodollars", "invoiced_nanodollars",
)  # fmt: skip

# A database takes no text with a NUL in it.
Text = Annotated[str, Query(max_length=200, pattern=r"^[^\x00]*$")]
Place = Annotated[str, Query(pattern=f"^({PLACE.pattern})?$")]
StateName = Literal["", "posted", "voided", "expired", "held"]


def routes(frame: Frame) -> APIRouter:
    router = APIRouter()
    readings = frame.site.readings

    @router.get("/calls")
    def calls(
        request: Request, visitor: Visitor, state: StateName = "", endpoint: Text = "", key: Text = "",
        day: Text = "", paid: Literal["", "invoice"] = "", before: Place = "",
    ) -> Response:  # fmt: skip
        chosen = {"state": state, "endpoint": endpoint, "key": key, "day": day, "paid": paid}
        found = readings.find(visitor.account.id, _search(chosen, before))
        narrow = {name: value for name, value in chosen.items() if value}
        return frame.page(
            request,
            "calls.html",
            visitor=visitor,
            calls=[line_of(call, found.keys) for call in found.calls],
            chosen=chosen,
            is_narrow=bool(narrow),
            is_first=not before,
            newest=_address(narrow),
            older=_address(narrow | {"before": found.older}) if found.older else "",
            searched_to_us=found.searched_to_us,
            states=[(name, word) for name, (word, _) in STATES.items()],
            endpoints=_with(found.endpoints, endpoint),
            keys=[(row.id, _choice(row)) for row in found.keys.values()],
        )

    @router.get("/calls.csv")
    def table(visitor: Visitor, mode: Mode = "live", period: int | None = None) -> Response:
        found = period_of(readings, visitor, period, mode)
        return csv_file(f"calls-{file_day(found)}.csv", COLUMNS, _rows(readings, visitor.account.id, found.period))

    _add_receipt(router, frame)
    return router


def _add_receipt(router: APIRouter, frame: Frame) -> None:
    @router.get("/calls/{call_id}")
    def receipt(request: Request, visitor: Visitor, call_id: str) -> Response:
        found = frame.site.readings.call(visitor.account.id, call_id) if CALL_ID.fullmatch(call_id) else None
        if found is None:
            raise CallNotFound(f"This account has no call {call_id[:40]!r}. The calls it has are listed at /calls.")
        call, key = found
        hold, outcome = call
        tries = tries_of(outcome) if outcome else []
        return frame.page(
            request,
            "receipt.html",
            visitor=visitor,
            hold=hold,
            outcome=outcome,
            state=state_of(call),
            charge=charge_of(call),
            told=told_of(call),
            key_name=key_name(key, hold.key_id),
            key_shown=key_shown(key) if key else "",
            bill=bill_of(hold, outcome) if outcome else None,
            tries=[
                (result_of(one), "" if one.milliseconds is None else took(one.milliseconds))
                for one in tries[:TRIES_MAX]
            ],
            tries_more=max(len(tries) - TRIES_MAX, 0),
            took=took((outcome.recorded_us - hold.admitted_us) // 1000) if outcome else "",
        )


def _search(chosen: Mapping[str, str], before: str) -> Search:
    """The search that the address asks for.

    Raises:
        InvalidRequest: the day is not a date.
    """
    state, key, day = chosen["state"], chosen["key"], chosen["day"]
    if day and not is_day(day):
        raise InvalidRequest("This is not a day. Write it as 2026-11-23.", param="day")
    mode = MODES.get(key)
    return Search(
        State(state) if state else None, chosen["endpoint"], "" if mode else key, mode, day, before,
        is_invoiced=chosen["paid"] == "invoice",
    )  # fmt: skip


def _address(chosen: Mapping[str, str]) -> str:
    return f"/calls?{urlencode(chosen)}" if chosen else "/calls"


def _with(choices: Sequence[str], chosen: str) -> list[str]:
    return sorted({*choices, *([chosen] if chosen else [])})


def _choice(key: KeyRow) -> str:
    return f"{key.name} ({key_shown(key)})" if key.name else key_shown(key)


def _rows(readings: Readings, account_id: str, period: Period) -> Iterator[Iterable[Row]]:
    keys: dict[str, KeyRow] = {}
    for calls in readings.all_calls(account_id, period):
        strange = sorted({call.hold.key_id for call in calls} - keys.keys())
        keys |= readings.keys(account_id, strange)
        yield [_row(call, keys) for call in calls]


def _row(call: CallRow, keys: Mapping[str, KeyRow]) -> Row:
    hold, outcome = call
    key = keys.get(hold.key_id)
    charge = outcome.charge_nanodollars if outcome else 0
    marks = [mark for mark in outcome.marks.split() if mark in MARKS] if outcome else []
    return (
        hold.call_id, iso(hold.admitted_us), iso(outcome.recorded_us) if outcome else "", hold.mode, hold.endpoint,
        hold.key_id, key.name if key else "", hold.model, hold.plan,
        outcome.state.value if outcome else State.HELD.value, outcome.calls if outcome else 0,
        outcome.input_tokens if outcome else 0, outcome.cached_tokens if outcome else 0,
        outcome.output_tokens if outcome else 0, charge, format_usd(charge), " ".join(marks),
        outcome.error if outcome else "",
        outcome.prepaid_nanodollars if outcome else 0, outcome.invoiced_nanodollars if outcome else 0,
    )  # fmt: skip
