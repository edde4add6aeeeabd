"""Forms are made from signatures: which control a field gets, what it says, and what comes back from it."""

import asyncio
import json
from datetime import date
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, Field

from farebox.domain.errors import InvalidRequest
from farebox.sandbox.example import example
from farebox.web.inputs import Inputs
from farebox.web.pages.controls import Control, controls, find_control
from farebox.web.pages.offers import SAMPLE, suggested
from farebox.web.pages.typed import SAMPLE_FILE, body_of, named, read_typed, request_of, typed_of
from farebox.web.shapes import GenerateIn
from farebox.web.signature import Parameter
from farebox.web.upload import File


class Tone(Enum):
    WARM = "warm"
    BOLD = "bold"


class Place(BaseModel):
    city: str
    floors: list[int] = []


class Lead(BaseModel):
    company: str = Field(max_length=200, description="Who writes")
    employees: int | None = Field(None, ge=1)
    place: Place


class Odd(BaseModel):
    odd: str = Field(alias="an odd name")


class Tree(BaseModel):
    children: list["Tree"] = []


def inputs(**fields: object) -> Inputs:
    """The fields of an endpoint; a tuple is a type and its default."""
    pairs = {name: field if isinstance(field, tuple) else (field, ...) for name, field in fields.items()}
    return Inputs("test", {name: Parameter(*pair) for name, pair in pairs.items()})


def control(annotation: object, default: object = ...) -> Control:
    [found] = controls(inputs(x=(annotation, default)).schema)
    return found


# -- Which control


@pytest.mark.parametrize(
    ("annotation", "kind"),
    [
        (str, "area"),
        (Annotated[str, Field(max_length=200)], "line"),
        (Annotated[str, Field(max_length=201)], "area"),
        (Annotated[str, Field(pattern="^a+$")], "line"),
        (date, "line"),
        (Decimal, "line"),
        (int | str, "line"),
        (int, "number"),
        (float | None, "number"),
        (bool, "check"),
        (bool | None, "choice"),
        (Literal["a", "b"], "radios"),
        (Tone, "radios"),
        (Literal["a", "b"] | None, "choice"),
        (Literal[1, 2, 3, 4, 5], "choice"),
        (list[str], "lines"),
        (list[int], "lines"),
        (list[Literal["a", "b"]], "ticks"),
        (list[Place], "json"),
        (list[list[str]], "json"),
        (tuple[int, str], "json"),
        (dict[str, int], "json"),
        (Any, "json"),
        (Lead | Place, "json"),
        (Lead | None, "json"),
        (Lead, "group"),
        (Odd, "json"),
        (Tree, "group"),
        (File, "file"),
        (File | None, "file"),
        (list[File], "files"),
    ],
    ids=repr,
)
def test_a_type_has_its_control(annotation: object, kind: str) -> None:
    assert control(annotation).kind == kind


def test_models_are_groups_as_far_as_a_form_can_show_them() -> None:
    lead = control(Lead)
    assert [(part.name, part.kind) for part in lead.parts] == [
        ("in.x.company", "line"),
        ("in.x.employees", "number"),
        ("in.x.place", "group"),
    ]
    assert [part.name for part in lead.parts[2].parts] == ["in.x.place.city", "in.x.place.floors"]
    [deep] = control(Tree).parts
    assert deep.kind == "json"


@pytest.mark.parametrize(
    ("annotation", "default", "hint"),
    [
        (Annotated[int, Field(ge=1, le=9, description="How many")], 3, "How many. 1 to 9. Default: 3."),
        (Annotated[int, Field(ge=1_000)], ..., "1,000 or more."),
        (Annotated[float, Field(gt=0, lt=1)], ..., "More than 0. Less than 1."),
        (Annotated[int, Field(ge=5, multiple_of=5)], ..., "5 or more. A multiple of 5."),
        (Annotated[str, Field(min_length=3, max_length=2_000)], ..., "3 to 2,000 characters."),
        (Annotated[str, Field(max_length=1)], ..., "Up to 1 character."),
        (Annotated[str, Field(min_length=1)], ..., "1 character or more."),
        (Annotated[list[str], Field(min_length=2, max_length=2)], ..., "One a line. 2 items."),
        (Annotated[str, Field(pattern="^a+$")], ..., "It has to match ^a+$ as a regular expression."),
        (list[str], ["a", "b"], "One a line. Default: a, b."),
        (Literal["warm", "bold"], "warm", "Default: warm."),
        (dict[str, int], {}, "Written as JSON."),
        (bool, True, ""),
        (str, "", ""),
        (File, ..., "Without one, a short example text is sent."),
        (File | None, None, ""),
    ],
    ids=repr,
)
def test_the_hint_says_what_may_be_and_what_is_when_nothing_is(annotation: object, default: object, hint: str) -> None:
    assert control(annotation, default).hint == hint


