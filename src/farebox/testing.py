"""Test a founder's functions without a server, a database or a provider.

As in:

    from farebox.testing import call

    def test_a_tagline() -> None:
        tea = call(answers=["Drink up."])
        assert asyncio.run(tagline(tea, product="tea")) == "Drink up."
        assert tea.spent.output_tokens < 400
"""

from collections.abc import Sequence
from time import monotonic
from typing import Final, NoReturn

from farebox import wiring
from farebox.call import Service, Wire
from farebox.call.handling import Call, Choice
from farebox.call.service import Chain, Model
from farebox.domain.admission import Admitted, Standing
from farebox.domain.breaker import Breaker
from farebox.domain.ledger import Hold, Meter
from farebox.domain.plan import Plan
from farebox.domain.prices import FREE
from farebox.sandbox.model import SANDBOX_MODEL, SandboxModel
from farebox.sandbox.request import BadRequest

INPUT_TOKENS: Final = 1_000_000
OUTPUT_TOKENS: Final = 100_000
ANSWER_TOKENS: Final = 4_000
CALL_SECONDS: Final = 60.0
MONTH_US: Final = 30 * 86_400 * 1_000_000

__all__ = ["call"]


def call(
    *,
    answers: Sequence[str] | None = None,
    plan: Plan | None = None,
    max_input_tokens: int = INPUT_TOKENS,
    max_output_tokens: int = OUTPUT_TOKENS,
) -> Call:
    """A call over the sandbox model, which has the same answer for the same words, and costs nothing.

    Any model's name is taken. What the models used is in `call().spent`.

    Args:
        answers: what the model says, one text for each time that it is asked, in place of the sandbox's words.
        plan: the caller's plan.
        max_input_tokens: the most that all questions together can come to, as in `@app.paid`.
        max_output_tokens: the same for their answers.

    Raises:
        TypeError: answers is one text.
    """
    if isinstance(answers, str):
        raise TypeError("answers is a list of texts, one for each question: answers=[…]")
    model = SandboxModel() if answers is None else SandboxModel(_Script(answers))
    # One answer's bound is far below that of all together, so that several may be asked for at once.
    plan = plan or Plan("testing", calls=1_000, max_output_tokens=min(max_output_tokens, ANSWER_TOKENS))
    chain: Chain = (Model(SANDBOX_MODEL, "sandbox", FREE, model, Breaker(0, 0), is_billed=False),)
    service = Service(
        ledger=_NoLedger(),
        models={"live": chain, "test": chain},
        embedding_models={"live": chain, "test": chain},
        secret=b"",
        call_seconds_max=CALL_SECONDS,
        hold_ttl_seconds=CALL_SECONDS,
        upstream_retries_max=0,
        idempotency_seconds=86_400,
        openai_client=wiring.openai_client,
    )
    wire = Wire(service, _admitted(plan, max_input_tokens, max_output_tokens), monotonic() + CALL_SECONDS)
    return Call(wire, Choice(chain), Choice(chain))


def _admitted(plan: Plan, input_tokens: int, output_tokens: int) -> Admitted:
    hold = Hold(
        "acct_testing", "req_testing", "key_testing", "test", plan.name, "/v1/testing", SANDBOX_MODEL,
        0, 0, MONTH_US, 1, input_tokens + output_tokens, 0, input_tokens, output_tokens, *FREE[:3], 0, None,
    )  # fmt: skip
    meter = Meter("acct_testing", "test", 0, MONTH_US, held_calls=1)
    return Admitted(hold, Standing(plan, meter, 0))


class _Script:
    """The answers of a test, one after another."""

    def __init__(self, answers: Sequence[str]) -> None:
        self._answers = list(answers)

    def __call__(self) -> str:
        if not self._answers:
            raise BadRequest("call(answers=…) has no answer left for this question")
        return self._answers.pop(0)


class _NoLedger:
    """The ledger of a test's call, which is neither admitted nor recorded."""

    def __getattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"a call of farebox.testing has no ledger to {name}")
