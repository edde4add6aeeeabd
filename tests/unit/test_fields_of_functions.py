"""What a founder's function takes and gives: no number of it is one that JSON cannot have."""

import asyncio
import json
import traceback
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import Enum, IntEnum
from functools import partial
from typing import Annotated, Any, Literal

import pytest
from pydantic import AfterValidator, BaseModel, Field, RootModel, ValidationError, field_serializer, model_validator

from farebox.domain.errors import FounderError, InvalidRequest
from farebox.web.inputs import Inputs
from farebox.web.outputs import Output
from farebox.web.signature import Parameter
from farebox.web.upload import File

NUMBERS = [float("nan"), float("inf"), float("-inf")]
BOUNDARY = "x"
UNCHECKED: Any = {"x": "s3cret"}


class Point(BaseModel):
    x: float | None
    inner: dict[str, Any] = {}


@dataclass
class Named:
    x: list[float | None]


class Family(BaseModel):
    ages: list[int] = []
    metadata: set[int] = set()
    kin: list["Family"] = []
    by_name: dict[str, "Family"] = {}
    heights: dict[str, int] = {}
    next: "Family | None" = None


class Tone(Enum):
    WARM = "warm"


class Rank(IntEnum):
    FIRST = 1


class Inner(BaseModel):
    a: str = Field(gt=0)


@dataclass
class Loose:
    x: str = None  # type: ignore[assignment]  # as founders write it


def read(inputs: Inputs, body: bytes, content_type: str = "application/json") -> dict[str, Any]:
    return asyncio.run(inputs.read(body, content_type.encode()))[0]


@pytest.mark.parametrize("text", ['"NaN"', '"inf"', "1e999", "NaN", "[1e999]"])
def test_no_number_that_a_function_takes_is_infinite(text: str) -> None:
    inputs = Inputs("f", {"x": Parameter(float | list[float], ...)})
    with pytest.raises(InvalidRequest, match=r"finite number\."):
        read(inputs, b'{"x": %b}' % text.encode())


WRONG = ["s3cret", []] * 1_000
MANY = {str(number): "s3cret" for number in range(1_000)}


@pytest.mark.parametrize(
    ("wanted", "sent", "field"),
    [
        (list[int], WRONG, "x.0"),
        (list[int] | None, WRONG, "x.0"),
        (set[int], WRONG, "x.0"),
        (tuple[int, ...], WRONG, "x.0"),
        (Annotated[list[int], Field(min_length=1)], WRONG, "x.0"),
        (list[Point], WRONG, "x.0"),
        (Family, {"ages": WRONG}, "x.ages.0"),
        (Family, {"kin": [{"ages": WRONG}]}, "x.kin.0.ages.0"),
        (Family, {"metadata": WRONG}, "x.metadata.0"),
        (Family, {"by_name": {"Ann": {"ages": WRONG}}}, "x.by_name.Ann.ages.0"),
        (dict[str, dict[str, int]], {"a": MANY}, "x.a.0"),
        (dict[str, dict[str, int] | int], {"a": MANY}, "x.a.dict[str,int].0"),
        (Family, {"kin": [{"heights": MANY}]}, "x.kin.0.heights.0"),
        (Family, {"next": {"next": {"heights": MANY}}}, "x.next.next.heights.0"),
    ],
    ids=range(14),
)
def test_the_first_wrong_value_is_named_and_no_further_one_is_looked_for(
    wanted: object, sent: object, field: str
) -> None:
    inputs = Inputs("f", {"x": Parameter(wanted, ...)})
    with pytest.raises(InvalidRequest) as told:
        read(inputs, json.dumps({"x": sent}).encode())
    found = told.value.__context__
    assert isinstance(found, ValidationError)
    assert (told.value.param, told.value.detail.partition(": ")[0], found.error_count()) == (field, field, 1)


def test_the_type_that_a_value_is_not_of_is_named_as_far_as_it_is_the_founders() -> None:
    inputs = Inputs("f", {"x": Parameter(dict[str, list[int]] | int, ...)})
    with pytest.raises(InvalidRequest, match=r"^x\.dict\[str,\.\.\.\]\.a\.0: Input should be a valid integer"):
        read(inputs, b'{"x": {"a": [null]}}')


def test_of_very_many_wrong_values_the_first_is_named() -> None:
    inputs = Inputs("f", {"x": Parameter(dict[str, int], ...)})
    body = b'{"x": {%b}}' % b", ".join(b'"%d": []' % number for number in range(1_001))
    with pytest.raises(InvalidRequest, match=r"^x\.0: Input should be a valid integer") as told:
        read(inputs, body)
    assert told.value.param == "x.0"


