"""Markdown without HTML: a tag in it is shown as it is written."""

import re
from pathlib import Path
from typing import Final, NamedTuple

from markdown_it import MarkdownIt
from markupsafe import Markup

_PARSER: Final = MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"])
_HEADING: Final = re.compile(r"^#\s+(.+?)\s*#*\s*$", re.MULTILINE)
_MARKS: Final = re.compile(r"[*_`]")


class Text(NamedTuple):
    """A page that is only text."""

    title: str
    html: Markup


def html_of(markdown: str) -> Markup:
    """Markdown as HTML, safe to put into a page."""
    html = _PARSER.render(markdown)
    for tag in ("pre", "table"):  # elements that may scroll can be reached with the keyboard
        html = html.replace(f"<{tag}>", f'<{tag} tabindex="0">')
    return Markup(html)  # noqa: S704  # HTML in it was escaped, and links to scripts are refused


def line_of(markdown: str) -> Markup:
    """A sentence of Markdown as HTML, to put into a text of ours."""
    return Markup(_PARSER.renderInline(markdown))  # noqa: S704  # as above


def text_of(markdown: str, name: str) -> Text:
    """A page; its title is its first heading, else made of its name."""
    heading = _HEADING.search(markdown)
    title = _MARKS.sub("", heading[1]) if heading else name.replace("-", " ").capitalize()
    return Text(title, html_of(markdown))


def read_text(path: Path) -> Text:
    """The page of a file."""
    return text_of(path.read_text(encoding="utf-8-sig"), path.stem)
