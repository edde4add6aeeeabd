"""The doctor's checks of the model's provider: the key, the address, and what it answers."""

import re
import time
from collections.abc import Iterator, Sequence
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from farebox.adapters.openai_probe import listed_models, probe, read_json
from farebox.cli.findings import Finding, fix, masked, note, ok
from farebox.cli.models import AT_HOME, MODEL_VARIABLE, local_model
from farebox.domain import apikey
from farebox.domain.errors import UpstreamFailed
from farebox.domain.product import Product
from farebox.domain.providers import LOCAL_HOSTS, PROVIDERS, Provider
from farebox.ports.calls import Reply
from farebox.settings import Settings
from farebox.wiring.askers import key_variables, left_out, unanswered, usable

KEY_CHARS_MIN: Final = 20
DATE_SECONDS_MAX: Final = 5  # the header counts whole seconds, and was written before it came here
PLACEHOLDER: Final = re.compile(r"your.*key|change.?me|placeholder|<|\.\.\.|…|x{6}", re.IGNORECASE)
STRIPE: Final = ("sk_live_", "sk_test_", "rk_live_", "rk_test_", "pk_live_", "pk_test_", "whsec_")
BEGINNINGS: Final = {
    "api.openai.com": "sk-", "api.anthropic.com": "sk-ant-", "api.groq.com": "gsk_", "openrouter.ai": "sk-or-"
}  # fmt: skip
ENDPOINT: Final = re.compile(r"/(chat/completions|completions|responses|embeddings|models)/?$")
VERSION: Final = re.compile(r"/v\d")
NO_SUCH_PAGE: Final = frozenset({404, 405, 410, 501})


class Way(NamedTuple):
    """A provider as it is set up."""

    provider: Provider
    url: str
    key: str | None

    @property
    def key_variable(self) -> str:
        return self.provider.key_variable

    @property
    def url_variable(self) -> str:
        return self.provider.url_variable


def check_provider(settings: Settings, product: Product) -> Iterator[Finding]:
    """Where live calls go, and whether they will arrive."""
    asked = usable(product.asked, product, settings)
    if not asked:
        yield from _sandbox(settings, product)
    for name in dict.fromkeys(model.provider for model in asked):
        provider = product.known_providers[name]
        key = settings.provider_key(provider)
        way = Way(provider, settings.provider_url(provider).rstrip("/"), key.get_secret_value() if key else None)
        yield from _check(way, [model.name for model in asked if model.provider == name])
    yield from _missing(settings, product)


def _sandbox(settings: Settings, product: Product) -> Iterator[Finding]:
    yield note(
        "provider", f"{key_variables(product, product.models)} is not set, so the sandbox model answers live calls"
    )
    local = local_model(product, settings)
    if local is not None:
        here = f"{AT_HOME[local.provider]} runs here, and farebox dev answers by its {local.name}"
        besides = [part.variables for part in unanswered(product.with_model(str(local)), settings)]
        to_serve = " and ".join([f"{MODEL_VARIABLE}={local}", *besides])
        yield note("provider", f"{here}; to serve it, set {to_serve}")


def _missing(settings: Settings, product: Product) -> Iterator[Finding]:
    for model in left_out(product, settings):
        variable = product.provider_of(model).key_variable
        yield note("provider", f"{variable} is not set, so {model.name} is left out")
    for part in unanswered(product, settings):
        yield fix("provider", f"{part.wrong}, so farebox serve does not start", part.remedy)


def _check(way: Way, models: Sequence[str]) -> Iterator[Finding]:
    findings = [*_key(way), *_address(way)]
    yield from findings
    if all(finding.level != "FIX" for finding in findings):
        yield from _ask(way, models)


def _key(way: Way) -> Iterator[Finding]:
    if way.key is not None:
        wrong = key_mistake(way.key, urlsplit(way.url).hostname or "", way.provider)
        yield fix("provider key", *wrong) if wrong else ok("provider key", masked(way.key))
    elif not way.provider.is_local:
        yield note("provider key", f"{way.key_variable} is not set; {way.url} is asked without one")


def key_mistake(key: str, host: str, provider: Provider = PROVIDERS["openai"]) -> tuple[str, str] | None:
    """Why this cannot be the provider's key, and what to do; None where it looks like one."""
    name = provider.key_variable
    again = f"copy the key again, and set {name} to nothing else"
    yours = "set it to your model provider's key"
    beginning = BEGINNINGS.get(host, "")
    other = next((at for at, begins in BEGINNINGS.items() if len(begins) > len("sk-") and key.startswith(begins)), host)
    mistakes = (
        (key[0] in "\"'`" or key[-1] in "\"'`", f"{name} has quotes around it", "leave the quotes off"),
        (key.lower().startswith("bearer "), f"{name} begins with 'Bearer '", "leave that word off"),
        (key.startswith(f"{name}="), f"{name} has its own name in it", "set it to what follows the '='"),
        (PLACEHOLDER.search(key), f"{name} is still the placeholder of an example", "set it to your own key"),
        (not key.isascii(), f"{name} has a character that no key has", again),
        (any(char.isspace() for char in key), f"{name} has a space or a line break in it", again),
        (key.startswith(STRIPE), f"{name} is a key of Stripe", yours),
        (apikey.parse(key), f"{name} is a key of Farebox, for your customers", yours),
        (len(key) < KEY_CHARS_MIN and host not in LOCAL_HOSTS, f"{name} has only {len(key)} characters", again),
        (beginning and not key.startswith(beginning), f"{name} does not begin with {beginning!r}", again),
        (beginning and other != host, f"{name} is a key of {other}", f"set it to one of {host}"),
    )
    return next(((what, remedy) for is_so, what, remedy in mistakes if is_so), None)


