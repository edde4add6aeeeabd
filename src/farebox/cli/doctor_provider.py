"""The doctor's checks of the model's provider: the key, the address, and what it answers."""

import json
import re
import time
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import urlsplit

from farebox.adapters.openai_probe import probe
from farebox.cli.findings import Finding, fix, masked, note, ok
from farebox.domain import apikey
from farebox.domain.errors import UpstreamFailed
from farebox.domain.plan import Product
from farebox.ports import Reply
from farebox.settings import Settings

KEY: Final = "OPENAI_API_KEY"
ADDRESS: Final = "OPENAI_BASE_URL"
OPENAI_HOST: Final = "api.openai.com"
LOCAL_HOSTS: Final = frozenset({"localhost", "127.0.0.1", "::1"})  # a model at home takes any key
KEY_CHARS_MIN: Final = 20
DATE_SECONDS_MAX: Final = 5  # the header counts whole seconds, and was written before it came here
PLACEHOLDER: Final = re.compile(r"your.*key|change.?me|placeholder|<|\.\.\.|…|x{6}", re.IGNORECASE)
STRIPE: Final = ("sk_live_", "sk_test_", "rk_live_", "rk_test_", "pk_live_", "pk_test_", "whsec_")
ENDPOINT: Final = re.compile(r"/(chat/completions|completions|responses|embeddings|models)/?$")
VERSION: Final = re.compile(r"/v\d")
NO_SUCH_PAGE: Final = frozenset({404, 405, 410, 501})


def check_provider(settings: Settings, product: Product) -> Iterator[Finding]:
    """Where live calls go, and whether they will arrive."""
    if not settings.has_provider:
        yield note("provider", f"{KEY} is not set, so the sandbox model answers live calls")
        return
    key = settings.openai_api_key.get_secret_value() if settings.openai_api_key else None
    base_url = settings.openai_base_url.rstrip("/")
    findings = [*_key(key, base_url), *_address(base_url)]
    yield from findings
    if all(finding.level != "FIX" for finding in findings):
        yield from _ask(base_url, key, product.model_name)


def _key(key: str | None, base_url: str) -> Iterator[Finding]:
    if key is None:
        yield note("provider key", f"{KEY} is not set; {base_url} is asked without one")
        return
    wrong = key_mistake(key, urlsplit(base_url).hostname or "")
    yield fix("provider key", *wrong) if wrong else ok("provider key", masked(key))


def key_mistake(key: str, host: str) -> tuple[str, str] | None:
    """Why this cannot be the provider's key, and what to do; None where it looks like one."""
    again = f"copy the key again, and set {KEY} to nothing else"
    mistakes = (
        (key[0] in "\"'`" or key[-1] in "\"'`", f"{KEY} has quotes around it", "leave the quotes off"),
        (key.lower().startswith("bearer "), f"{KEY} begins with 'Bearer '", "leave that word off"),
        (key.startswith(f"{KEY}="), f"{KEY} has its own name in it", "set it to what follows the '='"),
        (PLACEHOLDER.search(key), f"{KEY} is still the placeholder of an example", "set it to your own key"),
        (not key.isascii(), f"{KEY} has a character that no key has", again),
        (any(char.isspace() for char in key), f"{KEY} has a space or a line break in it", again),
        (key.startswith(STRIPE), f"{KEY} is a key of Stripe", "set it to your model provider's key"),
        (apikey.parse(key), f"{KEY} is a key of Farebox, for your customers", "set it to your model provider's key"),
        (len(key) < KEY_CHARS_MIN and host not in LOCAL_HOSTS, f"{KEY} has only {len(key)} characters", again),
        (host == OPENAI_HOST and not key.startswith("sk-"), f"{KEY} does not begin with 'sk-'", again),
    )
    return next(((what, remedy) for is_so, what, remedy in mistakes if is_so), None)


