"""Load the founder's file. A mistake in it is told in a sentence, with its line."""

import gc
import importlib
import os
import sys
import sysconfig
import traceback
from pathlib import Path
from typing import Final

from farebox.app import Farebox
from farebox.domain.errors import FounderError
from farebox.domain.product import DEMO_TAGLINE

APP_VARIABLE: Final = "FAREBOX_APP"
# Where a mistake in the founder's file may show, and was not made.
NOT_THEIRS: Final = (
    "<", str(Path(__file__).resolve().parents[1]), sysconfig.get_path("stdlib"), sysconfig.get_path("purelib")
)  # fmt: skip
GC_THRESHOLD: Final = 10_000  # objects; Python's 700 is a handful of calls


def served_app() -> Farebox:
    """The product of a serving process, which finds it by the environment."""
    app = load_app(os.environ.get(APP_VARIABLE) or None)
    # What start-up has made stays for good: to walk it again at each collection costs a tenth of a call.
    gc.collect()
    gc.freeze()
    gc.set_threshold(GC_THRESHOLD)
    return app


def load_app(target: str | None) -> Farebox:
    """The founder's application; without a target the working directory's `app.py`, else the demo product.

    Raises:
        FounderError: it cannot be loaded; the message names the line.
    """
    if target is None:
        if not Path("app.py").exists():
            demo = Farebox(tagline=DEMO_TAGLINE)
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
    found.check()
    return found


def _load_module(name: str) -> object:
    path = Path(name)
    is_file = path.suffix == ".py" or os.sep in name or "/" in name
    if is_file and not path.exists():
        raise FounderError(f"There is no file {name}; check the path.")
    sys.path.insert(0, str(path.resolve().parent if is_file else Path.cwd()))
    module = path.stem if is_file else name
    try:
        found = importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name != module.partition(".")[0]:
            raise _told(error, module) from None
        raise FounderError(f"There is no module {module!r} here; name your file, as in: farebox dev app.py") from None
    except Exception as error:  # noqa: BLE001  # whatever the founder's file raises is told in a sentence
        raise _told(error, module) from None
    if is_file and Path(found.__file__ or "").resolve() != path.resolve():
        raise FounderError(f"{name} has the name of another module, {module!r}; rename the file.")
    return found


def _told(error: Exception, module: str) -> FounderError:
    """The founder's mistake with the line of their file that made it."""
    if isinstance(error, SyntaxError):
        return FounderError(f"{error.filename}, line {error.lineno}: {error.msg}.")
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if not frame.filename.startswith(NOT_THEIRS)]
    place = f"{frames[-1].filename}, line {frames[-1].lineno}" if frames else module
    what = str(error) if isinstance(error, FounderError) else f"{type(error).__name__}: {error}"
    return FounderError(f"{place}: {what}")
