"""The sandbox's words: its name, its tokens, and what it says."""

import hashlib
import re
from typing import Final

SANDBOX_MODEL: Final = "farebox-sandbox"
NAME_TOKEN: Final = f"[{SANDBOX_MODEL}]"  # one token, so that the shortest answer still says who gave it
TOKENS_DEFAULT: Final = 400
ECHO_CHARS: Final = 160
ASIDES: Final = (
    "No provider was called and nothing was spent.",
    "A real model would answer here.",
    "The same prompt always gets these same words.",
    "Set OPENAI_API_KEY to hear from a real model.",
)
_TOKEN = re.compile(rf"{re.escape(NAME_TOKEN)}|\s*\w{{1,6}}|\s*[^\w\s]|\s+")


def tokens_of(text: str) -> list[str]:
    """The sandbox's tokens: up to six letters, or one other character, with the space before them."""
    return _TOKEN.findall(text)


def digest_of(prompt: str) -> bytes:
    """The digest from which an answer is made up, so that the same prompt always gets the same one."""
    return hashlib.sha256(prompt.encode("utf-8", "replace")).digest()


def echo(prompt: str) -> str:
    """The prompt, or its beginning."""
    return prompt if len(prompt) <= ECHO_CHARS else prompt[: ECHO_CHARS - 1] + "…"


def words_for(prompt: str, nth: int = 0) -> str:
    """The answer in words. If a request asks for several, their last sentences take turns."""
    return f"{NAME_TOKEN} You wrote: “{echo(prompt)}” {ASIDES[(digest_of(prompt)[0] + nth) % len(ASIDES)]}"
