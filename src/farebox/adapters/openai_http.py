"""A model provider over HTTP, in bytes. The OpenAI SDK costs more CPU than all the rest of a call."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final
from urllib.parse import SplitResult, quote
from urllib.request import getproxies, proxy_bypass

from farebox.adapters.http1 import NEAR_IDLE_SECONDS_MAX, OK, Answer, Connections
from farebox.domain.errors import FounderError, UpstreamFailed, UpstreamTimeout
from farebox.domain.providers import PROVIDERS, Provider, is_here, read_address
from farebox.ports.calls import Reply, Streamed

if TYPE_CHECKING:
    from farebox.adapters.openai_stream import Streams

CONNECT_SECONDS_MAX: Final = 10
IDLE_SECONDS_MAX: Final = 30.0
STREAMS_KEPT_SECONDS: Final = 15.0
PATHS: Final = ("/chat/completions", "/responses", "/embeddings")
BUILTIN_HEADERS: Final = {"content-type": "application/json", "accept": "application/json"}
OWN_HEADERS: Final = {"accept-encoding": "identity", "user-agent": "farebox"}
UNQUOTED: Final = "/%:@!$&'()*+,;=~"
TOLD: Final = ("retry-after", "content-type")


class OpenAIUpstream:
    """Any provider that speaks OpenAI's API.

    Args:
        base_url: as the OpenAI SDK takes it, with the version: `https://api.openai.com/v1`.
        api_key: sent as a bearer token to this address only; redirects are not followed.
        provider: the one whose variables an error names.
        idle_seconds_max: the longest silence inside a stream.

    Raises:
        FounderError: the address is not an http(s) URL, or has a user in it, or the key is none.
    """

    def __init__(
        self,
        base_url: str,
        api_key: str | None,
        provider: Provider = PROVIDERS["openai"],
        idle_seconds_max: float = IDLE_SECONDS_MAX,
    ) -> None:
        self._address = _address(base_url, provider)
        self._urls = {path: f"{self._address.geturl()}{path}" for path in PATHS}
        self._headers = dict(BUILTIN_HEADERS)
        if api_key:
            if not api_key.isascii() or not api_key.isprintable() or " " in api_key:
                raise FounderError(f"{provider.key_variable} has a character that no key has; copy it again.")
            self._headers["authorization"] = f"Bearer {api_key}"
        self._heads = {path: _head(self._address, path, self._headers) for path in PATHS}
        self._proxy = None if is_here(base_url) else _proxy_to(self._address)
        self._idle_seconds_max = idle_seconds_max
        self._connections: Connections | None = None
        self._streams: Streams | None = None

    async def close(self) -> None:
        """Close every connection; later requests, as in another event loop, open their own."""
        connections, self._connections = self._connections, None
        streams, self._streams = self._streams, None
        if connections is not None:
            connections.close()
        if streams is not None:
            await streams.close()

    async def send(self, path: str, body: bytes, seconds_max: float) -> Reply:
        if self._proxy is not None:
            return await self._send_around(path, body, seconds_max)
        connections = self._connections or self._open()
        try:
            answer = await connections.send(b"%b%d\r\n\r\n%b" % (self._heads[path], len(body), body), seconds_max)
        except TimeoutError as error:
            raise too_late() from error
        except OSError as error:
            raise out_of_reach() from error
        return Reply(answer.status, {} if answer.status == OK else _told(answer), answer.body)

    async def _send_around(self, path: str, body: bytes, seconds_max: float) -> Reply:
        """Send by the client of the streams, which knows proxies."""
        stream = await self._by_streams(path, body, seconds_max, "application/json")
        try:
            pieces = []
            while piece := await stream.read():
                pieces.append(piece)
        finally:
            await stream.close()
        return Reply(stream.status, stream.headers, b"".join(pieces))

    async def stream(self, path: str, body: bytes, seconds_max: float) -> Streamed:
        return await self._by_streams(path, body, seconds_max, "text/event-stream")

    async def _by_streams(self, path: str, body: bytes, seconds_max: float, accept: str) -> Streamed:
        if self._streams is None:
            from farebox.adapters.openai_stream import Streams  # noqa: PLC0415  # 10 MB that plain calls do not need

            kept_seconds = STREAMS_KEPT_SECONDS if self._address.scheme == "https" else NEAR_IDLE_SECONDS_MAX
            self._streams = Streams(
                self._headers, proxy=self._proxy, idle_seconds_max=self._idle_seconds_max, kept_seconds=kept_seconds
            )
        return await self._streams.open(self._urls[path], body, seconds_max, accept)

    def _open(self) -> Connections:
        address = self._address
        is_secure = address.scheme == "https"
        port = address.port or (443 if is_secure else 80)
        self._connections = Connections(
            address.hostname or "", port, is_secure=is_secure, connect_seconds_max=CONNECT_SECONDS_MAX
        )
        return self._connections


def _address(base_url: str, provider: Provider) -> SplitResult:
    url = base_url.rstrip("/")
    said = provider.url_variable if "@" in base_url else f"{provider.url_variable}={base_url!r}"
    if not url.startswith(("http://", "https://")):
        raise FounderError(f"{said} is not a web address; write it as {provider.base_url}.")
    if "@" in url.split("/")[2]:
        raise FounderError(f"{said} has a user or a password in it; leave that out, and set {provider.key_variable}.")
    try:
        return read_address(url)
    except ValueError:
        raise FounderError(f"{said} cannot be read as a web address; write it as {provider.base_url}.") from None


def _head(address: SplitResult, path: str, headers: Mapping[str, str]) -> bytes:
    """The head of a request, up to the length of its body."""
    target = quote(f"{address.path}{path}", safe=UNQUOTED)
    lines = [f"POST {target} HTTP/1.1", f"Host: {address.netloc}"]
    lines += [f"{name.title()}: {value}" for name, value in {**headers, **OWN_HEADERS}.items()]
    return "\r\n".join([*lines, "Content-Length: "]).encode()


def _proxy_to(address: SplitResult) -> str | None:
    """The proxy that the environment names for an address."""
    proxy = getproxies().get(address.scheme)
    if not proxy or proxy_bypass(address.hostname or ""):
        return None
    return proxy if "://" in proxy else f"http://{proxy}"


def too_late() -> UpstreamTimeout:
    return UpstreamTimeout("The model did not answer in time. Nothing was charged; try again.", retry_after_seconds=1)


def out_of_reach() -> UpstreamFailed:
    return UpstreamFailed("The model cannot be reached. Nothing was charged; try again.")


def _told(answer: Answer) -> dict[str, str]:
    found = {name: answer.headers.get(name.encode(), b"") for name in TOLD}
    return {name: value.decode() for name, value in found.items() if value and value.isascii()}
