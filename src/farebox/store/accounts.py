"""Accounts and keys in the database."""

from sqlalchemy import Table, insert, select, update

from farebox.ports import AccountRow, KeyRow
from farebox.store.database import Database
from farebox.store.tables import account, api_key


class StoredAccounts:
    """The port `Accounts` over one database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def now_us(self) -> int:
        with self._database.read() as connection:
            return self._database.now_us(connection)

    def account_by_email(self, email: str) -> AccountRow | None:
        with self._database.read() as connection:
            row = connection.execute(select(account).where(account.c.email == email.strip().lower())).first()
        return AccountRow(*row) if row is not None else None

    def add_account(self, row: AccountRow) -> None:
        self._insert(account, row._asdict())

    def list_keys(self, email: str | None = None) -> list[KeyRow]:
        found = select(api_key).order_by(api_key.c.created_us, api_key.c.id)
        if email is not None:
            owner = select(account.c.id).where(account.c.email == email.strip().lower())
            found = found.where(api_key.c.account_id.in_(owner))
        with self._database.read() as connection:
            return [KeyRow(*row) for row in connection.execute(found)]

    def add_key(self, row: KeyRow) -> None:
        self._insert(api_key, row._asdict())

    def revoke_key(self, account_id: str, key_id: str) -> None:
        self._set(account_id, key_id, revoked_us=self.now_us())

    def expire_key(self, account_id: str, key_id: str, expires_us: int) -> None:
        self._set(account_id, key_id, expires_us=expires_us)

    def _insert(self, table: Table, values: dict[str, object]) -> None:
        with self._database.write() as connection:
            connection.execute(insert(table).values(values))

    def _set(self, account_id: str, key_id: str, **values: int) -> None:
        one = (api_key.c.account_id == account_id) & (api_key.c.id == key_id)
        with self._database.write() as connection:
            connection.execute(update(api_key).where(one).values(values))