@pytest.mark.parametrize(
    ("sent", "kept"), [({"a": ["1"]}, {"a": ["1"]}), ({"a": [1]}, {"a": [1]}), ({"b": {"c": 1}}, {"b": {"c": 1}})]
)
def test_what_is_of_several_types_stays_as_it_was_sent(sent: object, kept: object) -> None:
    inputs = Inputs("f", {"x": Parameter(dict[str, list[int]] | dict[str, list[str]] | dict[str, Any], ...)})
    assert read(inputs, json.dumps({"x": sent}).encode())["x"] == kept


@pytest.mark.parametrize(("wanted", "size"), [(int, 1_001), (float | None, 1_001), (list[int], 2**20 + 1)])
def test_a_form_has_no_text_without_end_for_what_is_no_text(wanted: object, size: int) -> None:
    inputs = Inputs("f", {"x": Parameter(wanted, ...), "file": Parameter(File | None, None)})
    body = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="x"\r\n\r\n{"1" * size}\r\n--{BOUNDARY}--\r\n'
    with pytest.raises(InvalidRequest, match=f"^x is longer than {size - 1:,} characters"):
        read(inputs, body.encode(), f"multipart/form-data; boundary={BOUNDARY}")


@pytest.mark.parametrize("text", ["NaN", "inf", "1e999", '{"a": [1e999]}'])
def test_no_number_of_a_form_is_infinite(text: str) -> None:
    inputs = Inputs("f", {"x": Parameter(float | dict[str, Any], ...), "file": Parameter(File | None, None)})
    body = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="x"\r\n\r\n{text}\r\n--{BOUNDARY}--\r\n'
    with pytest.raises(InvalidRequest, match=r"finite number\."):
        read(inputs, body.encode(), f"multipart/form-data; boundary={BOUNDARY}")


@pytest.mark.parametrize("number", NUMBERS, ids=str)
def test_a_number_that_is_not_finite_is_no_answer_of_a_function(number: float) -> None:
    answers: list[tuple[Any, object]] = [
        (float, number), (list[float], [1.0, number]), (Point, Point(x=number)), (Named, Named([number])),
        (Point, Point(x=1, inner={"a": [{"b": (number,)}]})), (dict[str, Any], {"a": {number}}),
    ]  # fmt: skip
    for returns, value in answers:
        output = Output("f", returns)
        for told in (output.body, output.item):
            with pytest.raises(ValueError, match="a number that is not finite"):
                told(value)


def test_what_is_null_is_an_answer() -> None:
    assert Output("f", Point).body(Point(x=None)) == b'{"x":null,"inner":{}}'
    assert Output("f", Named).body(Named([1.5, None])) == b'{"x":[1.5,null]}'
    assert Output("f", str).body("null and NaN") == b'{"text":"null and NaN"}'


@pytest.mark.parametrize(
    ("annotation", "default", "value"),
    [
        (Tone, "warm", Tone.WARM), (Tone | None, "warm", Tone.WARM), (list[Tone], ["warm"], [Tone.WARM]),
        (Tone, Field("warm"), Tone.WARM), (Tone, Tone.WARM, Tone.WARM), (Point, {"x": 1}, Point(x=1)),
        (Named, {"x": [1]}, Named([1])), (int, "5", 5), (bool, "no", False), (date, "2020-01-01", date(2020, 1, 1)),
        (Annotated[str, Field(default="x")], ..., "x"), (Annotated[Tone, Field(default="warm")], ..., Tone.WARM),
        (Annotated[str, Field(default="x")], "y", "y"), (Decimal, 1.5, Decimal("1.5")),
        (set[str], ["a"], {"a"}), (list[str], ("a",), ["a"]), (str | None, None, None),
    ],
)  # fmt: skip
def test_a_default_reaches_the_function_as_the_same_value_of_a_customer_does(
    annotation: Any,  # noqa: ANN401
    default: object,
    value: object,
) -> None:
    found = read(Inputs("f", {"a": Parameter(annotation, default)}), b"{}")["a"]
    assert (type(found), found) == (type(value), value)


def test_the_defaults_inside_of_a_founders_own_type_are_left_to_it() -> None:
    assert read(Inputs("f", {"a": Parameter(Loose, ...)}), b'{"a": {}}') == {"a": Loose()}


def test_a_default_that_a_founders_own_validator_is_not_for_stays_as_it_is() -> None:
    name = Annotated[str | None, AfterValidator(lambda told: told.strip())]
    inputs = Inputs("f", {"a": Parameter(name, None)})
    assert read(inputs, b"{}") == {"a": None}
    assert read(inputs, b'{"a": " x "}') == {"a": "x"}


class Names(RootModel[list[str]]):
    def __len__(self) -> int:
        return len(self.root)