def test_a_browser_is_told_the_bounds_of_numbers() -> None:
    whole = control(Annotated[int, Field(ge=1, le=9)]).attributes
    assert whole == {"type": "number", "step": 1, "inputmode": "numeric", "min": 1, "max": 9}
    assert control(float).attributes == {"type": "number", "step": "any", "inputmode": "decimal"}
    # A browser counts from `min`: 1, 6, 11 are not the multiples of 5.
    assert control(Annotated[int, Field(ge=1, multiple_of=5)]).attributes["step"] == "any"
    assert control(Annotated[int, Field(ge=10, multiple_of=5)]).attributes["step"] == 5


def test_what_may_be_left_out_can_be_left_out() -> None:
    assert control(Literal["a", "b"] | None, None).options == (("", None), ("a", "a"), ("b", "b"))
    assert control(bool | None, None).options == (("", None), ("true", True), ("false", False))
    assert control(Literal["a", "b"], "a").options == (("a", "a"), ("b", "b"))
    assert [control(kind).must_be_typed for kind in (str, int, str | None, bool, list[str], File, Any)] == [
        True, True, False, False, False, False, False,
    ]  # fmt: skip


def test_the_place_of_a_fault_is_found() -> None:
    found = controls(inputs(lead=Lead, words=list[str], lead_two=str).schema)
    for param, name in {
        "lead.employees": "in.lead.employees", "lead.place.floors.0": "in.lead.place.floors", "lead": "in.lead",
        "words.3": "in.words", "lead_two": "in.lead_two", "lead.nothing": "in.lead", "nothing": "", "": "",
        "Idempotency-Key": "",
    }.items():  # fmt: skip
        assert find_control(found, param) == name


# -- There and back


EVERYTHING = inputs(
    text=str, tone=(Tone, Tone.WARM), count=(Annotated[int, Field(ge=1)], 3), share=(float, 0.5), hot=(bool, True),
    maybe=(bool | None, None), words=list[str], sizes=(list[int], [1, 2]), kinds=(list[Literal["a", "b"]], ["b"]),
    lead=Lead, other=(Lead | None, None), extra=(dict[str, int], {"a": 1}), day=date, price=(Decimal, Decimal("1.50")),
    pick=(Literal[1, 2], 1), anything=(Any, None),
)  # fmt: skip


def test_the_form_as_it_is_filled_in_at_first_makes_a_call() -> None:
    form = controls(EVERYTHING.schema)
    typed = typed_of(form, example(suggested(EVERYTHING.schema, SAMPLE)))
    assert typed["in.text"] == [SAMPLE]
    for optional in ("in.maybe", "in.other", "in.anything", "in.lead.employees"):
        assert optional not in typed
    content_type, body = body_of(request_of(form, typed), takes_files=False)
    values, _ = asyncio.run(EVERYTHING.read(body, content_type))
    assert (values["text"], values["tone"], values["pick"], values["kinds"]) == (SAMPLE, Tone.WARM, 1, ["b"])
    assert (values["price"], values["share"], values["sizes"]) == (Decimal("1.50"), 0.5, [1, 2])
    assert values["lead"].employees is None


def request(annotation: object, text: str, default: object = ...) -> dict[str, Any]:
    return request_of([control(annotation, default)], {"in.x": [text]})


@pytest.mark.parametrize(
    ("annotation", "default", "text", "value"),
    [
        (str, ..., " 12 ", " 12 "),
        (str, ..., "", ""),
        (int, ..., "12", 12),
        (int, ..., " 12 ", 12),
        (int, ..., "twelve", "twelve"),
        (int, ..., "[1]", "[1]"),
        (float, ..., "NaN", "NaN"),
        (int | None, ..., "", None),
        (Decimal, ..., "0.10", "0.10"),
        (list[int], ..., "1\n\n x \n2", [1, "x", 2]),
        (list[str], ..., "", []),
        (Literal[1, 2], ..., "2", 2),
        (Literal[1, 2], ..., "3", "3"),
        (bool | None, None, "false", False),
        (dict[str, int], ..., '{"a": 1}', {"a": 1}),
        (bool, ..., "true", True),
    ],
    ids=repr,
)
def test_what_is_typed_is_meant_as_its_field_can_be(
    annotation: object, default: object, text: str, value: object
) -> None:
    assert request(annotation, text, default) == {"x": value}


