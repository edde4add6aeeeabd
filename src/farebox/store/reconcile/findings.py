"""What `reconcile` finds."""

from typing import NamedTuple

from farebox.domain.period import iso


class Finding(NamedTuple):
    """A figure that is not what it has to be; `owner` is the account's address."""

    owner: str
    period: str
    what: str
    expected: object
    found: object


def period_name(start_us: int, name: str) -> str:
    return f"{iso(start_us)[:16]}Z {name}"
