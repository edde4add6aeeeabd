"""A founder's folder with an app file, its database, and the real commands run in it."""

import secrets
import time
from collections.abc import Collection, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from farebox.domain import apikey
from farebox.domain.apikey import Mode
from farebox.domain.period import DAY_US
from farebox.ports.calls import AccountRow, KeyRow
from farebox.store.database import Database
from farebox.store.money.wallet import StoredCredit
from farebox.store.reconcile.sums import reconcile
from tests.services.command import printed
from tests.services.load import Reply, Request, fire_all
from tests.services.served import Served
from tests.services.sums import check_credit, check_sums_at, connected, held
from tests.services.upstream import FakeUpstream

SECRET = "a secret for tests, of more than 16 characters"
PROVIDER_KEY = "sk-provider-key-of-the-tests"
BRAND = "till"

# Prices are given, so that the tests' sums stay right when the published ones change.
APP = """
from farebox import Farebox, Plan

app = Farebox(
    "Till",
    model="openai:gpt-4o-mini",
    embedding_model="openai:text-embedding-3-small",
    prices={"gpt-4o-mini": (0.15, 0.60), "text-embedding-3-small": (0.02, 0)},
    plans=[
        Plan("open"),
        Plan("one", calls=1),
        Plan("hundred", calls=100),
        Plan("short", calls=1_000, max_output_tokens=30),
        Plan("burst", calls=1_000, burst="5/10s"),
        Plan("tokens", tokens=20_000),
        Plan("credit", credit_usd="0.02", markup=0.2),
        Plan("prepaid", calls=0, overage_usd="0.01", prepaid=True),
        Plan("words", tokens=0, overage_usd_per_1k_tokens="0.01", prepaid=True),
        Plan("over", calls=10, overage_usd="0.01"),
    ],
)
"""


