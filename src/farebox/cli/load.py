"""Load the founder's file. A mistake in it is told in a sentence, with its line."""

import difflib
import gc
import importlib
import inspect
import os
import re
import sys
import sysconfig
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Final

from farebox.app import Farebox
from farebox.cli import GC_THRESHOLD
from farebox.domain.brand import Brand
from farebox.domain.errors import FounderError
from farebox.domain.pack import Pack
from farebox.domain.plan import Plan
from farebox.domain.product import DEMO_TAGLINE

APP_VARIABLE: Final = "FAREBOX_APP"
# Files in which a mistake of the founder's may show, but was not made.
NOT_THEIRS: Final = (
    "<", str(Path(__file__).resolve().parents[1]), sysconfig.get_path("stdlib"), sysconfig.get_path("purelib")
)  # fmt: skip
# The callables that a founder writes arguments for, by their names in Python's own errors.
WRITTEN: Final[dict[str, Callable[..., object]]] = {
    "Farebox.__init__": Farebox, "Plan.__init__": Plan, "Pack.__init__": Pack, "Brand.__init__": Brand,
    "Farebox.paid": Farebox.paid,
}  # fmt: skip
_UNKNOWN_ARGUMENT: Final = re.compile(r"(\S+)\(\) got an unexpected keyword argument '(\w+)'")


def served_app() -> Farebox:
    """The product of a serving process, which the environment names."""
    app = load_app(os.environ.get(APP_VARIABLE) or None)
    # Objects of the start-up stay for good: walking them again at each collection costs a tenth of a call.
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
            f"{module_name} has no {attribute or 'app'!r} that is a Farebox. Add app = Farebox(…) to it, or name "
            "yours, as in: farebox dev module:app"
        )
    found.check()
    return found


def _load_module(name: str) -> object:
    path = Path(name)
    is_file = path.suffix == ".py" or os.sep in name or "/" in name
    if is_file and not _is_there(path):
        raise FounderError(f"There is no file {name}; check the path.")
    if path.is_dir() and (is_file or name in {".", ".."}):
        raise FounderError(f"{name} is a folder; name the file in it, as {path / 'app.py'}")
    sys.path.insert(0, str(path.resolve().parent if is_file else Path.cwd()))
    module = path.stem if is_file else name
    try:
        found = importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name != module.partition(".")[0]:
            raise _told(error, str(path.resolve()) if is_file else module) from None
        raise FounderError(f"There is no module {module!r} here; name your file, as in: farebox dev app.py") from None
    except (Exception, SystemExit) as error:  # noqa: BLE001  # whatever the founder's file raises is told in a sentence
        raise _told(error, str(path.resolve()) if is_file else module) from None
    if getattr(found, "__file__", None) is None and path.is_dir():
        raise FounderError(f"{name} is a folder; go into it, or name the file in it, as {path / 'app.py'}")
    if is_file and Path(found.__file__ or "").resolve() != path.resolve():
        raise FounderError(f"{name} has the same name as another module, {module!r}; rename the file.")
    return found


def _is_there(path: Path) -> bool:
    try:
        return path.exists()
    except OSError as error:
        raise _unreadable(error, str(path)) from None


def _unreadable(error: OSError, file: str) -> FounderError:
    return FounderError(f"{file} cannot be read ({error.strerror}); let the user who runs farebox read it.")


def _told(error: BaseException, file: str) -> FounderError:
    """The founder's mistake with the line of their file that made it."""
    if isinstance(error, SyntaxError):
        where = f"{error.filename}, line {error.lineno}" if error.filename else file
        return FounderError(f"{where}: {error.msg}.")
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if not frame.filename.startswith(NOT_THEIRS)]
    place = f"{frames[-1].filename}, line {frames[-1].lineno}" if frames else file
    if isinstance(error, OSError) and not frames:
        return _unreadable(error, error.filename or file)
    if isinstance(error, SystemExit):
        return FounderError(f"{place}: the file exits when it is loaded; take that line out.")
    what = str(error) if isinstance(error, FounderError) else f"{type(error).__name__}: {error}"
    return FounderError(f"{place}: {_wrong_argument(error) or what}")


def _wrong_argument(error: BaseException) -> str:
    """The sentence about an argument that there is not, such as a misspelled one; empty for any other error."""
    found = _UNKNOWN_ARGUMENT.match(str(error)) if isinstance(error, TypeError) else None
    written = WRITTEN.get(found[1]) if found else None
    if found is None or written is None:
        return ""
    known = [name for name in inspect.signature(written).parameters if name not in {"self", "function"}]
    near = difflib.get_close_matches(found[2], known, 1)
    more = f"did you mean {near[0]}=…?" if near else f"it takes {', '.join(known)}."
    name = "@app.paid" if written is Farebox.paid else found[1].removesuffix(".__init__")
    return f"{name} has no argument {found[2]!r}; {more}"
