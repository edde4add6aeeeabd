"""What came of a call, in the words of the Playground."""

import pytest

from farebox.domain.admission import Standing
from farebox.domain.apikey import Mode
from farebox.domain.errors import CallError, IdempotencyStreamed, InvalidRequest
from farebox.domain.ledger import Ending, Hold, Mark, Meter, Spent, end_hold
from farebox.domain.plan import Plan
from farebox.ports.calls import CallRow
from farebox.web.pages.answers import SENT_CHARS_MAX, SENT_TWICE, Answer, Problem, answer_of, receipt_of
from farebox.web.pages.paying import Came
from farebox.web.problem import problem

END_US = 1_800_000_000_000_000
SPENT = Spent(1_400, 0, 9)


def came(body: str, content_type: str = "application/json", **headers: str) -> Came:
    return Came(200, {"content-type": content_type, **headers}, body.encode())


def refused(error: CallError) -> Came:
    status, headers, body = problem(error, "req_1", "")
    return Came(status, {name.decode(): value.decode() for name, value in headers}, body)


# -- The answer


def test_a_text_is_taken_out_of_its_envelope_and_json_is_written_wide() -> None:
    assert answer_of(came('{"text":"Hi\\n<b>","tokens":3}'), is_text=True).text == "Hi\n<b>"
    assert answer_of(came('{"text":"Hi"}'), is_text=False).text == '{\n  "text": "Hi"\n}'
    assert answer_of(came('{"text":1}'), is_text=True).text == '{\n  "text": 1\n}'
    # Exact, where a float would not be.
    assert "12345678901234567890" in answer_of(came('{"result":12345678901234567890}'), is_text=False).text


def test_a_stream_is_put_together() -> None:
    sent = 'data: {"text":"a: "}\n\n:\n\ndata: {"text":"b"}\n\nevent: done\ndata: {"tokens":3}\n\n'
    found = answer_of(came(sent, "text/event-stream; charset=utf-8"), is_text=True)
    assert found == Answer("a: b", sent)
    items = 'data: {"n":1}\n\ndata: [2]\n\n'
    assert answer_of(came(items, "text/event-stream"), is_text=False).text == '{\n  "n": 1\n}\n[\n  2\n]'


def test_what_breaks_a_stream_is_told_beside_what_came() -> None:
    _, _, body = problem(CallError("It broke."), "req_1", "")
    sent = f'data: {{"text":"a"}}\n\nevent: error\ndata: {body.decode()}\n\n'
    found = answer_of(came(sent, "text/event-stream"), is_text=True)
    assert (found.text, found.problem) == ("a", Problem("Internal error", "It broke.", "internal_error", ""))


def test_a_refusal_is_its_sentence() -> None:
    found = answer_of(refused(InvalidRequest("x is missing.", param="x")), is_text=True)
    assert found == Answer(problem=Problem("Invalid request", "x is missing.", "invalid_request_error", "x"))
    again = answer_of(refused(IdempotencyStreamed("streamed before, as req_1")), is_text=True).problem
    assert again is not None
    assert again.detail == SENT_TWICE


def test_what_was_stored_is_known_and_what_is_long_is_cut() -> None:
    assert answer_of(came("{}", **{"idempotent-replayed": "true"}), is_text=False).is_again
    long = '"' + "x" * SENT_CHARS_MAX + '"'
    found = answer_of(came(long), is_text=False)
    assert (len(found.sent), len(found.text), found.is_again) == (SENT_CHARS_MAX, len(long), False)


# -- The receipt


def row(ending: Ending = "post", spent: Spent = SPENT, mode: Mode = "live", charge: int = 0) -> CallRow:
    hold = Hold(
        "acct_1", "req_1", "key_1", mode, "p", "/v1/x", "m", 0, 0, 9, 2, 10_000, charge, 9_000, 1_000,
        0, 0, 0, charge, None,
    )  # fmt: skip
    return CallRow(hold, end_hold(hold, ending, spent, 5))


def standing(plan: Plan, **used: int) -> Standing:
    return Standing(plan, Meter("acct_1", "live", 0, END_US, **used), 0)


def test_a_receipt_has_the_tokens_the_charge_and_what_is_left() -> None:
    found = receipt_of(row(), standing(Plan("p", calls=20), posted_calls=2, held_calls=1))
    assert found[:5] == ("req_1", "1,400 in, 9 out", "2 calls", "17 of 20 calls", "2027-01-15T08:00:00.000000Z")
    assert receipt_of(row(), standing(Plan("p", calls=1), posted_calls=2)).left == "0 of 1 call"
    assert receipt_of(row(), standing(Plan("p")))[3:5] == ("no limit", "")


@pytest.mark.parametrize(
    ("plan", "found", "charge"),
    [
        (Plan("p", calls=20, overage_usd="0.01"), row(charge=20_000_000), "2 calls and $0.02"),
        (Plan("p", credit_usd=5), row(charge=1_234_000), "$0.001234"),
        (Plan("p", credit_usd=5), row(charge=0), "2 calls"),
        (Plan("p", calls=20), row("void"), "nothing"),
        (Plan("p", calls=20), row("expire"), "nothing"),
        (Plan("p", calls=20), row("post_free", Spent(marks=(Mark.NO_MESSAGE,))), "nothing"),
        (Plan("p", calls=20), row(mode="test"), "nothing (test)"),
    ],
    ids=["overage", "credit", "free of charge", "voided", "lost", "no message", "test"],
)
def test_a_charge_is_in_what_the_plan_counts(plan: Plan, found: CallRow, charge: str) -> None:
    assert receipt_of(found, standing(plan)).charge == charge


def test_each_limit_of_a_plan_is_told() -> None:
    plan = Plan("p", calls=20, tokens=50_000, credit_usd=5)
    used = standing(plan, posted_calls=1, posted_tokens=20, posted_nanodollars=10_000_000)
    assert receipt_of(row(), used).left == "19 of 20 calls, 49,980 of 50,000 tokens, $4.99 of $5"


@pytest.mark.parametrize("mark", [Mark.CUT, Mark.ESTIMATED, Mark.NO_MESSAGE])
def test_what_is_out_of_the_ordinary_is_said(mark: Mark) -> None:
    assert receipt_of(row(spent=Spent(marks=(mark,))), standing(Plan("p"))).note
    assert not receipt_of(row(), standing(Plan("p"))).note
