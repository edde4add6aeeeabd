"""What the Playground refuses: what is over a limit, wrong, somebody else's, or not paid for by a key that works."""

import html
import json
import re
from collections.abc import Mapping

import pytest

from tests.api.place import Place, numbers
from tests.api.playground import Customer, output, told
from tests.services.upstream import Behaviour, FakeUpstream

# -- What is refused, and what to do about it


def test_over_the_plans_limit_the_page_says_so_and_leads_to_the_plan(pia: Customer, upstream: FakeUpstream) -> None:
    pia.on("one")
    assert "Left 0 of 1 call" in told(pia.run("tagline", product="tea"))
    page = pia.run("tagline", product="coffee")
    assert page.status == 429
    assert "Plan 'one' includes 1 call a month, and it is used up. It resets at" in told(page)
    assert re.search(r'role="alert">.*href="/plan"', page.text)
    assert "coffee</textarea>" in page.text
    problem = pia.fetch("/playground/tagline", "in.product=tea&once=x")
    assert (problem.status, json.loads(problem.text)["error"]["code"]) == (429, "insufficient_quota")
    assert (len(pia.records()), upstream.count()) == (1, 1)


def test_a_burst_is_told_with_the_time_to_wait(pia: Customer) -> None:
    pia.on("burst")
    pia.run("tagline", product="tea")
    page = pia.run("tagline", product="tea")
    assert (page.status, re.search(r"Try again in [56]\d\d s\.", told(page)) is not None) == (429, True)
    assert 'href="/plan"' not in re.findall(r'role="alert">(.*)', page.text)[0]


def test_a_payment_that_is_due_leads_to_the_plan(pia: Customer, upstream: FakeUpstream) -> None:
    pia.shop.query("UPDATE account SET state = 'past_due' WHERE id = %s", pia.account)
    page = pia.run("tagline", product="tea")
    assert page.status == 402
    assert "The last payment failed. It cannot be paid online here. Write to" in told(page)
    assert re.search(r'role="alert">.*href="/plan"', page.text)
    assert (pia.records(), upstream.count()) == ([], 0)


@pytest.mark.parametrize(
    ("fields", "wrong", "sentence"),
    [
        ({"lead__employees": "0"}, "in-lead-employees", "lead.employees: Input should be greater than or equal to 1."),
        ({"count": "many"}, "in-count", "count: Input should be a valid integer"),
        ({"extra": "{no"}, "in-extra", "extra is not JSON: Expecting property name enclosed in double quotes, line 1."),
        ({"extra": "[1]"}, "in-extra", "extra: Input should be a valid dictionary."),
    ],
)
def test_what_is_wrong_stands_beside_its_field(
    pia: Customer, upstream: FakeUpstream, fields: Mapping[str, str], wrong: str, sentence: str
) -> None:
    typed = {"lead__company": 'Acme "& <b>', "words": "a\r\nb", "count": "3", **fields}
    page = pia.run("score", **typed)
    assert page.status == 422
    beside = re.search(rf'<p class="wrong" id="{re.escape(wrong)}-wrong">([^<]+)</p>', page.text)
    assert beside is not None
    assert html.unescape(beside[1]).startswith(sentence)
    marked = re.findall(r'<(?:input|textarea) id="([^"]+)"[^>]*aria-invalid="true" autofocus', page.text)
    assert marked == [wrong]
    assert 'value="Acme &#34;&amp; &lt;b&gt;"' in page.text
    assert ">\na\nb</textarea>" in page.text
    assert (pia.records(), upstream.count()) == ([], 0)


def test_what_the_provider_cannot_do_is_told_and_costs_nothing(pia: Customer, upstream: FakeUpstream) -> None:
    upstream.program(Behaviour(status=500))
    page = pia.run("tagline", product="tea")
    assert page.status == 502
    assert "Charge nothing" in told(page)
    assert pia.records("state, charge_nanodollars, calls") == [("voided", 0, 0)]


def test_an_answer_is_text_and_never_markup(pia: Customer, upstream: FakeUpstream) -> None:
    upstream.program(Behaviour(text="<script>alert(1)</script><b>x</b>"))
    page = pia.run("tagline", product="</textarea><script>alert(2)</script>")
    assert output(page) == "<script>alert(1)</script><b>x</b>"
    assert "<script>alert" not in page.text


