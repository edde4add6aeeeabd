"""Usage in a billing period: by day, by endpoint, by key and by model."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from fastapi import APIRouter, Request, Response

from farebox.domain.apikey import Mode
from farebox.domain.errors import NotFound
from farebox.domain.money import format_usd
from farebox.domain.period import DAY_US, Period, day, iso
from farebox.domain.reading import close_starts
from farebox.ports.calls import DayUse, KeyRow, PeriodUse, Readings
from farebox.ports.people import Visit
from farebox.web.pages.csv_file import Row, csv_file
from farebox.web.pages.frame import Frame
from farebox.web.pages.use_words import filled, key_sums
from farebox.web.pages.visitor import Visitor

PARTS_MAX: Final = 50
COLUMNS: Final = (
    "day", "mode", "endpoint", "key", "key_name", "calls", "answered", "failed", "lost", "tokens", "input_tokens",
    "output_tokens", "charge_nanodollars", "charge_usd",
)  # fmt: skip


def routes(frame: Frame) -> APIRouter:
    router = APIRouter()

    @router.get("/usage")
    def usage(request: Request, visitor: Visitor, mode: Mode = "live", period: int | None = None) -> Response:
        found = period_of(frame.site.readings, visitor, period, mode)
        return frame.page(
            request,
            "usage.html",
            visitor=visitor,
            mode=mode,
            found=found,
            today=day(found.now_us),
            days=filled(found.days, found.period.start_us, found.period.end_us - 1),
            keys=key_sums(found.keys, found.key_rows),
            parts_max=PARTS_MAX,
            is_under_way=found.period.start_us <= found.now_us < found.period.end_us,
            close_starts=close_starts(found.periods),
            begins_within_a_day=found.period.start_us % DAY_US != 0,
        )

    @router.get("/usage.csv")
    def table(visitor: Visitor, mode: Mode = "live", period: int | None = None) -> Response:
        found = period_of(frame.site.readings, visitor, period, mode)
        rows = _rows(frame.site.readings, visitor.account.id, found.period)
        return csv_file(f"usage-{file_day(found)}.csv", COLUMNS, rows)

    return router


def file_day(found: PeriodUse) -> str:
    """The day that names a period's file, with its time where another period began within a day."""
    start_us = found.period.start_us
    return iso(start_us)[:19].replace(":", "") if start_us in close_starts(found.periods) else day(start_us)


def period_of(readings: Readings, visitor: Visit, start_us: int | None, mode: Mode = "live") -> PeriodUse:
    """The use of the chosen period.

    Raises:
        NotFound: no period of the account starts then.
    """
    found = readings.period(visitor.account.id, visitor.account.anchor_us, mode, start_us)
    if found is None:
        raise NotFound("This account has no such billing period. Choose one at /usage.")
    return found


def _rows(readings: Readings, account_id: str, period: Period) -> Iterator[Iterable[Row]]:
    keys: dict[str, KeyRow] = {}
    for uses in readings.all_use(account_id, period):
        strange = sorted({use.key_id for use in uses} - keys.keys())
        keys |= readings.keys(account_id, strange)
        yield [_row(use, keys) for use in uses]


def _row(use: DayUse, keys: Mapping[str, KeyRow]) -> Row:
    sums, key = use.sums, keys.get(use.key_id)
    return (
        sums.name, use.mode, use.endpoint, use.key_id, key.name if key else "", sums.calls, sums.posted, sums.voided,
        sums.expired, sums.tokens, sums.input_tokens, sums.output_tokens, sums.charge_nanodollars,
        format_usd(sums.charge_nanodollars),
    )  # fmt: skip
