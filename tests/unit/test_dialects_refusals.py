"""What docs/openai-wire.md says is refused, is refused by every endpoint of the wire."""

import re
from pathlib import Path
from typing import Any, Final

import pytest

from farebox.domain.dialects import CHAT, EMBEDDINGS, RESPONSES, Dialect
from farebox.domain.dialects.refusals import UNMETERED
from farebox.domain.errors import InvalidRequest

PAGE: Final = (Path(__file__).parents[2] / "docs/openai-wire.md").read_text(encoding="utf-8")
TABLE: Final = PAGE.split("| Refused | Why |\n|---|---|\n")[1].split("\n\n")[0]
ROWS: Final = [row.split("|")[1] for row in TABLE.splitlines()]
NAMES: Final = [name for row in ROWS for name in re.findall("`([^`]+)`", row)]
VALUES: Final = {"auto", "default", '["text"]', "model"}  # what passes, and is named beside what does not
WHOLE: Final[dict[Dialect, dict[str, Any]]] = {
    CHAT: {"messages": [{"role": "user", "content": "hi"}]}, RESPONSES: {"input": "hi"}, EMBEDDINGS: {"input": "hi"},
}  # fmt: skip
# What is no field, or is refused only with a value of its own; an empty object is enough for the rest.
SET: Final[dict[str, dict[str, Any]]] = {
    "service_tier": {"service_tier": "flex"},
    "modalities": {"modalities": ["text", "audio"]},
    "ttl": {"prompt_cache_options": {"ttl": "12h"}},
    "prewarm": {"prompt_cache_options": {"prewarm": True}},
    "Model": {"Model": "gpt-4o-mini"},
}
# What is a part of messages, which only these have: a part, or an item.
PARTS: Final[dict[str, dict[str, Any]]] = {
    "file_id": {"type": "input_image", "file_id": "file-1"},
    "files": {"type": "input_file", "file_data": "AAAA"},
    "sounds": {"type": "input_audio", "input_audio": {"data": "AAAA"}},
}


def refused(dialect: Dialect, **fields: object) -> InvalidRequest:
    with pytest.raises(InvalidRequest) as told:
        dialect.check({**WHOLE[dialect], **fields})
    return told.value


@pytest.mark.parametrize("name", [name for name in NAMES if name not in {*VALUES, "item_reference", "file_id"}])
def test_each_endpoint_refuses_what_the_page_names(name: str) -> None:
    fields = SET.get(name, {name: {}})
    for dialect in WHOLE:
        assert refused(dialect, **fields).param in fields


@pytest.mark.parametrize(
    "kind",
    ["web_search", "file_search", "code_interpreter", "mcp", "image_generation", "computer", "shell", "tool_search",
     "programmatic_tool_calling", "openrouter:web_search"],
)  # fmt: skip
def test_no_endpoint_has_tools_that_the_provider_runs(kind: str) -> None:
    for dialect in WHOLE:
        assert refused(dialect, tools=[{"type": kind}]).param == "tools"


@pytest.mark.parametrize("part", PARTS.values(), ids=PARTS)
def test_no_message_has_a_part_that_cannot_be_counted(part: dict[str, Any]) -> None:
    assert refused(CHAT, messages=[{"role": "user", "content": [part]}]).param == "messages"
    assert refused(RESPONSES, input=[{"role": "user", "content": [part]}]).param == "input"
    assert refused(EMBEDDINGS, input=[part]).param == "input"


def test_an_item_that_the_provider_keeps_is_in_no_request() -> None:
    assert refused(RESPONSES, input=[{"type": "item_reference", "id": "msg_1"}]).param == "input"


def test_what_is_refused_stands_on_the_page() -> None:
    assert UNMETERED.keys() <= set(NAMES)
