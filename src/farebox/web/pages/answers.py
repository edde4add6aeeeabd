"""The result of a call, as the Playground shows it: the answer, or what was wrong, and the receipt in words."""

import json
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any, Final, NamedTuple

from farebox.domain.admission import Standing
from farebox.domain.errors import IdempotencyStreamed
from farebox.domain.ledger import Mark, State
from farebox.domain.period import iso
from farebox.ports.calls import CallRow
from farebox.web.pages.call_words import told_of
from farebox.web.pages.paying import Came
from farebox.web.pages.words import counted, money

SENT_CHARS_MAX: Final = 100_000  # of the answer as it was sent, which is shown beside it
SENT_TWICE: Final = (
    "This was sent twice, as by a double click. It ran once and is charged once, but a streamed answer is not kept. "
    "Run it again for a new one."
)


class Problem(NamedTuple):
    """What was wrong, in a sentence."""

    title: str
    detail: str
    code: str
    param: str


class Answer(NamedTuple):
    """The answer to a call."""

    text: str = ""
    sent: str = ""
    """The body as it was sent."""
    problem: Problem | None = None
    is_again: bool = False
    """Whether it is the stored answer of an earlier call."""


class Receipt(NamedTuple):
    """What a call came to, and what is left."""

    call_id: str
    tokens: str
    charge: str
    left: str
    resets: str
    """When the limits begin anew; empty where there is no limit."""
    note: str


# -- The answer -----------------------------------------------------------------------------------------------


def answer_of(came: Came, *, is_text: bool) -> Answer:
    """The answer that came, for a reader. `is_text` says that it is a text in an envelope."""
    sent = came.body.decode("utf-8", "replace")
    again = came.headers.get("idempotent-replayed") == "true"
    if came.status != HTTPStatus.OK:
        return Answer(problem=problem_of(json.loads(sent)))
    if came.headers.get("content-type", "").startswith("text/event-stream"):
        text, problem = _streamed(sent, is_text=is_text)
    else:
        text, problem = _shown(json.loads(sent), is_text=is_text), None
    return Answer(text, sent[:SENT_CHARS_MAX], problem, again)


def problem_of(body: dict[str, Any]) -> Problem:
    """The problem body, as far as it is shown."""
    code = body["error"]["code"]
    detail = SENT_TWICE if code == IdempotencyStreamed.code else body["detail"]
    return Problem(body["title"], detail, code, body["error"]["param"] or "")


def _streamed(sent: str, *, is_text: bool) -> tuple[str, Problem | None]:
    items, problem = [], None
    for name, data in _events(sent):
        if name == "error":
            problem = problem_of(json.loads(data))
        elif not name:
            items.append(_shown(json.loads(data), is_text=is_text))
    return ("" if is_text else "\n").join(items), problem


def _events(sent: str) -> Iterator[tuple[str, str]]:
    """Server-sent events as Farebox writes them, each with a line of data, and perhaps a name."""
    for event in sent.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in event.split("\n") if ": " in line)
        if "data" in fields:
            yield fields.get("event", ""), fields["data"]


def _shown(value: Any, *, is_text: bool) -> str:  # noqa: ANN401  # JSON
    if is_text and isinstance(value, dict) and isinstance(value.get("text"), str):
        return str(value["text"])
    return json.dumps(value, indent=2, ensure_ascii=False)


# -- The receipt ----------------------------------------------------------------------------------------------


def receipt_of(row: CallRow, standing: Standing) -> Receipt:
    """A call that has an outcome, in words."""
    outcome = row.outcome
    assert outcome is not None
    left = _left(standing)
    return Receipt(
        row.hold.call_id,
        f"{outcome.input_tokens:,} in, {outcome.output_tokens:,} out",
        _charge(row, standing),
        ", ".join(left) if left else "no limit",
        iso(standing.meter.period_end_us) if left else "",
        " ".join(told_of(row)),
    )


def _charge(row: CallRow, standing: Standing) -> str:
    hold, outcome = row
    assert outcome is not None
    if hold.mode == "test":
        return "nothing (test)"
    if outcome.state is not State.POSTED or Mark.NO_MESSAGE in outcome.marks.split():
        return "nothing"
    calls = counted(outcome.calls, "call")
    if standing.plan.calls is None and outcome.charge_nanodollars:
        return money(outcome.charge_nanodollars)
    return f"{calls} and {money(outcome.charge_nanodollars)}" if outcome.charge_nanodollars else calls


def _left(standing: Standing) -> list[str]:
    plan = standing.plan
    limits = (plan.calls, standing.calls_left, "call"), (plan.tokens, standing.tokens_left, "token")
    found = [f"{left:,} of {counted(most, what)}" for most, left, what in limits if most is not None]
    if plan.credit_nanodollars is not None and standing.credit_left is not None:
        found.append(f"{money(standing.credit_left)} of {money(plan.credit_nanodollars)}")
    if standing.prepaid_nanodollars is not None:
        found.append(f"{money(standing.prepaid_nanodollars)} of credit")
    return found
