"""Every endpoint as the documentation shows it: read off the OpenAPI page."""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Any, Final, NamedTuple

from farebox.web.openapi import CODES, JSON, SCHEMES, SSE
from farebox.web.pages.fields import Field, Json, all_fields, field_of, kind_of, opened
from farebox.web.pages.offers import SAMPLE, Offer, paid_offers, suggested
from farebox.web.pages.snippets import KEY, curl, snippets
from farebox.web.site import Site

METHODS: Final = ("get", "post", "put", "patch", "delete")
FORM: Final = "a form"
KINDS: Final = {
    JSON: "JSON", SSE: "server-sent events", "multipart/form-data": FORM, "application/x-www-form-urlencoded": FORM,
}  # fmt: skip
FILE: Final = ('"contentMediaType": "application/octet-stream"', '"format": "binary"')
"""A file, as FastAPI describes it and as we do."""
NO_TAG: Final = "default"  # as Swagger calls it


class Table(NamedTuple):
    """Some fields of a request, or of an answer."""

    title: str
    rows: list[Field]
    is_sent: bool
    kind: str = ""
    """The kind of the whole, where it is no object with these fields."""
    description: str = ""


class Refusal(NamedTuple):
    status: str
    description: str
    codes: list[str]
    """The errors that it may be; not known for a founder's own routes."""


class Operation(NamedTuple):
    """One endpoint."""

    id: str
    """Its anchor on the page."""
    tag: str
    name: str
    """Its `operationId`."""
    path: str
    title: str
    text: str
    """The rest of its description, as Markdown."""
    offer: Offer
    """The endpoint with an example."""
    is_sold: bool
    needs_key: bool
    request: list[Table]
    answers: list[Table]
    headers: list[Field]
    """Of the answer."""
    refusals: list[Refusal]

    def code(self, url: str) -> list[tuple[str, str]]:
        """The call in each language; of an endpoint that is not sold, only as curl."""
        key = KEY if self.needs_key else ""
        if self.is_sold:
            return snippets(self.offer, url, key)
        return [("curl", curl(self.offer, f"{url}{self.offer.path}", key, self.offer.request))]


def reference(site: Site) -> dict[str, list[Operation]]:
    """The endpoints by their tags, in the order in which the page has them."""
    page, paid = json.loads(json.dumps(site.openapi()).replace(*FILE)), paid_offers(site)
    found: dict[str, list[Operation]] = {tag["name"]: [] for tag in page.get("tags", ())}
    for path, methods in page["paths"].items():
        for method in (method for method in METHODS if method in methods):
            operation = _Reader(page, path, method, site.example).operation(
                paid.get(path) if method == "post" else None
            )
            found.setdefault(operation.tag, []).append(operation)
    return {tag: operations for tag, operations in found.items() if operations}


def all_headers(groups: Mapping[str, list[Operation]]) -> Table:
    """The headers of all answers, each told once."""
    found = {header.name: header for operations in groups.values() for each in operations for header in each.headers}
    return Table("Headers of the answers", list(found.values()), is_sent=False)


class _Reader:
    """Reads one endpoint."""

    def __init__(self, page: Json, path: str, method: str, example: Callable[[object], Any]) -> None:
        self.path, self.method, self.example = path, method, example
        self.found: Json = page["paths"][path][method]
        self.parameters: list[Json] = self.found.get("parameters", [])
        self.components: Json = page.get("components", {})
        self.shapes: Json = {"$defs": self.components.get("schemas", {})}
        content: dict[str, Json] = self.found.get("requestBody", {}).get("content", {})
        self.body_type = next(iter(content), "")
        self.body: Json = content[self.body_type].get("schema", {}) if content else {}

    def operation(self, offer: Offer | None) -> Operation:
        title = str(self.found.get("summary") or self.path)
        head, _, rest = str(self.found.get("description", "")).strip().partition("\n")
        responses: Mapping[str, Json] = self.found.get("responses", {})
        good = {status: response for status, response in responses.items() if status < "400"}
        headers: Mapping[str, Json] = next(iter(good.values()), {}).get("headers", {})
        return Operation(
            id=f"{self.method}{re.sub('[^A-Za-z0-9_]+', '-', self.path).rstrip('-')}",
            tag=next(iter(self.found.get("tags", ())), NO_TAG),
            name=self.found["operationId"],
            path=self.path,
            title=title,
            text=rest.strip() if head.rstrip(".") == title else f"{head}\n{rest}".strip(),
            offer=offer or self._offer(title),
            is_sold=offer is not None,
            needs_key=any(set(SCHEMES) & set(way) for way in self.found.get("security", ())),
            request=list(self._request()),
            answers=[table for status, response in good.items() for table in self._answers(status, response)],
            headers=[self._field(name, header) for name, header in headers.items()],
            refusals=[
                Refusal(status, response.get("description", ""), response.get(CODES, []))
                for status, response in sorted(responses.items())
                if status not in good
            ],
        )

    def _request(self) -> Iterator[Table]:
        yield self._parameters("path", "In the path")
        yield self._parameters("query", "In the query")
        if self.body_type:
            yield self._table("Body", self.body_type, self.body, is_sent=True)
        yield self._parameters("header", "In the headers")

    def _parameters(self, place: str, title: str) -> Table:
        rows = [self._field(part["name"], part) for part in self.parameters if part["in"] == place]
        return Table(title, rows, is_sent=True)

    def _answers(self, status: str, response: Json) -> Iterator[Table]:
        for kind, part in response.get("content", {}).items():
            yield self._table(f"Answer {status}", kind, part.get("schema", {}), is_sent=False)
        if not response.get("content"):
            yield Table(f"Answer {status}", [], is_sent=False, kind="no body")

    def _table(self, title: str, content_type: str, schema: Json, *, is_sent: bool) -> Table:
        whole = opened(schema, self.shapes)
        kind = "" if "properties" in whole else kind_of(schema, self.shapes)
        described = str(whole.get("description", ""))
        titled = f"{title}, as {KINDS.get(content_type, content_type)}"
        return Table(titled, all_fields(schema, self.shapes), is_sent, kind, described)

    def _field(self, name: str, part: Json) -> Field:
        """A parameter or a header, whose description stands beside its schema."""
        schema = part.get("schema", {})
        told = {"description": part["description"]} if "description" in part else {}
        return field_of(name, {**schema, **told}, self.shapes, is_required=part.get("required", False))

    def _offer(self, title: str) -> Offer:
        """The offer of an endpoint that is not sold, for its example."""
        path = re.sub(r"\{(\w+)\}", lambda found: found[1].upper(), self.path)
        asked = [part["name"] for part in self.parameters if part["in"] == "query" and part.get("required")]
        query = "&".join(f"{name}={name.upper()}" for name in asked)
        request: Any = {}
        if self.body_type:
            with suppress(ValueError):  # where no example can be made of a schema, none is shown
                request = self.example(suggested({**self.body, "components": self.components}, SAMPLE))
        return Offer(
            self.found["operationId"], f"{path}?{query}" if query else path, title, "", "", is_stream=False,
            takes_files=KINDS.get(self.body_type) == FORM, schema=opened(self.body, self.shapes), request=request,
            answer="", is_text=False, method=self.method.upper(), has_body=bool(self.body_type),
        )  # fmt: skip