@pytest.mark.parametrize(
    ("annotation", "default"),
    [(str, "a"), (int, 1), (int, ...), (list[str], ["a"]), (bool | None, None), (Literal["a"] | None, None), (Any, 1)],
    ids=repr,
)
def test_what_is_empty_is_left_out(annotation: object, default: object) -> None:
    assert request(annotation, "", default) == {}


def test_a_box_without_its_tick_says_no() -> None:
    assert request_of([control(list[Literal["a"]], ["a"])], {}) == {"x": []}
    assert request_of([control(bool, default=True)], {}) == {"x": False}


@pytest.mark.parametrize("text", ["{no", "[" * 100_000, "'a'", '{"a": 1'])
def test_what_is_no_json_is_told_with_its_field(text: str) -> None:
    with pytest.raises(InvalidRequest, match=r"^x is not JSON: ") as caught:
        request(dict[str, int], text)
    assert caught.value.param == "x"


def test_files_go_as_they_are_and_an_example_where_there_is_none() -> None:
    taken = inputs(document=File, others=(list[File], []), note=(File | None, None), title=(str, ""))
    form = controls(taken.schema)
    odd = File(b"\r\n--x--\r\n\x00", 'a"b\r\nc: ü.txt', "text/x-odd")
    typed: dict[str, list[str | File]] = {"in.document": [odd], "in.others": [odd, odd], "in.title": ["T"]}
    values = request_of(form, typed)
    assert named(values) == {"document": odd.filename, "others": [odd.filename] * 2, "title": "T"}
    read, _ = asyncio.run(taken.read(*reversed(body_of(values, takes_files=True))))
    assert read["document"].content == odd.content
    assert read["document"].content_type == "text/x-odd"
    assert "\n" not in read["document"].filename
    assert [file.content for file in read["others"]] == [odd.content] * 2
    assert (read["note"], read["title"]) == (None, "T")
    assert request_of(form, {}) == {"document": SAMPLE_FILE}


def test_a_form_is_read_with_files_and_without() -> None:
    plain = asyncio.run(read_typed(b"in.a=1&in.b=x%0D%0Ay&in.b=&c", b"application/x-www-form-urlencoded"))
    assert plain == {"in.a": ["1"], "in.b": ["x\ny", ""], "c": [""]}
    body = (
        b'--x\r\ncontent-disposition: form-data; name="in.a"\r\n\r\none\r\ntwo\r\n'
        b'--x\r\ncontent-disposition: form-data; name="in.f"; filename="a.txt"\r\n\r\nA\r\n'
        b'--x\r\ncontent-disposition: form-data; name="in.g"; filename=""\r\n\r\n\r\n--x--\r\n'
    )
    found = asyncio.run(read_typed(body, b"multipart/form-data; boundary=x"))
    assert found["in.a"] == ["one\ntwo"]
    [file] = found["in.f"]
    assert isinstance(file, File)
    assert (file.content, "in.g" in found) == (b"A", False)


@pytest.mark.parametrize("charset", ["punycode", "undefined", "idna", "utf-7", "utf-16", "latin-1", "rubbish"])
@pytest.mark.parametrize(
    "kind", ["multipart/form-data; charset=%s; boundary=x", "multipart/form-data;boundary=x;Charset=%s"]
)
def test_a_form_is_utf_8_whatever_its_sender_calls_it(kind: str, charset: str) -> None:
    """Any codec of Python's could be named: one takes half an hour for a form, another raises what nobody expects."""
    body = '--x\r\ncontent-disposition: form-data; name="ü"\r\n\r\nb9-ü-b9\r\n--x--\r\n'.encode()
    assert asyncio.run(read_typed(body, (kind % charset).encode())) == {"ü": ["b9-ü-b9"]}


def test_the_plain_prompt_has_a_form_too() -> None:
    form = controls(GenerateIn.model_json_schema())
    assert [(each.label, each.kind) for each in form] == [
        ("prompt", "area"), ("max_tokens", "number"), ("stream", "choice"),
    ]  # fmt: skip
    assert json.loads(body_of(request_of(form, {"in.prompt": ["Hi"]}), takes_files=False)[1]) == {"prompt": "Hi"}
