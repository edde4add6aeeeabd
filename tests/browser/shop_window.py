"""A product whose pages show all that a founder's file can have them show."""

from contextlib import AbstractContextManager, closing
from pathlib import Path
from typing import Final, NamedTuple

from farebox.store.database import Database
from tests.services.served import Served

APP: Final = '''
from collections.abc import AsyncIterator
from typing import Annotated, Literal

from pydantic import BaseModel, Field

from farebox import Brand, Call, Farebox, File, Plan

app = Farebox(
    "Tags & <Lines>",
    tagline="Words that sell, from a few of yours",
    brand=Brand(colour="#7c3aed", logo="logo.svg"),
    plans=[
        Plan("free", calls=20),
        Plan("pro", usd=29, calls=5_000, burst="5/10s", overage_usd="0.01"),
        Plan("big_team", usd="249.50", credit_usd=200, markup=0.25, burst="100/s"),
        Plan("open", usd=999),
    ],
)


class Idea(BaseModel):
    title: str = Field(examples=["Leaves that love you back"])
    points: int = Field(ge=0, le=100)
    tags: list[str]


class Lead(BaseModel):
    company: str = Field(max_length=200)
    employees: int | None = Field(None, ge=1)


@app.paid
async def tagline(call: Call, product: str, tone: Literal["warm", "bold"] = "warm") -> str:
    """Write a tagline for a product.

    The tone is *warm* or **bold**; see [the guide](/guide). <script>alert(1)</script>
    """
    return await call.ask(f"Write a {tone} tagline for {product}.")


@app.paid(units=3, max_output_tokens=800)
async def ideas(call: Call, lead: Lead, words: list[str], count: Annotated[int, Field(ge=1, le=9)] = 3) -> list[Idea]:
    """Find ideas for a campaign."""
    return []


@app.paid(units=lambda request: 1 + len(request.document.content) // 1_000)
async def summary(call: Call, document: File, title: str = "") -> str:
    """Summarise a document."""
    return await call.ask("Summarise: " + document.text())


@app.paid
async def story(call: Call, about: str) -> AsyncIterator[str]:
    """Write a story, streamed."""
    async for piece in call.stream(f"A story about {about}"):
        yield piece


@app.get("/mine")
async def mine() -> dict[str, str]:
    return {"mine": "yes"}
'''
LOGO: Final = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 120 32"><rect width="120" height="32" rx="8" fill="#7c3aed"/>'
    '<circle cx="16" cy="16" r="8" fill="#fff"/></svg>'
)
GUIDE: Final = """\
# A guide to taglines

Write *few* words. <b>No HTML</b> here.

| Tone | For whom |
|---|---|
| warm | everybody who reads this very long line, which a phone has no room for at all, and so on |
| bold | the others |

> Short is good.

    curl https://api.example.com/a/long/address/that/goes/on/and/on/and/does/not/end/before/the/edge/of/the/page

1. One
2. Two
"""

CROWDED: Final = '''
from typing import Annotated, Literal

from pydantic import Field

from farebox import Brand, Call, Farebox, Plan

app = Farebox(
    "Donaudampfschifffahrtsgesellschaftskapitänswörter and all the others",
    tagline="One hundred and sixty characters about what this product does, which is a lot, and more than "
    "the headline of a page should have, but it may",
    brand=Brand(colour="#facc15"),
    plans=[Plan(f"plan_{n}", usd=n * 1_234, calls=10**n, tokens=10**n * 1_000, burst="9/7h") for n in range(2, 9)],
)


@app.paid
async def a_function_with_a_very_long_name_that_says_what_it_does_in_full_and_then_goes_on(
    call: Call,
    an_argument_with_a_name_that_is_about_as_long_as_names_get: Annotated[str, Field(description="Words. " * 40)],
    choices: Literal["one", "two", "three", "four", "five", "six", "seven", "eight"] = "one",
    numbers: dict[str, list[float]] | None = None,
) -> dict[str, str]:
    """Do what its name says, at length, with a first line that is longer than it should be."""
    return {}
'''


class Window(NamedTuple):
    """The product as it is served. A file's tests add the customers they need while it runs."""

    served: Served
    database_url: str

    @property
    def url(self) -> str:
        return self.served.url

    def database(self) -> AbstractContextManager[Database]:
        return closing(Database(self.database_url))


def write_crowded(folder: Path) -> None:
    """The founder's folder."""
    (folder / "app.py").write_text(CROWDED)


def write_shop_window(folder: Path) -> None:
    """The founder's folder."""
    (folder / "app.py").write_text(APP)
    (folder / "logo.svg").write_text(LOGO)
    (folder / "pages").mkdir()
    (folder / "pages" / "guide.md").write_text(GUIDE)
