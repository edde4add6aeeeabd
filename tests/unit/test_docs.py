"""What is not documented does not exist: each setting and each error stands in the docs, as the code has it."""

import json
import re
from collections.abc import Iterator
from dataclasses import MISSING, Field, fields
from pathlib import Path
from typing import Any, Final

import pytest
from pydantic.fields import FieldInfo
from typer.main import get_command

from farebox.cli.commands import cli
from farebox.domain import errors
from farebox.domain.catalogue import for_sale
from farebox.domain.dialects import chat, embeddings, responses
from farebox.domain.errors import CallError, all_errors
from farebox.domain.pack import Pack
from farebox.domain.pages import of_account
from farebox.domain.plan import Plan
from farebox.domain.providers import PROVIDERS
from farebox.settings import Settings
from farebox.web.error_docs import ADVICE
from farebox.web.problem import problem

ROOT: Final = Path(__file__).parents[2]
DOCS: Final = ROOT / "docs"
# The decisions are history: they may name what is gone.
PAGES: Final = {path.name: path.read_text(encoding="utf-8") for path in (*ROOT.glob("*.md"), *DOCS.glob("*.md"))}
BENCHES: Final = {path.name: path.read_text(encoding="utf-8") for path in (ROOT / "bench").glob("*.py")}
PASSES: Final = {"messages", "input", "tools", "functions", "stream", "stream_options"}


def table(name: str) -> dict[str, list[str]]:
    """The rows of a page's table by their first cell."""
    rows: dict[str, list[str]] = {}
    for line in (DOCS / name).read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("| `"):
            key = cells[0].strip("`")
            assert key not in rows, f"{key} stands in {name} twice"
            rows[key] = cells
    return rows


# -- Settings


def variable(field: FieldInfo) -> str:
    return str(field.validation_alias)


def test_the_page_has_every_setting_and_no_other() -> None:
    assert list(table("settings.md")) == [variable(field) for field in Settings.model_fields.values()]


@pytest.mark.parametrize("name", Settings.model_fields)
def test_a_setting_is_documented_with_its_default_and_its_bounds(name: str) -> None:
    field = Settings.model_fields[name]
    _, default, what = table("settings.md")[variable(field)]
    assert default == ("none" if field.default in {None, ""} else f"`{shown(field.default)}`")
    for bound in bounds(field):
        assert f"{bound:,}" in what, f"{variable(field)} is bounded by {bound:,}, and its line does not say so"


def shown(value: object) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return f"{value:g}" if isinstance(value, float) else str(value)


def bounds(field: FieldInfo) -> Iterator[int]:
    for rule in field.metadata:
        for name in ("ge", "gt", "le", "lt", "min_length"):
            if hasattr(rule, name):
                yield int(getattr(rule, name))


def test_the_page_has_every_provider_with_its_key_and_its_address() -> None:
    page = (DOCS / "settings.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| ([a-z]+) \| (none needed \()?`([A-Z_]+)`\)? \| `(\S+)` \|$", page, re.MULTILINE)
    assert [(name, not needless, key, url) for name, needless, key, url in rows] == [
        (each.name, each.needs_key, each.key_variable, each.base_url) for each in PROVIDERS.values()
    ]


def test_each_setting_has_a_sentence_beside_it_in_the_code() -> None:
    source = Path(str(errors.__file__)).parents[1] / "settings.py"
    text = source.read_text(encoding="utf-8")
    for name, field in Settings.model_fields.items():
        assert re.search(rf'    {name}: .*"{variable(field)}".*\n    """\S', text), f"{name} is not explained"


# -- Plans and packs


@pytest.mark.parametrize("kind", [Plan, Pack])
def test_the_page_has_every_argument_of_a_plan_and_a_pack_with_its_default(kind: type) -> None:
    page = (DOCS / "founders-file.md").read_text(encoding="utf-8")
    rows = page.split(f"| `{kind.__name__}(…)` | |\n|---|---|\n")[1].split("\n\n")[0].splitlines()
    said = [re.match(r"\| `([^`]+)` \| \S", row) for row in rows]
    arguments = [field for field in fields(kind) if field.init]
    assert [found and found[1] for found in said] == [
        field.name if field.default is MISSING else f"{field.name}={default_of(field)}" for field in arguments
    ]


def default_of(field: Field[object]) -> str:
    return f'"{field.default}"' if isinstance(field.default, str) else str(field.default)


