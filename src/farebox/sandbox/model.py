"""A model for the day without a provider key, and for test keys: the same words for the same prompt, at no cost.

It speaks the OpenAI wire, so that all that reads a provider's answer is used for this one too.
"""

import asyncio
import hashlib
import json
import re
from collections.abc import AsyncIterator
from typing import Any, Final

from farebox.ports import Reply

SANDBOX_MODEL: Final = "farebox-sandbox"
TOKENS_DEFAULT: Final = 400
ECHO_CHARS: Final = 160
ASIDES: Final = (
    "No provider was called and nothing was spent.",
    "A real model would answer here.",
    "The same prompt always gets these same words.",
    "Set OPENAI_API_KEY to hear from a real model.",
)
_TOKEN = re.compile(r"\s*\w{1,6}|\s*[^\w\s]|\s+")


def tokens_of(text: str) -> list[str]:
    """The sandbox's tokens: up to six letters, or one other character, with the space before them."""
    return _TOKEN.findall(text)


class SandboxModel:
    """A deterministic model in this process."""

    async def complete(self, body: bytes, seconds_max: float) -> Reply:
        del seconds_max  # it answers at once
        return Reply(200, {}, json.dumps(_completion(json.loads(body))).encode())

    async def stream(self, body: bytes) -> AsyncIterator[bytes]:
        """The same answer as server-sent events, a token at a time, with the usage at the end if asked for."""
        request = json.loads(body)
        whole = _completion(request)
        frame = {**whole, "object": "chat.completion.chunk"}
        usage = frame.pop("usage")
        for token in tokens_of(whole["choices"][0]["message"]["content"]):
            yield _event({**frame, "choices": [{"index": 0, "delta": {"content": token}, "finish_reason": None}]})
            await asyncio.sleep(0)
        reason = whole["choices"][0]["finish_reason"]
        yield _event({**frame, "choices": [{"index": 0, "delta": {}, "finish_reason": reason}]})
        if (request.get("stream_options") or {}).get("include_usage"):
            yield _event({**frame, "choices": [], "usage": usage})
        yield b"data: [DONE]\n\n"


def _event(chunk: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(chunk).encode() + b"\n\n"


def _completion(request: dict[str, Any]) -> dict[str, Any]:
    prompt = "\n".join(str(message.get("content", "")) for message in request["messages"])
    limit = request.get("max_completion_tokens") or request.get("max_tokens") or TOKENS_DEFAULT
    digest = hashlib.sha256(prompt.encode("utf-8", "replace")).digest()
    echo = prompt if len(prompt) <= ECHO_CHARS else prompt[: ECHO_CHARS - 1] + "…"
    tokens = tokens_of(f"[{SANDBOX_MODEL}] You wrote: “{echo}” {ASIDES[digest[0] % len(ASIDES)]}")
    written, read = tokens[:limit], len(tokens_of(prompt))
    return {
        "id": f"chatcmpl-sandbox-{digest.hex()[:16]}",
        "object": "chat.completion",
        "created": 0,
        "model": SANDBOX_MODEL,
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "".join(written)},
                "finish_reason": "stop" if len(written) == len(tokens) else "length",
            }
        ],
        "usage": {
            "prompt_tokens": read,
            "completion_tokens": len(written),
            "total_tokens": read + len(written),
        },
    }
