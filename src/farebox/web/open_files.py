"""How many files, and so connections, a process may have open."""

import sys
from contextlib import suppress
from typing import Final

FILES_MAX: Final = 65_536  # more than a process serves; systems that set no limit have one of their own
ELSEWHERE: Final = 1_024  # Windows has no such limit to ask for


def files_max() -> int:
    """How many files this process may have open at present."""
    if sys.platform == "win32":
        return ELSEWHERE
    import resource  # noqa: PLC0415  # not on Windows

    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return FILES_MAX if soft == resource.RLIM_INFINITY else soft


def raise_files_max() -> None:
    """Raise the limit of this process and of those it starts, as a rule 1,024, as far as the system allows."""
    if sys.platform == "win32":
        return
    import resource  # noqa: PLC0415  # not on Windows

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = FILES_MAX if hard == resource.RLIM_INFINITY else min(hard, FILES_MAX)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with suppress(ValueError, OSError):  # macOS may know another limit
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
