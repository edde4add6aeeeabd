"""A product for the Playground, somebody who is logged in to it, and what the tests of it share."""

import html
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from farebox.domain import apikey
from tests.api.place import Place, numbers
from tests.api.shop import SECRET, Shop
from tests.services.browser import Page
from tests.services.mail import MailServer
from tests.services.process import wait_until
from tests.services.sums import check_sums_at
from tests.services.upstream import FakeUpstream

APP: Final = '''
from collections.abc import AsyncIterator
from typing import Annotated, Literal

from fastapi import HTTPException
from pydantic import BaseModel, Field

from farebox import Call, Farebox, File, Plan

app = Farebox(
    "Till",
    model="openai:gpt-4o-mini",
    prices={"gpt-4o-mini": (0.15, 0.60)},
    plans=[Plan("open"), Plan("one", calls=1), Plan("burst", burst="1/600s"), Plan("credit", credit_usd=1, markup=0.2)],
)


class Lead(BaseModel):
    company: str = Field(max_length=200)
    employees: int | None = Field(None, ge=1)


@app.paid
async def tagline(call: Call, product: str, tone: Literal["warm", "bold"] = "warm") -> str:
    """Write a tagline."""
    return await call.ask(f"Write a {tone} tagline for {product}.")


@app.paid(units=lambda request: 2)
async def score(
    call: Call, lead: Lead, words: list[str], count: Annotated[int, Field(ge=1, le=9)] = 3, hot: bool = True,
    extra: dict[str, int] | None = None,
) -> dict[str, object]:
    """Score a lead."""
    await call.ask("x")
    return {"lead": lead.model_dump(), "words": words, "count": count, "hot": hot, "extra": extra}


@app.paid
async def sized(call: Call, document: File, others: list[File] = [], title: str = "") -> dict[str, object]:
    """Measure a document."""
    await call.ask("x")
    return {"bytes": len(document.content), "name": document.filename, "kind": document.content_type,
            "title": title, "others": [other.filename for other in others]}


@app.paid
async def story(call: Call, about: str, fails: bool = False) -> AsyncIterator[str]:
    """Write a story."""
    async for piece in call.stream(f"A story about {about}"):
        for start in range(0, len(piece), 4):  # a busy machine reads several at once
            yield piece[start : start + 4]
        if fails:
            raise HTTPException(400, "Enough.")
'''


class Customer:
    """Somebody with an account, and a browser that is logged in."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.shop = place.shop
        self.email = f"pia{next(numbers)}@example.com"
        self.browser = place.joined(self.email)
        self.account = str(self.shop.scalar("SELECT id FROM account WHERE email = %s", self.email))

    def run(self, name: str, once: str = "", **fields: str) -> Page:
        """Send the form of an endpoint, as it is without a script."""
        typed = {f"in.{field.replace('__', '.')}": value for field, value in fields.items() if field != "mode"}
        more = {"mode": fields["mode"]} if "mode" in fields else {}
        return self.browser.post(f"/playground/{name}", **typed, **more, once=once or f"o{next(numbers)}")

    def fetch(self, path: str, body: str, **headers: str) -> Page:
        """Send it as the script does."""
        sent = {"accept": "text/event-stream, application/json", "sec-fetch-site": "same-origin"}
        kind = {"content-type": "application/x-www-form-urlencoded"}
        return self.browser._send("POST", path, body, sent | kind | headers)

    def on(self, plan: str) -> None:
        self.shop.query("UPDATE account SET plan = %s WHERE id = %s", plan, self.account)

    def records(self, columns: str = "endpoint") -> list[tuple[Any, ...]]:
        wait_until(lambda: self.shop.held() == 0, "all calls to be recorded")
        sql = f"SELECT {columns} FROM usage_record WHERE account_id = %s ORDER BY admitted_us, call_id"
        return self.shop.query(sql, self.account)

    def keys(self, columns: str = "name, mode") -> list[tuple[Any, ...]]:
        return self.shop.query(f"SELECT {columns} FROM api_key WHERE account_id = %s ORDER BY created_us", self.account)

    def key_text(self) -> str:
        """The text of the one key that there is."""
        [(key_id, mode)] = self.keys("id, mode")
        return apikey.derive("till", mode, SECRET.encode(), f"playground {key_id}").text


@contextmanager
def opened(folder: Path, database_url: str, upstream: FakeUpstream) -> Iterator[Place]:
    """The product, served, on a database of its own."""
    with MailServer() as server:
        shop = Shop(folder, database_url, upstream, APP)
        settings = {
            "SMTP_URL": server.url,
            "FAREBOX_PUBLIC_URL": "https://till.example",
            "FAREBOX_TRUSTED_PROXIES": "127.0.0.1",
            "FAREBOX_UPLOAD_BYTES_MAX": "2000000",
            "FAREBOX_CALL_SECONDS_MAX": "20",
        }
        with shop.served(workers=2, **settings) as served:
            yield Place(shop, served, server)
            assert "Traceback" not in served.output(), served.output()[-4000:]
        assert check_sums_at(database_url) == []


def told(page: Page) -> str:
    """What a reader sees: the text, with white space as one space."""
    body = page.text[page.text.index("<main") :]
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", body)).split())


def output(page: Page) -> str:
    found = re.search(r'<code id="text"[^>]*>(.*?)</code>', page.text, re.DOTALL)
    assert found is not None
    return html.unescape(found[1])
