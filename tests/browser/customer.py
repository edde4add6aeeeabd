"""A product whose customer is followed from the landing page to the end, with real mail and a service to log in at."""

import re
import shlex
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from oidc_provider_mock import User, run_server_in_thread  # type: ignore[import-untyped]
from playwright.sync_api import Browser, Page, expect

from tests.services.command import printed
from tests.services.mail import MailServer, text_of
from tests.services.process import free_port, wait_until
from tests.services.served import Served
from tests.services.sums import connect
from tests.services.upstream import FakeUpstream

SECRET: Final = "a secret for tests, of more than 16 characters"
PASSWORD: Final = "three odd words"
ADA: Final = "ada@example.com"
BOB: Final = "bob@example.com"
SECONDS_MAX: Final = 60
# A passkey is for a name, and a browser trusts this one without TLS.
URL: Final = "http://localhost:{port}"
LINK: Final = re.compile(r"(http://localhost:\d+/link/\S+)")

APP: Final = '''
import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

from farebox import Call, Farebox, Plan

app = Farebox(
    "Tales",
    tagline="A story from a few words",
    model="openai:gpt-4o-mini",
    prices={"gpt-4o-mini": (0.15, 0.60)},
    plans=[Plan("free", calls=20), Plan("pro", usd=29, calls=5_000)],
)


@app.paid
async def story(call: Call, about: str) -> AsyncIterator[str]:
    """Write a story."""
    async for piece in call.stream(f"A story about {about}"):
        yield piece[:4]
        while Path("held").exists():  # until the test lets it go on
            await asyncio.sleep(0.01)
        yield piece[4:]
'''


@dataclass
class Journey:
    """Where they have come to. What a later step needs of an earlier one is kept here."""

    served: Served
    server: MailServer
    browser: Browser
    page: Page
    database_url: str
    folder: Path = Path()
    totp_secret: bytes = b""
    recovery_codes: list[str] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    clicks: int = 0
    has_ended: bool = False

    @property
    def url(self) -> str:
        return URL.format(port=self.served.port)

    def click(self, name: str, role: Any = "button") -> None:  # noqa: ANN401  # Playwright's list of roles
        """Press what a reader sees under this name, in the page's own part where it has one."""
        self.clicks += 1
        self.page.get_by_role(role, name=name, exact=True).first.click()

    @contextmanager
    def held(self) -> Iterator[None]:
        """Meanwhile a story stands still after its first word."""
        held = self.folder / "held"
        held.touch()
        try:
            yield
        finally:
            held.unlink()

    def is_at(self, path: str) -> None:
        expect(self.page).to_have_url(re.compile(rf"^{re.escape(self.url + path)}(?:[?#].*)?$"))

    def goes_to(self, name: str) -> None:
        """By the menu at the side."""
        self.page.get_by_role("navigation", name="Main").get_by_role("link", name=name, exact=True).click()

    def mailed(self, email: str, subject: str) -> str:
        """The link of the newest mail to an address with these words in its subject, once it came."""

        def found() -> list[str]:
            letters = [each for each in self.server.to(email) if subject in each["subject"]]
            return [match[1] for each in letters if (match := LINK.search(text_of(each)))]

        wait_until(lambda: bool(found()), f"a mail about {subject!r} to {email}")
        return found()[-1]

    def row(self, sql: str) -> tuple[Any, ...]:
        with closing(connect(self.database_url)) as connection:
            found: tuple[Any, ...] = connection.execute(sql).fetchone()
            return found


def curl(line: str, key: str = "", old: str = "") -> tuple[int, str]:
    """What a line for a shell does, as it is or with another key: the status and what came."""
    words = shlex.split(line.replace("\\\n", " "))
    words = [word.replace(old, key) if old else word for word in words]
    done = subprocess.run(
        [*words, "--silent", "--max-time", "30", "--write-out", "\n%{http_code}"],
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    body, _, status = done.stdout.rpartition("\n")
    return int(status), body


@contextmanager
def opened(folder: Path, database_url: str, upstream: FakeUpstream, browser: Browser) -> Iterator[Journey]:
    """The product on an empty database, its mail, a service to log in at, and a browser that nobody has used yet."""
    (folder / "app.py").write_text(APP)
    users = [User(sub=ADA, claims={"email": ADA, "email_verified": True})]
    port = free_port()
    with MailServer() as server, run_server_in_thread(user_claims=users) as issuer:
        env = {
            "FAREBOX_SECRET_KEY": SECRET, "FAREBOX_DATABASE_URL": database_url,
            "FAREBOX_PUBLIC_URL": URL.format(port=port),
            "SMTP_URL": server.url, "OPENAI_BASE_URL": upstream.base_url, "OPENAI_API_KEY": "sk-of-the-tests",
            "OIDC_ISSUER": f"http://localhost:{issuer.server_port}", "OIDC_CLIENT_ID": "farebox",
            "OIDC_CLIENT_SECRET": "a secret", "OIDC_NAME": "Example",
        }  # fmt: skip
        if not database_url.startswith("sqlite"):
            printed(folder, "migrate", **env)
        with Served(env=env, cwd=folder, port=port) as served:
            context = browser.new_context(locale="en-GB", timezone_id="Europe/Lisbon", accept_downloads=True)
            context.set_default_timeout(SECONDS_MAX * 1000)
            yield Journey(served, server, browser, context.new_page(), database_url, folder)
            context.close()
            assert "Traceback" not in served.output(), served.output()[-4000:]
