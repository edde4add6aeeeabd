"""Somebody in an account, with their browser."""

from email.message import EmailMessage
from typing import Final, NamedTuple

from tests.api.place import Place, numbers
from tests.services.browser import Browser
from tests.services.process import wait_until

APP: Final = """
from farebox import Farebox, Pack, Plan

app = Farebox(
    "Till",
    contact="help@till.example",
    plans=[Plan("free", calls=20), Plan("over", usd=9, calls=4, overage_usd="0.01"), Plan("pro", usd=29)],
    packs=[Pack("small", usd=10)],
)
"""


class Member(NamedTuple):
    """Somebody in an account, with their browser."""

    place: Place
    email: str
    browser: Browser

    @property
    def person_id(self) -> str:
        return str(self.place.shop.scalar("SELECT id FROM person WHERE email = %s", self.email))

    @property
    def account_id(self) -> str:
        sql = "SELECT account_id FROM session WHERE person_id = %s ORDER BY created_us DESC"
        return str(self.place.shop.scalar(sql, self.person_id))

    @property
    def own_account_id(self) -> str:
        return str(self.place.shop.scalar("SELECT id FROM account WHERE email = %s", self.email))

    @property
    def is_in(self) -> bool:
        return self.browser.get("/plan").status == 200

    def invite(self, email: str, role: str = "member") -> str:
        """The path of the link that is mailed."""
        count = len(self.place.server.to(email))
        page = self.browser.post("/team/invite", email=email, role=role)
        assert (page.status, page.header("location")) == (303, "/team?told=invited"), page.text
        return self.place.link_to(email, count + 1)

    def columns(self, names: str) -> tuple[object, ...]:
        return tuple(self.place.shop.query(f"SELECT {names} FROM account WHERE email = %s", self.email)[0])


def new(name: str) -> str:
    return f"{name}{next(numbers)}@example.com"


def html_of(letter: EmailMessage) -> str:
    body = letter.get_body(("html",))
    assert body is not None
    return str(body.get_content())


def mails(place: Place, email: str, count: int) -> list[EmailMessage]:
    wait_until(lambda: len(place.server.to(email)) >= count, f"{count} mails to {email}")
    return place.server.to(email)
