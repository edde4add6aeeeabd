"""The ceremonies that browsers have begun, in the database. Loaded by pages only."""

from sqlalchemy import ColumnElement, and_, delete, insert, select

from farebox.domain.people import Ceremony, CeremonyKind
from farebox.store.database import Database
from farebox.store.tables_people import ceremony


class StoredCeremonies:
    """The port `Ceremonies` over one database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def begin(self, begun: Ceremony) -> None:
        with self._database.write() as connection:
            connection.execute(insert(ceremony).values(begun._asdict()))

    def look(self, digest: str, kind: CeremonyKind) -> Ceremony | None:
        with self._database.read() as connection:
            is_open = _is_open(digest, kind, self._database.now_us(connection))
            row = connection.execute(select(ceremony).where(is_open)).first()
        return Ceremony(*row) if row is not None else None

    def end(self, digest: str, kind: CeremonyKind) -> Ceremony | None:
        with self._database.write() as connection:
            is_open = _is_open(digest, kind, self._database.now_us(connection))
            row = connection.execute(select(ceremony).where(is_open)).first()
            if row is None or connection.execute(delete(ceremony).where(is_open)).rowcount == 0:
                return None
            return Ceremony(*row)


def _is_open(digest: str, kind: CeremonyKind, now_us: int) -> ColumnElement[bool]:
    return and_(ceremony.c.digest == digest, ceremony.c.kind == kind, ceremony.c.expires_us > now_us)