class Made(BaseModel):
    x: int = Field(default_factory=lambda: 1 // 0)


FOREIGN: list[tuple[Any, str]] = [
    (Annotated[str, Field(ge=1)], "ge=1, and no str"),
    (Annotated[int, Field(max_length=3)], "max_length=3, and no int"),
    (Annotated[int, Field(pattern="x")], "pattern='x', and no int"),
    (Annotated[list[str], Field(ge=1)], "ge=1, and no list"),
    (Annotated[str, Field(max_length=3, multiple_of=2)], "multiple_of=2, and no str"),
    (Annotated[str | None, Field(ge=5)], "ge=5, and no str"),
    (Annotated[int | str, Field(ge=5)], "ge=5, and no str"),
    (Annotated[Tone, Field(max_length=5)], "max_length=5, and no Tone"),
    (Annotated[Point, Field(max_length=5)], "max_length=5, and no Point"),
    (Annotated[Made, Field(max_length=5)], "max_length=5, and no Made"),
    (list[Inner] | None, "gt=0, and no str"),
]


@pytest.mark.parametrize(("annotation", "told"), FOREIGN, ids=range(len(FOREIGN)))
@pytest.mark.parametrize("default", [..., Field(examples=["x"])], ids=["bare", "field"])
def test_a_limit_that_is_for_another_type_is_told(annotation: Any, default: object, told: str) -> None:  # noqa: ANN401
    told = f"^f: a has {told} can be held to that. Take it out, or put it at the type that it is for.$"
    with pytest.raises(FounderError, match=told):
        Inputs("f", {"a": Parameter(annotation, default)})


@pytest.mark.parametrize(
    ("annotation", "sent", "value"),
    [
        (Annotated[str, Field(lt="m")], b'"a"', "a"), (Annotated[int | float, Field(ge=1)], b"1.5", 1.5),
        (Annotated[Rank, Field(ge=1)], b"1", Rank.FIRST), (Annotated[str, AfterValidator(int), Field(ge=1)], b'"2"', 2),
        (Annotated[str | list[str], Field(max_length=2)], b'["a"]', ["a"]), (Annotated[Any, Field(ge=1)], b"2", 2),
        (Annotated[Decimal, Field(max_digits=3)], b"1.5", Decimal("1.5")),
        (Annotated[Names, Field(min_length=1)], b'["a"]', Names(["a"])),
        (Annotated[str, AfterValidator(str.strip), Field(pattern="^a")], b'" a"', "a"),
        (Annotated[str, AfterValidator(partial(str.encode, encoding="ascii")), Field(max_length=2)], b'"b"', b"b"),
    ],
)  # fmt: skip
def test_a_limit_that_can_be_checked_is_taken(annotation: Any, sent: bytes, value: object) -> None:  # noqa: ANN401
    assert read(Inputs("f", {"a": Parameter(annotation, ...)}), b'{"a": %b}' % sent) == {"a": value}


@pytest.mark.parametrize(
    ("returns", "value", "told"),
    [
        (str, None, "after the arrow: all of it: string_type, from NoneType"),
        (Literal["warm", "bold"], "s3cret words", "after the arrow: all of it: literal_error, from str"),
        (list[Point], [{"x": 1}, {"x": "s3cret"}], "after the arrow: 1.x: float_parsing, from str"),
        (dict[str, int], {"s3cret key": "s3cret"}, "after the arrow: …: int_parsing, from str"),
        (Point, Point.model_construct(**UNCHECKED), "cannot be written as JSON: x is not of its type"),
    ],
)
def test_an_answer_of_another_type_is_told_by_place_and_kind_without_its_words(
    returns: object, value: object, told: str
) -> None:
    output = Output("f", returns)
    for tell in (output.body, output.item):
        with pytest.raises(ValueError, match=told) as error:
            tell(value)
        assert "s3cret" not in "".join(traceback.format_exception(error.value))


class Breaks(BaseModel):
    x: int

    @field_serializer("x")
    def told(self, x: int) -> str:
        return {0: "zero"}[x]


class Refuses(BaseModel):
    x: int

    @model_validator(mode="after")
    def small(self) -> "Refuses":
        if self.x > 1:
            raise ValueError(f"s3cret {self.x}")
        return self


def test_a_mistake_in_a_founders_own_model_is_told_by_its_place() -> None:
    with pytest.raises(ValueError, match=r"JSON: told raised KeyError$"):
        Output("f", Breaks).body(Breaks(x=7))
    with pytest.raises(ValueError, match=r": value_error, from dict, raised by small \(test_.*py, line \d+\)$"):
        Output("f", Refuses).body({"x": 2})
