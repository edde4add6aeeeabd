"""The Playground over HTTP: a call from its page is a paid call of the account, and is made once."""

import asyncio
import html
import json
import re
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from farebox.domain import apikey
from tests.api.functions import form
from tests.api.listening import Listening
from tests.api.place import numbers
from tests.api.playground import Customer, output, told
from tests.api.shop import SECRET, ask, send
from tests.services.browser import Page
from tests.services.load import Request
from tests.services.process import wait_until
from tests.services.upstream import Behaviour, FakeUpstream

TEXT: Final = "and dog fun joy now our run sun " * 8


# -- The call is a paid call of the account


def test_a_call_from_the_page_is_a_usage_record_of_the_account(pia: Customer, upstream: FakeUpstream) -> None:
    upstream.program(Behaviour(text="Wake up."))
    first = pia.browser.get("/playground")
    assert first.header("location") == "/playground/tagline"
    assert "Press Run to make your first call" in told(pia.browser.get("/playground/tagline"))
    assert pia.keys() == []
    page = pia.run("tagline", product="tea", tone="bold")
    assert page.status == 200
    assert output(page) == "Wake up."
    [(call_id, endpoint, key_id, mode, state)] = pia.records("call_id, endpoint, key_id, mode, state")
    assert (endpoint, mode, state) == ("/v1/tagline", "live", "posted")
    assert pia.keys("id, name, mode, scopes") == [(key_id, "Playground", "live", "")]
    assert f'href="/calls/{call_id}"' in page.text
    assert "in, 2 out Charge 1 call Left no limit" in told(page)
    assert "That was your first call" in told(page)
    [call] = upstream.calls()
    assert call.body["messages"][0]["content"] == "Write a bold tagline for tea."
    assert "That was your first call" not in told(pia.run("tagline", product="tea"))
    assert len(pia.keys()) == 1


def test_who_has_called_from_elsewhere_is_not_told_of_a_first_call(pia: Customer, upstream: FakeUpstream) -> None:
    upstream.program(Behaviour(text="Wake up."))
    key = pia.shop.farebox("keys", "create", pia.email).splitlines()[-1]
    assert send(ask(pia.place.served, key)).status == 200
    for page in (pia.browser.get("/playground/tagline"), pia.run("tagline", product="tea")):
        assert page.status == 200
        assert "first call" not in told(page)


def test_a_test_call_is_the_sandboxs_and_free(pia: Customer, upstream: FakeUpstream) -> None:
    page = pia.run("tagline", product="tea", mode="test")
    assert "[farebox-sandbox]" in output(page)
    assert "Charge nothing (test)" in told(page)
    assert pia.records("mode, model") == [("test", "farebox-sandbox")]
    assert (pia.keys(), upstream.count()) == ([("Playground", "test")], 0)
    assert re.search(r'value="test" id="mode-test"[^>]* checked', page.text)


def test_no_key_is_in_the_page_or_in_the_database(pia: Customer) -> None:
    page = pia.run("tagline", product="tea")
    [(digest,)] = pia.keys("digest")
    key = apikey.parse(pia.key_text())
    assert key is not None
    assert digest == apikey.digest(SECRET.encode(), key)  # so it is this one
    assert key.text not in page.text + json.dumps(page.headers)
    assert key.text[-38:] not in str(pia.shop.query("SELECT * FROM api_key"))


def test_what_is_charged_in_money_is_told(pia: Customer) -> None:
    pia.on("credit")
    page = pia.run("tagline", product="tea")
    [(charge,)] = pia.records("charge_nanodollars")
    assert charge > 0
    assert re.search(r"Charge \$0\.0000\d+ Left \$0\.9999\d+ of \$1", told(page))


def test_first_calls_at_once_make_one_key(pia: Customer) -> None:
    with ThreadPoolExecutor(8) as pool:
        pages = list(pool.map(lambda _: pia.run("tagline", product="tea"), range(8)))
    assert [page.status for page in pages] == [200] * 8
    assert pia.keys() == [("Playground", "live")]
    assert len(pia.records()) == 8


# -- Once


