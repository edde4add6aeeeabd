"""What every command starts from: the founder's product, the settings, the database."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from farebox import settings as settings_module
from farebox.app import Farebox
from farebox.cli.load import load_app
from farebox.domain.errors import FounderError
from farebox.domain.product import Product
from farebox.settings import Settings
from farebox.store.accounts import StoredAccounts
from farebox.store.database import Database
from farebox.store.health import DatabaseTrouble, folder_lacks, told
from farebox.wiring import open_store

AppOption = Annotated[
    str | None,
    typer.Option("--app", help="Your product: module:app, or a path to a file. Default: app.py here, else the demo."),
]
AppArgument = Annotated[
    str | None,
    typer.Argument(help="Your product: module:app, or a path to a file. Default: app.py here, else the demo."),
]


@dataclass(slots=True)
class Shop:
    """A product with its database open."""

    app: Farebox
    settings: Settings
    database: Database
    secret: bytes
    accounts: StoredAccounts

    @property
    def product(self) -> Product:
        return self.app.product


def open_shop(target: str | None, *, migrate: bool = False) -> Shop:
    """Load the product and open its database.

    Raises:
        FounderError: a mistake in the file or the settings.
    """
    app = load_app(target)
    settings = settings_module.load(app.folder)
    with usable_database(settings):
        database, secret = _open_database(settings, migrate=migrate)
    return Shop(app, settings, database, secret, StoredAccounts(database))


@contextmanager
def usable_database(settings: Settings) -> Iterator[None]:
    """Tell whatever a driver raises as a founder's mistake, with what to do where that is plain.

    Raises:
        FounderError: the block could not use the database.
    """
    try:
        with told():
            yield
    except DatabaseTrouble as error:
        path = Database(settings.database_url).path
        lacking = folder_lacks(path) if path is not None else None
        if lacking is not None:
            raise FounderError(f"The database cannot be used: {lacking[0]}; {lacking[1]}.") from None
        cause = f"The database cannot be used ({error})."
        raise FounderError(f"{cause} Run `farebox doctor` to see what to do.") from None


def _open_database(settings: Settings, *, migrate: bool) -> tuple[Database, bytes]:
    with closing(Database(settings.database_url)) as database:
        if database.is_memory:
            raise FounderError(
                "A database in memory belongs to one process alone and ends with it. "
                "Name a file: FAREBOX_DATABASE_URL=sqlite:///farebox.db"
            )
        if migrate:
            database.migrate()
    return open_store(settings, Path.cwd())
