"""The command `farebox migrate`."""

from contextlib import closing

import typer

from farebox import settings as settings_module
from farebox.cli.context import AppOption, usable_database
from farebox.cli.load import load_app
from farebox.store.database import Database
from farebox.store.migrations import HEAD


def migrate(app: AppOption = None) -> None:
    """Bring the database's tables up to date. Run it before a new version serves; running it again does nothing."""
    settings = settings_module.load(load_app(app).folder)
    with usable_database(settings), closing(Database(settings.database_url)) as database:
        before = database.revision()
        database.migrate()
    typer.echo(f"The database is at revision {HEAD}." + ("" if before != HEAD else " It was already."))
