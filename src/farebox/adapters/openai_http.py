"""A model provider over HTTP, in bytes. The OpenAI SDK costs more CPU than all the rest of a call."""

from datetime import timedelta
from http import HTTPStatus
from typing import Final

from pyreqwest.client import Client, ClientBuilder
from pyreqwest.exceptions import PyreqwestError, RequestTimeoutError
from pyreqwest.http import Url
from pyreqwest.response import Response

from farebox.domain.errors import FounderError, UpstreamFailed, UpstreamTimeout
from farebox.ports import Reply

CONNECT_SECONDS_MAX: Final = 10
BUILTIN_HEADERS: Final = {"content-type": "application/json", "accept": "application/json"}


class OpenAIUpstream:
    """Any provider that speaks OpenAI's chat completions.

    Args:
        base_url: as the OpenAI SDK takes it, with the version: `https://api.openai.com/v1`.
        api_key: sent as a bearer token to this address only; redirects are not followed.

    Raises:
        FounderError: the address is not an http(s) URL.
    """

    def __init__(self, base_url: str, api_key: str | None) -> None:
        url = base_url.rstrip("/")
        if not url.startswith(("http://", "https://")):
            raise FounderError(
                f"OPENAI_BASE_URL={base_url!r} is not a web address; write it as https://api.openai.com/v1."
            )
        try:
            self._chat_url = Url(f"{url}/chat/completions")
        except (PyreqwestError, ValueError):
            raise FounderError(f"OPENAI_BASE_URL={base_url!r} cannot be read as a web address.") from None
        self._headers = dict(BUILTIN_HEADERS)
        if api_key:
            if not api_key.isascii() or not api_key.isprintable() or " " in api_key:
                raise FounderError("OPENAI_API_KEY has a character that no key has; copy it again.")
            self._headers["authorization"] = f"Bearer {api_key}"
        self._client: Client | None = None

    def open(self) -> Client:
        client = (
            ClientBuilder()
            .default_headers(self._headers)
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

    async def complete(self, body: bytes, seconds_max: float) -> Reply:
        client = self._client or self.open()
        request = client.post(self._chat_url).body_bytes(body).timeout(timedelta(seconds=seconds_max)).build()
        try:
            # Read whole: reading in parts, to bound it, costs a call 5 % (docs/performance.md).
            response = await request.send()
            content = await response.bytes()
        except RequestTimeoutError as error:
            raise UpstreamTimeout(
                "The model did not answer in time. Nothing was charged; try again.", retry_after_seconds=1
            ) from error
        except PyreqwestError as error:
            raise UpstreamFailed("The model cannot be reached. Nothing was charged; try again.") from error

        headers = {} if response.status == HTTPStatus.OK else _retry_after(response)
        return Reply(response.status, headers, bytes(content))


def _retry_after(response: Response) -> dict[str, str]:
    try:
        told = response.get_header("retry-after")
    except ValueError:  # bytes that are no text
        return {}
    return {"retry-after": told} if told else {}
