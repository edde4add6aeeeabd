"""A product with a form for each kind of endpoint, and a visitor who counts the clicks."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final

from playwright.sync_api import Page

from tests.services.process import wait_until
from tests.services.served import Served

APP: Final = '''
import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, Field

from farebox import Call, Farebox, File, Plan

app = Farebox("Tagliner", tagline="Words that sell", plans=[Plan("free", calls=500), Plan("one", calls=1)])


async def let_go() -> None:
    """Until the test lets it go on."""
    while Path("held").exists():
        await asyncio.sleep(0.01)


class Lead(BaseModel):
    company: str = Field(max_length=200, description="Who writes.")
    employees: int | None = Field(None, ge=1)


class Score(BaseModel):
    points: int
    reasons: list[str]


@app.paid
async def tagline(call: Call, product: str, tone: Literal["warm", "bold"] = "warm") -> str:
    """Write a tagline for a product.

    The tone is *warm* or **bold**.
    """
    await let_go()
    return await call.ask(f"Write a {tone} tagline for {product}.")


@app.paid(units=lambda request: 2)
async def score(
    call: Call, lead: Lead, words: list[str], channels: list[Literal["mail", "web"]] = ["web"],
    count: Annotated[int, Field(ge=1, le=9)] = 3, hot: bool = True, extra: dict[str, int] | None = None,
) -> Score:
    """Score a lead."""
    return Score(points=count, reasons=[*words, "<b>bold</b>"])


@app.paid
async def summary(call: Call, document: File, title: str = "") -> str:
    """Summarise a document."""
    return f"{document.filename} has {len(document.content)} bytes."


@app.paid
async def story(call: Call, about: str) -> AsyncIterator[str]:
    """Write a story, streamed."""
    async for piece in call.stream(f"A story about {about}"):
        yield piece[:4]
        await let_go()
        yield piece[4:]


@app.paid
async def numbers(call: Call, count: int = 3) -> AsyncIterator[Score]:
    """Count, streamed."""
    for number in range(count):
        yield Score(points=number, reasons=[])
'''
PASSWORD: Final = "three odd words"
CLICKS_MAX: Final = 8


class Product:
    """The product, as `farebox dev` serves it, and a look into its database."""

    def __init__(self, served: Served, folder: Path) -> None:
        self.url = served.url
        self._database = folder / "farebox.db"
        self._held = folder / "held"

    @contextmanager
    def held(self) -> Iterator[None]:
        """Meanwhile no call ends: a stream stands still after its first letters."""
        self._held.touch()
        try:
            yield
        finally:
            self._held.unlink()

    def sql(self, statement: str, *values: str) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(self._database, isolation_level=None, timeout=30)) as connection:
            return connection.execute(statement, values).fetchall()

    def records(self, email: str) -> list[tuple[str, str, str]]:
        """Endpoint, state and marks of an account's calls, once none is under way."""
        wait_until(lambda: self.sql("SELECT count(*) FROM hold") == [(0,)], "all calls to be recorded")
        return self.sql(
            "SELECT u.endpoint, u.state, u.marks FROM usage_record u JOIN account a ON a.id = u.account_id "
            "WHERE a.email = ? ORDER BY u.admitted_us",
            email,
        )


class Visitor:
    """Somebody in a browser, who counts the clicks."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.clicks = 0

    def click(self, name: str, role: Any = "link") -> None:  # noqa: ANN401  # Playwright lists them
        self.page.get_by_role(role, name=name).first.click()
        self.clicks += 1

    def join(self, url: str, email: str) -> None:
        """From the landing page to the account."""
        self.page.goto(url)
        self.click("Get an API key")
        self.page.get_by_label("E-mail address").fill(email)
        self.page.get_by_label("Password").fill(PASSWORD)
        self.click("Sign up", "button")
        self.click("read the mail here")
        letter = self.page.locator("article", has_text=email)
        letter.get_by_role("link").first.click()
        self.clicks += 1
        self.click("Confirm your address", "button")
        self.page.wait_for_url(f"{url}/playground/*")  # with its script: without it Run is another button
