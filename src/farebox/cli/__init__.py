"""The command line, one file a command. Help is written for a founder."""

import sys
from importlib import import_module
from io import TextIOWrapper
from typing import Final

import typer

from farebox.domain.errors import CallError, FounderError

COMMANDS: Final = ("dev", "serve", "accounts", "keys", "usage", "reconcile", "migrate", "doctor")

cli = typer.Typer(name="farebox", no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)


@cli.callback()
def farebox() -> None:
    """Turn a Python function into a paid AI service."""


def main() -> None:
    """Run a command; a founder's mistake is a sentence on stderr and exit code 1."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")  # a Windows pipe cannot take every character
    # What a command needs is loaded with it: `serve` would keep the memory of all of them.
    called = set(COMMANDS).intersection(sys.argv[1:2]) or COMMANDS
    for name in called:
        cli.add_typer(import_module(f"farebox.cli.{name}").cli)
    try:
        cli()
    except FounderError as error:
        sys.exit(f"farebox: {error}")
    except CallError as error:
        cause = f" ({error.__cause__})" if error.__cause__ is not None else ""
        sys.exit(f"farebox: {error.detail}{cause}")
