"""A paid endpoint on bare ASGI: bytes in, bytes out, nothing between the socket and the call."""

import logging
from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import partial
from typing import Final, NamedTuple

from starlette.types import Message, Receive, Scope, Send

from farebox.call import CallRequest, Receipt, Render, Service, StreamWork, Work, paid_call, paid_stream
from farebox.domain import apikey
from farebox.domain.admission import Answered, Standing
from farebox.domain.apikey import ApiKey
from farebox.domain.errors import CallError, InternalError
from farebox.domain.providers import ModelName
from farebox.ports.calls import Ledger
from farebox.web.limits import Headers, limit_headers, receipt_headers
from farebox.web.problem import problem
from farebox.web.request import ClientGone, Head, drop_body, new_call_id, read_body, read_head

log = logging.getLogger("farebox.web")

JSON: Final = (b"content-type", b"application/json")
NO_STORE: Final = (b"cache-control", b"no-store")
SSE: Final = "text/event-stream; charset=utf-8"


@dataclass(slots=True)
class House:
    """What the endpoints need of the running system; filled in at start-up."""

    service: Service
    public_url: str
    body_bytes_max: int
    upload_bytes_max: int
    has_provider: bool
    listed: tuple[ModelName, ...]
    """The models that the founder lists; customers can choose no others."""

    @property
    def ledger(self) -> Ledger:
        return self.service.ledger


class PlainCall(NamedTuple):
    """A call that is answered when it is done."""

    request: CallRequest
    work: Work
    render: Render


class StreamedCall(NamedTuple):
    """A call that is answered as it goes."""

    request: CallRequest
    work: StreamWork


class PaidEndpoint(ABC):
    """POST to one path. Each endpoint reads its own requests; the way there and back is the same for all."""

    path: str

    def __init__(self, house: House) -> None:
        self.house = house
        self.body_bytes_max = house.body_bytes_max

    @abstractmethod
    async def read(self, call_id: str, head: Head, body: bytes) -> PlainCall | StreamedCall:
        """Read what the request asks for. Nothing is spent on a request that is refused here.

        Raises:
            CallError: the request is wrong.
        """

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        call_id = new_call_id()
        house = self.house
        try:
            head = await _head(scope, receive)
            body = await read_body(receive, self.body_bytes_max, partial(_standing, house, head.key))
            asked = await self.read(call_id, head, body)
            if isinstance(asked, StreamedCall):
                listener = HttpListener(call_id, receive, send)
                await paid_stream(house.service, asked.request, asked.work, listener)
                return
            receipt = await paid_call(house.service, asked.request, asked.work, asked.render)
            status, headers, answer = _replayed(receipt) if isinstance(receipt, Answered) else _answer(receipt, asked)
        except ClientGone:
            return
        except CallError as error:
            status, headers, answer = problem(error, call_id, house.public_url)
        except Exception:
            log.exception("call %s failed", call_id)
            failed = InternalError("Something went wrong on our side. Try again.")
            status, headers, answer = problem(failed, call_id, house.public_url)
        await respond(send, status, headers, answer)


async def _head(scope: Scope, receive: Receive) -> Head:
    try:
        return read_head(scope)
    except CallError:
        await drop_body(scope, receive)
        raise


async def _standing(house: House, key: ApiKey) -> Standing:
    """Refuses a key that is made up: its checksum alone is public arithmetic."""
    return await house.ledger.standing(apikey.digest(house.service.secret, key))


def _answer(receipt: Receipt, asked: PlainCall) -> tuple[int, Headers, bytes]:
    content_type, body = asked.render(receipt)
    headers = [JSON if content_type == "application/json" else (b"content-type", content_type.encode()), NO_STORE]
    headers += limit_headers(receipt.standing)
    headers += receipt_headers(receipt)
    return 200, headers, body


def _replayed(answered: Answered) -> tuple[int, Headers, bytes]:
    headers = [(b"content-type", answered.content_type.encode("latin-1")), (b"cache-control", b"no-store")]
    headers += limit_headers(answered.standing)
    headers.append((b"idempotent-replayed", b"true"))
    headers.append((b"x-request-id", answered.call_id.encode()))
    return 200, headers, answered.body


async def respond(send: Send, status: int, headers: Headers, body: bytes) -> None:
    headers.append((b"content-length", b"%d" % len(body)))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


class HttpListener:
    """The client that a stream goes to, over HTTP."""

    def __init__(self, call_id: str, receive: Receive, send: Send) -> None:
        self.has_begun = self.is_gone = False
        self._headers = [(b"content-type", SSE.encode()), NO_STORE, (b"x-accel-buffering", b"no")]
        self._headers.append((b"x-request-id", call_id.encode()))
        self._receive = receive
        self._send = send

    def admitted(self, standing: Standing) -> None:
        self._headers += limit_headers(standing)

    async def send(self, piece: bytes) -> None:
        message = {"type": "http.response.body", "body": piece, "more_body": True}
        try:
            await (self._send(message) if self.has_begun else self._begin(message))
        except Exception:
            self.is_gone = True  # a server may say so by any error (ASGI's specification of HTTP, 2.4)
            raise

    async def end(self, piece: bytes) -> None:
        message = {"type": "http.response.body", "body": piece, "more_body": False}
        try:
            await (self._send(message) if self.has_begun else self._begin(message))
        except Exception as error:  # noqa: BLE001  # a client that has gone is told nothing
            log.debug("the end of a stream was not taken: %r", error)

    async def _begin(self, first: Message) -> None:
        self.has_begun = True
        await self._send({"type": "http.response.start", "status": 200, "headers": self._headers})
        await self._send(first)

    async def left(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
