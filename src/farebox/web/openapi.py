"""The OpenAPI page's part for endpoints that are not FastAPI's: they pass bytes, and are described here."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from pydantic import BaseModel, TypeAdapter

from farebox.domain import errors
from farebox.domain.endpoints import GENERATE
from farebox.domain.errors import CallError
from farebox.web.handler import Handler
from farebox.web.shapes import GenerateIn, GenerateOut, ProblemOut
from farebox.web.upload import FORM

Json = dict[str, Any]

SECURITY: Final[list[dict[str, list[str]]]] = [{"ApiKey": []}, {"Bearer": []}]
SCHEMES: Final = {
    "ApiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "Your API key."},
    "Bearer": {"type": "http", "scheme": "bearer", "description": "The same key, as OpenAI's clients send it."},
}
REFUSALS: Final = {
    400: "The request is not HTTP, or its body did not arrive.",
    401: "The API key is missing, wrong, expired or revoked.",
    402: "The plan has to be paid, or is no longer offered.",
    403: "The account is suspended, or the key was made for other endpoints.",
    404: "The service does not offer the model, or has no such call.",
    409: "The first call with this Idempotency-Key is under way, or was a stream.",
    413: "The body is too large.",
    422: "The request is wrong; `param` names the field.",
    429: "The burst limit, the plan's limit, or one of your own is reached.",
    500: "Something went wrong on the service's side. Nothing was charged.",
    502: "The model provider failed. Nothing was charged.",
    503: "The model provider is busy, or the service cannot record calls. Nothing was charged.",
}
PROBLEM: Final = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/ProblemOut"}}}
CODES: Final = "x-error-codes"
"""The key in a documented refusal that lists its possible errors."""
PAID: Final = (
    errors.BadRequest, errors.InvalidApiKey, errors.PaymentRequired, errors.AccountSuspended,
    errors.InsufficientPermissions, errors.IdempotencyInFlight, errors.IdempotencyStreamed, errors.BodyTooLarge,
    errors.InvalidRequest, errors.IdempotencyMismatch, errors.BurstExceeded, errors.QuotaExceeded,
    errors.UpstreamFailed, errors.UpstreamNoMessage, errors.UpstreamBusy, errors.UpstreamTimeout, errors.PriceUnknown,
    errors.LedgerUnavailable, errors.HoldLost,
)  # fmt: skip
HANDLED: Final = (errors.RequestRefused, errors.CallTooLarge, errors.InternalError, errors.UpstreamUnfit)
RELAYED: Final = (errors.RequestRefused, errors.ModelNotFound)
READ: Final = (errors.InvalidApiKey, errors.AccountSuspended, errors.LedgerUnavailable)
"""The errors of an endpoint that costs nothing."""
JSON: Final = "application/json"
SSE: Final = "text/event-stream"
ONCE: Final[Json] = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "A name of your own for this call, such as a UUID. The same request under the same key is done and "
    "charged once, and gets the stored answer.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!#-~]([ -~]{0,253}[!#-~])?$"},
}  # fmt: skip
_NUMBER: Final = {"type": "integer", "minimum": 0}
_TEXT: Final = {"type": "string"}
_EVENTS: Final[Json] = {
    "type": "object",
    "properties": {
        "event": _TEXT
        | {"description": "None for a piece of the answer, `done` at the end, `error` where it breaks off."},
        "data": _TEXT | {"description": "JSON: a piece of the answer, the sums, or a problem."},
    },
    "required": ["data"],
}
HEADERS: Final[Json] = {
    "x-request-id": {"description": "The call's id; its receipt is at /v1/usage/calls/{id}.", "schema": _TEXT},
    "ratelimit-policy": {"description": "The plan's limits.", "schema": _TEXT},
    "ratelimit": {"description": "What is left of them.", "schema": _TEXT},
    "x-prepaid-remaining-nanodollars": {
        "description": "What is left of credit that was bought before, in 10⁻⁹ USD.",
        "schema": _NUMBER,
    },
}
RECEIPT: Final[Json] = HEADERS | {
    "x-charge-nanodollars": {
        "description": "What it came to, in 10⁻⁹ USD: out of the plan's credit or bought credit, or for an invoice.",
        "schema": _NUMBER,
    },
    "x-charged-calls": {"description": "How many calls of the plan it counts for.", "schema": _NUMBER},
    "idempotent-replayed": {"description": "`true` where this is the stored answer.", "schema": {"const": "true"}},
}
STREAMED: Final = (
    "Server-sent events: `data` is a piece of the answer, then `event: done` has the sums, or `event: error` a problem."
)
_MODEL: Final[Json] = {"type": ["string", "null"], "description": "One that /v1/models lists."}
_WORDS: Final[Json] = {"type": "string", "minLength": 1}
_MESSAGES: Final[Json] = {
    "type": "array",
    "minItems": 1,
    "items": {
        "type": "object",
        "required": ["role", "content"],
        "properties": {"role": {"type": "string", "enum": ["system", "user", "assistant"]}, "content": _WORDS},
    },
}
OPENAI: Final[tuple[tuple[str, str, Json, bool], ...]] = (
    ("/v1/chat/completions", "messages", _MESSAGES, True),
    ("/v1/responses", "input", {"anyOf": [_WORDS, _MESSAGES]}, True),
    ("/v1/embeddings", "input", {"anyOf": [_WORDS, {"type": "array", "minItems": 1, "items": _WORDS}]}, False),
)


def refusals(*kinds: type[CallError]) -> dict[int | str, Json]:
    """The documented refusals of an endpoint."""
    return {
        status: {
            "description": REFUSALS[status],
            "content": PROBLEM,
            CODES: [kind.code for kind in kinds if kind.status == status],
        }
        for status in sorted({kind.status for kind in kinds})
    }


def add_paid(page: Json, handlers: Sequence[Handler], endpoints: Sequence[str]) -> Json:
    """The page with the functions and the built-in endpoints, the schemas they need and the two ways to send a key."""
    schemas = page.setdefault("components", {}).setdefault("schemas", {})
    for model in (GenerateIn, GenerateOut, ProblemOut) if GENERATE in endpoints else (ProblemOut,):
        schemas.update(_schema(model))
    page["components"].setdefault("securitySchemes", {}).update(SCHEMES)
    tags = ("Calls", "OpenAI", "Service") if endpoints else ("Calls", "Service")  # the order in which they are shown
    page["tags"] = [{"name": name} for name in tags]
    paths = page.get("paths", {})
    _own_validation(paths, schemas)
    inputs, outputs = _schemas_of(handlers, schemas)
    paid = {handler.path: _handler(handler, inputs[handler.name], outputs[handler.name]) for handler in handlers}
    if GENERATE in endpoints:
        paid[GENERATE] = _generate()
    for path, field, shape, has_stream in OPENAI:
        if path in endpoints:
            paid[path] = _openai(path, field, shape, has_stream=has_stream)
    page["paths"] = {**paid, **paths, **paid}  # paid endpoints come first
    return page


def _own_validation(paths: Json, schemas: Json) -> None:
    """Document the problem body for what FastAPI refuses, in the founder's own routes too."""
    for operations in paths.values():
        for operation in operations.values():
            if isinstance(operation, dict) and "HTTPValidationError" in str(operation["responses"].get("422")):
                operation["responses"]["422"] = refusals(errors.InvalidRequest)[422]
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)


