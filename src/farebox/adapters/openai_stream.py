"""A model provider's streams. aiohttp leaves a provider at once, whatever it waits for (docs/decisions/0008)."""

from collections.abc import Mapping
from typing import Final

from aiohttp import ClientConnectionError, ClientError, ClientResponse, ClientSession, ClientTimeout, TCPConnector

from farebox.adapters.openai_http import CONNECT_SECONDS_MAX, TOLD, out_of_reach, too_late
from farebox.domain.errors import UpstreamError
from farebox.ports import Streamed

READ_BYTES_MAX: Final = 16_384  # a larger piece holds the event loop for longer
STREAM_HEADERS: Final = {"accept": "text/event-stream", "accept-encoding": "identity", "user-agent": "farebox"}


class Streams:
    """The streams of one provider. Made, used and closed inside one event loop.

    Args:
        headers: sent with each request.
        is_here: whether the provider runs on this machine, where no proxy leads to.
    """

    def __init__(self, headers: Mapping[str, str], *, is_here: bool) -> None:
        self._session = ClientSession(
            connector=TCPConnector(limit=0),
            headers={**headers, **STREAM_HEADERS},
            trust_env=not is_here,
            read_bufsize=READ_BYTES_MAX,
        )

    async def open(self, url: str, body: bytes, seconds_max: float) -> Streamed:
        """As `ports.Upstream.stream`."""
        timeout = ClientTimeout(total=seconds_max, connect=min(CONNECT_SECONDS_MAX, seconds_max))
        try:
            response = await self._session.post(url, data=body, timeout=timeout, allow_redirects=False)
        except (ClientError, TimeoutError, OSError) as error:
            raise _told(error) from error
        return _Stream(response)

    async def close(self) -> None:
        await self._session.close()


class _Stream:
    """An answer that is being read."""

    def __init__(self, response: ClientResponse) -> None:
        self.status: int = response.status
        self.headers: Mapping[str, str] = {name: response.headers[name] for name in TOLD if name in response.headers}
        self._response = response

    async def read(self) -> bytes:
        try:
            return await self._response.content.readany()
        except (ClientError, TimeoutError, OSError) as error:
            raise _told(error) from error

    async def close(self) -> None:
        self._response.close()


def _told(error: Exception) -> UpstreamError:
    """The error in a customer's words."""
    # A connection that could not be made in time is out of reach; an answer that did not come in time is too late.
    is_late = isinstance(error, TimeoutError) and not isinstance(error, ClientConnectionError)
    return too_late() if is_late else out_of_reach()
