"""A desk on one database, and a look behind it."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any, Final

from sqlalchemy import text

from farebox.account import sessions
from farebox.account.desk import Desk, LoggedIn, Proofs
from farebox.account.join import ask_to_join, confirm
from farebox.account.log_in import log_in
from farebox.adapters.authenticators import WebAuthn
from farebox.adapters.vault import AesVault
from farebox.domain.events import Event
from farebox.domain.people import Allowance, Client, PersonError, link_token
from farebox.domain.plan import Plan
from farebox.domain.product import Product
from farebox.ports.people import Visit
from farebox.ports.proofs import OtherService
from farebox.store.database import Database
from farebox.store.keys import StoredKeys
from farebox.store.people.addresses import StoredAddresses
from farebox.store.people.ceremonies import StoredCeremonies
from farebox.store.people.identities import StoredIdentities
from farebox.store.people.passkeys import StoredPasskeys
from farebox.store.people.people import StoredPeople
from farebox.store.people.second_factors import StoredSecondFactors
from farebox.store.tables import metadata
from farebox.wiring.people import upkeep_of

SECRET: Final = b"a secret of the tests, long enough"
PRODUCT: Final = Product("Till", plans=(Plan("free", calls=20), Plan("pro", usd=29, calls=5_000)))
CLIENT: Final = Client("203.0.113.9", "Firefox")
ADA: Final = "ada@example.com"
GOOD: Final = "three odd words"
OTHER: Final = "four other odd words"


class CountedPasswords:
    """As much of hashing as the use cases see, counted, and free."""

    def __init__(self) -> None:
        self.done: list[str] = []

    def hash(self, password: str) -> str:
        self.done.append("hash")
        return f"hash of {password}"

    def check(self, password_hash: str | None, password: str) -> bool:
        self.done.append("check")
        return password_hash in {f"hash of {password}", f"old hash of {password}"}

    def is_outdated(self, password_hash: str) -> bool:
        return password_hash.startswith("old")


class World:
    """A desk on one database, and a look behind it."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.people = StoredPeople(database)
        self.passwords = CountedPasswords()
        self.told: list[Event] = []
        self.woken = 0
        self.limits_changed: list[str] = []
        self.services: dict[str, OtherService] = {}
        self.keys = StoredKeys(database)
        self.desk = Desk(
            people=self.people,
            keys=self.keys,
            passwords=self.passwords,
            secret=SECRET,
            product=PRODUCT,
            mail_written=self._wake,
            tell=self.told.append,
            proofs=self._proofs(),
            upkeep=upkeep_of(database, self.limits_changed.append),
        )

    def over(self) -> Desk:
        """The same desk, where the first plan charges for calls beyond it."""
        return replace(self.desk, product=Product("Till", plans=(Plan("free", calls=20, overage_usd="0.01"),)))

    def _proofs(self) -> Proofs:
        return Proofs(
            StoredCeremonies(self.database),
            StoredSecondFactors(self.database),
            StoredPasskeys(self.database),
            StoredIdentities(self.database),
            StoredAddresses(self.database),
            lambda: AesVault(SECRET),
            WebAuthn,
            self.services,
        )

    def _wake(self) -> None:
        self.woken += 1

    def rows(self, sql: str, **values: object) -> list[tuple[Any, ...]]:
        with self.database.write() as connection:
            done = connection.execute(text(sql), values)
            return [tuple(row) for row in done] if done.returns_rows else []

    def count(self, table: str) -> int:
        return int(self.rows(f"SELECT count(*) FROM {table}")[0][0])

    def counts(self) -> dict[str, int]:
        return {name: self.count(name) for name in ("person", "account", "member", "session", "link", "mail", "audit")}

    def use_up(self, *allowances: Allowance) -> None:
        """Have something been done as often as it may be."""
        for subject, most, _ in allowances:
            self.rows(
                "INSERT INTO guess WITH RECURSIVE numbers (n) AS "
                "(SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < :most) "
                "SELECT CAST(:subject AS TEXT), CAST(n AS TEXT), CAST(:at_us AS BIGINT) FROM numbers",
                most=most, subject=subject, at_us=self.people.now_us(),
            )  # fmt: skip

    def token(self, purpose: str = "confirm", email: str = ADA) -> str:
        """The token of the last link that was mailed to an address."""
        found = self.rows(
            "SELECT id FROM link WHERE purpose = :purpose AND email = :email ORDER BY created_us DESC, id DESC",
            purpose=purpose, email=email,
        )  # fmt: skip
        return link_token(SECRET, found[0][0])

    def join(self, email: str = ADA, password: str = GOOD) -> LoggedIn:
        browser = ask_to_join(self.desk, CLIENT, email=email, password=password)
        return confirm(self.desk, CLIENT, token=self.token(email=email), browser=browser)[0]

    def visit(self, cookie: str) -> Visit:
        found = sessions.visit(self.desk, cookie)
        assert found is not None
        return found

    def is_out(self, *cookies: str) -> bool:
        return all(sessions.visit(self.desk, cookie) is None for cookie in cookies)

    def traces_of(self, *texts: str) -> list[str]:
        """Where in the database these texts stand, but for the audit log."""
        return sorted(
            f"{table.name}: {row[2]}" if table.name == "mail" else table.name
            for table in metadata.sorted_tables
            if table.name != "audit"
            for row in self.rows(f"SELECT * FROM {table.name}")
            if any(part in str(row) for part in texts)
        )

    def log_in(self, password: str = GOOD, email: str = ADA) -> str:
        return log_in(self.desk, CLIENT, email=email, password=password).cookie


def together(count: int, work: Callable[[], object]) -> list[object]:
    """The results of so many at once; what was raised is a result."""

    def one(_: int) -> object:
        try:
            return work()
        except PersonError as error:
            return error

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(one, range(count)))