# -- Nobody else


@pytest.mark.parametrize("path", ["/playground/tagline", "/playground/tagline/key", "/playground/tagline/code"])
def test_a_form_of_another_site_does_nothing(pia: Customer, path: str) -> None:
    for site in ("cross-site", "same-site", "none"):
        assert pia.fetch(path, "in.product=tea&mode=live&once=x", **{"sec-fetch-site": site}).status == 403
    assert (pia.records(), pia.keys()) == ([], [])


def test_a_stranger_is_sent_to_log_in_and_calls_nothing(playground: Place, upstream: FakeUpstream) -> None:
    browser = playground.browser()
    for path in ("/playground", "/playground/tagline", "/playground/tagline/receipts/x"):
        page = browser.get(path)
        assert (page.status, page.header("location")[:7]) == (303, "/login?")
    for path in ("/playground/tagline", "/playground/tagline/key", "/playground/tagline/code"):
        page = browser.post(path, **{"in.product": "tea", "mode": "live"})
        assert (page.status, "Log in and try again" in told(page)) == (403, True)
    assert upstream.count() == 0


def test_another_account_sees_nothing_of_it(pia: Customer) -> None:
    other = Customer(pia.place)
    call_id = pia.fetch("/playground/tagline", "in.product=tea&once=same").header("x-request-id")
    assert pia.browser.get(f"/playground/tagline/receipts/{call_id}").status == 200
    other.run("tagline", product="tea")
    assert pia.browser.get("/playground/tagline/receipts/%00").status == 404
    page = other.browser.get(f"/playground/tagline/receipts/{call_id}")
    assert (page.status, "is not yours" in told(page)) == (404, True)
    # The same name for a call is another account's other call.
    assert "It is not charged again" not in told(other.run("tagline", once="same", product="tea"))
    assert (len(pia.records()), len(other.records())) == (1, 2)


def test_what_the_form_does_not_ask_for_does_nothing(pia: Customer) -> None:
    other = Customer(pia.place)
    page = pia.browser.post(
        "/playground/tagline", account_id=other.account, plan="credit", key="x", units="0", once=f"o{next(numbers)}",
        **{"in.product": "tea", "in.account_id": other.account, "in.units": "0"},
    )  # fmt: skip
    assert page.status == 200
    assert (pia.records("plan, calls"), other.records()) == ([("open", 1)], [])


def test_a_suspended_account_is_refused(pia: Customer, upstream: FakeUpstream) -> None:
    pia.run("tagline", product="tea")
    pia.shop.query("UPDATE account SET state = 'suspended' WHERE id = %s", pia.account)
    assert pia.run("tagline", product="tea").status == 403
    assert pia.fetch("/playground/tagline", "in.product=tea").status == 403
    assert (len(pia.records()), upstream.count()) == (1, 1)


# -- The key is one of the account's


def test_a_revoked_key_is_not_replaced_before_it_is_asked_for(pia: Customer, upstream: FakeUpstream) -> None:
    pia.run("tagline", product="tea")
    pia.shop.query("UPDATE api_key SET revoked_us = 1 WHERE account_id = %s", pia.account)
    assert "The Playground's live key was revoked or replaced" in told(pia.browser.get("/playground/tagline"))
    page = pia.run("tagline", product="tea")
    assert page.status == 401
    assert "Create a new one, and run this again." in told(page)
    assert re.search(r'role="alert">.*form="new-key"', page.text)
    assert pia.run("tagline", product="tea", mode="test").status == 200
    assert (len(pia.records()), upstream.count()) == (2, 1)
    again = pia.browser.post("/playground/tagline/key", mode="live")
    assert (again.status, again.header("location")) == (303, "/playground/tagline?mode=live")
    pia.browser.post("/playground/tagline/key", mode="live")  # a second click makes no third key
    assert pia.run("tagline", product="tea").status == 200
    assert sorted(pia.keys()) == [("Playground", "live"), ("Playground", "live"), ("Playground", "test")]
    made = "SELECT count(*) FROM audit WHERE what = 'key_created' AND account_id = %s"
    assert pia.shop.scalar(made, pia.account) == 3
