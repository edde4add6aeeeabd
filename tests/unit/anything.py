"""Any JSON there can be, made of the names that a dialect knows, so that it gets past the first look."""

import json
from typing import Any

from hypothesis import strategies as st

from farebox.domain.dialects import Usage
from farebox.domain.ledger import TOKENS_MAX

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
whole_answers = [b"null", b"[]", b'"Hello!"', b"12", b"true", b"<html>502 Bad Gateway</html>", b"", b"\xff\xfe{}"]
too_deep = [b"[" * 100_000 + b"]" * 100_000, b'{"a":' * 100_000 + b"1" + b"}" * 100_000, b"9" * 1_000_000, b"1e"]

USAGES_THAT_CANNOT_BE: list[Any] = [None, {}, [], "12", 12, True]
COUNTS_THAT_CANNOT_BE: list[Any] = [
    -1, 12.0, "12", True, None, [12], TOKENS_MAX + 1, 10**400, 1e400, float("nan"),
]  # fmt: skip


def json_of(names: list[str], words: list[str]) -> st.SearchStrategy[Any]:
    """Nested JSON whose keys are these names, and whose texts often these words."""
    leaves = (
        st.none() | st.booleans() | st.integers() | st.integers(0, 500) | st.floats() | texts | st.sampled_from(words)
    )
    return st.recursive(
        leaves,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(names), inner, max_size=5),
        max_leaves=25,
    )


def bodies(values: st.SearchStrategy[Any]) -> st.SearchStrategy[bytes]:
    return st.binary(max_size=200) | values.map(lambda value: json.dumps(value).encode())


def assert_believable(usage: Usage | None, text_bytes: int) -> None:
    assert text_bytes >= 0
    if usage is not None:
        assert 0 <= usage.cached_tokens <= usage.input_tokens <= TOKENS_MAX
        assert 0 <= usage.output_tokens <= TOKENS_MAX
