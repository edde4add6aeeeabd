"""Requests to the services that say who somebody is: to no other host, without redirects, bounded in time and size."""

import logging
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from ssl import SSLContext
from typing import Any, Final

import httpx2
from authlib.integrations.base_client import OAuthError  # type: ignore[import-untyped]
from authlib.integrations.httpx_client import OAuth2Client  # type: ignore[import-untyped]
from joserfc.errors import JoseError

from farebox.domain.people import PersonError
from farebox.domain.places import NoPlace
from farebox.ports.proofs import Trip

log = logging.getLogger("farebox.web")

SECONDS_MAX: Final = 10.0
BYTES_MAX: Final = 1 << 20
SILENT: Final = "{label} does not answer as it should. Try again in a moment, or log in another way."

FAILURES: Final = (
    OAuthError, JoseError, NoPlace, httpx2.HTTPError, AttributeError, KeyError, RecursionError, TypeError, ValueError,
)  # fmt: skip


class Strayed(httpx2.TransportError):
    """A request would have gone to a host that it may not ask, or brought more than it may."""


class BoundedTransport(httpx2.BaseTransport):
    """A transport that every request of a client passes, wherever its address comes from.

    Args:
        origins: scheme, host and port of each server that may be asked.
    """

    def __init__(self, origins: Iterable[str]) -> None:
        self._origins = frozenset(origins)
        self._inner = httpx2.HTTPTransport(verify=_trusted())

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        if origin_of(str(request.url)) not in self._origins:
            raise Strayed(f"{request.url.host} is not a host of this service")
        # Not compressed, so that all bytes are counted.
        request.headers["accept-encoding"] = "identity"
        response = self._inner.handle_request(request)
        content, ends_at = bytearray(), time.monotonic() + SECONDS_MAX
        try:
            for part in response.iter_raw():
                content += part
                if len(content) > BYTES_MAX or time.monotonic() > ends_at:
                    raise Strayed("the answer is too large, or too slow")
        finally:
            response.close()
        return httpx2.Response(response.status_code, headers=response.headers, content=bytes(content))

    def close(self) -> None:
        self._inner.close()


@cache
def _trusted() -> SSLContext:
    """The certificates that are trusted, read once: reading them takes longer than a request."""
    return httpx2.create_ssl_context()


@contextmanager
def client_of(label: str, client_id: str, client_secret: str, origins: Iterable[str], **more: Any) -> Iterator[Any]:  # noqa: ANN401
    """Authlib's client, for a few requests.

    Raises:
        PersonError: whatever goes wrong while it is used.
    """
    try:
        with OAuth2Client(
            client_id,
            client_secret,
            code_challenge_method="S256",
            transport=BoundedTransport(origins),
            trust_env=False,
            follow_redirects=False,
            timeout=SECONDS_MAX,
            headers={"user-agent": "farebox", "accept": "application/json"},
            **more,
        ) as client:
            yield client
    except FAILURES as error:
        log.warning("%s: %s: %s", label, type(error).__name__, error)
        raise PersonError(SILENT.format(label=label)) from error


def address(client: Any, endpoint: str, trip: Trip, **more: str) -> str:  # noqa: ANN401
    """The address that the browser is sent to."""
    url, _ = client.create_authorization_url(endpoint, trip.state, trip.verifier, redirect_uri=trip.back, **more)
    return str(url)


def read(client: Any, url: str, *, withhold_token: bool = False) -> Any:  # noqa: ANN401
    """The JSON that a GET brings."""
    response = client.get(url) if not withhold_token else client.request("GET", url, withhold_token=True)
    response.raise_for_status()
    if response.status_code != 200:  # noqa: PLR2004  # a redirect is no answer
        raise ValueError(f"{url} is answered with {response.status_code}")
    return response.json()


def origin_of(url: str) -> str:
    """Scheme, host and port."""
    parts = httpx2.URL(url)
    return f"{parts.scheme}://{parts.host}:{parts.port or {'https': 443, 'http': 80}.get(parts.scheme, 0)}"
