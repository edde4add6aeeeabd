"""The OpenAI wire, in three dialects: what a request can come to, and what an answer used. Pure: dicts and bytes."""

from farebox.domain.dialects.base import (
    Completion,
    Dialect,
    StreamReader,
    Usage,
    estimated_tokens,
    input_tokens_max,
)
from farebox.domain.dialects.chat import CHAT
from farebox.domain.dialects.embeddings import EMBEDDINGS
from farebox.domain.dialects.responses import RESPONSES

__all__ = [
    "CHAT",
    "EMBEDDINGS",
    "RESPONSES",
    "Completion",
    "Dialect",
    "StreamReader",
    "Usage",
    "estimated_tokens",
    "input_tokens_max",
]
