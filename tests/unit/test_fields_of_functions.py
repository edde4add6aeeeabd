"""What a founder's function takes and gives: no number of it is one that JSON cannot have."""

import asyncio
import traceback
from dataclasses import dataclass
from typing import Any, Literal

import pytest
from pydantic import BaseModel

from farebox.domain.errors import InvalidRequest
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


def read(inputs: Inputs, body: bytes, content_type: str = "application/json") -> dict[str, Any]:
    return asyncio.run(inputs.read(body, content_type.encode()))[0]


@pytest.mark.parametrize("text", ['"NaN"', '"inf"', "1e999", "NaN", "[1e999]"])
def test_no_number_that_a_function_takes_is_infinite(text: str) -> None:
    inputs = Inputs("f", {"x": Parameter(float | list[float], ...)})
    with pytest.raises(InvalidRequest, match=r"finite number\."):
        read(inputs, b'{"x": %b}' % text.encode())


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
