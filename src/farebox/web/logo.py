"""The founder's logo: read once, at start-up, with its shape, so that no page moves when it comes."""

import re
from pathlib import Path
from typing import Final, NamedTuple

from farebox.domain.errors import FounderError

BYTES_MAX: Final = 30_000
TYPES: Final = {".svg": "image/svg+xml", ".png": "image/png"}
HEIGHT_PIXELS: Final = 32
SIDES_MAX: Final = 8.0
WORDMARK: Final = 1.6  # a logo this much wider than high has the name in it
PNG_HEAD: Final = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR"
_SVG: Final = re.compile(rb"<svg\b[^>]*>", re.IGNORECASE)
_BOX: Final = re.compile(rb"""\bviewBox\s*=\s*["']\s*[-\d.]+[\s,]+[-\d.]+[\s,]+([\d.]+)[\s,]+([\d.]+)\s*["']""")
_SIDES: Final = tuple(
    re.compile(rb"""\s%b\s*=\s*["']\s*([\d.]+)(?:px)?\s*["']""" % side) for side in (b"width", b"height")
)


class Logo(NamedTuple):
    """A picture, and its width divided by its height."""

    content: bytes
    content_type: str
    asset: str
    """Its name among the files that pages load."""
    sides: float

    @property
    def width_pixels(self) -> int:
        return max(1, round(HEIGHT_PIXELS * self.sides))

    @property
    def is_wordmark(self) -> bool:
        """Whether it is shown in place of the name, and not beside it."""
        return self.sides > WORDMARK


def read_logo(folder: Path | None, name: str | None) -> Logo | None:
    """Read the logo that the founder's file names, from the same folder.

    Raises:
        FounderError: it is not there, too large, or no picture that pages show.
    """
    if name is None:
        return None
    path = (folder or Path.cwd()) / name
    content_type = TYPES.get(path.suffix.lower())
    if content_type is None:
        raise FounderError(f"Brand(logo={name!r}): a logo has to be an .svg or a .png file.")
    try:
        content = path.read_bytes()
    except OSError as error:
        raise FounderError(f"Brand(logo={name!r}): {path} cannot be read ({error.strerror}); check the path.") from None
    if len(content) > BYTES_MAX:
        raise FounderError(
            f"Brand(logo={name!r}): the file has {len(content):,} bytes, and every page loads it; save it "
            f"smaller, {BYTES_MAX:,} bytes at most."
        )
    sides = _sides(content)
    if sides is None or not 1 / SIDES_MAX <= sides <= SIDES_MAX:
        raise FounderError(
            f"Brand(logo={name!r}): its width and height cannot be read, or one is more than {SIDES_MAX:g} times the "
            "other. An SVG says them in viewBox."
        )
    return Logo(content, content_type, f"logo{path.suffix.lower()}", sides)


def _sides(content: bytes) -> float | None:
    """The width of a picture divided by its height."""
    if content.startswith(PNG_HEAD):
        width, height = (float(int.from_bytes(content[at : at + 4])) for at in (16, 20))
    elif (tag := _SVG.search(content)) is not None:
        box = _BOX.search(tag[0])
        found = box.groups() if box else [side[1] for side in (one.search(tag[0]) for one in _SIDES) if side]
        try:
            width, height = (float(side) for side in found)
        except ValueError:
            return None
    else:
        return None
    return width / height if height else None