def test_a_form_that_is_sent_twice_is_done_and_charged_once(pia: Customer, upstream: FakeUpstream) -> None:
    upstream.program(Behaviour(latency_seconds=0.5, text="Once."))
    with ThreadPoolExecutor(2) as pool:
        pages = list(pool.map(lambda _: pia.run("tagline", once="twice", product="tea"), range(2)))
    assert [(page.status, output(page)) for page in pages] == [(200, "Once.")] * 2
    assert any("It is not charged again" in told(page) for page in pages)
    assert (len(pia.records()), upstream.count()) == (1, 1)


def test_a_stream_that_is_sent_twice_is_charged_once(pia: Customer, upstream: FakeUpstream) -> None:
    upstream.program(Behaviour(text=TEXT, chunk_seconds=0.01))
    with ThreadPoolExecutor(2) as pool:
        pages = list(pool.map(lambda _: pia.run("story", once="twice", about="tea"), range(2)))
    first, second = sorted(pages, key=lambda page: page.status)
    assert (first.status, output(first)) == (200, TEXT)
    assert (second.status, "It ran once and is charged once" in told(second)) == (409, True)
    assert (len(pia.records()), upstream.count()) == (1, 1)


# -- As it comes


def test_a_stream_is_passed_on_as_it_is(pia: Customer, upstream: FakeUpstream) -> None:
    upstream.program(Behaviour(text="A b c d e f.", chunk_seconds=0.01))
    page = pia.fetch("/playground/story", "in.about=tea&once=x")
    assert (page.status, page.header("content-type")) == (200, "text/event-stream; charset=utf-8")
    pieces = re.findall(r'^data: \{"text":"(.*)"\}$', page.text, re.MULTILINE)
    assert (len(pieces) > 1, "".join(pieces)) == (True, "A b c d e f.")
    assert "event: done\n" in page.text
    assert "default-src 'none'" in page.header("content-security-policy")
    receipt = pia.browser.get(f"/playground/story/receipts/{page.header('x-request-id')}")
    assert (receipt.status, "Charge: 1 call." in receipt.text) == (200, True)
    assert "<html" not in receipt.text


def test_the_plain_prompt_streams_for_a_script_and_is_whole_for_a_page(pia: Customer, upstream: FakeUpstream) -> None:
    upstream.program(Behaviour(text="A b c."))
    streamed = pia.fetch("/playground/generate", "in.prompt=Say+hello&in.stream=true&once=x")
    assert streamed.header("content-type").startswith("text/event-stream")
    assert pia.fetch("/playground/generate", "in.prompt=Say+hello&once=y").header("content-type") == "application/json"
    page = pia.run("generate", once="z", prompt="Say hello", stream="true")
    assert (output(page), '"stream": true' in html.unescape(page.text)) == ("A b c.", True)
    assert "It is not charged again" in told(pia.run("generate", once="z", prompt="Say hello", stream="true"))
    assert len(pia.records()) == 3


def test_a_stream_whose_reader_leaves_is_cut(pia: Customer, upstream: FakeUpstream) -> None:
    upstream.program(Behaviour(text=TEXT, chunk_seconds=0.25))
    headers = {
        "accept": "text/event-stream",
        "sec-fetch-site": "same-origin",
        "content-type": "application/x-www-form-urlencoded",
        "cookie": "; ".join(f"{name}={value}" for name, value in pia.browser.cookies.items()),
    }

    async def leave() -> str:
        request = Request(f"{pia.place.served.url}/playground/story", b"in.about=tea&once=x", headers)
        listening = await Listening(request).open()
        await listening.read_head()
        await listening.read_events(3)
        listening.leave(rudely=False)
        await listening.close()
        return listening.call_id

    call_id = asyncio.run(leave())
    receipt = pia.browser.get(f"/playground/story/receipts/{call_id}")
    assert "It ended early. What was written until then is counted." in receipt.text
    [(state, marks, tokens)] = pia.records("state, marks, output_tokens")
    assert (state, marks.split()[0]) == ("posted", "cut")
    assert 3 <= tokens < 60
    wait_until(lambda: upstream.in_flight() == 0, "the provider to be left")


def test_a_stream_that_breaks_shows_what_came_and_what_was_wrong(pia: Customer, upstream: FakeUpstream) -> None:
    upstream.program(Behaviour(text="A b c."))
    page = pia.run("story", about="tea", fails="true")
    assert output(page)
    assert "Enough." in told(page)


