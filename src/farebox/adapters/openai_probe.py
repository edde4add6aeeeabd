"""Ask a provider something that costs nothing, to find out how it is set up."""

import json
import re
from datetime import timedelta
from typing import Any, Final
from urllib.parse import urlsplit

from pyreqwest.client import SyncClientBuilder
from pyreqwest.exceptions import DetailedPyreqwestError, PyreqwestError

from farebox.domain.errors import UpstreamFailed
from farebox.domain.providers import is_here
from farebox.ports.calls import Reply

PROBE_SECONDS_MAX: Final = 5
LOCAL_SECONDS_MAX: Final = 0.3
HEADERS_READ: Final = ("content-type", "date", "location")
ANTHROPIC_HOST: Final = "api.anthropic.com"
NOT_FOR_CHAT: Final = re.compile(r"embed|minilm|bge-|gte-|rerank|whisper|tts", re.IGNORECASE)


def probe(url: str, api_key: str | None, body: bytes | None = None, seconds_max: float = PROBE_SECONDS_MAX) -> Reply:
    """GET the address, or POST a body to it; the key is sent to it alone, as redirects are not followed.

    Raises:
        UpstreamFailed: nobody answered; the detail says why.
    """
    builder = SyncClientBuilder().no_proxy() if is_here(url) else SyncClientBuilder()
    client = builder.follow_redirects(enable=False).timeout(timedelta(seconds=seconds_max)).build()
    headers = {"accept": "application/json"} | _auth(url, api_key, is_list=body is None)
    try:
        request = client.get(url) if body is None else client.post(url).body_bytes(body)
        if body is not None:
            headers["content-type"] = "application/json"
        response = request.headers(headers).build().send()
    except PyreqwestError as error:
        raise UpstreamFailed(_reason(error)) from error
    except ValueError as error:
        raise UpstreamFailed(str(error)) from error
    finally:
        client.close()
    told = {name: value for name in HEADERS_READ if (value := response.get_header(name)) is not None}
    return Reply(response.status, told, bytes(response.bytes()))


def listed_models(body: bytes) -> list[str] | None:
    """The names in an answer of /models; None where it is none."""
    found = read_json(body)
    if not isinstance(found, dict):
        return None
    data = found.get("data")
    entries = data if isinstance(data, list) else []
    names = [entry.get("id") for entry in entries if isinstance(entry, dict)]
    return [name.removeprefix("models/") for name in names if isinstance(name, str)]  # Gemini's names begin with that


def local_chat_model(base_url: str) -> str | None:
    """The first model for chats that a server on this machine lists; None where there is no server, or no model."""
    try:
        reply = probe(f"{base_url.rstrip('/')}/models", None, seconds_max=LOCAL_SECONDS_MAX)
    except UpstreamFailed:
        return None
    return next((name for name in listed_models(reply.body) or () if not NOT_FOR_CHAT.search(name)), None)


def read_json(body: bytes) -> Any:  # noqa: ANN401  # JSON
    """The value of a JSON body; None where it is no JSON."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def _auth(url: str, api_key: str | None, *, is_list: bool) -> dict[str, str]:
    if api_key is None:
        return {}
    if is_list and urlsplit(url).hostname == ANTHROPIC_HOST:  # its list is not part of its OpenAI-compatible API
        return {"x-api-key": api_key, "anthropic-version": "2023-06-01"}
    return {"authorization": f"Bearer {api_key}"}


def _reason(error: PyreqwestError) -> str:
    causes = error.details["causes"] if isinstance(error, DetailedPyreqwestError) else None
    return causes[-1]["message"] if causes else error.message
