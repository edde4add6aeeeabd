"""`farebox doctor` finds the mistakes that are really made, each on real sockets and a real database."""

import os
import shutil
import socket
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Final, NamedTuple

import psycopg
import pytest

from farebox import settings as settings_module
from farebox.cli.doctor_database import check_database
from farebox.cli.doctor_provider import check_provider, key_mistake
from farebox.cli.findings import Finding, masked
from farebox.domain.plan import Plan, Product
from farebox.settings import Settings
from farebox.store.database import Database
from tests.services.command import farebox, printed
from tests.services.postgres import PostgresServer
from tests.services.process import free_port
from tests.services.served import FOREIGN_SETTINGS, Served
from tests.services.upstream import MODELS, Behaviour, FakeUpstream

OPENAI: Final = "api.openai.com"
KEY: Final = "sk-proj-0123456789abcdefghijABCD"
PRODUCT: Final = Product("Till", plans=(Plan("pro", calls=10),))


def levels(findings: list[str]) -> dict[str, str]:
    """Subject → level of the lines; where there are several of a subject, the gravest."""
    found: dict[str, str] = {}
    for line in findings:
        level, _, rest = line.partition(" ")
        subject = rest.strip().partition(":")[0]
        found[subject] = max(found.get(subject, ""), level, key=["", "ok", "note", "FIX"].index)
    return found


def examined(folder: Path, *arguments: str, code: int = 1, **settings: str) -> list[str]:
    done = farebox(folder, "doctor", "--port", str(free_port()), *arguments, **settings)
    assert (done.returncode, done.stderr) == (code, ""), done
    return done.stdout.splitlines()


