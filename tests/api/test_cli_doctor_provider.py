"""The doctor tells what is wrong with the provider: its key, its address, what it answers. All on real sockets."""

import threading
import time
from collections.abc import Iterator
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final, NamedTuple

import pytest

from farebox.cli.doctor_provider import check_provider, key_mistake
from farebox.cli.findings import masked
from farebox.domain.plan import Plan
from farebox.domain.product import Product
from farebox.domain.providers import PROVIDERS, ModelName
from farebox.settings import Settings
from tests.services.examined import fixes, set_to
from tests.services.upstream import MODELS, Behaviour, FakeUpstream

OPENAI: Final = "api.openai.com"
NOBODY: Final = "http://127.0.0.1:9/v1"
KEY: Final = "sk-proj-0123456789abcdefghijABCD"
PRODUCT: Final = Product("Till", plans=(Plan("pro", calls=10),))


# -- the provider's key


@pytest.mark.parametrize(
    ("key", "told"),
    [
        (f'"{KEY}"', "quotes around it"),
        (f"'{KEY}'", "quotes around it"),
        (f"Bearer {KEY}", "begins with 'Bearer '"),
        (f"OPENAI_API_KEY={KEY}", "its own name"),
        (f"{KEY[:20]} {KEY[20:]}", "a space or a line break"),
        (f"{KEY}\n", "a space or a line break"),
        ("your-key-here", "placeholder"),
        ("sk-YOUR_API_KEY_GOES_HERE", "placeholder"),
        ("<paste your key>", "placeholder"),
        ("sk-...", "placeholder"),
        ("sk-xxxxxxxxxxxxxxxxxxxxxxxx", "placeholder"),
        ("sk_live_0123456789abcdefghij", "a key of Stripe"),
        ("sk_test_0123456789abcdefghij", "a key of Stripe"),
        ("whsec_0123456789abcdefghij", "a key of Stripe"),
        ("fareboxdemo_live_XTIXFtiybONPeAnfWhLBzfVFOJWYriTB2agBm9", "a key of Farebox"),
        ("sk-short", "only 8 characters"),
        (f"{KEY}é", "a character that no key has"),
        ("0123456789abcdefghijABCD", "does not begin with 'sk-'"),
    ],
)
def test_a_key_that_cannot_be_one_is_told_apart(key: str, told: str) -> None:
    mistake = key_mistake(key, OPENAI)
    assert mistake is not None
    assert told in mistake[0]
    assert mistake[1]
    assert KEY not in str(mistake)


@pytest.mark.parametrize(
    ("name", "host", "key", "told"),
    [
        ("anthropic", "api.anthropic.com", KEY, "ANTHROPIC_API_KEY does not begin with 'sk-ant-'"),
        ("openai", OPENAI, "sk-ant-api03-0123456789abcdefghij", "OPENAI_API_KEY is a key of api.anthropic.com"),
        ("openai", OPENAI, "sk-or-v1-0123456789abcdefghij", "OPENAI_API_KEY is a key of openrouter.ai"),
        ("groq", "api.groq.com", "GROQ_API_KEY=gsk_0123456789abcdefghij", "GROQ_API_KEY has its own name in it"),
    ],
)
def test_a_key_of_another_provider_is_told_apart(name: str, host: str, key: str, told: str) -> None:
    mistake = key_mistake(key, host, PROVIDERS[name])
    assert mistake is not None
    assert mistake[0] == told


def test_a_key_that_can_be_one_passes() -> None:
    assert key_mistake("sk-ant-api03-0123456789abcdefghij", "api.anthropic.com", PROVIDERS["anthropic"]) is None
    assert key_mistake(KEY, OPENAI) is None
    assert key_mistake("gsk_0123456789abcdefghijABCD", "api.groq.com") is None
    assert key_mistake("ollama", "localhost") is None


def test_a_secret_is_never_shown() -> None:
    assert masked(KEY) == "sk-…ABCD"
    assert masked("short") == "…"


# -- the provider's address and answers


class Page(NamedTuple):
    """What a server that is no provider answers."""

    status: int = 200
    body: bytes = b"<!doctype html><HTML>Hello</HTML>"
    seconds_off: float = 0
    location: str = ""


@pytest.fixture
def web() -> Iterator[tuple[str, dict[str, Page]]]:
    """Some web server, and what it answers by method."""
    pages = {"GET": Page(), "POST": Page()}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            page = pages[self.command]
            self.send_response_only(page.status)
            self.send_header("Date", formatdate(time.time() + page.seconds_off, usegmt=True))
            self.send_header("Content-Length", str(len(page.body)))
            if page.location:
                self.send_header("Location", page.location)
            self.end_headers()
            self.wfile.write(page.body)

        do_POST = do_GET  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", pages
        server.shutdown()
        thread.join()


