"""The parts that the stand-in's pages share: templates, the way to the objects, amounts and days in words."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Final, NamedTuple

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.responses import HTMLResponse, RedirectResponse, Response

from farebox.sandbox.stripe.cards import CARDS
from farebox.sandbox.stripe.desk import Desk
from farebox.sandbox.stripe.shelf import Shelf

TEMPLATES: Final = Path(__file__).parents[1] / "templates"
POLICY: Final = "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; frame-ancestors 'none'"
CHOICES: Final = {
    "visa": "Works",
    "chargeDeclined": "Is declined",
    "chargeDeclinedInsufficientFunds": "Has not enough money",
    "authenticationRequiredOnSetup": "Asks for a confirmation",
    "failsLater": "Works now, and fails at the renewal",
    "createDispute": "Works, and the payment is disputed",
}
LATER: Final = {"debit": "Bank debit: the money comes later", "debitFails": "Bank debit: the money never comes"}
TONES: Final = {"active": "good", "trialing": "good", "paid": "good", "past_due": "bad", "unpaid": "bad",
                "open": "warn", "incomplete": "warn", "paused": "warn"}  # fmt: skip


class NotHere(Exception):
    """There is no such page, or no such object."""


class Look(NamedTuple):
    """One look at a page, or one form sent from it."""

    method: str
    rest: list[str]
    """The path after its first part."""
    form: dict[str, str]
    root: str
    """Where the stand-in is mounted."""


class Choice(NamedTuple):
    name: str
    label: str
    last4: str


def choices(*, has_debits: bool = False) -> list[Choice]:
    """The test cards to choose from."""
    shown = {**CHOICES, **(LATER if has_debits else {})}
    return [Choice(name, label, "" if CARDS[name].is_debit else CARDS[name].last4) for name, label in shown.items()]


class Frame:
    """The templates, and the transactions of pages."""

    def __init__(self, shelf: Shelf, base_url: str) -> None:
        self.shelf, self._base_url = shelf, base_url

    @cached_property
    def _templates(self) -> Environment:
        found = Environment(
            loader=FileSystemLoader(TEMPLATES),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        found.filters.update(money=money, day=day, moment=moment)
        return found

    @contextmanager
    def desk(self) -> Iterator[Desk]:
        with self.shelf.transaction() as db:
            yield Desk(db, self._base_url)

    def show(self, look: Look, template: str, *, status: int = 200, notice: str = "", **values: object) -> Response:
        html = self._templates.get_template(template).render(root=look.root, notice=notice, **values)
        headers = {"cache-control": "no-store", "content-security-policy": POLICY, "referrer-policy": "no-referrer"}
        return HTMLResponse(html, status, headers)

    def nothing(self, look: Look, why: str) -> Response:
        return self.show(look, "nothing.html", status=404, why=why)

    def to(self, look: Look, path: str) -> Response:
        """Redirect to a page of the stand-in."""
        return RedirectResponse(f"{look.root}/{path}", 303)


def money(cents: int | None, currency: str | None) -> str:
    sign = "-" if (cents or 0) < 0 else ""
    amount = f"{abs(cents or 0) / 100:,.2f}"
    return f"{sign}${amount}" if (currency or "usd") == "usd" else f"{sign}{amount} {str(currency).upper()}"


def day(seconds: int) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%d %B %Y}".lstrip("0")


def moment(seconds: int) -> str:
    return f"{day(seconds)}, {datetime.fromtimestamp(seconds, UTC):%H:%M} UTC"
