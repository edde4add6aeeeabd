"""The OpenAI wire, as far as a paid call needs it: one request built, one answer read."""

import re
from typing import Any, Final, NamedTuple

from pydantic_core import from_json, to_json

from farebox.domain.ledger import NOTHING_SPENT, TOKENS_MAX, Hold, Mark, Spent
from farebox.domain.money import divide_up

# No tokeniser makes more tokens than the text has bytes; the rest is the frame around the messages.
FRAME_TOKENS: Final = 16
BYTES_PER_TOKEN: Final = 4
_REASONING = re.compile(r"(o\d|gpt-5)", re.ASCII)


class Completion(NamedTuple):
    """What a provider's answer says. `text` is None where it holds no message.

    `is_whole` is false where the body is no chat completion, so that only its usage, if any, can be believed.
    """

    text: str | None
    spent: Spent
    is_whole: bool = True


def input_tokens_max(prompt: str) -> int:
    """More tokens than any tokeniser can make of the prompt."""
    return len(prompt.encode()) + FRAME_TOKENS


def request_body(model: str, prompt: str, output_tokens_max: int) -> bytes:
    # OpenAI's reasoning models refuse the older name; most other providers know only that one.
    limit = "max_completion_tokens" if _REASONING.match(model) else "max_tokens"
    message = {"role": "user", "content": prompt}
    return to_json({"model": model, "messages": [message], limit: output_tokens_max})


def read_completion(body: bytes, hold: Hold, prompt: str) -> Completion:
    """The answer's text and usage, as far as the body has them."""
    try:
        answer = from_json(body)
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        return Completion(None, NOTHING_SPENT, is_whole=False)
    choices = answer.get("choices")
    text = _text(choices) if isinstance(choices, list) else None
    return Completion(text, _spent(answer.get("usage"), text, hold, prompt), is_whole=isinstance(choices, list))


def _text(choices: list[Any]) -> str | None:
    choice = choices[0] if choices else None
    message = choice.get("message") if isinstance(choice, dict) else None
    content = message.get("content") if isinstance(message, dict) else None
    return content if isinstance(content, str) and content else None


def _spent(usage: object, text: str | None, hold: Hold, prompt: str) -> Spent:
    if isinstance(usage, dict):
        read, written = _count(usage.get("prompt_tokens")), _count(usage.get("completion_tokens"))
        if read is not None and written is not None:
            details = usage.get("prompt_tokens_details")
            cached = _count(details.get("cached_tokens")) if isinstance(details, dict) else None
            return Spent(read, min(cached or 0, read), written)
    if text is None:
        return NOTHING_SPENT
    return Spent(
        min(divide_up(len(prompt.encode()), BYTES_PER_TOKEN), hold.input_tokens_max), 0,
        min(divide_up(len(text.encode("utf-8", "replace")), BYTES_PER_TOKEN), hold.output_tokens_max),
        (Mark.ESTIMATED,),
    )  # fmt: skip


def _count(value: object) -> int | None:
    whole = isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= TOKENS_MAX
    return value if whole else None  # type: ignore[return-value]  # an int, as just checked
