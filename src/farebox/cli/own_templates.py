"""The founder's own templates, as `serve`, `dev` and `doctor` look at them."""

from collections.abc import Iterator
from pathlib import Path

import typer

from farebox.cli.findings import Finding, fix, note
from farebox.domain.errors import FounderError


def check_templates(folder: Path | None) -> None:
    """Refuse templates that cannot be shown, once: not in each process, which loads no pages before one is asked for.

    Raises:
        FounderError: the first mistake.
    """
    for sentence in _mistakes(folder):
        raise FounderError(sentence)


def warn_of_templates(folder: Path | None) -> None:
    """Warn of what a template says in a block that is nowhere: its page is shown without it."""
    for sentence in _dropped(folder):
        typer.echo(f"Warning: {sentence}.", err=True)


def look_at_templates(folder: Path | None) -> Iterator[Finding]:
    """Every mistake, and the templates that replace none of ours."""
    for sentence in _mistakes(folder):
        yield fix("templates", sentence.rstrip("."), "farebox serve does not start before that is mended")
    for sentence in _dropped(folder):
        yield note("templates", sentence)
    if folder is not None and (folder / "templates").is_dir():
        from farebox.web.pages.own_templates import strangers  # noqa: PLC0415  # with Jinja

        for name in strangers(folder):
            yield note("templates", f"templates/{name} has the name of none of ours, so Farebox shows it nowhere")


def _mistakes(folder: Path | None) -> list[str]:
    if folder is None or not (folder / "templates").is_dir():
        return []
    from farebox.web.pages.own_templates import mistakes  # noqa: PLC0415  # with Jinja and Markdown

    return mistakes(folder)


def _dropped(folder: Path | None) -> list[str]:
    if folder is None or not (folder / "templates").is_dir():
        return []
    from farebox.web.pages.own_templates import dropped_blocks  # noqa: PLC0415  # with Jinja and Markdown

    return dropped_blocks(folder)