def _generate() -> Json:
    return _paid(
        "generate", "Generate", "One answer of the model, paid from the plan.", "Calls",
        body={"required": True, "content": {JSON: {"schema": {"$ref": "#/components/schemas/GenerateIn"}}}},
        answers={JSON: {"schema": {"$ref": "#/components/schemas/GenerateOut"}}, SSE: {"schema": _EVENTS}},
    )  # fmt: skip


def _openai(path: str, field: str, shape: Json, *, has_stream: bool) -> Json:
    """An endpoint of OpenAI's wire, described only as far as its clients need; OpenAI documents the rest."""
    schema = {
        "type": "object",
        "required": [field],
        "properties": {"model": _MODEL, field: shape},
        "additionalProperties": True,
    }
    answer: Json = {"type": "object", "additionalProperties": True, "description": "As OpenAI's."}
    name = path.removeprefix("/v1/")
    return _paid(
        name.replace("/", "_"), name, f"As OpenAI's `/{name}`, paid from the plan.", "OpenAI",
        body={"required": True, "content": {JSON: {"schema": schema}}},
        answers={JSON: {"schema": answer}} | ({SSE: {"schema": answer}} if has_stream else {}), more=RELAYED,
    )  # fmt: skip


def _handler(handler: Handler, request: Json, answer: Json) -> Json:
    kind = FORM if handler.inputs.takes_files else JSON
    body = {"required": not handler.inputs.is_optional, "content": {kind: {"schema": request}}}
    described = f"{handler.description}\n\n{STREAMED}" if handler.is_stream else handler.description
    answers: Json = {SSE: {"schema": _EVENTS}} if handler.is_stream else {JSON: {"schema": answer}}
    return _paid(handler.name, handler.summary, described, "Calls", body=body, answers=answers, more=HANDLED)


def _paid(
    name: str, summary: str, description: str, tag: str, *, body: Json, answers: Json,
    more: tuple[type[CallError], ...] = (),
) -> Json:  # fmt: skip
    headers = RECEIPT if JSON in answers else HEADERS
    refused = {str(status): answer for status, answer in refusals(*PAID, *more).items()}
    return {
        "post": {
            "operationId": name,
            "summary": summary,
            "description": description,
            "tags": [tag],
            "security": SECURITY,
            "parameters": [ONCE],
            "requestBody": body,
            "responses": {"200": {"description": "The answer.", "headers": headers, "content": answers}, **refused},
        }
    }


def _schemas_of(handlers: Sequence[Handler], schemas: Json) -> tuple[dict[str, Json], dict[str, Json]]:
    """The schemas of each function's input and output; models inside go among the page's schemas, under a free name."""
    adapters = [(handler.name, "validation", handler.inputs.adapter) for handler in handlers]
    adapters += [(handler.name, "serialization", handler.output.adapter) for handler in handlers]
    found, named = _named(adapters, "{model}")
    if any(schemas.get(model, schema) != schema for model, schema in named.items()):
        found, named = _named(adapters, "{model}-Paid")  # another model on the page has the name
    schemas.update(named)
    inputs = {handler.name: found[handler.name, "validation"] for handler in handlers}
    outputs = {
        handler.name: handler.output.wrapped(found[handler.name, "serialization"]) for handler in handlers
    }  # fmt: skip
    return inputs, outputs


def _named(adapters: list[Any], name: str) -> tuple[Mapping[Any, Json], dict[str, Json]]:
    found, inner = TypeAdapter.json_schemas(adapters, ref_template=f"#/components/schemas/{name}")
    return found, {name.format(model=model): schema for model, schema in inner.get("$defs", {}).items()}


def _schema(shape: type[BaseModel]) -> Mapping[str, Any]:
    schema = shape.model_json_schema(ref_template="#/components/schemas/{model}")
    return {**schema.pop("$defs", {}), shape.__name__: schema}
