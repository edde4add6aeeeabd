"""Calls in words: how they stand, what they cost, and what is out of the ordinary about them."""

from collections.abc import Mapping
from typing import Final, NamedTuple

from farebox.domain.bill import Try
from farebox.domain.ledger import Mark, State
from farebox.ports.calls import CallRow, KeyRow
from farebox.web.pages.words import money

STATES: Final[Mapping[str, tuple[str, str]]] = {
    State.POSTED: ("Done", "good"),
    State.VOIDED: ("Failed", "warn"),
    State.EXPIRED: ("Lost", "bad"),
    State.HELD: ("Under way", ""),
}
"""The word for a state, and the kind of its badge."""
TOLD: Final[Mapping[str, str]] = {
    State.VOIDED: "It ended without an answer, and nothing was charged.",
    State.EXPIRED: "We lost it before it ended, so nothing was charged.",
    State.HELD: "It is under way. The most that it can come to is set aside until it ends.",
}
MARKS: Final[Mapping[str, str]] = {
    Mark.CUT: "It ended early. What was written until then is counted.",
    Mark.ESTIMATED: "The model did not report its tokens, so they are counted from the length of the texts.",
    Mark.NO_MESSAGE: "The model answered without a message, so nothing was charged.",
    Mark.OVER_HOLD: "It came to more than was set aside for it. Nobody pays the difference.",
}
"""Words for the marks that concern the customer: the others are about what a call costs the founder."""
RESULTS: Final[Mapping[str, str]] = {
    "answered": "It answered",
    "cut": "It was cut short",
    "broke_off": "It stopped while it was writing",
    "refused": "It refused the request",
    "upstream_busy": "It was busy",
    "upstream_timeout": "It took too long",
}
FAILED: Final = "It failed"
SECOND_MS: Final = 1_000
MINUTE_MS: Final = 60 * SECOND_MS


class Line(NamedTuple):
    """A call as a list shows it."""

    id: str
    at_us: int
    endpoint: str
    key: str
    is_test: bool
    state: str
    kind: str
    tokens: tuple[int, int] | None
    """In and out; None while it is under way."""
    charge: str


def line_of(call: CallRow, keys: Mapping[str, KeyRow]) -> Line:
    hold, outcome = call
    state, kind = state_of(call)
    return Line(
        hold.call_id,
        hold.admitted_us,
        hold.endpoint,
        key_name(keys.get(hold.key_id), hold.key_id),
        hold.mode == "test",
        state,
        kind,
        (outcome.input_tokens, outcome.output_tokens) if outcome else None,
        charge_of(call),
    )


def state_of(call: CallRow) -> tuple[str, str]:
    """The word for how it stands, and the kind of its badge."""
    marks = call.outcome.marks.split() if call.outcome else ()
    if Mark.NO_MESSAGE in marks:
        return "No answer", "warn"
    if Mark.CUT in marks and call.outcome and call.outcome.state is State.POSTED:
        return "Cut short", "warn"
    return STATES[call.outcome.state if call.outcome else State.HELD]


def charge_of(call: CallRow) -> str:
    """What it came to in money, whoever pays that."""
    hold, outcome = call
    if outcome is None:
        return "open"
    if outcome.charge_nanodollars:
        return money(outcome.charge_nanodollars)
    is_paid = outcome.state is State.POSTED and Mark.NO_MESSAGE not in outcome.marks.split() and hold.mode == "live"
    return "included" if is_paid else "free"


def told_of(call: CallRow) -> list[str]:
    """What is out of the ordinary, a sentence each."""
    state, marks = (call.outcome.state, call.outcome.marks.split()) if call.outcome else (State.HELD, [])
    return [*([TOLD[state]] if state in TOLD else []), *(MARKS[mark] for mark in marks if mark in MARKS)]


def result_of(attempt: Try) -> str:
    return RESULTS.get(attempt.result, FAILED)


def key_name(key: KeyRow | None, key_id: str) -> str:
    """The name of a key, or else as much of the key as may be shown."""
    return (key.name or key_shown(key)) if key is not None else key_id


def key_shown(key: KeyRow) -> str:
    return f"{key.prefix}…{key.last4}"


def took(milliseconds: int) -> str:
    """'840 ms', '2.4 s', '3 min 5 s'."""
    minutes, rest = divmod(milliseconds, MINUTE_MS)
    if minutes:
        return f"{minutes} min {rest // SECOND_MS} s"
    return f"{rest} ms" if rest < SECOND_MS else f"{rest / SECOND_MS:.1f} s"