def fixes(findings: Iterator[Finding]) -> list[str]:
    """The sentences that name a mistake; each names what to do too."""
    sentences = [finding.sentence for finding in findings if finding.level == "FIX"]
    assert all(" → " in sentence for sentence in sentences)
    return sentences


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to be in, and nothing set."""
    for name in os.environ:
        if name.startswith(FOREIGN_SETTINGS):
            monkeypatch.delenv(name)
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def set_to(monkeypatch: pytest.MonkeyPatch, **values: str) -> Settings:
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    return settings_module.load()


# -- the whole command


def test_nothing_configured_is_nothing_wrong_and_nothing_is_made(here: Path) -> None:
    lines = examined(here, code=0)
    assert levels(lines) == {
        "python": "ok", "app file": "note", ".env": "ok", "provider": "note", "database": "ok", "port": "ok",
    }  # fmt: skip
    assert lines[0].startswith("ok  python: 3.")
    assert list(here.iterdir()) == []


def test_all_in_order_is_said_line_by_line(here: Path, upstream: FakeUpstream, pg_url: str) -> None:
    (here / "app.py").write_text(
        'from farebox import Farebox, Plan\napp = Farebox("Till", plans=[Plan("pro", calls=9)])\n'
    )
    (here / ".env").write_text(f"OPENAI_API_KEY={KEY}\nOPENAI_BASE_URL={upstream.base_url}\n")
    settings = {"FAREBOX_DATABASE_URL": pg_url, "FAREBOX_SECRET_KEY": "a secret of the tests, long enough"}
    printed(here, "migrate", **settings)
    with Served(env=settings, cwd=here) as server:
        lines = examined(here, "--port", str(server.port), code=0, **settings)
    assert set(levels(lines).values()) == {"ok"}
    text = "\n".join(lines)
    assert "provider key: sk-…ABCD" in text
    assert KEY not in text
    assert f"provider: {upstream.base_url} answers" in text
    assert "price: gpt-4o-mini costs $" in text
    assert "is written to and up to date" in text
    assert "clock: as the database's" in text
    assert f"port: {server.port} is served by a Farebox" in text


def test_files_that_are_not_read_are_found_around(here: Path) -> None:
    (here.parent / ".env").write_text("export OPENAI_API_KEY = sk-1\nOTHER=1\n")
    (here / "shop").mkdir()
    (here / "shop" / ".env").write_text("FAREBOX_PUBLIC_URL=https://till.example\n")
    (here / "shop" / "app.py").touch()
    (here / "other").mkdir()
    (here / "other" / ".env").write_text("NODE_ENV=production\nSTRIPE_SECRET_KEY=\nOPENAI_BASE_URL=https://x/v1\n")
    (here / ".env.txt").write_text("FAREBOX_SECRET_KEY=0123456789abcdef\n")
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        lines = examined(
            here,
            "--port",
            str(port),
            FAREBOX_DATABSE_URL="x",
            OPENAI_BASE_URL="nowhere",
            FAREBOX_SERVICE_HOST="10.0.0.1",
        )
    found = [line for line in lines if line.startswith("FIX")]
    assert found[:4] == [
        f"FIX .env: {here}/.env.txt is not read under this name → rename it to .env",
        f"FIX .env: {here.parent}/.env sets OPENAI_API_KEY, and is not read → move it to {here}",
        f"FIX .env: {here}/shop/.env sets FAREBOX_PUBLIC_URL, and is not read → run farebox in {here}/shop",
        "FIX settings: FAREBOX_DATABSE_URL is not a setting → write it as FAREBOX_DATABASE_URL",
    ]
    assert found[4] == "FIX provider address: OPENAI_BASE_URL=nowhere is no web address → write it as https://host/v1"
    assert found[5].startswith(f"FIX port: Port {port} is taken by another program → farebox dev --port ")
    assert len(found) == 6


@pytest.mark.parametrize("encoding", ["utf-16", "latin-1"])
def test_a_file_that_is_not_utf8_is_told_by_every_command(here: Path, encoding: str) -> None:
    (here / ".env").write_bytes("OPENAI_API_KEY=schlüssel\n".encode(encoding))
    lines = examined(here)
    assert f"FIX .env: {here}/.env is not UTF-8 text → save it again as UTF-8" in lines
    done = farebox(here, "keys", "list")
    assert done.stderr == "farebox: The file .env is not UTF-8 text; save it again as UTF-8.\n"


def test_the_mark_that_windows_editors_write_is_no_part_of_a_name(here: Path) -> None:
    (here / ".env").write_bytes(b"\xef\xbb\xbfOPENAI_BASE_URL=https://till.example/v1\n")
    assert settings_module.load().openai_base_url == "https://till.example/v1"


def test_mistakes_in_the_app_file_and_in_a_setting_do_not_end_the_examination(here: Path) -> None:
    (here / "app.py").write_text("1 / 0\n")
    found = levels(examined(here, FAREBOX_SWEEP_SECONDS="soon"))
    assert found == {"python": "ok", "app file": "FIX", ".env": "ok", "settings": "FIX", "port": "ok"}


def test_prices_and_plans(here: Path, upstream: FakeUpstream) -> None:
    app = "from farebox import Farebox, Plan\napp = Farebox('Till', model='openai:my-model', plans=[Plan('{}')])\n"
    (here / ".env").write_text(f"OPENAI_API_KEY={KEY}\nOPENAI_BASE_URL={upstream.base_url}\n")
    (here / "app.py").write_text(app.format("free', credit_usd='5"))
    text = "\n".join(examined(here))
    assert "FIX price: that of my-model is not known, and plan 'free' is limited in money → say it in your file" in text
    assert "note model: the provider does not list 'my-model'; check its name in your file" in text
    (here / "app.py").write_text(app.format("free"))
    text = "\n".join(examined(here, code=0))
    assert "note price: that of my-model is not known, so costs are recorded as 0; say it in your file" in text
    assert "note plans: 'free' has no monthly limit: one customer can spend any sum of yours" in text


# -- the provider's key


@pytest.mark.parametrize(
    ("key", "told"),
    [
        (f'"{KEY}"', "quotes around it"),
        (f"'{KEY}'", "quotes around it"),
        (f"Bearer {KEY}", "begins with 'Bearer '"),
        (f"OPENAI_API_KEY={KEY}", "its own name"),
        (f"{KEY[:20]} {KEY[20:]}", "a space or a line break"),
        (f"{KEY}\n", "a space or a line break"),
        ("your-key-here", "placeholder"),
        ("sk-YOUR_API_KEY_GOES_HERE", "placeholder"),
        ("<paste your key>", "placeholder"),
        ("sk-...", "placeholder"),
        ("sk-xxxxxxxxxxxxxxxxxxxxxxxx", "placeholder"),
        ("sk_live_0123456789abcdefghij", "a key of Stripe"),
        ("sk_test_0123456789abcdefghij", "a key of Stripe"),
        ("whsec_0123456789abcdefghij", "a key of Stripe"),
        ("fareboxdemo_live_XTIXFtiybONPeAnfWhLBzfVFOJWYriTB2agBm9", "a key of Farebox"),
        ("sk-short", "only 8 characters"),
        (f"{KEY}é", "a character that no key has"),
        ("0123456789abcdefghijABCD", "does not begin with 'sk-'"),
    ],
)
def test_a_key_that_cannot_be_one_is_told_apart(key: str, told: str) -> None:
    mistake = key_mistake(key, OPENAI)
    assert mistake is not None
    assert told in mistake[0]
    assert mistake[1]
    assert KEY not in str(mistake)


def test_a_key_that_can_be_one_passes() -> None:
    assert key_mistake(KEY, OPENAI) is None
    assert key_mistake("gsk_0123456789abcdefghijABCD", "api.groq.com") is None
    assert key_mistake("ollama", "localhost") is None


def test_a_secret_is_never_shown() -> None:
    assert masked(KEY) == "sk-…ABCD"
    assert masked("short") == "…"


# -- the provider's address and answers


class Page(NamedTuple):
    """What a server that is no provider answers."""

    status: int = 200
    body: bytes = b"<!doctype html><HTML>Hello</HTML>"
    seconds_off: float = 0
    location: str = ""


@pytest.fixture
def web() -> Iterator[tuple[str, dict[str, Page]]]:
    """Some web server, and what it answers by method."""
    pages = {"GET": Page(), "POST": Page()}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            page = pages[self.command]
            self.send_response_only(page.status)
            self.send_header("Date", formatdate(time.time() + page.seconds_off, usegmt=True))
            self.send_header("Content-Length", str(len(page.body)))
            if page.location:
                self.send_header("Location", page.location)
            self.end_headers()
            self.wfile.write(page.body)

        do_POST = do_GET  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", pages
        server.shutdown()
        thread.join()


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("behaviour", "told"),
    [
        (Behaviour(status=401), "provider key: {url} does not accept OPENAI_API_KEY (sk-…ABCD) (401) → "),
        (Behaviour(status=403), "provider key: {url} refuses this key (403) → "),
        (Behaviour(status=429), "provider: {url} limits your rate (429) → wait a minute"),
        (
            Behaviour(status=429, error_code="insufficient_quota"),
            "provider: {url} says that your credit is used up (429) → add credit",
        ),
        (Behaviour(status=503), "provider: {url} is in trouble (503) → look at its status page"),
        (Behaviour(fault="close"), "provider: {url} cannot be reached ("),
    ],
)
def test_what_the_provider_answers_is_told(
    upstream: FakeUpstream, monkeypatch: pytest.MonkeyPatch, behaviour: Behaviour, told: str
) -> None:
    upstream.program(behaviour, path=MODELS)
    settings = set_to(monkeypatch, OPENAI_API_KEY=KEY, OPENAI_BASE_URL=upstream.base_url)
    [mistake] = fixes(check_provider(settings, PRODUCT))
    assert mistake.startswith(told.format(url=upstream.base_url))
    assert KEY not in mistake
    assert upstream.count() == 0  # nothing was spent to find out


@pytest.mark.usefixtures("here")
def test_a_provider_that_asks_for_a_key_is_told(upstream: FakeUpstream, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = set_to(monkeypatch, OPENAI_BASE_URL=upstream.base_url)
    told = f"provider key: {upstream.base_url} asks for a key (401) → set OPENAI_API_KEY to a key that is active there"
    assert fixes(check_provider(settings, PRODUCT)) == [told]


@pytest.mark.usefixtures("here")
def test_an_address_without_its_version_is_told(upstream: FakeUpstream, monkeypatch: pytest.MonkeyPatch) -> None:
    root = upstream.base_url.removesuffix("/v1")
    settings = set_to(monkeypatch, OPENAI_API_KEY=KEY, OPENAI_BASE_URL=f"{root}/")
    [mistake] = fixes(check_provider(settings, PRODUCT))
    expected = f"{root} answers 404: there is no OpenAI-compatible API → set OPENAI_BASE_URL to {root}/v1"
    assert mistake == f"provider address: {expected}"


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("address", "told"),
    [
        ("api.openai.com/v1", "is no web address → write it as https://host/v1"),
        ("ftp://host/v1", "is no web address → "),
        ("https://", "is no web address → "),
        ("https://host/v1/chat/completions", "names an endpoint → set it to https://host/v1"),
        ("https://host/v1/models/", "names an endpoint → set it to https://host/v1"),
        ("http://127.0.0.1:1/v1", "http://127.0.0.1:1/v1 cannot be reached (Connection refused"),
        ("http://no-such-host.invalid/v1", "cannot be reached ("),
    ],
)
def test_an_address_that_cannot_be_asked_is_told(monkeypatch: pytest.MonkeyPatch, address: str, told: str) -> None:
    settings = set_to(monkeypatch, OPENAI_API_KEY=KEY, OPENAI_BASE_URL=address)
    [mistake] = fixes(check_provider(settings, PRODUCT))
    assert told in mistake


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("pages", "told"),
    [
        ({}, "provider address: {url}/v1 answers a web page: there is no OpenAI-compatible API → copy it from"),
        ({"GET": Page(404, b"{}"), "POST": Page(404, b"{}")}, "provider address: {url}/v1 answers 404: there is no"),
        ({"GET": Page(404, b"no"), "POST": Page(400, b"{}")}, ""),  # some list no models, and are sound
        ({"GET": Page(404, b"no"), "POST": Page(401, b"{}")}, "provider key: {url}/v1 does not accept OPENAI_API_KEY"),
        ({"GET": Page(307, location="https://x/")}, "provider address: {url}/v1 sends on to https://x/ → "),
    ],
)
def test_what_some_web_server_answers_is_told(
    web: tuple[str, dict[str, Page]], monkeypatch: pytest.MonkeyPatch, pages: dict[str, Page], told: str
) -> None:
    url, answers = web
    answers.update(pages)
    settings = set_to(monkeypatch, OPENAI_API_KEY=KEY, OPENAI_BASE_URL=f"{url}/v1")
    found = fixes(check_provider(settings, PRODUCT))
    assert [bool(mistake.startswith(told.format(url=url))) for mistake in found] == [True] * bool(told)


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(("seconds_off", "way"), [(60, "behind"), (-60, "ahead of"), (3, None)])
def test_a_clock_that_differs_from_the_providers_is_told(
    web: tuple[str, dict[str, Page]], monkeypatch: pytest.MonkeyPatch, seconds_off: float, way: str | None
) -> None:
    url, answers = web
    answers["GET"] = Page(200, b"{}", seconds_off)
    found = fixes(check_provider(set_to(monkeypatch, OPENAI_API_KEY=KEY, OPENAI_BASE_URL=f"{url}/v1"), PRODUCT))
    assert len(found) == (way is not None)
    assert all(f"s {way} your provider's → switch on time synchronisation (NTP)" in mistake for mistake in found)


# -- the database


def mistakes(monkeypatch: pytest.MonkeyPatch, url: str, workers: int = 1) -> list[str]:
    settings = set_to(monkeypatch, FAREBOX_DATABASE_URL=url)
    return fixes(check_database(settings, PRODUCT, workers))


def migrated(url: str) -> str:
    with closing(Database(url)) as database:
        database.migrate()
    return url


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("sqlite://", "database: one in memory ends with its process, and 4 workers would each have their own → set "),
        ("sqlite:////no/such/folder/farebox.db", "database: there is no folder /no/such/folder → make it"),
        ("sqlite:////proc/farebox.db", "database: /proc cannot be written to ("),
        ("postgresql://postgres:pass@127.0.0.1:1/shop", "database: 127.0.0.1/shop cannot be used (connection failed"),
    ],
)
def test_a_database_that_cannot_be_used_is_told(monkeypatch: pytest.MonkeyPatch, url: str, told: str) -> None:
    [mistake] = mistakes(monkeypatch, url, workers=4)
    assert mistake.startswith(told)
    assert "pass@" not in mistake


def test_a_database_of_another_kind_is_told(here: Path) -> None:
    lines = examined(here, FAREBOX_DATABASE_URL="mysql://host/shop")
    assert levels(lines)["database"] == "FIX"
    assert "Write sqlite:///farebox.db or postgresql://user:password@host/name." in "\n".join(lines)


def test_a_file_that_is_no_database_is_told(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (here / "farebox.db").write_text("a shopping list\n" * 100)
    [mistake] = mistakes(monkeypatch, "sqlite:///farebox.db")
    assert mistake.startswith("database: farebox.db cannot be used (file is not a database) → ")


@pytest.mark.usefixtures("here")
def test_a_full_disk_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    free = shutil.disk_usage("/")._replace(free=10 * 2**20)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: free)
    [mistake] = mistakes(monkeypatch, "sqlite:///farebox.db")
    assert mistake.startswith("disk: only 10 MB are free in ")


@pytest.mark.usefixtures("here")
def test_a_database_that_is_not_migrated_is_told(pg_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    told = "database: its tables are not the ones that this version needs → farebox migrate"
    assert mistakes(monkeypatch, pg_url) == [told]


@pytest.mark.usefixtures("here")
def test_a_database_of_a_newer_farebox_is_told(empty_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with closing(Database(migrated(empty_url))) as database, database.write() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    told = "database: it is at revision 9999, of a newer Farebox → install that version of Farebox"
    assert mistakes(monkeypatch, empty_url) == [told]


@pytest.mark.usefixtures("here")
def test_a_database_that_may_only_be_read_is_told(
    pg_url: str, postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = migrated(pg_url).rpartition("/")[2]
    with psycopg.connect(postgres.url(), autocommit=True) as admin:
        admin.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    [mistake] = mistakes(monkeypatch, pg_url)
    assert "cannot be used (cannot execute INSERT in a read-only transaction) → " in mistake


def test_a_write_that_the_doctor_tries_leaves_nothing(
    here: Path, empty_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(Database(migrated(empty_url))) as database, database.read() as connection:
        assert mistakes(monkeypatch, empty_url) == []
        assert list(connection.exec_driver_sql("SELECT * FROM note")) == []
    assert list(here.iterdir()) == []


def test_a_secret_that_is_lost_or_another_is_told(here: Path, empty_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    printed(here, "accounts", "create", "ada@example.com", "--plan", "pro", FAREBOX_DATABASE_URL=migrated(empty_url))
    assert mistakes(monkeypatch, empty_url) == []
    (here / "farebox.secret").rename(here / "kept")
    [mistake] = mistakes(monkeypatch, empty_url)
    assert mistake.startswith("secret: this database's keys were made under a secret that is not here → run Farebox in")
    assert not (here / "farebox.secret").exists()
    monkeypatch.setenv("FAREBOX_SECRET_KEY", "another secret, as long as that")
    [mistake] = mistakes(monkeypatch, empty_url)
    assert mistake.startswith("secret: this database's keys were made under another secret")
    monkeypatch.setenv("FAREBOX_SECRET_KEY", (here / "kept").read_text())
    assert mistakes(monkeypatch, empty_url) == []


@pytest.mark.usefixtures("here")
def test_a_clock_that_differs_from_the_databases_is_told(pg_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    name = migrated(pg_url).rpartition("/")[2]
    with psycopg.connect(pg_url, autocommit=True) as admin:
        # Found before PostgreSQL's own, it is its clock.
        admin.execute(
            "CREATE FUNCTION public.clock_timestamp() RETURNS timestamptz LANGUAGE sql AS"
            " $$ SELECT pg_catalog.clock_timestamp() - interval '30 seconds' $$"
        )
        admin.execute(f"ALTER DATABASE {name} SET search_path = public, pg_catalog")
    told = "clock: this machine's is 30 s ahead of the database's → switch on time synchronisation (NTP)"
    assert mistakes(monkeypatch, pg_url) == [told]


@pytest.mark.usefixtures("here")
def test_a_locked_sqlite_file_is_told(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("farebox.store.database.SQLITE_BUSY_SECONDS", 0.1)
    migrated("sqlite:///farebox.db")
    with closing(sqlite3.connect(here / "farebox.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        [mistake] = mistakes(monkeypatch, "sqlite:///farebox.db")
    assert mistake.startswith("database: farebox.db cannot be used (database is locked) → ")
