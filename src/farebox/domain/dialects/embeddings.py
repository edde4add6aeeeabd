"""POST /embeddings."""

from itertools import chain
from typing import Any, Final

from pydantic_core import to_json

from farebox.domain.dialects.base import (
    UNREADABLE,
    Completion,
    JsonObject,
    Usage,
    count,
    json_object,
)
from farebox.domain.dialects.refusals import COSTLY, refuse_costly, refuse_lasting
from farebox.domain.errors import InvalidRequest

NAMES: Final = COSTLY | {"model", "input"}
ORDINARY: Final = frozenset({"model", "input", "dimensions", "encoding_format", "user"})
"""Fields that cost nothing but tokens and, except the input, are no part of the prompt."""


class Embeddings:
    """The embeddings dialect: tokens in, and none out."""

    path = "/embeddings"
    stream = None

    def check(self, request: JsonObject) -> None:
        if not request.keys() <= ORDINARY:
            refuse_costly(request, NAMES)
            refuse_lasting(request, request.get("tools"))
        given = request.get("input")
        # Some models also embed images; how many tokens those have is not known before.
        listed: list[Any] = given if isinstance(given, list) else [given]
        found = set(map(type, listed))
        inner = set(map(type, chain.from_iterable(listed))) if found == {list} else set()
        if not (found <= {str, int, type(None)} or (found == {list} and inner <= {int})):
            raise InvalidRequest("input has to be a text, or a list of texts or of tokens.", param="input")

    def may_grow(self, request: JsonObject) -> bool:
        return not request.keys() <= ORDINARY

    def output_tokens_wanted(self, request: JsonObject) -> int | None:
        del request
        return 0

    def answers(self, request: JsonObject) -> int:
        del request
        return 1

    def body(self, request: JsonObject, model: str, output_tokens_max: int, *, stream: bool) -> bytes:
        del output_tokens_max, stream
        sent = {**request, "model": model}
        sent.pop("stream", None)
        return to_json(sent)

    def read(self, content: bytes) -> Completion:
        answer = json_object(content)
        if answer is None:
            return UNREADABLE
        usage = answer.get("usage")
        read = count(usage.get("prompt_tokens")) if isinstance(usage, dict) else None
        found = None if read is None else Usage(read, 0, 0)
        data = answer.get("data")
        if not isinstance(data, list):
            return UNREADABLE._replace(usage=found)
        return Completion(None, found, has_message=bool(data), text_bytes=0)


EMBEDDINGS: Final = Embeddings()
