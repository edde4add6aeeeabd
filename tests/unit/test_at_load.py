"""What loads and could never work is told when the file is loaded, and what may be meant is taken."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, Final

import pytest

from farebox import Call, Farebox, FounderError, Plan
from farebox.cli.load import load_app
from farebox.settings import load
from farebox.web.handler import Handler, Terms

HEAD: Final = """\
from collections.abc import AsyncIterator
from typing import Annotated
from fastapi import Depends, Header, UploadFile
from pydantic import BaseModel, Field
from farebox import Call, Farebox, File

class Lost(BaseModel):
    a: "Nope"

class Later(BaseModel):
    a: "Found"

class Found(BaseModel):
    a: "Later | None" = None

app = Farebox("Till")
"""
LINE: Final = HEAD.count("\n") + 1
PAID: Final = '@app.paid\nasync def f(call) -> AsyncIterator[str]:\n    """Do."""\n    '
PROMPT: Final = '@app.prompt\nasync def f(a: str) -> str:\n    """Do.\n\n    Do {a}.\n    """\n    '
STREAMS_NOT: Final = "f is declared as a stream, but neither yields nor returns one; yield its pieces."
FIRST: Final = '@app.paid\nasync def f({}) -> str:\n    """Do."""\n    raise NotImplementedError'
CALL_NOT: Final = "f has topic as its first parameter; that has to be the call: async def f(call, topic: str) -> str"
GIVES: Final = '@app.paid\nasync def f(call) -> {}:\n    """Do."""\n    '
GIVES_NOT: Final = "f returns nothing; return its answer, or use @app.prompt if it has no body."
HAS_BODY: Final = "f has a body, but @app.prompt does not run it; take it out, or use @app.paid."
DEAF: Final = '@app.on("signed_up") stands above a function that takes the event, as in: def f(event) -> None'
TAKES: Final = '@app.paid\nasync def f(call, m: {}) -> str:\n    """Do."""\n    return "x"'
COUNTS: Final = '@app.paid(units={})\nasync def f(call) -> str:\n    """Do."""\n    return "x"'
DEFAULT: Final = "f: the default of m is"
PATTERN: Final = "f: m cannot be a field: its pattern cannot be read: look-around, including look-ahead"
LIMIT: Final = "f: m cannot be a field: a limit of its"
LOST: Final = "it has an unknown annotation: name 'Nope' is not defined. Import it, or define it above."
SENDS: Final = "Depends(…), which is for FastAPI's own routes: here each parameter is a field that the customer sends."
UNITS: Final = "units has to be a function, not async, of one argument, which has the request's fields, as in:"
Load = Callable[[str], Farebox]


@pytest.fixture
def load_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Load:
    """Load a file that ends as said."""
    monkeypatch.chdir(tmp_path)

    def load_file(end: str) -> Farebox:
        name = f"at_load_{abs(hash(end))}.py"
        Path(name).write_text(f"{HEAD}{end}\n")
        return load_app(name)

    return load_file


@pytest.mark.parametrize(
    ("end", "told"),
    [
        (f"{PAID}await call.ask('x')", STREAMS_NOT),
        (PAID.strip(), STREAMS_NOT),
        (f"{PAID}return", STREAMS_NOT),
        (f"{PAID}return None", STREAMS_NOT),
        (f"{PAID}if call.id:\n        raise ValueError\n    pass", STREAMS_NOT),
        (FIRST.format("topic"), CALL_NOT),
        (FIRST.format("topic, tone: str"), CALL_NOT),
        (GIVES.format("str").strip(), GIVES_NOT),
        (GIVES.format("str") + "...", GIVES_NOT),
        (GIVES.format("int | str") + "await call.ask('x')", GIVES_NOT),
        (GIVES.format("dict") + "if call.id:\n        return\n    pass", GIVES_NOT),
        (f"{PROMPT}return 'x'", HAS_BODY),
        (f"{PROMPT}pass\n    print(a)", HAS_BODY),
        ("@app.on\ndef f(event): ...", '@app.on needs the event, as in @app.on("signed_up"); the events are: signed_'),
        ("@app.on('signed_up')\ndef f(): ...", DEAF),
        ("@app.on('signed_up')\nasync def f(event, more): ...", DEAF),
        ("app.on('signed_up')(3)", DEAF),
        (
            PROMPT.replace("-> str", "-> None").strip(),
            "f returns None, but its answer is what the model says; write",
        ),
        (COUNTS.format("lambda: 1"), UNITS),
        (COUNTS.format("lambda a, b: 1"), UNITS),
        (COUNTS.format("AsyncIterator.__anext__"), UNITS),
        (TAKES.format("int = Field('x')"), f"{DEFAULT} 'x', which is not of its type: Input should be a valid integer"),
        (TAKES.format("int = Field(1, ge=3)"), f"{DEFAULT} 1, which is not of its type: Input should be greater than"),
        (TAKES.format("list[int] = Field(default_factory=dict)"), f"{DEFAULT} {{}}, which is not of its type: Input"),
        (
            TAKES.format("Annotated[int, Field(default='x')]"),
            f"{DEFAULT} 'x', which is not of its type: Input should be",
        ),
        (TAKES.format("Annotated[int, Depends(print)]"), f"f: m has {SENDS}"),
        (TAKES.format("int = Depends(print)"), f"f: m has {SENDS}"),
        (TAKES.format("str = Header()"), "f: m has Header(…), which is for FastAPI's own routes: here each parameter"),
        (TAKES.format("UploadFile"), "f: m is FastAPI's UploadFile; write it as Farebox's own, as in: m: File"),
        (TAKES.format("list[UploadFile]"), "f: m is FastAPI's UploadFile; write it as Farebox's own, as in: m: File"),
        (TAKES.format("str = Field(pattern='(?=a)b')"), PATTERN),
        (TAKES.format("Annotated[str, Field(pattern='(?=a)b')]"), PATTERN),
        (
            TAKES.format("str = Field(max_length='5')"),
            f"{LIMIT} str cannot be used: 'str' object cannot be interpreted as",
        ),
        (
            TAKES.format("list[Annotated[str, Field(max_length=-1)]]"),
            f"{LIMIT} str cannot be used: can't convert negative",
        ),
        (TAKES.format("Lost"), f"f: m cannot be a field: {LOST}"),
        (TAKES.format("dict[str, Lost] | None = None"), f"f: m cannot be a field: {LOST}"),
        (GIVES.format("list[Lost]") + "return []", f"f: there is no JSON for what it returns: {LOST}"),
        ("app.on(['signed_up'])", "There is no event ['signed_up']; the events are: signed_up, limit_near,"),
    ],
)
def test_what_could_never_work_is_told_with_its_line(load_file: Load, end: str, told: str) -> None:
    with pytest.raises(FounderError) as error:
        load_file(end)
    assert f"line {LINE}: {told}" in str(error.value)


@pytest.mark.parametrize(
    "end",
    [
        f"{PAID}return call.stream('x')",
        f"{PAID}yield 'x'",
        f"{PAID}raise NotImplementedError",
        GIVES.format("None") + "await call.ask('x')",
        GIVES.format("str | None") + "...",
        GIVES.format("str") + "return None or 'x'",
        GIVES.format("str") + "for _ in range(3):\n        return 'x'",
        TAKES.format("list[Later]"),
        FIRST.format("c, topic: str"),
        FIRST.format("ctx"),
        FIRST.format("_"),
        FIRST.format("topic: Call"),
        PROMPT.strip(),
        f"{PROMPT}...",
        f"{PROMPT}pass",
        f"{PROMPT}raise NotImplementedError",
        COUNTS.format("lambda request, more=1: 1"),
        TAKES.format("int = Field(3, ge=3, alias='em')"),
        TAKES.format("list[int] = Field(default_factory=list)"),
        TAKES.format("int = Field(default_factory=lambda: 1 // 0)"),  # which may be had when it is served
        TAKES.format("str = Field(pattern='^a')"),
        TAKES.format("list[File] | None = None"),
        "@app.on('signed_up')\ndef f(event, *, more=1): ...",
        "app.on('signed_up')([].append)",
        "app.on('signed_up')(print)",
        "app.on('signed_up')(dict)",
    ],
)
def test_what_may_be_meant_is_taken(load_file: Load, end: str) -> None:
    assert load_file(end).product.name == "Till"


@pytest.mark.parametrize(
    ("units", "plan", "is_refused"),
    [
        (21, Plan("pro", calls=20), True),
        (21, Plan("pro", calls=20, credit_usd=5, credit_overage=True), True),
        (20, Plan("pro", calls=20), False),
        (21, Plan("pro", calls=20, overage_usd=0.01), False),
        (21, Plan("pro", calls=20, overage_usd=0.01, prepaid=True), False),
        (21, Plan("pro", tokens=100_000), False),
        (lambda _: 21, Plan("pro", calls=20), False),
    ],
)
def test_a_call_that_counts_for_more_than_any_plan_has_is_told(units: Any, plan: Plan, *, is_refused: bool) -> None:  # noqa: ANN401
    app = Farebox("Till", plans=[Plan("free", calls=3), plan])

    @app.paid(units=units)
    async def long(call: Call) -> str:
        """Do."""
        raise NotImplementedError(call)

    if not is_refused:
        app.check()
        return
    told = (
        r"line \d+: a call of long counts for 21 calls, and no plan has more than 20 a month, so none would ever pass"
    )
    with pytest.raises(FounderError, match=told):
        app.check()


@pytest.mark.parametrize(
    ("terms", "plan", "told"),
    [
        ({}, Plan("a", tokens=10_000), "max_input_tokens=1000"),
        ({}, Plan("a", tokens=10), "max_input_tokens=1, max_output_tokens=1"),
        ({}, Plan("a", tokens=420), "max_input_tokens=42, max_output_tokens=42"),
        ({"max_input_tokens": 5, "max_output_tokens": 4_000}, Plan("a", tokens=100), "max_input_tokens=5, max_ou"),
    ],
)
def test_bounds_that_are_advised_have_room(terms: dict[str, int], plan: Plan, told: str) -> None:
    def check(terms: dict[str, Any]) -> None:
        app = Farebox("Till", plans=[plan])
        app.paid(**terms)(words)
        app.check()

    async def words(call: Call) -> str:
        """Do."""
        raise NotImplementedError(call)

    with pytest.raises(FounderError, match=rf"Lower the bound, as in @app\.paid\({told}") as error:
        check(terms)
    advised = str(error.value).partition("@app.paid(")[2].partition(")")[0]
    check(terms | {name: int(tokens) for name, _, tokens in (one.partition("=") for one in advised.split(", "))})


def test_a_stream_that_is_none_is_told_where_its_founder_looks() -> None:
    async def words(call: Call) -> AsyncIterator[str]:
        """Do."""
        return str(call)  # type: ignore[return-value]

    unused: Any = None
    with pytest.raises(TypeError, match="words is declared as a stream, but returned str: yield its pieces, or write"):
        asyncio.run(Handler(words, Terms()).stream(unused, {}, unused))


def test_a_secret_that_is_too_short_is_told_in_characters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAREBOX_SECRET_KEY", "short")
    with pytest.raises(FounderError, match=r"^FAREBOX_SECRET_KEY: write at least 16 characters, not 5\.$"):
        load()
