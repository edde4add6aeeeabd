"""The command line, one file a command. Help is written for a founder."""

import sys
from io import TextIOWrapper

from farebox.domain.errors import CallError, FounderError


def main() -> None:
    """Run a command; a founder's mistake is a sentence on stderr and exit code 1."""
    from farebox.cli.commands import cli  # noqa: PLC0415  # a serving process loads this package, and no command

    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")  # a Windows pipe cannot take every character
    try:
        cli()
    except FounderError as error:
        sys.exit(f"farebox: {error}")
    except CallError as error:
        cause = f" ({error.__cause__})" if error.__cause__ is not None else ""
        sys.exit(f"farebox: {error.detail}{cause}")
