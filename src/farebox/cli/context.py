"""What every command starts from: the founder's product, the settings, the database."""

import importlib
import importlib.util
import os
import sys
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

import typer

from farebox import settings as settings_module
from farebox.app import Farebox
from farebox.domain.errors import FounderError
from farebox.domain.plan import Product
from farebox.settings import Settings
from farebox.store.accounts import StoredAccounts
from farebox.store.database import Database
from farebox.wiring import open_store

APP_VARIABLE: Final = "FAREBOX_APP"

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

    product: Product
    settings: Settings
    database: Database
    secret: bytes
    accounts: StoredAccounts


def open_shop(target: str | None) -> Shop:
    """Load the product and open its database.

    Raises:
        FounderError: a mistake in the file or the settings.
    """
    app = load_app(target)
    settings = settings_module.load(app.folder)
    database, secret = open_store(settings, Path.cwd())
    return Shop(app.product, settings, database, secret, StoredAccounts(database))


def load_app(target: str | None) -> Farebox:
    """The founder's application; without a target the working directory's `app.py`, else the demo product.

    Raises:
        FounderError: it cannot be loaded; the message names the line.
    """
    if target is None:
        if not Path("app.py").exists():
            demo = Farebox()
            demo.folder = None
            return demo
        target = "app.py"
    module_name, _, attribute = target.partition(":")
    # A Windows path has a colon of its own: C:\shop\app.py
    if len(module_name) == 1 and os.sep == "\\":
        module_name, attribute = target, ""
    found = getattr(_load_module(module_name), attribute or "app", None)
    if not isinstance(found, Farebox):
        raise FounderError(
            f"{module_name} has no {attribute or 'app'!r} that is a Farebox. Write in it: app = Farebox(…), or name "
            "yours as in: farebox dev module:app"
        )
    return found


def _load_module(name: str) -> object:
    path = Path(name)
    is_file = path.suffix == ".py" or os.sep in name or "/" in name
    if is_file and not path.exists():
        raise FounderError(f"There is no file {name}.")
    sys.path.insert(0, str(path.resolve().parent if is_file else Path.cwd()))
    module = path.stem if is_file else name
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name != module.partition(".")[0]:
            raise _told(error, module) from None
        raise FounderError(f"There is no module {module!r} here.") from None
    except Exception as error:  # noqa: BLE001  # whatever the founder's file raises is told in a sentence
        raise _told(error, module) from None


def _told(error: Exception, module: str) -> FounderError:
    """The founder's mistake with the line of their file that made it."""
    if isinstance(error, SyntaxError):
        return FounderError(f"{error.filename}, line {error.lineno}: {error.msg}.")
    here = str(Path(__file__).resolve().parents[1])
    frames = [f for f in traceback.extract_tb(error.__traceback__) if not f.filename.startswith((here, "<frozen"))]
    frames = [f for f in frames if f"{os.sep}importlib{os.sep}" not in f.filename]
    place = f"{frames[-1].filename}, line {frames[-1].lineno}" if frames else module
    what = str(error) if isinstance(error, FounderError) else f"{type(error).__name__}: {error}"
    return FounderError(f"{place}: {what}")
