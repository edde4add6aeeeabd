"""Embeddings, in OpenAI's JSON."""

import base64
import json
import math
import struct
from collections.abc import Mapping, Sequence
from hashlib import shake_128
from typing import Any

from tests.services.upstream.answers import HUGE_TEXT, count_tokens, embedding_usage
from tests.services.upstream.behaviour import Behaviour

DIMENSIONS = 8


def expected_embedding(given: str | Sequence[int], dimensions: int = DIMENSIONS) -> list[float]:
    """A vector of length 1 that nothing but the text, or the tokens, decides."""
    drawn = shake_128(json.dumps(given).encode()).digest(2 * dimensions)
    numbers = [number + 0.5 for number in struct.unpack(f"<{dimensions}h", drawn)]
    length = math.hypot(*numbers)
    # Through 32 bits, so that both encodings say the same.
    return list(struct.unpack(f"<{dimensions}f", struct.pack(f"<{dimensions}f", *(n / length for n in numbers))))


def inputs(body: Mapping[str, Any]) -> list[Any]:
    """Each text, or list of tokens, that is to become a vector."""
    given = body["input"]
    return [given] if isinstance(given, str) or isinstance(given[0], int) else given


def expected_embedding_tokens(body: Mapping[str, Any]) -> int:
    return sum(count_tokens(given) if isinstance(given, str) else len(given) for given in inputs(body))


def embeddings(body: Mapping[str, Any], how: Behaviour) -> dict[str, Any]:
    dimensions = body.get("dimensions") or DIMENSIONS
    vectors = [expected_embedding(given, dimensions) for given in inputs(body)]
    whole: dict[str, Any] = {
        "object": "list",
        "data": [
            {"object": "embedding", "index": index, "embedding": _encoded(vector, body.get("encoding_format"))}
            for index, vector in enumerate(vectors)
        ],
        "model": body["model"],
        "usage": embedding_usage(expected_embedding_tokens(body), how),
    }
    match how.fault:
        case "no_choices":
            del whole["data"]
        case "empty_choices":
            whole["data"] = []
        case "no_message" | "null_content" | "empty_content":
            whole["data"][0]["embedding"] = None
        case "no_usage":
            del whole["usage"]
        case "huge_body":
            whole["data"][0]["embedding"] = HUGE_TEXT
        case _:
            pass
    return whole


def _encoded(vector: list[float], encoding: str | None) -> list[float] | str:
    if encoding == "base64":
        return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
    return vector
