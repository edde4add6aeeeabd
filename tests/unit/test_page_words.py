"""Plans, numbers, fields and charts, as pages say them."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farebox.domain.plan import Plan
from farebox.web.pages.charts import bars, top_of
from farebox.web.pages.fields import Field, fields
from farebox.web.pages.markdown import html_of, text_of
from farebox.web.pages.words import all_terms, money, number, places, share


@pytest.mark.parametrize(
    ("plan", "lines"),
    [
        (Plan("free", calls=1), ("1 call a month", "Stops at the limit, so it never costs more")),
        (
            Plan("pro", usd=29, calls=5_000, burst="5/10s", overage_usd="0.01"),
            ("5,000 calls a month", "$0.01 for each call beyond", "5 calls at once, then 1 every 2 seconds"),
        ),
        (
            Plan("big", tokens=1_000_000, burst="100/10s"),
            (
                "1,000,000 tokens a month, asked and answered",
                "Stops at the limit, so it never costs more",
                "100 calls at once, then 10 a second",
            ),
        ),
        (
            Plan("credit", credit_usd=8, markup=0.25, burst="20/h"),
            (
                "$8 of model use a month, at the model's price plus 25 %",
                "Stops at the limit, so it never costs more",
                "20 calls at once, then 1 every 3 minutes",
            ),
        ),
        (Plan("open", burst="1/h"), ("No monthly limit", "1 call at once, then 1 every hour")),
    ],
)
def test_a_plan_is_said_in_words(plan: Plan, lines: tuple[str, ...]) -> None:
    [found] = all_terms([plan], has_length=False)
    assert found.lines == lines


def test_the_first_plan_that_costs_something_is_the_one_to_look_at() -> None:
    found = all_terms([Plan("free"), Plan("big_team", usd="249.5", max_output_tokens=1_000), Plan("more", usd=999)])
    assert [(plan.name, plan.price, plan.is_free, plan.is_featured) for plan in found] == [
        ("Free", "$0", True, False),
        ("Big team", "$249.50", False, True),
        ("More", "$999", False, False),
    ]
    assert found[1].lines[-1] == "Answers of up to 1,000 tokens"


def test_money_and_numbers_are_written_as_people_write_them() -> None:
    assert [money(29 * 10**9), money(10**7), money(0)] == ["$29", "$0.01", "$0"]
    assert [number(1_234), number(250.0), number(2.5)] == ["1,234", "250", "2.5"]
    assert [share(1, 3), share(999, 1_000), share(5, 4), share(0, 0)] == [33, 99, 100, 100]


def test_the_pages_that_a_sentence_names_are_links_and_nothing_else_is() -> None:
    assert places("An owner can buy credit at /credit.") == 'An owner can buy credit at <a href="/credit">/credit</a>.'
    text = "POST /v1/keys and GET /keys/x <b> at https://a.example/docs or /docs-old are none"
    assert places(text) == text.replace("<b>", "&lt;b&gt;")


SCHEMA: dict[str, Any] = {
    "$defs": {
        "Tone": {"enum": ["warm", "bold"], "type": "string", "description": "How it sounds."},
        "Lead": {"type": "object", "properties": {"company": {"type": "string"}, "size": {"type": "integer"}}},
    },
    "properties": {
        "topic": {"type": "string"},
        "tone": {"$ref": "#/$defs/Tone", "default": "warm"},
        "lead": {"anyOf": [{"$ref": "#/$defs/Lead"}, {"type": "null"}], "default": None},
        "words": {"type": "array", "items": {"type": "string"}, "default": []},
        "count": {"anyOf": [{"type": "integer"}, {"type": "number"}, {"type": "null"}], "default": 0},
        "document": {"type": "string", "format": "binary"},
        "only": {"const": 1},
        "anything": {},
    },
    "required": ["topic", "document"],
}


def test_a_field_is_said_in_words() -> None:
    assert fields(SCHEMA) == [
        Field("topic", "text", is_required=True, default="", description=""),
        Field("tone", "warm or bold", is_required=False, default='"warm"', description="How it sounds."),
        Field("lead", "object of company, size", is_required=False, default="", description=""),
        Field("words", "list of texts", is_required=False, default="", description=""),
        Field("count", "whole number or number", is_required=False, default="0", description=""),
        Field("document", "file", is_required=True, default="", description=""),
        Field("only", "1", is_required=False, default="", description=""),
        Field("anything", "any value", is_required=False, default="", description=""),
    ]


@given(st.lists(st.integers(0, 10**12), max_size=60))
def test_no_bar_leaves_its_chart_and_none_that_counts_is_invisible(values: list[int]) -> None:
    assert all(value <= top_of(values) for value in values)
    found = bars(values)
    assert len(found) == len(values)
    for bar, value in zip(found, values, strict=True):
        assert 0 <= bar.x <= bar.x + bar.width <= 100
        assert 0 <= bar.y <= 100
        assert bar.y + bar.height == pytest.approx(100, abs=0.01)
        assert (bar.height > 0) == (value > 0)


@pytest.mark.parametrize(
    ("most", "top"), [(0, 1), (1, 1), (3, 3), (11, 15), (211, 250), (1_000, 1_000), (1_001, 1_500)]
)
def test_a_chart_ends_at_a_round_number(most: int, top: int) -> None:
    assert str(top_of([most])) == str(top)  # as it is shown: 15,000 and not 15,000.0


def test_html_in_markdown_is_shown_and_not_meant() -> None:
    html = html_of("<script>alert(1)</script>\n\n[go](javascript:alert(1)) <b>x</b> ![x](data:text/html,x)")
    assert "<script" not in html
    assert "<b>" not in html
    assert "href" not in html
    assert "src" not in html


def test_a_texts_title_is_its_heading_else_its_name() -> None:
    assert text_of("Hello\n\n# Our *best* `terms` #\n", "terms").title == "Our best terms"
    assert text_of("Hello", "about-us").title == "About us"
