"""The documentation says of every endpoint what the OpenAPI page says of it."""

import re
from collections.abc import Iterator
from typing import Annotated, Any, Final, Literal

import pytest
from fastapi import Header, UploadFile
from pydantic import BaseModel, Field
from starlette.testclient import TestClient

from farebox import Call, Farebox
from farebox.domain.errors import CallError
from farebox.web.error_docs import ADVICE
from farebox.web.openapi import CODES
from farebox.web.pages.fields import Field as Told
from farebox.web.pages.fields import all_fields

ERRORS: Final[dict[str, type[CallError]]] = {error.code: error for error in ADVICE}


class Leaf(BaseModel):
    name: str = Field(max_length=9)
    inner: "Leaf | None" = None


class Tree(BaseModel):
    leaves: list[Leaf] = Field(min_length=1, description="All of `them`.")
    again: Leaf | None = None
    by_name: dict[str, Leaf] = {}


def product() -> Farebox:
    app = Farebox("Trees")

    @app.paid
    async def grow(call: Call, tree: Tree, season: Literal["spring", "autumn"] = "spring") -> list[Leaf]:
        """Grow a <tree>.

        It is *green*.
        """
        await call.ask(season)
        return tree.leaves

    @app.put("/mine/{name}", tags=["Mine & others"])
    async def mine(
        name: str, leaves: list[Leaf], size: Annotated[int, Field(ge=1)], mark: Annotated[str, Header()] = "x"
    ) -> dict[str, int]:
        """Keep a tree."""
        return {name: size, mark: len(leaves)}

    @app.post("/mine/files")
    async def files(file: UploadFile) -> str | None:
        return file.filename

    @app.delete("/mine/{name}", status_code=204)
    async def cut(name: str) -> None:
        assert name

    return app


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("reference"))
        with TestClient(product()) as client:
            yield client


@pytest.fixture(scope="module")
def html(client: TestClient) -> str:
    return client.get("/docs").text


@pytest.fixture(scope="module")
def page(client: TestClient) -> dict[str, Any]:
    found: dict[str, Any] = client.get("/openapi.json").json()
    return found


def part(html: str, name: str) -> str:
    """What is told of one endpoint."""
    [found] = re.findall(rf'<article class="operation" id="{name}".*?</article>', html, re.DOTALL)
    return str(found)


def test_every_endpoint_of_the_openapi_page_is_there_with_all_its_refusals(html: str, page: dict[str, Any]) -> None:
    told = re.findall(r'<p class="path"><b>(\w+)</b> <code>(.*?)</code>', html)
    assert sorted(told) == sorted((method.upper(), path) for path, all_of in page["paths"].items() for method in all_of)
    assert told[0] == ("POST", "/v1/grow")  # what is sold comes first
    for path, all_of in page["paths"].items():
        for method, operation in all_of.items():
            refused = sorted(status for status in operation["responses"] if status >= "400")
            name = f"{method}{re.sub('[^A-Za-z0-9_]+', '-', path).rstrip('-')}"
            assert f'href="#{name}"' in html
            assert not refused or f"Errors: {', '.join(refused)}<" in part(html, name)


def test_each_refusal_names_errors_of_its_status_which_have_pages(html: str, page: dict[str, Any]) -> None:
    named = set()
    for all_of in page["paths"].values():
        for operation in all_of.values():
            for status, response in operation["responses"].items():
                if status >= "400":
                    assert response[CODES]
                    assert {ERRORS[code].status for code in response[CODES]} == {int(status)}
                    named |= set(response[CODES])
    assert set(re.findall('href="/errors/([a-z_]+)"', html)) == named
    assert ERRORS.keys() - named == {"not_found", "method_not_allowed"}, "these are of no endpoint"


def test_a_function_is_told_with_its_fields_its_example_and_its_answer(html: str) -> None:
    told = part(html, "post-v1-grow")
    for words in (
        "Grow a &lt;tree&gt;", "It is <em>green</em>", "<code><span>tree.leaves[].</span>name</code>", "1 item or more",
        "Up to 9 characters", "All of <code>them</code>.", "spring or autumn", "<code>&#34;spring&#34;</code>",
        "list of objects of name, inner", "Idempotency-Key", "curl http://testserver/v1/grow", "import requests",
        "await fetch(", "<span>result[].</span>name",
    ):  # fmt: skip
        assert words in told
    assert told.count("<span>tree.leaves[].inner.") == 0


def test_a_route_of_the_founders_has_an_example_as_well(html: str) -> None:
    told = part(html, "put-mine-name")
    assert "curl -X PUT &#39;http://testserver/mine/NAME?size=SIZE&#39;" in told
    assert "&#34;name&#34;:" in told
    assert "Body, as JSON: list of objects of name, inner" in told
    assert "X-API-Key" not in told
    assert "Mine &amp; others" in html
    assert "curl http://testserver/mine/files \\\n  -F file=@document.txt" in part(html, "post-mine-files")
    assert "curl -X DELETE http://testserver/mine/NAME<" in part(html, "delete-mine-name")
    assert "Answer 204: no body" in part(html, "delete-mine-name")


def test_swagger_is_not_loaded_with_the_page(html: str) -> None:
    assert "swagger" not in " ".join(re.findall(r"<(?:script|link)[^>]*>", html))
    assert html.count("data-try") == html.count('<article class="operation"') + 1


def test_fields_inside_of_fields_are_told_once_and_choices_all() -> None:
    assert [field.name for field in all_fields(Tree.model_json_schema(), Tree.model_json_schema())] == [
        "leaves", "leaves[].name", "leaves[].inner", "again", "by_name",
    ]  # fmt: skip
    endless = {"$defs": {"A": {"properties": {"a": {"$ref": "#/$defs/A"}}}}, "$ref": "#/$defs/A"}
    assert [field.name for field in all_fields(endless, endless)] == ["a"]
    letters: dict[str, Any] = {"type": "array", "items": {"enum": list("abcdefgh")}}
    [told] = all_fields({"properties": {"letters": letters}}, {})
    assert (told.kind, told.limits) == ("list of a, b, c, d, e or …", ("One of a, b, c, d, e, f, g, h",))
    scores = {"additionalProperties": {"properties": {"n": {"type": ["integer", "null"], "minimum": 1}}}}
    assert all_fields(scores, scores) == [
        Told("*.n", "whole number", is_required=False, default="", description="", limits=("1 or more",))
    ]
