"""The account's invoices as Stripe has made them, the calls behind their lines, and a preview of the next one."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Final

from fastapi import APIRouter, Query, Request, Response

from farebox.domain.billing import Invoice, InvoiceLine
from farebox.domain.errors import NotFound
from farebox.domain.money import NANODOLLARS_PER_CENT, format_usd
from farebox.domain.period import Period, iso
from farebox.domain.upcoming import next_invoice
from farebox.ports.calls import CallRow, KeyRow
from farebox.ports.money import Ahead, KeptInvoice
from farebox.web.pages.call_words import key_name, line_of
from farebox.web.pages.calls import Place
from farebox.web.pages.csv_file import Row, csv_file
from farebox.web.pages.frame import Frame
from farebox.web.pages.visitor import Visitor

HERE: Final = "/invoices"
STATES: Final[Mapping[str, tuple[str, str]]] = {
    "draft": ("Being made", ""),
    "open": ("To be paid", "warn"),
    "paid": ("Paid", "good"),
    "void": ("Cancelled", ""),
    "uncollectible": ("Not paid", "bad"),
}
"""The word for a state, and the kind of its badge."""
COLUMNS: Final = (
    "line", "id", "admitted_at", "endpoint", "key", "key_name", "model", "input_tokens", "output_tokens",
    "charge_nanodollars", "invoiced_nanodollars", "invoiced_usd",
)  # fmt: skip
InvoiceId = Annotated[str, Query(max_length=200, pattern=r"^[A-Za-z0-9_]*$")]


def routes(frame: Frame) -> APIRouter:
    router = APIRouter()
    invoices = frame.site.invoices

    @router.get(HERE)
    def listed(request: Request, visitor: Visitor, before: InvoiceId = "") -> Response:
        found, older = invoices.some(visitor.account.id, before)
        ahead = None if before else invoices.ahead(visitor.account.id)
        coming = _coming(frame, ahead) if ahead is not None else None
        return frame.page(
            request,
            "invoices.html",
            visitor=visitor,
            invoices=[(one, _state(one), cents(one.total_cents, one.currency)) for one in found],
            is_first=not before,
            newest=HERE,
            older=f"{HERE}?before={older}" if older else "",
            ahead=ahead,
            coming=coming,
            cents=cents,
        )

    @router.get(f"{HERE}/{{invoice_id}}.csv")
    def table(visitor: Visitor, invoice_id: str) -> Response:
        found = _found(frame, visitor.account.id, invoice_id)
        return csv_file(f"invoice-{found.number or found.id}.csv", COLUMNS, _rows(frame, visitor.account.id, found))

    _add_one(router, frame)
    return router


def _add_one(router: APIRouter, frame: Frame) -> None:
    @router.get(f"{HERE}/{{invoice_id}}")
    def one(
        request: Request, visitor: Visitor, invoice_id: str, line: Annotated[int, Query(ge=0, le=10_000)] = -1,
        before: Place = "",
    ) -> Response:  # fmt: skip
        found = _found(frame, visitor.account.id, invoice_id)
        opened = _opened(found, line)
        behind = None
        if opened is not None:
            behind = frame.site.invoices.behind(visitor.account.id, span_of(found.lines[opened]), before)
        here = f"{HERE}/{found.id}?line={opened}"
        return frame.page(
            request,
            "invoice.html",
            visitor=visitor,
            invoice=found,
            state=_state(found),
            cents=cents,
            opened=opened,
            opened_line=found.lines[opened] if opened is not None else None,
            behind=behind,
            calls=[(line_of(call, behind.keys), _invoiced(call)) for call in behind.calls] if behind else [],
            newest=f"{here}#calls" if before else "",
            older=f"{here}&before={behind.older}#calls" if behind and behind.older else "",
        )


def _found(frame: Frame, account_id: str, invoice_id: str) -> KeptInvoice:
    """An invoice of the account.

    Raises:
        NotFound: it has none of this name.
    """
    is_name = invoice_id.isascii() and invoice_id.replace("_", "").isalnum()
    found = frame.site.invoices.one(account_id, invoice_id) if is_name else None
    if found is None:
        raise NotFound("This account has no such invoice. The ones it has are listed at /invoices.")
    return found


def _opened(found: KeptInvoice, line: int) -> int | None:
    """The usage line that was asked for, else the first one; None where there is none."""
    usage = [place for place, one in enumerate(found.lines) if one.is_usage]
    return line if line in usage else next(iter(usage), None)


def _coming(frame: Frame, ahead: Ahead) -> Invoice | None:
    by_name = frame.site.product.by_name
    plan, after = by_name.get(ahead.plan), by_name.get(ahead.next_plan)
    if plan is None or after is None:
        return None
    return next_invoice(ahead.subscribed, plan, after, ahead.used_nanodollars, ahead.now_us)


def _state(found: KeptInvoice) -> tuple[str, str]:
    """The state in words; one that Stripe adds later is shown as it is."""
    return STATES.get(found.status, (found.status.capitalize(), ""))


def span_of(line: InvoiceLine) -> Period:
    return Period(line.period_start_us, line.period_end_us)


def cents(amount: int, currency: str = "usd") -> str:
    """An amount of an invoice: '$29.00', '12.00 EUR'."""
    told = format_usd(amount * NANODOLLARS_PER_CENT)
    return told if currency == "usd" else f"{told.replace('$', '')} {currency.upper()}"


def _invoiced(call: CallRow) -> int:
    return call.outcome.invoiced_nanodollars if call.outcome is not None else 0


def _rows(frame: Frame, account_id: str, found: KeptInvoice) -> Iterator[Iterable[Row]]:
    keys: dict[str, KeyRow] = {}
    for place, line in enumerate(found.lines, 1):
        if not line.is_usage:
            continue
        for calls in frame.site.invoices.all_behind(account_id, span_of(line)):
            strange = sorted({call.hold.key_id for call in calls} - keys.keys())
            keys |= frame.site.readings.keys(account_id, strange)
            yield [_row(place, call, keys.get(call.hold.key_id)) for call in calls]


def _row(place: int, call: CallRow, key: KeyRow | None) -> Row:
    hold, outcome = call
    assert outcome is not None, "what is invoiced has ended"
    return (
        place, hold.call_id, iso(hold.admitted_us), hold.endpoint, hold.key_id, key_name(key, "") if key else "",
        hold.model, outcome.input_tokens, outcome.output_tokens, outcome.charge_nanodollars,
        outcome.invoiced_nanodollars, format_usd(outcome.invoiced_nanodollars),
    )  # fmt: skip
