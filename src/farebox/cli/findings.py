"""The findings of a check of `farebox doctor`."""

from typing import Literal, NamedTuple


class Finding(NamedTuple):
    """A sentence about something fine, worth knowing, or to be mended."""

    level: Literal["ok", "note", "FIX"]
    sentence: str

    def __str__(self) -> str:
        return f"{self.level:<3} {self.sentence}"


def ok(subject: str, what: str) -> Finding:
    return Finding("ok", f"{subject}: {what}")


def note(subject: str, what: str) -> Finding:
    return Finding("note", f"{subject}: {what}")


def fix(subject: str, wrong: str, remedy: str) -> Finding:
    """A finding of what is wrong, with the one thing to do."""
    return Finding("FIX", f"{subject}: {wrong} → {remedy}")


def masked(secret: str) -> str:
    """Enough of a secret to tell it from another one."""
    return f"{secret[:3]}…{secret[-4:]}" if len(secret) >= 20 else "…"  # noqa: PLR2004  # a short one would show
