"""A brand's looks: one colour, and the shades of it that can be read."""

import re
from colorsys import hls_to_rgb, rgb_to_hls
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from farebox.domain.errors import FounderError

CONTRAST_MIN: Final = 4.5  # WCAG 2.2, 1.4.3: text of usual size
COLOUR: Final = "#0f766e"
PAPERS: Final = ("#ffffff", "#f4f6f7")  # the backgrounds of text on light pages: the lightest, and the darkest
DARK_PAPERS: Final = ("#0f1417", "#20282d")
WHITE: Final = "#ffffff"
BLACK: Final = "#000000"
WHITE_SHARE_MIN: Final = 3.0  # with at least this contrast to white, darken for white text; with less, black text
SEEN_MIN: Final = 2.0  # what a button needs to stand out at all; its words say the rest
STEPS: Final = 50
_HEX: Final = re.compile(r"#(?:[0-9a-fA-F]{3}|[0-9a-fA-F]{6})")

Rgb = tuple[float, float, float]


class Shade(NamedTuple):
    """The brand on light or on dark paper."""

    text: str
    """Links, and whatever is written in the brand's colour."""
    fill: str
    """A button."""
    on_fill: str
    """What is written on it."""


@dataclass(frozen=True, slots=True)
class Brand:
    """How the pages look.

    Args:
        colour: the one accent, as "#0f766e". Where it could not be read on the pages' paper, a shade of it is taken.
        logo: an .svg or .png file beside the app file.

    Raises:
        FounderError: a value makes no sense.
    """

    colour: str = COLOUR
    logo: str | None = None
    light: Shade = field(init=False, repr=False)
    dark: Shade = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if not isinstance(self.colour, str) or not _HEX.fullmatch(self.colour):
            raise FounderError(f'Brand(colour={self.colour!r}): write a colour as "#0f766e": # and six digits, 0 to f.')
        if self.logo is not None and (not isinstance(self.logo, str) or not self.logo.strip()):
            raise FounderError(
                f'Brand(logo={self.logo!r}): a logo has to be the name of a file, as in logo="logo.svg".'
            )
        light, dark = _fills(self.colour)
        for name, fill, papers, towards in (("light", light, PAPERS, BLACK), ("dark", dark, DARK_PAPERS, WHITE)):
            text = _readable(self.colour, papers, towards, CONTRAST_MIN)
            object.__setattr__(self, name, Shade(text, fill, _on(fill)))


def contrast(one: str, other: str) -> float:
    """How well two colours can be told apart, from 1 to 21, by WCAG."""
    lighter, darker = sorted((_luminance(_rgb(one)), _luminance(_rgb(other))), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def _fills(colour: str) -> tuple[str, str]:
    """A button's colour on light paper and on dark, the same one if possible."""
    light = _readable(colour, (WHITE,), BLACK, CONTRAST_MIN) if contrast(WHITE, colour) >= WHITE_SHARE_MIN else colour
    is_seen = all(contrast(light, paper) >= SEEN_MIN for paper in DARK_PAPERS)
    return light, light if is_seen else _readable(light, DARK_PAPERS, WHITE, WHITE_SHARE_MIN)


def _on(fill: str) -> str:
    return WHITE if contrast(WHITE, fill) >= CONTRAST_MIN else BLACK


def _readable(colour: str, papers: tuple[str, ...], towards: str, least: float) -> str:
    """The colour, or the nearest darker or lighter one of its hue that stands out from the papers."""
    hue, lightness, saturation = rgb_to_hls(*_rgb(colour))
    end = _rgb(towards)[0]
    for step in range(STEPS + 1):
        found = colour if step == 0 else _hex(hls_to_rgb(hue, lightness + (end - lightness) * step / STEPS, saturation))
        if all(contrast(found, paper) >= least for paper in papers):
            return found
    raise AssertionError("black and white can be read")


def _hex(rgb: Rgb) -> str:
    return "#" + "".join(f"{round(part * 255):02x}" for part in rgb)


def _rgb(colour: str) -> Rgb:
    digits = colour.removeprefix("#")
    if len(digits) == 3:  # noqa: PLR2004  # the short form: each digit counts twice
        digits = "".join(2 * digit for digit in digits)
    red, green, blue = (int(digits[at : at + 2], 16) / 255 for at in (0, 2, 4))
    return red, green, blue


def _luminance(rgb: Rgb) -> float:
    linear = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in rgb)  # noqa: PLR2004  # sRGB
    return sum(part * weight for part, weight in zip(linear, (0.2126, 0.7152, 0.0722), strict=True))
