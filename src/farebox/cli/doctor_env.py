"""The doctor's checks of `.env` files: those that are not read, or not readable."""

import difflib
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Final

from farebox.cli.findings import Finding, fix, note, ok
from farebox.domain.providers import PROVIDERS
from farebox.settings import LINE_REMEDY, Settings, lines_not_read

FOLDERS_MAX: Final = 500
OURS: Final = "FAREBOX_"
UNUSED: Final = "FAREBOX_REDIS_URL"
LATER: Final = (UNUSED, "STRIPE_SECRET_KEY", "STRIPE_WEBHOOK_SECRET", "STRIPE_API_BASE")
OF_PROVIDERS: Final = {name for each in PROVIDERS.values() for name in (each.key_variable, each.url_variable)}
KNOWN: Final = frozenset(
    {str(field.validation_alias) for field in Settings.model_fields.values()} | set(LATER) | OF_PROVIDERS
)
LIKENESS: Final = 0.85
_LINE: Final = re.compile(r"^[ \t]*(?:export[ \t]+)?([A-Z][A-Z0-9_]*)[ \t]*=[ \t]*\S", re.MULTILINE)


def check_env_files(folders: Sequence[Path]) -> Iterator[Finding]:
    """The files that are read from these folders, and those that somebody thinks are read."""
    read = [folder / ".env" for folder in dict.fromkeys(folders) if (folder / ".env").is_file()]
    found = [*_unreadable(read), *_misnamed(folders)]
    names = {name for path in read for name in _names(path)} | set(os.environ)
    found += [*_elsewhere(folders, names), *_unknown(names)]
    yield from found
    if UNUSED in names:
        yield note("settings", f"{UNUSED} is read by nothing yet: all that Redis could do, the database does")
    if not found:
        yield ok(".env", " and ".join(f"{path} is read" for path in read) or "there is none, and none has to be")


def _names(path: Path) -> list[str]:
    """The variables that a file sets; none where it cannot be read."""
    with suppress(OSError, UnicodeDecodeError):
        return _LINE.findall(path.read_text(encoding="utf-8-sig"))
    return []


def _unreadable(paths: Sequence[Path]) -> Iterator[Finding]:
    for path in paths:
        try:
            for line in lines_not_read(path):
                yield fix(".env", f"{path}, line {line} cannot be read", LINE_REMEDY)
        except UnicodeDecodeError:
            yield fix(".env", f"{path} is not UTF-8 text", "save it again as UTF-8")
        except OSError as error:
            yield fix(".env", f"{path} cannot be read ({error.strerror})", "make it readable")


def _misnamed(folders: Sequence[Path]) -> Iterator[Finding]:
    for path in (folder / name for folder in dict.fromkeys(folders) for name in (".env.txt", "env.txt")):
        if path.is_file() and KNOWN.intersection(_names(path)):
            yield fix(".env", f"{path} is not read under this name", "rename it to .env")


def _elsewhere(folders: Sequence[Path], names: set[str]) -> Iterator[Finding]:
    """Files in the folders above, and one level below, that set what is set nowhere else."""
    around = [near for folder in folders for near in (*folder.parents, *_below(folder))]
    for path in dict.fromkeys(near / ".env" for near in around if near not in folders):
        missing = sorted(KNOWN.intersection(_names(path)) - names)
        if missing:
            run_there = (path.parent / "app.py").is_file()
            remedy = f"run farebox in {path.parent}" if run_there else f"move it to {folders[0]}"
            yield fix(".env", f"{path} sets {', '.join(missing)}, and is not read", remedy)


def _below(folder: Path) -> list[Path]:
    with suppress(OSError):
        return sorted(islice((path for path in folder.iterdir() if path.is_dir()), FOLDERS_MAX))
    return []


def _unknown(names: set[str]) -> Iterator[Finding]:
    """Settings with a slip of the pen. Other programs may have names like ours, such as Kubernetes' for a service."""
    for name in sorted(name for name in names - KNOWN if name.startswith(OURS)):
        for near in difflib.get_close_matches(name, KNOWN, n=1, cutoff=LIKENESS):
            yield fix("settings", f"{name} is not a setting", f"write it as {near}")