class Shop:
    """One product on one database. Every command runs as a founder would run it: in the folder, by its name."""

    def __init__(self, folder: Path, database_url: str, upstream: FakeUpstream | None, app: str = APP) -> None:
        self.folder = folder
        self.database_url = database_url
        self.is_sqlite = database_url.startswith("sqlite")
        (folder / "app.py").write_text(app)
        self.settings = {"FAREBOX_DATABASE_URL": database_url, "FAREBOX_SECRET_KEY": SECRET}
        if upstream is not None:
            self.settings |= {"OPENAI_BASE_URL": upstream.base_url, "OPENAI_API_KEY": PROVIDER_KEY}
        with closing(Database(database_url)) as database:
            database.migrate()

    def farebox(self, *arguments: str) -> str:
        """What a command printed; it must succeed."""
        return printed(self.folder, *arguments, **self.settings)

    def served(self, *, workers: int = 4, **settings: str) -> Served:
        """`farebox serve`, not yet started."""
        return Served(workers=workers, env=self.settings | settings, cwd=self.folder)

    def served_in_earnest(self, *, workers: int = 4, **settings: str) -> Served:
        """For tests of what a process loads, and of its memory."""
        return Served(workers=workers, env=self.settings | settings, cwd=self.folder, in_earnest=True)

    # -- accounts and keys

    def sign_up(self, email: str, plan: str) -> str:
        """An account and its key, through the commands."""
        self.farebox("accounts", "create", email, "--plan", plan)
        return self.farebox("keys", "create", email).splitlines()[-1]

    def new_keys(
        self, plan: str, count: int = 1, mode: Mode = "live", *, cap_calls: int | None = None, scopes: str = ""
    ) -> list[str]:
        """As many accounts with a key each, without the cost of two commands for each."""
        now_us = time.time_ns() // 1000
        keys = [apikey.mint(BRAND, mode, secrets.randbelow) for _ in range(count)]
        with connected(self.database_url) as connection:
            cursor = connection.cursor()
            for key in keys:
                account_id = f"acct_{secrets.token_hex(8)}"
                account = AccountRow(account_id, f"{account_id}@example.com", plan, "active", now_us, now_us)
                digest = apikey.digest(SECRET.encode(), key)
                key_id = f"key_{secrets.token_hex(8)}"
                limits = (scopes, cap_calls, "" if cap_calls is None else key_id)
                row = KeyRow(account_id, key_id, digest, "", mode, key.prefix, key.last4, now_us, None, None, *limits)
                cursor.execute(self._sql(f"INSERT INTO account VALUES ({_marks(account)})"), account)
                cursor.execute(self._sql(f"INSERT INTO api_key VALUES ({_marks(row)})"), row)
        return [key.text for key in keys]

    def new_key(self, plan: str, mode: Mode = "live", *, cap_calls: int | None = None, scopes: str = "") -> str:
        return self.new_keys(plan, mode=mode, cap_calls=cap_calls, scopes=scopes)[0]

    # -- what pays for calls beyond a plan

    def subscribe(self, key: str) -> None:
        """Make a key's account somebody whom Stripe knows, and who is invoiced."""
        account_id = self.account_of(key)
        customer = f"cus_{account_id.removeprefix('acct_')}"
        self.query("UPDATE account SET customer_id = %s, is_subscribed = 1 WHERE id = %s", customer, account_id)

    def buy(self, key: str, *bought: tuple[str, int, int]) -> None:
        """Give a key's account credit: the name of each pack, its nanodollars, and the days after which it ends."""
        account_id, now_us = self.account_of(key), time.time_ns() // 1000
        with closing(Database(self.database_url)) as database:
            for pack, nanodollars, days in bought:
                source = f"pi_{pack}_{account_id}"
                assert StoredCredit(database).grant(account_id, source, pack, nanodollars, now_us + days * DAY_US)

    # -- the database

    def query(self, sql: str, *parameters: object) -> list[tuple[Any, ...]]:
        """Rows of a statement, which has %s for its parameters; none where it is no query."""
        with connected(self.database_url) as connection:
            cursor = connection.execute(self._sql(sql), parameters)
            return cursor.fetchall() if cursor.description else []

    def _sql(self, sql: str) -> str:
        return sql.replace("%s", "?") if self.is_sqlite else sql

    def scalar(self, sql: str, *parameters: object) -> Any:  # noqa: ANN401 - what the column holds
        return self.query(sql, *parameters)[0][0]

    def account_of(self, key: str) -> str:
        return str(self.scalar("SELECT account_id FROM api_key WHERE digest = %s", digest_of(key)))

    def _owners_of(self, keys: Collection[str]) -> set[str]:
        if len(keys) == 1:
            return {self.account_of(key) for key in keys}
        found = dict(self.query("SELECT digest, account_id FROM api_key"))
        return {found[digest_of(key)] for key in keys}

    def records(self, columns: str, *keys: str) -> list[tuple[Any, ...]]:
        """Usage rows of the keys' accounts in the order of their admission; of all accounts without a key."""
        found = self.query(f"SELECT account_id, {columns} FROM usage_record ORDER BY admitted_us, call_id")
        owners = self._owners_of(keys)
        return [row[1:] for row in found if not keys or row[0] in owners]

    def meter(self, key: str, *, of_key: bool = False) -> dict[str, Any]:
        """The one meter of a key's account, or of its own cap."""
        names = (
            "posted_calls", "held_calls", "posted_tokens", "held_tokens", "posted_nanodollars", "held_nanodollars",
        )  # fmt: skip
        which = "NOT IN" if of_key else "IN"
        sql = f"SELECT {', '.join(names)} FROM meter WHERE account_id = %s AND name {which} ('live', 'test')"
        rows = self.query(sql, self.account_of(key))
        assert len(rows) == 1, f"{len(rows)} meters"
        return dict(zip(names, rows[0], strict=True))

    def held(self) -> int:
        """Open holds, and meters that hold something, of all accounts; zero when nothing is under way."""
        with connected(self.database_url) as connection:
            return held(connection)

    def assert_sums(self) -> None:
        """Every sum is right, as the tests reckon it and as `farebox reconcile` does."""
        assert check_sums_at(self.database_url) == []
        with connected(self.database_url) as connection:
            assert check_credit(connection) == []
        with closing(Database(self.database_url)) as database:
            assert reconcile(database, {}).findings == []


def digest_of(key: str) -> str:
    parsed = apikey.parse(key)
    assert parsed is not None
    return apikey.digest(SECRET.encode(), parsed)


def _marks(row: tuple[object, ...]) -> str:
    return ", ".join(["%s"] * len(row))


def ask(served: Served, key: str, prompt: str = "Say hello", **more: object) -> Request:
    """A call of POST /v1/generate."""
    return generate(served.url, key, {"prompt": prompt, **more})


def generate(url: str, key: str, body: object, headers: Mapping[str, str] | None = None) -> Request:
    return Request(f"{url}/v1/generate", body, {"x-api-key": key, **(headers or {})})


def send(request: Request, *, timeout_seconds: float = 30) -> Reply:
    """One call, whose answer must come whole."""
    [reply] = fire_all([request], timeout_seconds=timeout_seconds)
    if reply.error is not None:
        raise reply.error
    return reply


def get(url: str, key: str | None = None) -> Reply:
    return send(Request(url, method="GET", headers={} if key is None else {"x-api-key": key}))


def assert_problem(reply: Reply, status: int, code: str) -> dict[str, Any]:
    """The answer is the problem body, whole and for both worlds; the body."""
    assert reply.status == status, reply.body
    assert reply.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = reply.json()
    assert body.keys() >= {"type", "title", "status", "detail", "instance", "error"}
    assert body["error"].keys() == {"message", "type", "param", "code"}
    assert body["type"].endswith(f"/errors/{code}")
    assert (body["status"], body["error"]["code"]) == (status, code)
    assert body["instance"] == reply.headers["x-request-id"]
    assert body["detail"] == body["error"]["message"]
    assert body["title"]
    assert "Traceback" not in body["detail"]
    return body
