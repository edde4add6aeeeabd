"""The clients, how each is started, and what it is asked to do."""

import sys
from pathlib import Path
from typing import Final

from tests.clients.installed import HERE, NODE, node_modules, python_of
from tests.clients.program import Program

TEXTS: Final = ("plain", "stream", "responses", "responses_stream")

SCENARIOS: Final[dict[str, tuple[str, ...]]] = {
    "openai_sync": (
        *TEXTS, "stream_without_usage", "tools", "structured",
        "responses_tools", "responses_structured", "embeddings", "models",
    ),
    "openai_async": (*TEXTS, "at_once", "tools", "structured", "responses_structured", "embeddings", "models"),
    "openai_node": (*TEXTS, "tools", "structured", "responses_structured", "embeddings", "models"),
    "langchain": (*TEXTS, "tools", "structured", "embeddings"),
    "pydantic_ai": (*TEXTS, "tools", "structured", "structured_as_tool", "embeddings"),
    "instructor": ("structured", "structured_as_tool", "structured_stream", "responses_structured"),
    "ai_sdk_openai": (*TEXTS, "tools", "structured", "responses_structured", "embeddings"),
    "ai_sdk_compatible": ("plain", "stream", "tools", "structured", "embeddings"),
}  # fmt: skip

NODE_PROGRAMS: Final = {
    "openai_node": ("openai.js",),
    "ai_sdk_openai": ("ai_sdk.js", "openai"),
    "ai_sdk_compatible": ("ai_sdk.js", "openai-compatible"),
}


def started(client: str, log: Path) -> Program:
    if client in NODE_PROGRAMS:
        node_modules()
        script, *arguments = NODE_PROGRAMS[client]
        return Program([str(NODE), str(HERE / "node" / script), *arguments], log)
    python = str(python_of(client)) if (HERE / f"{client}.lock").exists() else sys.executable
    return Program([python, "-m", f"tests.clients.programs.{client}"], log)
