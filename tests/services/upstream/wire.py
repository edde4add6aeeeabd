"""As much of HTTP/1.1 as the fake provider needs."""

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

HEAD_END = b"\r\n\r\n"
PHRASES = {status.value: status.phrase for status in HTTPStatus}


@dataclass(frozen=True, slots=True)
class Request:
    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:  # noqa: ANN401 - JSON
        return json.loads(self.body or b"null")


def take_request(buffer: bytearray) -> Request | None:
    """Remove the first request from the buffer; None until all of it is there."""
    head_end = buffer.find(HEAD_END)
    if head_end < 0:
        return None
    start_line, *lines = buffer[:head_end].decode("latin-1").split("\r\n")
    # Interned: most calls bring the same headers, and a benchmark's calls are all remembered.
    pairs = (line.partition(":") for line in lines)
    headers = {sys.intern(name.lower()): sys.intern(value.strip()) for name, _, value in pairs}
    body_start = head_end + len(HEAD_END)
    body_end = body_start + int(headers.get("content-length", "0"))
    if len(buffer) < body_end:
        return None
    body = bytes(buffer[body_start:body_end])
    del buffer[:body_end]
    method, path, _version = start_line.split(" ")
    return Request(method, path, headers, body)


def head(status: int, headers: Mapping[str, str]) -> bytes:
    phrase = PHRASES.get(status, "Unheard Of")  # such as 529
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 {status} {phrase}\r\n{lines}\r\n".encode("latin-1")


def chunk(data: bytes) -> bytes:
    """One part of a body of unknown length; the empty one ends it."""
    return b"%x\r\n%b\r\n" % (len(data), data)
