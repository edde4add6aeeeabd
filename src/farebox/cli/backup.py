"""The command `farebox backup`."""

from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer

from farebox import settings as settings_module
from farebox.cli.context import AppOption, usable_database
from farebox.cli.load import load_app
from farebox.domain.errors import FounderError
from farebox.store.backup import back_up
from farebox.store.database import Database
from farebox.store.sqlite_file import has_data


def backup(
    file: Annotated[Path, typer.Argument(help="The copy's file; a file that exists is never overwritten.")],
    app: AppOption = None,
) -> None:
    """Copy SQLite's database into a file, as it is at this moment, while Farebox may be serving."""
    settings = settings_module.load(load_app(app).folder)
    with usable_database(settings), closing(Database(settings.database_url)) as database:
        if not database.is_sqlite:
            raise FounderError(
                "PostgreSQL has its own command for that. Run it with the address in FAREBOX_DATABASE_URL: "
                f"pg_dump --format=custom --file={file} postgresql://…"
            )
        if database.path is None or not has_data(database.path):
            raise FounderError(f"There is no database {database.name} to copy. Set FAREBOX_DATABASE_URL to yours.")
        size = back_up(database, file)
    secret = "the file farebox.secret" if settings.secret_key is None else "FAREBOX_SECRET_KEY"
    typer.echo(f"{database.name} was copied to {file}: {size / 1e6:.1f} MB.")
    typer.echo(f"Keep {secret} too: without it, no key works on the copy.")
