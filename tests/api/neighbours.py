"""Two accounts side by side, one with all that an account can have, and whoever might want to see it."""

import io
import json
import os
import subprocess
import sys
import zipfile
from contextlib import closing
from typing import Final, NamedTuple

from farebox.account.desk import new_token
from farebox.store import tables, tables_people
from tests.api.place import PASSWORD, Place, numbers
from tests.services.browser import Browser, Page
from tests.services.process import wait_until
from tests.services.served import FOREIGN_SETTINGS
from tests.services.sums import connect

TABLES: Final = tuple(
    each.name for each in tables.metadata.sorted_tables if each.name not in {tables_people.guess.name, "note"}
)
"""All that is kept, but of what is counted in windows."""
ROUTES: Final = """
import asyncio, json
from app import app
from farebox.web.pages import pages

def of(routes, where):
    for route in routes:
        inner = getattr(route, "original_router", None)
        if inner is not None:
            yield from of(inner.routes, where)
        else:
            yield [where, route.path, sorted((getattr(route, "methods", None) or {"GET"}) - {"HEAD"})]

async def main():
    async with app.router.lifespan_context(app):
        print(json.dumps([*of(app.routes, "app"), *of(pages(app._served().site()).routes, "pages")]))

asyncio.run(main())
"""


class Route(NamedTuple):
    """One method of one path, as its template has it."""

    where: str
    """'app' or 'pages'."""
    method: str
    path: str


def routes_of(place: Place) -> list[Route]:
    """Every route that the product has, as its own routers know them."""
    own = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN_SETTINGS)}
    done = subprocess.run(
        [sys.executable, "-c", ROUTES],
        cwd=place.shop.folder, env=own | place.shop.settings, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    return [Route(where, method, path) for where, path, methods in found for method in methods]


class Own(NamedTuple):
    """What one account has; nobody else may see or change any of it."""

    account: str
    key: str
    call: str
    session: str
    member: str
    invitation: str
    passkey: str
    invoice: str
    names: frozenset[str]
    """What its rows are found by."""
    secret: frozenset[str]
    """What no request names, so that no answer to a neighbour has a reason to say it."""


class Neighbours:
    """Ada owns the first account, with Mia; Eve owns another. Sue's is suspended, and her cookie is of before."""

    def __init__(self, place: Place) -> None:
        self.place, self.shop = place, place.shop
        number = next(numbers)
        self.emails = {name: f"{name}{number}.of.a.walk@example.com" for name in ("ada", "mia", "ivy", "eve", "sue")}
        self.ada, self.eve, self.sue = (place.joined(self.emails[name]) for name in ("ada", "eve", "sue"))
        self.keys = {name: self._key(getattr(self, name), f"Key of {name}{number}") for name in ("ada", "eve", "sue")}
        self.mia = self._joined_by("mia")
        self.ada.post("/team/invite", email=self.emails["ivy"], role="member")
        self.own = self._own(number)
        self.shop.query("UPDATE account SET state = 'suspended' WHERE email = %s", self.emails["sue"])
        pending = "SELECT count(*) FROM mail WHERE next_us IS NOT NULL"
        wait_until(lambda: self.shop.scalar(pending) == 0, "all mails to be sent")
        wait_until(lambda: self.shop.held() == 0, "all calls to be recorded")

    def account_of(self, name: str) -> str:
        return str(self.shop.scalar("SELECT id FROM account WHERE email = %s", self.emails[name]))

    def person_of(self, name: str) -> str:
        return str(self.shop.scalar("SELECT id FROM person WHERE email = %s", self.emails[name]))

    def rows(self, names: frozenset[str]) -> list[str]:
        """Every row of the database in which one of these stands."""
        found = []
        with closing(connect(self.shop.database_url)) as connection:
            for table in TABLES:
                for row in connection.execute(f"SELECT * FROM {table}").fetchall():
                    text = f"{table} {tuple(bytes(cell) if isinstance(cell, memoryview) else cell for cell in row)}"
                    if any(name in text for name in names):
                        found.append(text)
        return sorted(found)

    def names_of(self, name: str) -> frozenset[str]:
        return frozenset({self.account_of(name), self.person_of(name), self.emails[name]})

    def _key(self, browser: Browser, name: str) -> str:
        page = browser.post("/keys", name=name, mode="live", form=new_token())
        assert page.status == 200, page.text
        return next(part for part in page.text.replace("<", " ").replace(">", " ").split() if "till_live_" in part)

    def _joined_by(self, name: str) -> Browser:
        self.ada.post("/team/invite", email=self.emails[name], role="member")
        browser = self.place.browser()
        assert browser.post(self.place.link_to(self.emails[name]), password=PASSWORD).status == 303
        return browser

    def _own(self, number: int) -> Own:
        once = f"o{number}"
        page = self.ada.post("/playground/tagline", once=once, **{"in.product": "tea", "in.tone": "warm"})
        assert page.status == 200, page.text
        account, ada, mia = self.account_of("ada"), self.person_of("ada"), self.person_of("mia")
        passkey = f"passkey{number}"
        self.shop.query(
            "INSERT INTO passkey VALUES (%s, %s, %s, 1, '', %s, 1, NULL)", passkey, ada, b"x", "Ada's phone"
        )
        self.shop.query(
            "INSERT INTO identity VALUES (%s, %s, %s, 1)", "https://issuer.example", f"subject{number}", ada
        )
        one = "SELECT id FROM {} WHERE account_id = %s"
        key = str(self.shop.scalar(one.format("api_key") + " AND name = %s", account, f"Key of ada{number}"))
        invitation = self.shop.scalar(one.format("link") + " AND used_us IS NULL AND purpose = 'invite'", account)
        session = self.shop.scalar("SELECT id FROM session WHERE person_id = %s", ada)
        invoice = f"in_{number}"
        self.shop.query(
            "INSERT INTO invoice VALUES (%s, %s, 'A-1', 'paid', 'usd', 1, 1, 1, 2, 1, '[]', '', 1)", account, invoice
        )
        call = self.shop.scalar("SELECT call_id FROM usage_record WHERE account_id = %s", account)
        ours = [self.emails[name] for name in ("ada", "mia", "ivy")]
        return Own(
            account, key, str(call), str(session), mia, str(invitation), passkey, invoice,
            frozenset({account, ada, mia, passkey, invoice, *ours}),
            frozenset({*ours, f"Key of ada{number}", "Ada's phone", f"subject{number}", ada}),
        )  # fmt: skip


def files_in(page: Page) -> str:
    """What a page says; what is in it, where it is an archive."""
    if page.header("content-type") != "application/zip":
        return page.text
    with zipfile.ZipFile(io.BytesIO(page.text.encode(errors="surrogateescape"))) as archive:
        return "\n".join(archive.read(name).decode() for name in archive.namelist())
