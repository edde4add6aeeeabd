"""A model provider's streams. aiohttp leaves a provider at once, whatever it waits for (docs/decisions/0008)."""

import asyncio
from collections.abc import Mapping
from typing import Final

from aiohttp import ClientConnectionError, ClientError, ClientResponse, ClientSession, ClientTimeout, TCPConnector

from farebox.adapters.openai_http import CONNECT_SECONDS_MAX, OWN_HEADERS, TOLD, out_of_reach, too_late
from farebox.domain.errors import UpstreamFailed, UpstreamTimeout
from farebox.ports.calls import Streamed

READ_BYTES_MAX: Final = 16_384  # a larger piece holds the event loop for longer
BROKEN: Final = "The connection to the model broke in the middle of its answer. Try again."
SILENT: Final = "The model fell silent. Try again."
LATE: Final = "The model did not come to an end in time. Try again."


class Streams:
    """The streams of one provider. Made, used and closed inside one event loop.

    Args:
        headers: sent with each request.
        proxy: the proxy to the provider; None without one.
        idle_seconds_max: the longest silence after a stream's first piece.
        kept_seconds: how long an unused connection may be used again.
    """

    def __init__(
        self, headers: Mapping[str, str], *, proxy: str | None, idle_seconds_max: float, kept_seconds: float
    ) -> None:
        self._idle_seconds_max = idle_seconds_max
        self._session = ClientSession(
            connector=TCPConnector(limit=0, keepalive_timeout=kept_seconds),
            headers={**headers, **OWN_HEADERS},
            trust_env=False,  # a ~/.netrc could put another key in place of ours
            proxy=proxy,
            read_bufsize=READ_BYTES_MAX,
        )

    async def open(self, url: str, body: bytes, seconds_max: float, accept: str) -> Streamed:
        """See `ports.calls.Upstream.stream`."""
        deadline = asyncio.get_running_loop().time() + seconds_max
        # No total time here: aiohttp would check it with each piece.
        timeout = ClientTimeout(total=None, connect=min(CONNECT_SECONDS_MAX, seconds_max))
        try:
            async with asyncio.timeout_at(deadline):
                response = await self._session.post(
                    url, data=body, headers={"accept": accept}, timeout=timeout, allow_redirects=False
                )
        except (ClientError, TimeoutError, OSError) as error:
            # Without a connection in time it is out of reach; with one, an answer that did not come is too late.
            is_late = isinstance(error, TimeoutError) and not isinstance(error, ClientConnectionError)
            raise (too_late() if is_late else out_of_reach()) from error
        return _Stream(response, deadline, self._idle_seconds_max)

    async def close(self) -> None:
        await self._session.close()


class _Stream:
    """An answer that is being read. One timer watches over all its reads: one for each would cost too much."""

    def __init__(self, response: ClientResponse, deadline: float, idle_seconds_max: float) -> None:
        self.status: int = response.status
        self.headers: Mapping[str, str] = {name: response.headers[name] for name in TOLD if name in response.headers}
        self._response = response
        self._content = response.content
        self._deadline = deadline
        self._idle_seconds_max = idle_seconds_max
        self._waiting_since: float | None = None
        self._loop = asyncio.get_running_loop()
        self._timer = self._loop.call_at(min(deadline, self._loop.time() + idle_seconds_max), self._look)

    async def read(self) -> bytes:
        self._waiting_since = self._loop.time()
        try:
            return await self._content.readany()
        except (ClientError, OSError) as error:
            raise UpstreamFailed(BROKEN) from error
        finally:
            self._waiting_since = None

    async def close(self) -> None:
        self._timer.cancel()
        self._response.close()

    def _look(self) -> None:
        """End an answer that takes too long, or look again when it could have."""
        now = since = self._loop.time()
        if self._waiting_since is not None and self._content.total_bytes:
            since = self._waiting_since
        if now >= self._deadline:
            self._end(LATE)
        elif now - since >= self._idle_seconds_max:
            self._end(SILENT)
        else:
            self._timer = self._loop.call_at(min(self._deadline, since + self._idle_seconds_max), self._look)

    def _end(self, why: str) -> None:
        self._content.set_exception(UpstreamTimeout(why, retry_after_seconds=1))
        self._response.close()
