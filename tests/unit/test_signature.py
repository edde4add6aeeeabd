"""A founder's function: what is meant becomes a schema, and every mistake gets a sentence with its line."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import pytest
from pydantic import BaseModel, Field
from typing_extensions import TypedDict

from farebox import Call, Farebox, File, FounderError, Plan
from farebox.cli.load import load_app
from farebox.domain.errors import InvalidRequest
from farebox.web.handler import Handler, Terms

TERMS: Final = Terms()


class Size(Enum):
    SMALL = "s"
    LARGE = "l"


class Person(BaseModel):
    name: str
    age: int = 0


@dataclass
class Point:
    x: float
    y: float


class Total(TypedDict):
    total: int


async def everything(
    call: Call, schema: str, size: Size, people: list[Person], point: Point | None = None, json: int = 3,
    tone: Literal["warm", "bold"] = "warm", copy: Annotated[str, Field(max_length=5)] = "x",
) -> Person:  # fmt: skip
    """Take everything.

    And say so at length.
    """
    raise NotImplementedError(call, schema, size, people, point, json, tone, copy)


def handler(function: Callable[..., Any], *, has_body: bool = True) -> Handler:
    return Handler(function, TERMS, has_body=has_body)


def read(function: Callable[..., Any], body: object, content_type: bytes = b"application/json") -> dict[str, Any]:
    sent = body if isinstance(body, bytes) else json.dumps(body).encode()
    return asyncio.run(handler(function).inputs.read(sent, content_type))[0]


def test_a_functions_parameters_are_the_schema_whatever_their_names() -> None:
    found = handler(everything)
    schema = found.inputs.schema
    assert list(schema["properties"]) == ["schema", "size", "people", "point", "json", "tone", "copy"]
    assert schema["required"] == ["schema", "size", "people"]
    assert schema["additionalProperties"] is False
    assert schema["title"] == "EverythingIn"
    assert (found.path, found.summary) == ("/v1/everything", "Take everything")
    assert found.description == "Take everything.\n\nAnd say so at length."


def test_what_a_request_has_becomes_the_functions_values() -> None:
    values = read(everything, {"schema": "a", "size": "l", "people": [{"name": "Ada"}], "point": {"x": 1, "y": 2}})
    assert values == {
        "schema": "a", "size": Size.LARGE, "people": [Person(name="Ada")], "point": Point(1, 2), "json": 3,
        "tone": "warm", "copy": "x",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("change", "param", "sentence"),
    [
        ({"schema": None}, "schema", "schema: Input should be a valid string."),
        ({"size": "xl"}, "size", "size: Input should be 's' or 'l'."),
        ({"people": [{"name": "Ada"}, {}]}, "people.1.name", "people.1.name is missing."),
        ({"tone": "mild"}, "tone", "tone: Input should be 'warm' or 'bold'."),
        ({"copy": "123456"}, "copy", "copy: String should have at most 5 characters."),
        ({"json": 1.5}, "json", "json: Input should be a valid integer, got a number with a fractional part."),
        ({"more": 1}, "more", "There is no field more. The fields are: schema, size, people, point, json, tone, copy."),
        ({"schema": "\ud800"}, None, "The JSON is nested too deep, or has half of a surrogate pair"),
    ],
)
def test_a_wrong_field_is_named(change: dict[str, Any], param: str | None, sentence: str) -> None:
    with pytest.raises(InvalidRequest) as told:
        read(everything, {"schema": "a", "size": "l", "people": [], **change})
    assert told.value.param == param
    assert told.value.detail.startswith(sentence)


def test_a_field_is_called_as_the_wire_has_it() -> None:
    async def aliased(call: Call, m: int = Field(alias="em")) -> str:
        """Do."""
        raise NotImplementedError(call, m)

    assert read(aliased, {"em": 3}) == {"m": 3}
    for body, told in (({"m": 3, "em": 3}, "There is no field m. The fields are: em."), (b"x", '{"em": …}')):
        with pytest.raises(InvalidRequest) as error:
            read(aliased, body)
        assert told in error.value.detail


def test_where_nothing_is_required_an_empty_body_will_do() -> None:
    async def hello(call: Call, name: str = "you") -> str:
        """Say hello."""
        raise NotImplementedError(call, name)

    assert read(hello, b"") == {"name": "you"}
    with pytest.raises(InvalidRequest, match="The body is not JSON"):
        read(hello, b"name")


def test_space_around_the_json_is_none_of_it_and_anything_else_is_too_much() -> None:
    async def hello(call: Call, name: str = "you") -> str:
        """Say hello."""
        raise NotImplementedError(call, name)

    assert read(hello, b'\r\n\t {"name": "Ada"} \n') == {"name": "Ada"}
    with pytest.raises(InvalidRequest, match="There is more text after the JSON"):
        read(hello, b'{"name": "Ada"} {}')
    with pytest.raises(InvalidRequest, match="The body is not JSON"):
        read(hello, b'\xc2\xa0{"name": "Ada"}')


# -- Forms

BOUNDARY: Final = "x"
FORM_TYPE: Final = b"multipart/form-data; boundary=x"


def form(*parts: tuple[str, str, bytes | str]) -> bytes:
    body = b""
    for name, filename, content in parts:
        told = f'form-data; name="{name}"' + (f'; filename="{filename}"' if filename else "")
        kind = "Content-Type: text/plain\r\n" if filename else ""
        body += f"--{BOUNDARY}\r\nContent-Disposition: {told}\r\n{kind}\r\n".encode()
        body += (content.encode() if isinstance(content, str) else content) + b"\r\n"
    return body + f"--{BOUNDARY}--\r\n".encode()


async def upload(
    call: Call, document: File, *, more: list[File] | None = None, sentences: int = 3, is_long: bool = False,
    person: Person | None = None, words: list[str] | None = None, title: str | None = None,
) -> str:  # fmt: skip
    """Take files."""
    raise NotImplementedError(call, document, more, sentences, is_long, person, words, title)


def test_a_form_has_files_and_fields_of_every_type() -> None:
    body = form(
        ("document", "a.txt", b"\xffbytes"), ("more", "b.txt", "one"), ("more", "c.txt", "two"), ("sentences", "", "5"),
        ("is_long", "", "true"), ("person", "", '{"name": "Ada"}'), ("words", "", "a"), ("words", "", "b"),
        ("title", "", "7"),
    )  # fmt: skip
    assert read(upload, body, FORM_TYPE) == {
        "document": File(b"\xffbytes", "a.txt", "text/plain"),
        "more": [File(b"one", "b.txt", "text/plain"), File(b"two", "c.txt", "text/plain")],
        "sentences": 5, "is_long": True, "person": Person(name="Ada"), "words": ["a", "b"], "title": "7",
    }  # fmt: skip
    few = read(upload, form(("document", "a.txt", "text"), ("words", "", '["c", "d"]'), ("person", "", "")), FORM_TYPE)
    assert (few["words"], few["person"], few["sentences"]) == (["c", "d"], None, 3)


@pytest.mark.parametrize(
    ("parts", "param"),
    [
        ([("sentences", "", "5")], "document"),
        ([("document", "", "text")], "document"),
        ([("document", "a", ""), ("sentences", "", "five")], "sentences"),
        ([("document", "a", ""), ("sentences", "", "1"), ("sentences", "", "2")], "sentences"),
        ([("document", "a", ""), ("person", "", '{"name": 1}')], "person.name"),
        ([("document", "a", ""), ("other", "", "1")], "other"),
    ],
)
def test_a_wrong_field_of_a_form_is_named(parts: list[tuple[str, str, bytes | str]], param: str) -> None:
    with pytest.raises(InvalidRequest) as told:
        read(upload, form(*parts), FORM_TYPE)
    assert told.value.param == param
    assert ("is not a file. Send" in told.value.detail) is (parts == [("document", "", "text")])


@pytest.mark.parametrize(
    ("body", "content_type"),
    [(b"{}", b"application/json"), (b"{}", b""), (b"rubbish", FORM_TYPE), (b"", b"multipart/form-data")],
)
def test_what_is_no_form_is_refused(body: bytes, content_type: bytes) -> None:
    with pytest.raises(InvalidRequest):
        read(upload, body, content_type)


def test_a_file_of_another_name_is_another_request() -> None:
    """What a function answers may come of the name, so the answer that was kept for one file is none for the other."""
    inputs = handler(upload).inputs
    bodies = [form(("document", name, "text"), ("sentences", "", "5")) for name in ("a.txt", "b.txt")]
    one, other = (asyncio.run(inputs.read(body, FORM_TYPE))[1] for body in bodies)
    assert one != other


def test_the_same_form_is_the_same_request_whatever_its_boundary() -> None:
    inputs = handler(upload).inputs
    body = form(("document", "a.txt", "text"), ("sentences", "", "5"))
    other = form(("document", "a.txt", "text"), ("sentences", "", "6"))
    seen = [
        asyncio.run(inputs.read(sent, kind))[1]
        for sent, kind in (
            (body, FORM_TYPE), (body.replace(b"--x", b"--yy"), b"multipart/form-data; boundary=yy"), (other, FORM_TYPE)
        )
    ]  # fmt: skip
    assert seen[0] == seen[1] != seen[2]


def test_a_file_that_is_no_text_is_told_to_its_sender() -> None:
    assert File("\ufeffgrüß".encode()).text() == "grüß"
    with pytest.raises(InvalidRequest, match=r"The file 'a\.pdf' is not UTF-8 text"):
        File(b"\xff", "a.pdf").text()


# -- Answers


@pytest.mark.parametrize(
    ("returns", "value", "body"),
    [
        (str, "hi", {"text": "hi"}),
        (Annotated[str, Field(max_length=9)], "hi", {"text": "hi"}),
        (Person, Person(name="Ada"), {"name": "Ada", "age": 0}),
        (Person, {"name": "Ada"}, {"name": "Ada", "age": 0}),
        (Point, Point(1, 2), {"x": 1, "y": 2}),
        (Total, {"total": 3}, {"total": 3}),
        (dict[str, int], {"a": 1}, {"a": 1}),
        (list[Person], [Person(name="Ada")], {"result": [{"name": "Ada", "age": 0}]}),
        (int, 3, {"result": 3}),
        (None, None, {"result": None}),
        (Person | None, None, {"result": None}),
    ],
)
def test_what_a_function_returns_is_the_answer(returns: Any, value: object, body: object) -> None:  # noqa: ANN401
    async def give(call: Call) -> Any:  # noqa: ANN401
        """Give."""
        raise NotImplementedError(call)

    give.__annotations__["return"] = returns
    output = handler(give).output
    assert json.loads(output.body(value)) == body


@pytest.mark.parametrize(("returns", "value"), [(str, 3), (Person, {"age": 1}), (int, "x"), (list[int], [None])])
def test_a_value_of_another_type_is_no_answer(returns: Any, value: object) -> None:  # noqa: ANN401
    async def give(call: Call) -> Any:  # noqa: ANN401
        """Give."""
        raise NotImplementedError(call)

    give.__annotations__["return"] = returns
    with pytest.raises(ValueError, match="the answer is not of the type"):
        handler(give).output.body(value)


# -- Mistakes

HEAD: Final = """\
from __future__ import annotations
from collections.abc import AsyncIterator
from typing import Callable
from pydantic import BaseModel
from farebox import Farebox, File, Plan

