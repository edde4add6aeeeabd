"""Prepaid credit, as grants: the one that ends soonest is used first, and none goes below zero.

A call's hold and its outcome say in a text how much they take of which grants, as "grant_1:500 grant_2:20".
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple


class Grant(NamedTuple):
    """Credit from one payment. What calls spend and hold of it is summed up here, as on a meter."""

    account_id: str
    id: str
    amount_nanodollars: int
    spent_nanodollars: int
    held_nanodollars: int
    taken_back_nanodollars: int
    due_back_nanodollars: int
    """How much was refunded, or is disputed: more than was taken back, if the rest is spent or held."""
    expires_us: int
    created_us: int

    @property
    def left_nanodollars(self) -> int:
        """What is not spent, held or taken back; after the grant's end nobody can use it."""
        return (
            self.amount_nanodollars - self.spent_nanodollars - self.held_nanodollars - self.taken_back_nanodollars
        )  # fmt: skip


Part = tuple[str, int]
"""A grant's id, and how much of it."""


def parts_of(text: str) -> list[Part]:
    """The parts that a row's text names.

    Raises:
        ValueError: it is no such text.
    """
    parts = []
    for part in text.split():
        grant_id, separator, nanodollars = part.partition(":")
        if not separator or not grant_id or int(nanodollars) <= 0:
            raise ValueError(f"{part!r} is not a grant and what is taken of it")
        parts.append((grant_id, int(nanodollars)))
    return parts


def text_of(parts: Iterable[Part]) -> str:
    """The parts as a row has them."""
    return " ".join(f"{grant_id}:{nanodollars}" for grant_id, nanodollars in parts)


def total(text: str) -> int:
    """What the parts of a row's text come to."""
    return sum(nanodollars for _, nanodollars in parts_of(text))


def usable(grants: Iterable[Grant], now_us: int) -> list[Grant]:
    """The grants that can pay now, in the order in which they do."""
    found = [grant for grant in grants if grant.expires_us > now_us and grant.left_nanodollars > 0]
    return sorted(found, key=lambda grant: (grant.expires_us, grant.created_us, grant.id))


def balance(grants: Iterable[Grant], now_us: int) -> int:
    """What can be used now."""
    return sum(grant.left_nanodollars for grant in usable(grants, now_us))


def allocate(grants: Sequence[Grant], nanodollars: int, now_us: int) -> str:
    """Which grants pay so much, or as much of it as there is."""
    parts = []
    for grant in usable(grants, now_us):
        if nanodollars <= 0:
            break
        part = min(grant.left_nanodollars, nanodollars)
        parts.append((grant.id, part))
        nanodollars -= part
    return text_of(parts)


def spend(credit: str, nanodollars: int) -> str:
    """What a charge takes of the credit that was held for it; what was held first is spent first."""
    parts = []
    for grant_id, held in parts_of(credit):
        if nanodollars <= 0:
            break
        part = min(held, nanodollars)
        parts.append((grant_id, part))
        nanodollars -= part
    return text_of(parts)


def hold(grant: Grant, nanodollars: int) -> Grant:
    """The grant with so much more of it held."""
    return grant._replace(held_nanodollars=grant.held_nanodollars + nanodollars)


def release(grant: Grant, held: int, spent: int) -> Grant:
    """The grant with held credit turned into spent credit; what comes free is taken back if it is due."""
    released = grant._replace(
        held_nanodollars=grant.held_nanodollars - held, spent_nanodollars=grant.spent_nanodollars + spent
    )
    return take_back(released, released.due_back_nanodollars)


def take_back(grant: Grant, nanodollars: int) -> Grant:
    """The grant with so much due back in all, and as much of it taken back as is left.

    What was taken back before and is no longer due, as after a dispute that was won, is given again.
    """
    due = min(max(nanodollars, 0), grant.amount_nanodollars)
    known = grant.taken_back_nanodollars
    taken = due if due < known else known + min(grant.left_nanodollars, due - known)
    return grant._replace(due_back_nanodollars=due, taken_back_nanodollars=taken)
