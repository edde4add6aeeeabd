"""Stands before the server, passes everything on as it comes, and remembers what was asked and answered."""

import http.client
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self

HOP_BY_HOP = frozenset({"connection", "keep-alive", "transfer-encoding", "host"})


@dataclass(frozen=True, slots=True)
class Seen:
    """One request, and how it was answered. The headers' names are in lower case."""

    path: str
    status: int
    request_headers: Mapping[str, str]
    answer_headers: Mapping[str, str]


class Witness:
    """An HTTP proxy on 127.0.0.1:`port`."""

    def __init__(self, target_port: int) -> None:
        self.seen: list[Seen] = []
        self._server = _Server(target_port, self.seen)
        self.port = self._server.server_port
        self.url = f"http://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, name="witness", daemon=True)

    def statuses(self) -> list[int]:
        return [seen.status for seen in self.seen]

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False  # clients keep their connections

    def __init__(self, target_port: int, seen: list[Seen]) -> None:
        self.target_port = target_port
        self.seen = seen
        super().__init__(("127.0.0.1", 0), _Handler)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        self._pass_on()

    def do_POST(self) -> None:
        self._pass_on()

    def _pass_on(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        target = http.client.HTTPConnection("127.0.0.1", self.server.target_port, timeout=60)
        try:
            target.request(self.command, self.path, body, _passed(self.headers))
            answer = target.getresponse()
            asked, answered = _lower(self.headers), _lower(answer.headers)
            self.server.seen.append(Seen(self.path, answer.status, asked, answered))
            self.send_response_only(answer.status)
            for name, value in _passed(answer.headers).items():
                self.send_header(name, value)
            if answer.length is not None:
                self.end_headers()
                self.wfile.write(answer.read())
            else:
                self.send_header("transfer-encoding", "chunked")
                self.end_headers()
                while piece := answer.read1(65536):
                    self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))
                self.wfile.write(b"0\r\n\r\n")
        finally:
            target.close()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
        """Nothing: what was seen is kept."""


def _passed(headers: Message) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name.lower() not in HOP_BY_HOP}


def _lower(headers: Message) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}