def _address(base_url: str) -> Iterator[Finding]:
    parts = urlsplit(base_url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        yield fix("provider address", f"{ADDRESS}={base_url} is no web address", "write it as https://host/v1")
    elif ENDPOINT.search(base_url):
        yield fix(
            "provider address", f"{ADDRESS} names an endpoint", f"set it to {ENDPOINT.sub('', base_url)}"
        )  # fmt: skip
    else:
        yield ok("provider address", base_url)


def _ask(base_url: str, key: str | None, model: str) -> Iterator[Finding]:
    started = time.time()
    try:
        reply = probe(f"{base_url}/models", key)
        yield from _clock(reply, (started + time.time()) / 2)
        yield from _answer(reply, base_url, key, model)
    except UpstreamFailed as error:
        yield fix("provider", f"{base_url} cannot be reached ({error.detail})", f"check {ADDRESS} and your network")


def _answer(reply: Reply, base_url: str, key: str | None, model: str) -> Iterator[Finding]:
    body = _json(reply.body)
    refusal = _refusal(reply, base_url, key)
    if refusal is not None:
        yield refusal
    elif reply.status == HTTPStatus.OK and isinstance(body, dict):
        names = {entry.get("id") for entry in body.get("data") or () if isinstance(entry, dict)}
        yield ok("provider", f"{base_url} answers")
        if names and model not in names:
            yield note("model", f"the provider does not list {model!r}; check its name in your file")
    else:
        yield _no_list(reply, base_url, key)


def _refusal(reply: Reply, base_url: str, key: str | None) -> Finding | None:
    match reply.status:
        case HTTPStatus.UNAUTHORIZED:
            wrong = f"does not accept {KEY} ({masked(key)})" if key else "asks for a key"
            return fix("provider key", f"{base_url} {wrong} (401)", f"set {KEY} to a key that is active there")
        case HTTPStatus.FORBIDDEN:
            return fix(
                "provider key", f"{base_url} refuses this key (403)", "allow it models and chat completions there"
            )
        case HTTPStatus.TOO_MANY_REQUESTS:
            return _too_many(base_url, _json(reply.body))
        case status if HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST:
            moved = reply.headers.get("location", "elsewhere")
            return fix("provider address", f"{base_url} sends on to {moved}", f"set {ADDRESS} to where the API is")
        case status if status >= HTTPStatus.INTERNAL_SERVER_ERROR and status not in NO_SUCH_PAGE:
            wrong = f"{base_url} is in trouble ({status})"
            return fix("provider", wrong, "look at its status page, and try again later")
    return None


def _too_many(base_url: str, body: object) -> Finding:
    error = body.get("error") if isinstance(body, dict) else None
    if isinstance(error, dict) and "insufficient_quota" in (error.get("code"), error.get("type")):
        return fix("provider", f"{base_url} says that your credit is used up (429)", "add credit in its billing page")
    return fix("provider", f"{base_url} limits your rate (429)", "wait a minute, or ask it for a higher limit")


def _no_list(reply: Reply, base_url: str, key: str | None) -> Finding:
    # Not every provider lists its models. An empty request costs nothing, and is refused by a sound one.
    chat = probe(f"{base_url}/chat/completions", key, b"{}")
    if isinstance(_json(chat.body), dict) and chat.status not in NO_SUCH_PAGE:
        answers = ok("provider", f"{base_url} answers, and does not list its models")
        return _refusal(chat, base_url, key) or answers
    what = "a web page" if b"<html" in reply.body[:2000].lower() else f"{reply.status}"
    remedy = "copy it from its documentation" if VERSION.search(base_url) else f"set {ADDRESS} to {base_url}/v1"
    return fix("provider address", f"{base_url} answers {what}: there is no OpenAI-compatible API", remedy)


def _json(body: bytes) -> Any:  # noqa: ANN401  # JSON
    try:
        return json.loads(body)
    except ValueError:
        return None


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
