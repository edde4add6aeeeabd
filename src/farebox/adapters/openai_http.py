"""A model provider over HTTP, in bytes. The OpenAI SDK costs more CPU than all the rest of a call."""

from datetime import timedelta
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from pyreqwest.client import Client, ClientBuilder
from pyreqwest.exceptions import PyreqwestError, RequestTimeoutError
from pyreqwest.http import Url
from pyreqwest.request import RequestBuilder
from pyreqwest.response import Response

from farebox.domain.errors import FounderError, UpstreamError, UpstreamFailed, UpstreamTimeout
from farebox.domain.providers import PROVIDERS, Provider, is_here
from farebox.ports import Reply, Streamed

if TYPE_CHECKING:
    from farebox.adapters.openai_stream import Streams

CONNECT_SECONDS_MAX: Final = 10
IDLE_SECONDS_MAX: Final = 30.0
PATHS: Final = ("/chat/completions", "/responses", "/embeddings")
BUILTIN_HEADERS: Final = {"content-type": "application/json", "accept": "application/json"}
TOLD: Final = ("retry-after", "content-type")


class OpenAIUpstream:
    """Any provider that speaks OpenAI's API.

    Args:
        base_url: as the OpenAI SDK takes it, with the version: `https://api.openai.com/v1`.
        api_key: sent as a bearer token to this address only; redirects are not followed.
        provider: whose variables a mistake is blamed on.
        idle_seconds_max: the longest silence inside a stream.

    Raises:
        FounderError: the address is not an http(s) URL, or the key is none.
    """

    def __init__(
        self,
        base_url: str,
        api_key: str | None,
        provider: Provider = PROVIDERS["openai"],
        idle_seconds_max: float = IDLE_SECONDS_MAX,
    ) -> None:
        self._urls = _urls(base_url, provider)
        self._headers = dict(BUILTIN_HEADERS)
        if api_key:
            if not api_key.isascii() or not api_key.isprintable() or " " in api_key:
                raise FounderError(f"{provider.key_variable} has a character that no key has; copy it again.")
            self._headers["authorization"] = f"Bearer {api_key}"
        self._is_here = is_here(base_url)
        self._idle_seconds_max = idle_seconds_max
        self._client: Client | None = None
        self._streams: Streams | None = None

    def open(self) -> Client:
        builder = ClientBuilder().no_proxy() if self._is_here else ClientBuilder()
        client = (
            builder.default_headers(self._headers)
            .user_agent("farebox")
            .follow_redirects(enable=False)
            .connect_timeout(timedelta(seconds=CONNECT_SECONDS_MAX))
            .build()
        )
        self._client = client
        return client

    async def close(self) -> None:
        if self._client is not None:
            await self._client.close()
        if self._streams is not None:
            await self._streams.close()

    async def send(self, path: str, body: bytes, seconds_max: float) -> Reply:
        request = self._request(path, body, seconds_max).build()
        try:
            # Read whole: reading in parts, to bound it, costs a call 5 % (docs/performance.md).
            response = await request.send()
            content = await response.bytes()
        except PyreqwestError as error:
            raise _told(error) from error

        headers = {} if response.status == HTTPStatus.OK else _headers(response)
        return Reply(response.status, headers, bytes(content))

    async def stream(self, path: str, body: bytes, seconds_max: float) -> Streamed:
        if self._streams is None:
            from farebox.adapters.openai_stream import Streams  # noqa: PLC0415  # 10 MB that plain calls do not need

            self._streams = Streams(self._headers, is_here=self._is_here, idle_seconds_max=self._idle_seconds_max)
        return await self._streams.open(str(self._urls[path]), body, seconds_max)

    def _request(self, path: str, body: bytes, seconds_max: float) -> RequestBuilder:
        client = self._client or self.open()
        return client.post(self._urls[path]).body_bytes(body).timeout(timedelta(seconds=seconds_max))


def _urls(base_url: str, provider: Provider) -> dict[str, Url]:
    url = base_url.rstrip("/")
    said = f"{provider.url_variable}={base_url!r}"
    if not url.startswith(("http://", "https://")):
        raise FounderError(f"{said} is not a web address; write it as {provider.base_url}.")
    try:
        return {path: Url(f"{url}{path}") for path in PATHS}
    except (PyreqwestError, ValueError):
        raise FounderError(f"{said} cannot be read as a web address; write it as {provider.base_url}.") from None


def _told(error: PyreqwestError) -> UpstreamError:
    """The error in a customer's words."""
    return too_late() if isinstance(error, RequestTimeoutError) else out_of_reach()


def too_late() -> UpstreamTimeout:
    return UpstreamTimeout("The model did not answer in time. Nothing was charged; try again.", retry_after_seconds=1)


def out_of_reach() -> UpstreamFailed:
    return UpstreamFailed("The model cannot be reached. Nothing was charged; try again.")


def _headers(response: Response) -> dict[str, str]:
    return {name: value for name in TOLD if (value := _header(response, name))}


def _header(response: Response, name: str) -> str | None:
    try:
        return response.get_header(name)
    except ValueError:  # bytes that are no text
        return None
