"""The sandbox's /embeddings: the same vector for the same text, of length 1, in either encoding."""

import asyncio
import base64
import json
import math
import struct
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types import CreateEmbeddingResponse

from farebox.domain.dialects import EMBEDDINGS
from farebox.sandbox.model import SANDBOX_MODEL, SandboxModel, tokens_of

MODEL: Final = SandboxModel()
PATH: Final = "/embeddings"


def ask(request: object) -> tuple[int, dict[str, Any]]:
    reply = asyncio.run(MODEL.send(PATH, json.dumps(request).encode(), 1))
    return reply.status, json.loads(reply.body)


def embedded(given_input: object, **more: object) -> dict[str, Any]:
    status, body = ask({"model": "any", "input": given_input, **more})
    assert status == 200, body
    return body


def vectors(given_input: object, **more: object) -> list[list[float]]:
    body = embedded(given_input, **more)
    CreateEmbeddingResponse.model_validate(body)
    assert [one["index"] for one in body["data"]] == list(range(len(body["data"])))
    return [one["embedding"] for one in body["data"]]


@given(st.text(min_size=1, max_size=100), st.one_of(st.none(), st.integers(1, 600)))
def test_a_vector_has_length_1_and_belongs_to_its_text(text: str, dimensions: int | None) -> None:
    first, second = vectors([text, text], dimensions=dimensions)
    assert first == second == vectors(text, dimensions=dimensions)[0]
    assert len(first) == (dimensions or 256)
    assert math.isclose(math.hypot(*first), 1, rel_tol=1e-6)
    assert first != vectors(text + "x", dimensions=dimensions)[0] or dimensions == 1


@given(st.text(min_size=1, max_size=100))
def test_the_encodings_agree(text: str) -> None:
    (packed,) = (one["embedding"] for one in embedded(text, encoding_format="base64")["data"])
    assert list(struct.unpack("<256f", base64.b64decode(packed))) == vectors(text)[0]


@pytest.mark.parametrize(
    ("given_input", "number", "tokens"),
    [
        ("Hello there", 1, len(tokens_of("Hello there"))),
        (["Hello there", "you"], 2, len(tokens_of("Hello there")) + 1),
        ([5, 7, 9], 1, 3),
        ([[5, 7, 9], [5]], 2, 4),
    ],
)
def test_every_form_of_input_is_taken_and_counted(given_input: object, number: int, tokens: int) -> None:
    body = embedded(given_input)
    assert (len(body["data"]), body["model"]) == (number, SANDBOX_MODEL)
    assert body["usage"] == {"prompt_tokens": tokens, "total_tokens": tokens}


@pytest.mark.parametrize(
    ("request_", "param"),
    [
        ({}, "input"),
        ([], None),
        ({"input": ""}, "input"),
        ({"input": []}, "input"),
        ({"input": [""]}, "input"),
        ({"input": [[]]}, "input"),
        ({"input": 5}, "input"),
        ({"input": [5, "a"]}, "input"),
        ({"input": [True]}, "input"),
        ({"input": [-1]}, "input"),
        ({"input": ["a"] * 2_049}, "input"),
        ({"input": ["a"] * 2_048, "dimensions": 257}, "input"),
        ({"input": "a", "dimensions": 0}, "dimensions"),
        ({"input": "a", "dimensions": 10_000}, "dimensions"),
        ({"input": "a", "encoding_format": "hex"}, "encoding_format"),
        ({"input": "a", "encoding_format": ["float"]}, "encoding_format"),
    ],
)
def test_what_it_cannot_take_is_refused_as_openai_refuses(request_: object, param: str | None) -> None:
    status, body = ask(request_)
    assert (status, body["error"]["type"], body["error"]["param"]) == (400, "invalid_request_error", param)


def test_it_is_read_as_a_provider() -> None:
    body = EMBEDDINGS.body({"input": ["a", "b"]}, "any", 0, stream=False)
    read = EMBEDDINGS.read(asyncio.run(MODEL.send(PATH, body, 1)).body)
    assert read.usage is not None
    assert (read.has_message, read.usage.input_tokens) == (True, 2)


def test_a_stream_of_them_is_the_plain_answer() -> None:
    async def run() -> None:
        body = json.dumps({"input": "a"}).encode()
        streamed = await MODEL.stream(PATH, body, 1)
        assert await streamed.read() == (await MODEL.send(PATH, body, 1)).body
        assert await streamed.read() == b""

    asyncio.run(run())