def test_the_plans_and_packs_of_the_page_can_be_sold() -> None:
    page = (DOCS / "founders-file.md").read_text(encoding="utf-8")
    [example] = [code for code in re.findall(r"```python\n(.*?)```", page, re.DOTALL) if "packs=[" in code]
    made: dict[str, Any] = {}
    exec(f"from farebox import Farebox, Pack, Plan\n{example}", made)  # noqa: S102  # our own page
    product = made["app"].product
    assert len(for_sale(product.plans, product.packs)) > len(product.packs)


# -- The OpenAI wire


@pytest.mark.parametrize("name", sorted(chat.NAMES | responses.NAMES | embeddings.NAMES))
def test_a_field_that_is_refused_or_bounded_is_named(name: str) -> None:
    if name not in PASSES:
        assert f"`{name}`" in (DOCS / "openai-wire.md").read_text(encoding="utf-8")


# -- Errors


def leaves() -> list[type[CallError]]:
    """The program's own; other tests may have made some."""
    return [leaf for leaf in all_errors() if leaf.__module__ == errors.__name__]


def test_every_error_has_its_page_and_no_other() -> None:
    assert set(ADVICE) == set(leaves())


def test_the_file_has_the_words_that_the_pages_have() -> None:
    rows = [[f"`{e.code}`", str(e.status), *advice] for e, advice in ADVICE.items()]
    assert list(table("errors.md").values()) == rows


@pytest.mark.parametrize("leaf", leaves(), ids=lambda leaf: leaf.__name__)
def test_an_error_is_explained_in_sentences(leaf: type[CallError]) -> None:
    happened, to_do, charged = ADVICE[leaf]
    assert happened.endswith(".")
    assert to_do.endswith(".")
    assert charged.startswith("no")
    assert "|" not in happened + to_do + charged, "the file has them in a table"


def test_the_pages_rows_are_in_the_order_of_their_status() -> None:
    statuses = [cells[1] for cells in table("errors.md").values()]
    assert statuses == sorted(statuses)


def test_the_example_is_a_body_as_the_service_writes_it() -> None:
    page = (DOCS / "errors.md").read_text(encoding="utf-8")
    [example] = re.findall(r"```json\n(.*?)```", page, re.DOTALL)
    shown_body: dict[str, Any] = json.loads(example)
    error = errors.QuotaExceeded(shown_body["detail"], retry_after_seconds=1)
    error.page = of_account("/plan", "acct_5f0c1d2e3a4b5c6d")
    _, _, body = problem(error, shown_body["instance"], "https://api.example.com")
    written: dict[str, Any] = json.loads(body)
    shown_body["error"]["message"] = written["error"]["message"]  # cut short on the page
    assert shown_body == written


# -- What a reader is told to open or to run


@pytest.mark.parametrize("page", PAGES | BENCHES)
def test_each_file_that_a_page_names_is_there(page: str) -> None:
    named = re.findall(r"(?<![\w./-])(?:src|tests|bench|docs|examples)/[\w./-]*\w", (PAGES | BENCHES)[page])
    assert [path for path in named if not (ROOT / path).exists()] == []


@pytest.mark.parametrize("page", PAGES)
def test_each_page_that_is_linked_to_is_there(page: str) -> None:
    folder = ROOT if (ROOT / page).exists() else DOCS
    links = re.findall(r"\]\((?!https?:|#|mailto:)([^)#]+)", PAGES[page])
    assert [link for link in links if not (folder / link).exists()] == []


def test_each_decision_that_another_one_names_is_there() -> None:
    for path in (DOCS / "decisions").glob("*.md"):
        links = re.findall(r"\]\((\d{4}-[^)#]+)", path.read_text(encoding="utf-8"))
        assert [link for link in links if not (path.parent / link).exists()] == [], path.name


def commands(program: str) -> set[str]:
    """What the pages have behind a program's name: in a line of code, or in the text between backticks."""
    found = re.findall(rf"(?:^    |`){program} ([a-z][^`#\n]*)", "\n".join(PAGES.values()), re.MULTILINE)
    assert found
    return {arguments.strip() for arguments in found}


def test_each_target_of_make_that_a_page_names_is_in_the_makefile() -> None:
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert {arguments.split()[0] for arguments in commands("make")} - set(targets) == set()


def test_each_command_of_farebox_that_a_page_names_is_one() -> None:
    for arguments in commands("farebox"):
        command: Any = get_command(cli)
        for word in arguments.split():
            if not hasattr(command, "commands"):
                break
            assert word in command.commands, f"farebox {arguments}"
            command = command.commands[word]