@pytest.mark.usefixtures("bare")
@pytest.mark.parametrize(
    ("behaviour", "told"),
    [
        (Behaviour(status=401), "provider key: {url} does not accept OPENAI_API_KEY (sk-…ABCD) (401) → "),
        (Behaviour(status=403), "provider key: {url} refuses this key (403) → "),
        (Behaviour(status=429), "provider: {url} limits your rate (429) → wait a minute"),
        (
            Behaviour(status=429, error_code="insufficient_quota"),
            "provider: {url} says that your credit is used up (429) → add credit",
        ),
        (Behaviour(status=503), "provider: {url} is in trouble (503) → look at its status page"),
        (Behaviour(fault="close"), "provider: {url} cannot be reached ("),
    ],
)
def test_what_the_provider_answers_is_told(
    upstream: FakeUpstream, monkeypatch: pytest.MonkeyPatch, behaviour: Behaviour, told: str
) -> None:
    upstream.program(behaviour, path=MODELS)
    settings = set_to(monkeypatch, OPENAI_API_KEY=KEY, OPENAI_BASE_URL=upstream.base_url)
    [mistake] = fixes(check_provider(settings, PRODUCT))
    assert mistake.startswith(told.format(url=upstream.base_url))
    assert KEY not in mistake
    assert upstream.count() == 0  # nothing was spent to find out


