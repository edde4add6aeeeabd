"""POST /embeddings."""

import base64
import hashlib
import math
import struct
from typing import Any, Final

from farebox.sandbox.request import BadRequest, JsonObject, whole_number
from farebox.sandbox.words import SANDBOX_MODEL, tokens_of

DIMENSIONS_DEFAULT: Final = 256
DIMENSIONS_MAX: Final = 4_096
INPUTS_MAX: Final = 2_048
FIGURES_MAX: Final = INPUTS_MAX * DIMENSIONS_DEFAULT  # of all vectors together: they are made on the event loop


def embed(request: JsonObject) -> JsonObject:
    """A vector for each input.

    Raises:
        BadRequest: the request cannot be answered.
    """
    inputs = _inputs(request.get("input"))
    dimensions = whole_number(request, "dimensions", DIMENSIONS_MAX) or DIMENSIONS_DEFAULT
    if len(inputs) * dimensions > FIGURES_MAX:
        raise BadRequest(f"input has to be {FIGURES_MAX // dimensions} texts or fewer, of {dimensions} each", "input")
    form = request.get("encoding_format")
    if form not in (None, "float", "base64"):
        raise BadRequest("encoding_format has to be float or base64", "encoding_format")
    data = []
    for nth, one in enumerate(inputs):
        packed = struct.pack(f"<{dimensions}f", *_vector(one, dimensions))
        told = base64.b64encode(packed).decode() if form == "base64" else struct.unpack(f"<{dimensions}f", packed)
        data.append({"object": "embedding", "index": nth, "embedding": told})
    read = sum(len(tokens_of(one)) if isinstance(one, str) else len(one) for one in inputs)
    usage = {"prompt_tokens": read, "total_tokens": read}
    return {"object": "list", "data": data, "model": SANDBOX_MODEL, "usage": usage}


def _inputs(given: Any) -> list[str | list[int]]:  # noqa: ANN401  # JSON
    """The inputs: a text or a list of tokens is one, and a list of those is many."""
    many = [given] if isinstance(given, str) or _is_tokens(given) else given
    if not isinstance(many, list) or not all(one and (isinstance(one, str) or _is_tokens(one)) for one in many):
        raise BadRequest("input has to be a text, a list of tokens, or a list of these, and none empty", "input")
    if not 1 <= len(many) <= INPUTS_MAX:
        raise BadRequest(f"input has to have from 1 to {INPUTS_MAX} texts", "input")
    return many


def _is_tokens(given: object) -> bool:
    return isinstance(given, list) and bool(given) and all(type(one) is int and one >= 0 for one in given)


def _vector(one: str | list[int], dimensions: int) -> list[float]:
    """A vector of length 1, from the input's digest."""
    seed = hashlib.sha256(str(one).encode("utf-8", "replace")).digest()
    drawn = struct.unpack(f"<{dimensions}h", hashlib.shake_256(seed).digest(2 * dimensions))
    figures = [figure + 0.5 for figure in drawn]  # never all zero
    length = math.sqrt(sum(figure * figure for figure in figures))
    return [figure / length for figure in figures]
