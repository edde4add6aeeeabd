"""A type as the form of a model's answer: its JSON schema, and how an answer is read."""

from functools import lru_cache
from typing import Any, Final

from pydantic import TypeAdapter, create_model

from farebox.domain.dialects.base import JsonObject

# What the strict mode of structured outputs supports; the rest is checked when an answer is read.
# Source: https://platform.openai.com/docs/guides/structured-outputs#supported-schemas
FORMATS: Final = frozenset({"date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid"})
DROPPED: Final = frozenset({"title", "default", "discriminator", "uniqueItems"})
LOOSE: Final = frozenset({"prefixItems", "patternProperties", "propertyNames"})


class Form:
    """The form of one type."""

    def __init__(self, out: Any) -> None:  # noqa: ANN401  # a type, as pydantic takes it
        self._adapter: TypeAdapter[Any] = TypeAdapter(out)
        schema = self._adapter.json_schema()
        # A model answers with an object: any other type is wrapped in one.
        self._is_wrapped = _resolved(schema, schema.get("$defs", {})).get("type") != "object"
        if self._is_wrapped:
            self._adapter = TypeAdapter(create_model("Answer", result=(out, ...)))
            schema = self._adapter.json_schema()
        definitions = schema.pop("$defs", {})
        self._is_strict = True
        self.schema: JsonObject = self._strict(_resolved(schema, definitions), definitions)
        if definitions:
            self.schema["$defs"] = {name: self._strict(found, definitions) for name, found in definitions.items()}

    @property
    def response_format(self) -> JsonObject:
        form = {"name": "answer", "schema": self.schema, "strict": self._is_strict}
        return {"type": "json_schema", "json_schema": form}

    def read(self, text: str) -> Any:  # noqa: ANN401  # an object of the form's type
        """Read an answer into an object of the type.

        Raises:
            ValidationError: it does not fit.
        """
        text = text.strip()
        if text.startswith("```"):  # some models put everything into a code fence
            text = text.partition("\n")[2].rpartition("```")[0]
        found = self._adapter.validate_json(text)
        return found.result if self._is_wrapped else found

    def _strict(self, schema: JsonObject, definitions: JsonObject) -> JsonObject:
        """The schema as strict mode wants it: every property required, no others allowed."""
        if "$ref" in schema and len(schema) > 1:  # strict mode allows nothing beside a reference
            beside = {name: value for name, value in schema.items() if name != "$ref"}
            return self._strict({**_resolved(schema, definitions), **beside}, definitions)
        found: JsonObject = {}
        for name, value in schema.items():
            if name in DROPPED or (name == "format" and value not in FORMATS):
                continue
            if name in LOOSE:
                self._is_strict = False
            if name == "properties":
                found[name] = {key: self._strict(part, definitions) for key, part in value.items()}
            elif name in {"anyOf", "oneOf", "allOf", "prefixItems"}:
                found["anyOf" if name == "oneOf" else name] = [self._strict(part, definitions) for part in value]
            elif name in {"items", "additionalProperties"} and isinstance(value, dict):
                found[name] = self._strict(value, definitions)
            else:
                found[name] = value
        if found.get("type") == "object":
            self._close(found)
        return found

    def _close(self, schema: JsonObject) -> None:
        if "properties" not in schema or schema.get("additionalProperties"):
            self._is_strict = False  # an object of any keys
            return
        schema["additionalProperties"] = False
        schema["required"] = list(schema["properties"])


def _resolved(schema: JsonObject, definitions: JsonObject) -> JsonObject:
    while "$ref" in schema:
        schema = definitions[schema["$ref"].rpartition("/")[2]]
    return schema


@lru_cache(maxsize=256)
def _known_form(out: Any) -> Form:  # noqa: ANN401
    return Form(out)


def form_of(out: Any) -> Form:  # noqa: ANN401
    """The form of a type, made once."""
    try:
        return _known_form(out)
    except TypeError:  # an annotation that cannot be a key
        return Form(out)
