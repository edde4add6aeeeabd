"""The command line, one file a command. Help is written for a founder."""

import errno
import gc
import os
import sys
from io import TextIOWrapper
from typing import Final

from farebox.domain.errors import FounderError, LedgerUnavailable

GC_THRESHOLD: Final = 10_000  # objects; Python's 700 is a handful of calls
INTERRUPTED: Final = 130  # as in shells, for Ctrl-C
UNWRITABLE: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO})


def main() -> None:
    """Run a command; a founder's mistake is a sentence on stderr and exit code 1."""
    gc.set_threshold(GC_THRESHOLD)  # most of what a command makes is what it imports, and stays
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")  # a Windows pipe cannot take every character
    try:
        _run()
    except KeyboardInterrupt:  # before a command runs, which catches it itself
        sys.exit(INTERRUPTED)
    except (FounderError, LedgerUnavailable) as error:
        sys.exit(told(error))
    except BrokenPipeError:  # the reader has enough
        _drop_output()
        sys.exit(1)
    except OSError as error:
        if error.errno not in UNWRITABLE:
            raise
        _drop_output()
        sys.exit(f"farebox: The output cannot be written ({error.strerror}); make room there, or write it elsewhere.")


def _run() -> None:
    from farebox.cli.commands import cli  # noqa: PLC0415  # a serving process loads this package, and no command

    try:
        cli()
    finally:
        if sys.stdout is not None:
            sys.stdout.flush()  # when Python does that at its exit, it is too late to report an error


def _drop_output() -> None:
    """Drop what is still to be written, as Python tries once more at its exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def told(error: FounderError | LedgerUnavailable) -> str:
    """The sentence that a command ends with."""
    if isinstance(error, FounderError):
        return f"farebox: {error}"
    cause = str(error.__cause__ or error).strip().partition("\n")[0]
    return f"farebox: The database cannot be used ({cause}). Run `farebox doctor` to see what to do."
