"""A call's row: the columns of its hold, then those of its outcome, in the order of the domain's own rows."""

from collections.abc import Sequence
from typing import Any, Final

from farebox.domain.ledger import Hold, Outcome, State
from farebox.ports.calls import CallRow

HOLD_SIZE: Final = len(Hold._fields)
HOLD_COLUMNS: Final = ", ".join(Hold._fields)
OUTCOME_COLUMNS: Final = ", ".join(Outcome._fields)


def outcome_of(columns: Sequence[Any]) -> Outcome:
    return Outcome(State(columns[0]), *columns[1:])


def call_of(row: Sequence[Any]) -> CallRow:
    """A call from its row. A call under way is a hold alone, or has the state "held" and nothing after it."""
    held, rest = Hold(*row[:HOLD_SIZE]), row[HOLD_SIZE:]
    return CallRow(held, outcome_of(rest) if rest and rest[0] != State.HELD else None)
