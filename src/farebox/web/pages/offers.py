"""What the product sells, endpoint by endpoint, as pages show it: in words, and with an example."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from farebox.domain.endpoints import GENERATE
from farebox.web.handler import Handler
from farebox.web.shapes import GenerateIn
from farebox.web.site import Site

SAMPLE: Final = "a small coffee roaster in Lisbon"
PROMPT: Final = "Write a tagline for a small coffee roaster in Lisbon"
ANSWER: Final = "The answer to your request stands here."
TEXT: Final = "…"  # of a field
OPENAI: Final[Mapping[str, dict[str, Any]]] = {
    "/v1/chat/completions": {"messages": [{"role": "user", "content": PROMPT}]},
    "/v1/responses": {"input": PROMPT},
    "/v1/embeddings": {"input": PROMPT},
}
"""An example request for each endpoint of OpenAI's wire."""
ANSWERED: Final = {"input_tokens": 14, "output_tokens": 9}
LEFT: Final = {"tokens": 23, "calls_used": 1, "calls_remaining": 19}
NARROWED: Final = frozenset({"const", "enum", "format", "pattern"})
"""Keywords of a text that cannot be just any text."""


class Offer(NamedTuple):
    """One endpoint."""

    name: str
    path: str
    title: str
    text: str
    """The rest of its description, as Markdown; often empty."""
    counts: str
    """How many calls it counts for, in words; empty for one."""
    is_stream: bool
    takes_files: bool
    schema: Mapping[str, Any]
    request: dict[str, Any]
    """An example; a file is only its name."""
    answer: str
    """An example of the body; empty where there is none to show."""
    is_text: bool
    """Whether the answer, or each item of it, is a text."""
    streams_on_demand: bool = False
    """Whether `stream` in the request decides how it is answered."""
    method: str = "POST"
    has_body: bool = True


def offers(site: Site) -> list[Offer]:
    """Each function of the founder's; without any, the plain prompt."""
    return [_of_handler(handler, site.example) for handler in site.handlers.values()] or [_generate()]


def paid_offers(site: Site) -> dict[str, Offer]:
    """Every endpoint that is paid for, by its path."""
    plain = _generate()
    found = {offer.path: offer for offer in (*offers(site), plain)}
    found |= {path: plain._replace(path=path, request=request, answer="") for path, request in OPENAI.items()}
    return {path: offer for path, offer in found.items() if path in site.listed}


def offer_at(site: Site, paths: Sequence[str]) -> Offer | None:
    """An endpoint to begin with: the first at one of these paths, if there is one, or of all where no path is given."""
    return next((offer for path, offer in paid_offers(site).items() if path in paths or not paths), None)


def callable_offers(site: Site) -> list[Offer]:
    """Every endpoint of Farebox's own wire; the plain prompt streams, so that its answer begins to show sooner."""
    plain = _generate()
    stream = {"type": "boolean", "default": True, "description": "Show the answer as it is written."}
    schema = {**plain.schema, "properties": {**plain.schema["properties"], "stream": stream}}
    request = {**plain.request, "stream": True}
    handlers = [_of_handler(handler, site.example) for handler in site.handlers.values()]
    if GENERATE not in site.product.listed_endpoints:
        return handlers
    return [*handlers, plain._replace(schema=schema, request=request, streams_on_demand=True)]


def _generate() -> Offer:
    return Offer(
        "generate", GENERATE, "Ask the model",
        "A prompt goes in, and the model's answer comes out, with what it used and what is left.", "",
        is_stream=False, takes_files=False, schema=GenerateIn.model_json_schema(), request={"prompt": PROMPT},
        answer=written({"text": ANSWER, **ANSWERED, **LEFT}), is_text=True,
    )  # fmt: skip


def _of_handler(handler: Handler, example: Callable[[object], Any]) -> Offer:
    request: dict[str, Any] = example(suggested(handler.inputs.schema, SAMPLE))
    sample = ANSWER if handler.output.is_text and not handler.is_stream else TEXT
    answer = example(suggested(handler.output.adapter.json_schema(mode="serialization"), sample))
    if handler.is_stream:
        item = json.dumps({"text": answer} if handler.output.is_text else answer, ensure_ascii=False)
        sums = json.dumps(ANSWERED | {"calls_remaining": LEFT["calls_remaining"]})
        body = f"data: {item}\n\ndata: {item}\n\nevent: done\ndata: {sums}"
    else:
        body = written(handler.output.enclosed(answer))
    return Offer(
        handler.name, handler.path, handler.summary, handler.description.partition("\n")[2].strip(), _counts(handler),
        handler.is_stream, handler.inputs.takes_files, handler.inputs.schema, request, body, handler.output.is_text,
    )  # fmt: skip


def suggested(schema: Any, sample: str) -> Any:  # noqa: ANN401  # JSON
    """The schema narrowed to what reads well: its own example or default, else the sample for a text."""
    if isinstance(schema, list):
        return [suggested(part, sample) for part in schema]
    if not isinstance(schema, dict):
        return schema
    if schema.get("format") == "binary":
        return {"const": "document.txt"}
    if isinstance(schema.get("examples"), list) and schema["examples"]:
        return {"const": schema["examples"][0]}
    if schema.get("default") not in (None, "", [], {}):
        return {"const": schema["default"]}
    if schema.get("type") == "string" and not NARROWED & schema.keys() and _has_room(schema, sample):
        return {"const": sample}
    return {name: part if name in {"const", "enum"} else suggested(part, sample) for name, part in schema.items()}


def written(value: object) -> str:
    """JSON as people read it."""
    return json.dumps(value, indent=2, ensure_ascii=False)


def _has_room(schema: Mapping[str, Any], sample: str) -> bool:
    return bool(schema.get("minLength", 0) <= len(sample) <= schema.get("maxLength", len(sample)))


def _counts(handler: Handler) -> str:
    units = handler.terms.units
    if isinstance(units, int):
        return "" if units == 1 else f"Counts for {units:,} calls"
    return "Counts for more calls the more it is given"
