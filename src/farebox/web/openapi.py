"""The OpenAPI page's part for endpoints that are not FastAPI's: they pass bytes, and are described here."""

from typing import Any, Final

from pydantic import BaseModel

from farebox.web.shapes import GenerateIn, GenerateOut, ProblemOut

SECURITY: Final[list[dict[str, list[str]]]] = [{"ApiKey": []}, {"Bearer": []}]
SCHEMES: Final = {
    "ApiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "Your API key."},
    "Bearer": {"type": "http", "scheme": "bearer", "description": "The same key, as OpenAI's clients send it."},
}
REFUSALS: Final = {
    400: "The request is no HTTP, or its body did not arrive.",
    401: "The API key is missing, wrong, expired or revoked.",
    402: "The plan has to be paid, or is no longer offered.",
    403: "The account is suspended.",
    404: "There is no such call, or no such model.",
    409: "The first call with this Idempotency-Key is under way, or was streamed.",
    413: "The body is too large.",
    422: "The request is wrong; `param` names the field.",
    429: "The burst limit or the plan's limit is reached.",
    502: "The model provider failed. Nothing was charged.",
    503: "The model provider is busy, or the service cannot record calls. Nothing was charged.",
}
PROBLEM: Final = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/ProblemOut"}}}


def refusals(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The documented refusals of an endpoint."""
    return {status: {"description": REFUSALS[status], "content": PROBLEM} for status in statuses}


def add_paid(page: dict[str, Any]) -> dict[str, Any]:
    """The page with the paid endpoints, the schemas they need and the two ways to send a key."""
    schemas = page.setdefault("components", {}).setdefault("schemas", {})
    for shape in (GenerateIn, GenerateOut, ProblemOut):
        schemas.update(_schema(shape))
    page["components"].setdefault("securitySchemes", {}).update(SCHEMES)
    responses = {
        str(status): answer for status, answer in refusals(400, 401, 402, 403, 413, 422, 429, 502, 503).items()
    }
    answer = {"schema": {"$ref": "#/components/schemas/GenerateOut"}}
    page.setdefault("paths", {})["/v1/generate"] = {
        "post": {
            "operationId": "generate",
            "summary": "Generate",
            "description": "One answer of the model, paid from the plan.",
            "tags": ["Calls"],
            "security": SECURITY,
            "requestBody": {
                "required": True,
                "content": {"application/json": {"schema": {"$ref": "#/components/schemas/GenerateIn"}}},
            },
            "responses": {
                "200": {"description": "The answer.", "content": {"application/json": answer}},
                **responses,
            },
        }
    }
    return page


def _schema(shape: type[BaseModel]) -> dict[str, Any]:
    schema = shape.model_json_schema(ref_template="#/components/schemas/{model}")
    return {**schema.pop("$defs", {}), shape.__name__: schema}
