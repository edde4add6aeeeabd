"""The command `farebox usage`."""

import csv
import io
import json
import sys
from collections.abc import Iterator
from enum import StrEnum
from itertools import islice
from typing import Annotated, Any, Final

import typer

from farebox.cli.context import AppOption, open_shop
from farebox.domain.ledger import Mark, State
from farebox.domain.period import iso
from farebox.domain.spreadsheet import cell
from farebox.store.reports import Used, usage

cli = typer.Typer(help="What your customers have used.", no_args_is_help=True)

COLUMNS: Final = (
    "id", "account", "key", "endpoint", "model", "state", "input_tokens", "output_tokens", "charge_nanodollars",
    "cost_nanodollars", "admitted_at", "recorded_at", "mode", "plan", "calls", "cached_tokens", *Mark, "error",
    "attempts", "prepaid_nanodollars", "invoiced_nanodollars",
)  # fmt: skip
ROWS_AT_ONCE: Final = 500


class Format(StrEnum):
    JSONL = "jsonl"
    CSV = "csv"


@cli.callback()
def group() -> None:
    """What your customers have used."""


@cli.command()
def export(
    format_: Annotated[Format, typer.Option("--format", help="One JSON object a line, or a table.")] = Format.JSONL,
    email: Annotated[str | None, typer.Option("--account", help="Only the calls of this account.")] = None,
    app: AppOption = None,
) -> None:
    """Print every call: what it used, what it was charged, how it ended. Money is in nanodollars (10⁻⁹ USD)."""
    rows = map(row_of, usage(open_shop(app).database, email))
    write = _csv if format_ is Format.CSV else _jsonl
    if format_ is Format.CSV:
        sys.stdout.buffer.write(_csv([dict(zip(COLUMNS, COLUMNS, strict=True))]))
    for page in _pages(rows):
        sys.stdout.buffer.write(write(page))
    sys.stdout.buffer.flush()


def row_of(used: Used) -> dict[str, Any]:
    """The columns of a call. One that is under way has used nothing yet."""
    email, hold, outcome = used
    marks = outcome.marks.split() if outcome else ()
    return {
        "id": hold.call_id,
        "account": email,
        "key": hold.key_id,
        "endpoint": hold.endpoint,
        "model": hold.model,
        "state": outcome.state if outcome else State.HELD,
        "input_tokens": outcome.input_tokens if outcome else 0,
        "output_tokens": outcome.output_tokens if outcome else 0,
        "charge_nanodollars": outcome.charge_nanodollars if outcome else 0,
        "cost_nanodollars": outcome.cost_nanodollars if outcome else 0,
        "admitted_at": iso(hold.admitted_us),
        "recorded_at": iso(outcome.recorded_us) if outcome else None,
        "mode": hold.mode,
        "plan": hold.plan,
        "calls": outcome.calls if outcome else 0,
        "cached_tokens": outcome.cached_tokens if outcome else 0,
        **{mark: mark in marks for mark in Mark},
        "error": outcome.error if outcome else "",
        "attempts": json.loads(outcome.attempts) if outcome else [],
        "prepaid_nanodollars": outcome.prepaid_nanodollars if outcome else 0,
        "invoiced_nanodollars": outcome.invoiced_nanodollars if outcome else 0,
    }


def _pages(rows: Iterator[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    while page := list(islice(rows, ROWS_AT_ONCE)):
        yield page


def _jsonl(page: list[dict[str, Any]]) -> bytes:
    return "".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in page).encode()


def _csv(page: list[dict[str, Any]]) -> bytes:
    table = io.StringIO(newline="")
    csv.writer(table).writerows([cell(row[name]) for name in COLUMNS] for row in page)
    return table.getvalue().encode()
