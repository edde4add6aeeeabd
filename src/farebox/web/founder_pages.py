"""The founder's own pages: `pages/NAME.md` beside the app file is served at /NAME."""

import re
from pathlib import Path
from typing import Final

from farebox.domain.errors import FounderError

HOME: Final = "index"
_NAME: Final = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")


def founder_pages(folder: Path | None) -> dict[str, Path]:
    """The Markdown files, by the name that each is served under; `index` is the first page.

    Raises:
        FounderError: a name that cannot be an address, or a file that is no UTF-8 text.
    """
    found = sorted((folder / "pages").glob("*.md")) if folder is not None else []
    for path in found:
        if not _NAME.fullmatch(path.stem):
            raise FounderError(
                f"{path}: its name becomes its address, so use lower-case letters, digits and '-', as in about-us.md."
            )
        try:
            path.read_text(encoding="utf-8-sig")
        except UnicodeDecodeError:
            raise FounderError(f"{path} is not UTF-8 text; save it again as UTF-8.") from None
        except OSError as error:
            raise FounderError(f"{path} cannot be read ({error.strerror}).") from None
    return {path.stem: path for path in found}