@pytest.mark.usefixtures("bare")
def test_a_provider_that_asks_for_a_key_is_told(upstream: FakeUpstream, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = set_to(monkeypatch, OPENAI_BASE_URL=upstream.base_url)
    told = f"provider key: {upstream.base_url} asks for a key (401) → set OPENAI_API_KEY to a key that is active there"
    assert fixes(check_provider(settings, PRODUCT)) == [told]


@pytest.mark.usefixtures("bare")
def test_an_address_without_its_version_is_told(upstream: FakeUpstream, monkeypatch: pytest.MonkeyPatch) -> None:
    root = upstream.base_url.removesuffix("/v1")
    settings = set_to(monkeypatch, OPENAI_API_KEY=KEY, OPENAI_BASE_URL=f"{root}/")
    [mistake] = fixes(check_provider(settings, PRODUCT))
    expected = f"{root} answers 404: there is no OpenAI-compatible API → set OPENAI_BASE_URL to {root}/v1"
    assert mistake == f"provider address: {expected}"


@pytest.mark.usefixtures("bare")
@pytest.mark.parametrize(
    ("address", "told"),
    [
        ("api.openai.com/v1", "is no web address → write it as https://host/v1"),
        ("ftp://host/v1", "is no web address → "),
        ("https://", "is no web address → "),
        ("https://me:secret@host/v1", "OPENAI_BASE_URL has a user or a password in it → leave that out"),
        ("me:secret@host/v1", "OPENAI_BASE_URL is no web address → "),
        ("https://host/v1/chat/completions", "names an endpoint → set it to https://host/v1"),
        ("https://host/v1/models/", "names an endpoint → set it to https://host/v1"),
        ("http://127.0.0.1:1/v1", "http://127.0.0.1:1/v1 cannot be reached (Connection refused"),
        ("http://no-such-host.invalid/v1", "cannot be reached ("),
    ],
)
def test_an_address_that_cannot_be_asked_is_told(monkeypatch: pytest.MonkeyPatch, address: str, told: str) -> None:
    settings = set_to(monkeypatch, OPENAI_API_KEY=KEY, OPENAI_BASE_URL=address)
    [mistake] = fixes(check_provider(settings, PRODUCT))
    assert told in mistake


@pytest.mark.usefixtures("bare")
@pytest.mark.parametrize(
    ("pages", "told"),
    [
        ({}, "provider address: {url}/v1 answers a web page: there is no OpenAI-compatible API → copy it from"),
        ({"GET": Page(404, b"{}"), "POST": Page(404, b"{}")}, "provider address: {url}/v1 answers 404: there is no"),
        ({"GET": Page(404, b"no"), "POST": Page(400, b"{}")}, ""),  # some list no models, and are sound
        ({"GET": Page(404, b"no"), "POST": Page(401, b"{}")}, "provider key: {url}/v1 does not accept OPENAI_API_KEY"),
        ({"GET": Page(307, location="https://x/")}, "provider address: {url}/v1 sends on to https://x/ → "),
    ],
)
def test_what_some_web_server_answers_is_told(
    web: tuple[str, dict[str, Page]], monkeypatch: pytest.MonkeyPatch, pages: dict[str, Page], told: str
) -> None:
    url, answers = web
    answers.update(pages)
    settings = set_to(monkeypatch, OPENAI_API_KEY=KEY, OPENAI_BASE_URL=f"{url}/v1")
    found = fixes(check_provider(settings, PRODUCT))
    assert [bool(mistake.startswith(told.format(url=url))) for mistake in found] == [True] * bool(told)


@pytest.mark.usefixtures("bare")
@pytest.mark.parametrize(("seconds_off", "way"), [(60, "behind"), (-60, "ahead of"), (1, None)])
def test_a_clock_that_differs_from_the_providers_is_told(
    web: tuple[str, dict[str, Page]], monkeypatch: pytest.MonkeyPatch, seconds_off: float, way: str | None
) -> None:
    url, answers = web
    answers["GET"] = Page(200, b"{}", seconds_off)
    found = fixes(check_provider(set_to(monkeypatch, OPENAI_API_KEY=KEY, OPENAI_BASE_URL=f"{url}/v1"), PRODUCT))
    assert len(found) == (way is not None)
    assert all(f"s {way} your provider's → switch on time synchronisation (NTP)" in mistake for mistake in found)


# -- several providers, and none


def sentences(settings: Settings, product: Product) -> list[str]:
    return [str(finding) for finding in check_provider(settings, product)]


@pytest.mark.usefixtures("bare")
def test_without_a_provider_the_variables_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = set_to(monkeypatch, OLLAMA_BASE_URL=NOBODY, LMSTUDIO_BASE_URL=NOBODY)
    product = Product(model=["openai:gpt-4o", "groq:llama", "openai:gpt-4o-mini"])
    told = "OPENAI_API_KEY or GROQ_API_KEY is not set, so the sandbox model answers live calls"
    assert sentences(settings, product) == [f"note provider: {told}"]


@pytest.mark.usefixtures("bare")
def test_a_model_that_runs_here_is_told_with_how_to_serve_it(
    web: tuple[str, dict[str, Page]], monkeypatch: pytest.MonkeyPatch
) -> None:
    url, answers = web
    answers["GET"] = Page(200, b'{"data": [{"id": "all-minilm"}, {"id": "llama3.2"}]}')
    settings = set_to(monkeypatch, OLLAMA_BASE_URL=NOBODY, LMSTUDIO_BASE_URL=f"{url}/v1")
    here = "LM Studio runs here, and farebox dev answers by its llama3.2"
    advice = "to serve it, set FAREBOX_MODEL=lmstudio:llama3.2"
    assert sentences(settings, PRODUCT)[1] == f"note provider: {here}; {advice}"
    embeds = Product(embedding_model="openai:text-embedding-3-small")
    assert sentences(settings, embeds)[1] == f"note provider: {here}; {advice} and OPENAI_API_KEY"
    for nothing in (b"<html>", b'{"data": []}', b'{"data": [{"id": "nomic-embed-text"}]}', b"[1]", b'{"data": 1}'):
        answers["GET"] = Page(200, nothing)
        assert len(sentences(settings, PRODUCT)) == 1


@pytest.mark.usefixtures("bare")
def test_every_provider_is_asked_and_a_model_without_one_is_told(
    web: tuple[str, dict[str, Page]], monkeypatch: pytest.MonkeyPatch
) -> None:
    url, answers = web
    answers["GET"] = Page(200, b'{"data": [{"id": "models/flash"}, {"id": "llama3.2:latest"}]}')
    values = {"GEMINI_API_KEY": KEY, "GEMINI_BASE_URL": f"{url}/v1", "OLLAMA_BASE_URL": f"{url}/v2"}
    product = Product(
        model=["gemini:flash", "ollama:llama3.2", "ollama:gone", "groq:llama"],
        embedding_model="mistral:mistral-embed",
        handler_models={
            "there": (ModelName("groq", "llama"),),
            "here": (ModelName("groq", "other"), ModelName("gemini", "of-a-function")),
        },
    )
    unset = "{0}_API_KEY is not set, so farebox serve does not start → set {0}_API_KEY, or name another model there"
    assert sentences(set_to(monkeypatch, **values), product) == [
        "ok  provider key: sk-…ABCD",
        f"ok  provider address: {url}/v1",
        f"ok  provider: {url}/v1 answers",
        "note model: the provider does not list 'of-a-function'; check its name in your file",
        f"ok  provider address: {url}/v2",
        f"ok  provider: {url}/v2 answers",
        "note model: the provider does not list 'gone'; check its name in your file",
        "note provider: GROQ_API_KEY is not set, so llama is left out",
        "note provider: GROQ_API_KEY is not set, so other is left out",
        f"FIX provider: Farebox(embedding_model=…) asks mistral:mistral-embed, and {unset.format('MISTRAL')}",
        f"FIX provider: The function there asks groq:llama, and {unset.format('GROQ')}",
    ]


@pytest.mark.usefixtures("bare")
def test_a_server_of_ones_own_that_does_not_run_is_to_be_started(monkeypatch: pytest.MonkeyPatch) -> None:
    [mistake] = fixes(check_provider(set_to(monkeypatch, OLLAMA_BASE_URL=NOBODY), Product(model="ollama:llama3.2")))
    assert mistake.startswith(f"provider: {NOBODY} cannot be reached (Connection refused")
    assert mistake.endswith("→ start Ollama, or check OLLAMA_BASE_URL")
