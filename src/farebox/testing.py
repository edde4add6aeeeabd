"""Test a founder's functions without a server, a database or a provider.

from farebox.testing import call

def test_a_tagline() -> None:
tea = call(answers=["Drink up."])
assert asyncio.run(tagline(tea, product="tea")) == "Drink up."
assert tea.spent.output_tokens < 400
"""

import json
import re
from collections.abc import Iterator, Sequence
from http import HTTPStatus
from time import monotonic
from typing import Any, Final, NoReturn

from farebox import wiring
from farebox.call import Service, Wire
from farebox.call.handling import Call, Choice
from farebox.call.service import Chain, Model
from farebox.domain.admission import Admitted, Standing
from farebox.domain.breaker import Breaker
from farebox.domain.ledger import Hold, Meter
from farebox.domain.plan import Plan
from farebox.domain.prices import FREE
from farebox.ports import Reply, Upstream
from farebox.sandbox.model import JSON_HEADERS, SANDBOX_MODEL, STREAM_HEADERS, SandboxModel, SandboxStream, tokens_of

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
        plan: the plan of who calls.
        max_input_tokens: the most that all questions together can come to, as in `@app.paid`.
        max_output_tokens: the same for their answers.
    """
    model: Upstream = SandboxModel() if answers is None else _Script(answers)
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
    """A model that says what it is told to."""

    def __init__(self, answers: Sequence[str]) -> None:
        self._answers = list(answers)

    async def send(self, path: str, body: bytes, seconds_max: float) -> Reply:
        """The next answer."""
        del path, seconds_max
        if not self._answers:
            told = {"error": {"message": "call(answers=…) has no answer left for this question."}}
            return Reply(400, JSON_HEADERS, json.dumps(told).encode())
        text = self._answers.pop(0)
        choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
        return Reply(200, JSON_HEADERS, json.dumps(_frame(body, text) | {"choices": [choice]}).encode())

    async def stream(self, path: str, body: bytes, seconds_max: float) -> SandboxStream:
        """The next answer, a word at a time."""
        reply = await self.send(path, body, seconds_max)
        if reply.status != HTTPStatus.OK:
            return SandboxStream(reply.status, reply.headers, iter([reply.body]))
        return SandboxStream(200, STREAM_HEADERS, self._pieces(json.loads(reply.body)))

    def _pieces(self, answer: dict[str, Any]) -> Iterator[bytes]:
        text, usage = answer["choices"][0]["message"]["content"], answer.pop("usage")
        for word in re.findall(r"\s*\S+\s*$|\s*\S+", text):
            yield _event(answer | {"choices": [{"index": 0, "delta": {"content": word}, "finish_reason": None}]})
        yield _event(answer | {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
        yield _event(answer | {"choices": [], "usage": usage})
        yield b"data: [DONE]\n\n"


class _NoLedger:
    """A call of a test is neither admitted nor recorded."""

    def __getattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"a call of farebox.testing has no ledger to {name}")


def _frame(body: bytes, text: str) -> dict[str, Any]:
    read, written = len(tokens_of(body.decode())), len(tokens_of(text))
    usage = {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written}
    return {"id": "chatcmpl-testing", "object": "chat.completion", "created": 0, "model": SANDBOX_MODEL, "usage": usage}


def _event(chunk: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(chunk | {"object": "chat.completion.chunk"}).encode() + b"\n\n"