# -- Forms of all kinds


def test_nested_fields_lists_and_numbers_arrive_as_they_are_meant(pia: Customer) -> None:
    page = pia.run(
        "score", lead__company="Acme", lead__employees="12", words="one two\r\n\r\n three ", count="9", extra='{"a": 1}'
    )
    assert json.loads(output(page)) == {
        "lead": {"company": "Acme", "employees": 12}, "words": ["one two", "three"], "count": 9, "hot": False,
        "extra": {"a": 1},
    }  # fmt: skip
    page = pia.run("score", lead__company="Acme", lead__employees="", words="", count="", hot="true", extra="")
    assert json.loads(output(page)) == {
        "lead": {"company": "Acme", "employees": None}, "words": [], "count": 3, "hot": True, "extra": None,
    }  # fmt: skip
    assert "Charge 2 calls" in told(page)


def upload(pia: Customer, *parts: tuple[str, str, bytes]) -> Page:
    sent = form("xyz", *parts, ("once", "", f"o{next(numbers)}".encode()))
    headers = {"sec-fetch-site": "same-origin", "content-type": sent["content-type"]}
    return pia.browser._send("POST", "/playground/sized", sent["body"], headers)


def test_files_are_uploaded(pia: Customer) -> None:
    page = upload(
        pia, ("in.document", 'a "b" ü.txt', b"\r\n--x\r\n"), ("in.others", "1.txt", b"1"), ("in.others", "2.txt", b"2"),
        ("in.title", "", b"T"),
    )  # fmt: skip
    found = json.loads(output(page))
    assert (found["bytes"], found["title"], found["others"]) == (7, "T", ["1.txt", "2.txt"])
    assert (len(pia.records()), "-F others=@2.txt" in html.unescape(page.text)) == (1, True)


def test_without_a_file_the_example_is_sent(pia: Customer) -> None:
    page = upload(pia, ("in.document", "", b""), ("in.title", "", b""))
    found = json.loads(output(page))
    assert (found["name"], found["kind"], found["others"]) == ("document.txt", "text/plain", [])
    assert found["bytes"] > 100


def test_a_file_that_is_too_large_is_refused_in_a_sentence(pia: Customer) -> None:
    for size, sentence in ((2_500_000, "larger than 2,000,000 bytes"), (4_000_000, "larger than 3,048,576 bytes")):
        page = upload(pia, ("in.document", "a.txt", b"x" * size))
        assert (page.status, sentence in told(page)) == (413, True)
    assert pia.records() == []


def test_the_form_begins_with_what_makes_a_call(pia: Customer) -> None:
    for name in ("tagline", "score", "sized", "story", "generate"):
        page = pia.browser.get(f"/playground/{name}")
        typed = dict(re.findall(r'<textarea id="[^"]+" name="(in[^"]+)"[^>]*>\n([^<]*)</textarea>', page.text))
        typed |= dict(re.findall(r'<input id="[^"]+" name="(in[^"]+)"[^>]* value="([^"]*)"', page.text))
        typed |= dict(
            re.findall(r'<input type="(?:radio|checkbox)" name="(in[^"]+)" value="([^"]+)" checked', page.text)
        )
        once = re.findall(r'name="once" value="([0-9a-f]{32})"', page.text)
        assert pia.browser.post(f"/playground/{name}", **typed, once=once[0]).status == 200, name
    assert len(pia.records()) == 5


# -- The code beside it


def test_the_code_follows_the_form(pia: Customer, upstream: FakeUpstream) -> None:
    page = pia.fetch("/playground/tagline/code", "in.product=It's+tea&in.tone=bold")
    curl, python, javascript = json.loads(page.text)
    assert curl.startswith("curl https://till.example/v1/tagline ")
    for code in (curl, python, javascript):
        assert "YOUR_API_KEY" in code
        assert "tea" in code
        assert "bold" in code
    half = pia.fetch("/playground/score/code", "in.extra={no")
    assert (half.status, json.loads(half.text)["param"]) == (422, "extra")
    assert (pia.records(), pia.keys(), upstream.count()) == ([], [], 0)
