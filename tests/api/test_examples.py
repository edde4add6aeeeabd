"""Each product of `examples/`, started as it stands, and called: with a provider, and with a test key."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import pytest

from farebox.domain.apikey import Mode
from tests.api.functions import form
from tests.api.shop import Shop, send
from tests.services.load import Reply, Request
from tests.services.upstream import Behaviour, FakeUpstream

EXAMPLES: Final = Path(__file__).parents[2] / "examples"
LINES_MAX: Final = 40
MODES: Final[tuple[Mode, ...]] = ("live", "test")
SCORE: Final = {"points": 80, "stage": "hot", "reasons": ["They asked for a price."]}
DOCUMENT: Final = form("x", ("document", "a.txt", b"A long report. " * 1_000), ("sentences", "", b"2"))


def says(text: str) -> Callable[[Reply], bool]:
    return lambda reply: reply.json() == {"text": text}


def streams(text: str) -> Callable[[Reply], bool]:
    def whole(reply: Reply) -> bool:
        blocks = reply.body.decode().strip().split("\n\n")
        said = "".join(json.loads(block.removeprefix("data: "))["text"] for block in blocks[:-1])
        return said == text and blocks[-1].startswith("event: done")

    return whole


CALLS: Final[Mapping[str, tuple[str, str, Mapping[str, Any], str, Callable[[Reply], bool]]]] = {
    "tagline": ("tagline", "pro", {"body": {"product": "tea"}}, "Drink up.", says("Drink up.")),
    "lead_scoring": (
        "score", "team", {"body": {"lead": {"company": "ACME", "message": "What does it cost?"}}}, json.dumps(SCORE),
        lambda reply: reply.json() == SCORE,
    ),
    "summary": ("summary", "pro", DOCUMENT, "It is long.", says("It is long.")),
    "writer": ("story", "author", {"body": {"about": "dogs"}}, "Once upon a time.", streams("Once upon a time.")),
    "agent": ("answer", "pro", {"body": {"question": "Is there a mug?"}}, "There are 12.", says("There are 12.")),
    "haiku": ("haiku", "pro", {"body": {"topic": "tea"}}, "Leaves in hot water", says("Leaves in hot water")),
}  # fmt: skip


@pytest.fixture(params=sorted(path.stem for path in EXAMPLES.glob("*.py")))
def example(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def till(example: str, tmp_path: Path, upstream: FakeUpstream) -> Shop:
    if example == "agent":
        pytest.importorskip("pydantic_ai", reason="the agent's library is not installed")
    return Shop(tmp_path, f"sqlite:///{tmp_path}/farebox.db", upstream, (EXAMPLES / f"{example}.py").read_text())


def test_an_example_is_short(example: str) -> None:
    assert len((EXAMPLES / f"{example}.py").read_text().splitlines()) < LINES_MAX


def test_there_are_the_five_that_were_promised() -> None:
    assert {"tagline", "lead_scoring", "summary", "writer", "agent"} <= CALLS.keys()
    assert sorted(CALLS) == sorted(path.stem for path in EXAMPLES.glob("*.py"))


def test_an_example_runs_as_it_stands(example: str, till: Shop, upstream: FakeUpstream) -> None:
    asked = 0
    name, plan, sent, said, is_right = CALLS[example]
    upstream.program(Behaviour(text=said))
    more = {name: value for name, value in sent.items() if name != "body"}
    with till.served(workers=1) as served:
        for mode in MODES:
            key = till.new_key(plan, mode)
            reply = send(Request(f"{served.url}/v1/{name}", sent["body"], {"x-api-key": key, **more}))
            assert reply.status == 200, reply.body
            [(state, tokens)] = till.records("state, output_tokens", key)
            assert (state, tokens > 0) == ("posted", True)
            assert upstream.count() > 0  # and no more with the test key
            if mode == "live":
                assert is_right(reply), reply.body
                asked = upstream.count()
    assert upstream.count() == asked


@pytest.mark.parametrize("page", ["README.md", "docs/founders-file.md"])
def test_the_first_code_of_a_page_is_the_first_example(page: str) -> None:
    text = (EXAMPLES.parent / page).read_text()
    code = text.partition("```python\n")[2].partition("```")[0]
    assert code.removeprefix("# app.py\n") == (EXAMPLES / "tagline.py").read_text()