class Papers(BaseModel):
    files: list[File]

app = Farebox("Till", plans=[Plan("free", calls=20, tokens=50_000)])
"""
LINE: Final = HEAD.count("\n") + 1
DOC: Final = '    """Do."""\n'
MISTAKES: Final = {
    "@app.paid\ndef f(call) -> str:\n" + DOC: "f is not async; write it as: async def f(call, topic: str) -> str",
    "@app.paid\nasync def f(call) -> str: ...": "f has no docstring",
    "@app.paid\nasync def f() -> str:\n" + DOC: "f does not take the call as its first parameter",
    "@app.paid\nasync def f(*, call) -> str:\n" + DOC: "f does not take the call as its first parameter",
    "@app.paid\nasync def f(self, call) -> str:\n" + DOC: "f is a method; write it as a function that takes the call",
    "@app.paid\nasync def f(topic: str) -> str:\n" + DOC: "f has topic as its first parameter; that",
    "@app.paid\nasync def f(call, *more) -> str:\n" + DOC: "f takes *more; name each field",
    "@app.paid\nasync def f(call, **more) -> str:\n" + DOC: "f takes *more; name each field",
    "@app.paid\nasync def f(call, a: str, /) -> str:\n" + DOC: "f takes a by position only",
    "@app.paid\nasync def f(c, call: str) -> str:\n" + DOC: "f has a parameter 'call', which cannot be a field",
    "@app.paid\nasync def f(call, topic) -> str:\n" + DOC: "f does not say what topic is; write it as: topic: str",
    "@app.paid\nasync def f(call, topic: str):\n" + DOC: "f does not say what it returns",
    "@app.paid\nasync def f(call, a: Lead) -> str:\n" + DOC: "f has an unknown annotation: name 'Lead'",
    "@app.paid\nasync def f(call, a: '1 +') -> str:\n" + DOC: "f has an annotation that cannot be read",
    "@app.paid\nasync def f(call, a: Farebox) -> str:\n" + DOC: "f: a cannot be a field: Unable to generate",
    "@app.paid\nasync def f(call, a: Callable[[], str]) -> str:\n" + DOC: "f: there is no JSON for what it takes",
    "@app.paid\nasync def f(call) -> Farebox:\n" + DOC: "f: there is no JSON for what it returns",
    "@app.paid\nasync def f(call, a: Papers) -> str:\n" + DOC: "f takes a File inside of a; make it a parameter",
    "@app.paid\nasync def f(call, a: dict[str, File]) -> str:\n" + DOC: "f takes a File inside of a; make it a",
    "@app.paid\nasync def f(call) -> Papers:\n" + DOC: "f returns a File, but its answer is JSON",
    "@app.paid\nasync def f(call, a: int = 'x') -> str:\n" + DOC: "f: the default of a is 'x', which is not of its",
    "@app.paid\nasync def f(call, a: str = None) -> str:\n" + DOC: "f: the default of a is None, which is not of its",
    "@app.paid\nasync def f(call) -> str:\n" + DOC + "    yield 'x'": "f yields, so it returns a stream",
    "@app.paid\nasync def generate(call) -> str:\n" + DOC: (
        "generate cannot be the name of an endpoint, as it is kept for Farebox's own, open or closed; rename it."
    ),
    "@app.paid\nasync def tést(call) -> str:\n" + DOC: "as it has other letters than a to z; rename it.",
    "@app.paid\nasync def models(call) -> str:\n" + DOC: "models cannot be the name of an endpoint",
    "@app.paid\nasync def _f(call) -> str:\n" + DOC: "_f begins with '_'",
    "@app.paid\nclass F: ...": "is not a function; put the decorator right above an async def.",
    "@app.paid(units=-1)\nasync def f(call) -> str:\n" + DOC: "units has to be a whole number from 0 to 1,000,000",
    "@app.paid(units='2')\nasync def f(call) -> str:\n" + DOC: "units has to be a whole number from 0 to 1,000,000",
    "@app.paid(units=True)\nasync def f(call) -> str:\n" + DOC: "units has to be a whole number from 0 to 1,000,000",
    "@app.paid(max_input_tokens=0)\nasync def f(call) -> str:\n" + DOC: "max_input_tokens has to be a whole",
    "@app.paid(max_output_tokens='x')\nasync def f(call) -> str:\n" + DOC: "max_output_tokens has to be a whole",
    "@app.paid(model='nobody:x')\nasync def f(call) -> str:\n" + DOC: "the provider 'nobody' is not known",
    "@app.prompt\nasync def f(a: str) -> str:\n" + DOC: "f has no prompt; write it into the docstring",
    '@app.prompt\nasync def f(a: str) -> str:\n    """Do.\n\n    Do {b}."""': "its prompt has {b}, and it takes {a}",
    '@app.prompt\nasync def f(a: str) -> str:\n    """Do.\n\n    Do {a.b}."""': "its prompt has {a.b}, and",
    '@app.prompt\nasync def f(a: str) -> str:\n    """Do.\n\n    Do {a!r:>9}."""': "its prompt has {a!r:>9}, and it",
    '@app.prompt\nasync def f() -> str:\n    """Do.\n\n    Do {}."""': "its prompt has {}, and it takes no field",
    '@app.prompt\nasync def f() -> str:\n    """Do.\n\n    Do {."""': "f: its prompt cannot be read",
    '@app.prompt\nasync def f(a: str) -> str:\n    """Do.\n\n    Do."""': "f takes a, and its prompt does not use it",
    '@app.prompt\nasync def f(a: File) -> str:\n    """Do.\n\n    {a}"""': "f takes a file, which a prompt cannot hold",
    '@app.prompt\nasync def f() -> AsyncIterator[int]:\n    """Do.\n\n    Do."""': "f streams its model's words",
    "@app.on('signed-up')\ndef f(event): ...": "There is no event 'signed-up'; the events are: signed_up, limit_near,",
}  # fmt: skip


@pytest.mark.parametrize("text", MISTAKES, ids=range(len(MISTAKES)))
def test_a_mistake_is_told_in_a_sentence_with_its_line(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    name = f"mistake_{abs(hash(text))}"
    (tmp_path / f"{name}.py").write_text(f"{HEAD}{text}\n")
    with pytest.raises(FounderError) as told:
        load_app(f"{name}.py")
    assert MISTAKES[text] in str(told.value)
    assert f"{name}.py, line {LINE}: " in str(told.value)


def test_a_name_is_taken_once() -> None:
    app = Farebox("Till")

    @app.paid
    async def twice(call: Call) -> str:
        """Do."""
        raise NotImplementedError(call)

    with pytest.raises(
        FounderError, match=r"twice is the name of two functions; rename this one, or the one at .*, line \d+\."
    ):
        app.paid(twice)


def test_what_only_the_whole_file_shows_is_told_with_its_line() -> None:
    app = Farebox("Till", plans=[Plan("free", tokens=10_000)], prices={"gpt-4o": (2, 8)})

    @app.paid
    async def long(call: Call) -> str:
        """Do."""
        raise NotImplementedError(call)

    with pytest.raises(FounderError, match=r"test_signature.py, line \d+: prices has 'gpt-4o', and the model is"):
        app.check()
    app.paid(model="openai:gpt-4o")(named("short"))
    with pytest.raises(FounderError, match=r"line \d+: a call of long can come to 32,400 tokens, and Plan"):
        app.check()


def test_a_model_of_a_handlers_own_may_have_a_price() -> None:
    app = Farebox("Till", prices={"gpt-4o": (2, 8), "gpt-4o-mini": (1, 2)})
    app.paid(model=["openai:gpt-4o", "groq:llama"], units=0)(named("short"))
    app.check()
    assert [str(model) for model in app.product.asked] == ["openai:gpt-4o-mini", "openai:gpt-4o", "groq:llama"]
    assert [str(model) for model in app.product.listed] == ["openai:gpt-4o-mini"]
    assert len(app.product.founder_prices) == 2


def named(name: str) -> Callable[..., Any]:
    async def function(call: Call) -> str:
        """Do."""
        raise NotImplementedError(call)

    function.__name__ = name
    return function


def test_a_stream_may_be_handed_on() -> None:
    async def lines(call: Call) -> AsyncIterator[Person]:
        """Do."""
        raise NotImplementedError(call)

    found = handler(lines)
    assert found.is_stream
    assert json.loads(found.output.item(Person(name="Ada"))) == {"name": "Ada", "age": 0}