def _address(way: Way) -> Iterator[Finding]:
    parts = urlsplit(way.url)
    said = way.url_variable if "@" in way.url else f"{way.url_variable}={way.url}"
    if "@" in parts.netloc:
        remedy = f"leave that out, and set {way.key_variable}"
        yield fix("provider address", f"{said} has a user or a password in it", remedy)
    elif parts.scheme not in {"http", "https"} or not parts.hostname:
        yield fix("provider address", f"{said} is no web address", "write it as https://host/v1")
    elif ENDPOINT.search(way.url):
        to = ENDPOINT.sub("", way.url)
        yield fix("provider address", f"{way.url_variable} names an endpoint", f"set it to {to}")
    else:
        yield ok("provider address", way.url)


def _ask(way: Way, models: Sequence[str]) -> Iterator[Finding]:
    started = time.time()
    try:
        reply = probe(f"{way.url}/models", way.key)
        yield from _clock(reply, (started + time.time()) / 2)
        yield from _answer(reply, way, models)
    except UpstreamFailed as error:
        remedy = f"check {way.url_variable} and your network"
        if way.provider.is_local:
            remedy = f"start {AT_HOME.get(way.provider.name, way.provider.name)}, or check {way.url_variable}"
        yield fix("provider", f"{way.url} cannot be reached ({error.detail})", remedy)


def _answer(reply: Reply, way: Way, models: Sequence[str]) -> Iterator[Finding]:
    names = listed_models(reply.body)
    refusal = _refusal(reply, way)
    if refusal is not None:
        yield refusal
    elif reply.status == HTTPStatus.OK and names is not None:
        yield ok("provider", f"{way.url} answers")
        for model in models:
            if names and not {model, f"{model}:latest"}.intersection(names):  # Ollama's names may have that after them
                yield note("model", f"the provider does not list {model!r}; check its name in your file")
    else:
        yield _no_list(reply, way)


def _refusal(reply: Reply, way: Way) -> Finding | None:
    match reply.status:
        case HTTPStatus.UNAUTHORIZED:
            wrong = f"does not accept {way.key_variable} ({masked(way.key)})" if way.key else "asks for a key"
            remedy = f"set {way.key_variable} to a key that is active there"
            return fix("provider key", f"{way.url} {wrong} (401)", remedy)
        case HTTPStatus.FORBIDDEN:
            remedy = "allow it models and chat completions there"
            return fix("provider key", f"{way.url} refuses this key (403)", remedy)
        case HTTPStatus.TOO_MANY_REQUESTS:
            return _too_many(way.url, read_json(reply.body))
        case status if HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST:
            moved = reply.headers.get("location", "elsewhere")
            remedy = f"set {way.url_variable} to where the API is"
            return fix("provider address", f"{way.url} sends on to {moved}", remedy)
        case status if status >= HTTPStatus.INTERNAL_SERVER_ERROR and status not in NO_SUCH_PAGE:
            return fix(
                "provider", f"{way.url} is in trouble ({status})", "look at its status page, and try again later"
            )
    return None


def _too_many(base_url: str, body: object) -> Finding:
    error = body.get("error") if isinstance(body, dict) else None
    if isinstance(error, dict) and "insufficient_quota" in (error.get("code"), error.get("type")):
        return fix("provider", f"{base_url} says that your credit is used up (429)", "add credit in its billing page")
    return fix("provider", f"{base_url} limits your rate (429)", "wait a minute, or ask it for a higher limit")


def _no_list(reply: Reply, way: Way) -> Finding:
    # Not every provider lists its models. An empty request costs nothing, and is refused by a sound one.
    chat = probe(f"{way.url}/chat/completions", way.key, b"{}")
    if isinstance(read_json(chat.body), dict) and chat.status not in NO_SUCH_PAGE:
        return _refusal(chat, way) or ok("provider", f"{way.url} answers, and does not list its models")
    what = "a web page" if b"<html" in reply.body[:2000].lower() else f"{reply.status}"
    to = f"set {way.url_variable} to {way.url}/v1"
    remedy = "copy it from its documentation" if VERSION.search(way.url) else to
    return fix("provider address", f"{way.url} answers {what}: there is no OpenAI-compatible API", remedy)


def _clock(reply: Reply, here: float) -> Iterator[Finding]:
    try:
        there = parsedate_to_datetime(reply.headers.get("date", "")).timestamp()
    except ValueError:
        return
    if abs(there - here) > DATE_SECONDS_MAX:
        yield clock_off("your provider's", here - there)


def clock_off(whose: str, seconds: float) -> Finding:
    """This machine's clock differs from another one."""
    way = "ahead of" if seconds > 0 else "behind"
    wrong = f"this machine's is {abs(seconds):.0f} s {way} {whose}"
    return fix("clock", wrong, "switch on time synchronisation (NTP)")
