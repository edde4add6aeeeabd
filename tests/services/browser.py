"""As much of a browser as pages without scripts need: cookies, forms, and the headers that a browser sends."""

import http.client
import re
from collections.abc import Mapping
from http.cookies import SimpleCookie
from typing import NamedTuple
from urllib.parse import urlencode, urlsplit


class Page(NamedTuple):
    """What came."""

    status: int
    headers: list[tuple[str, str]]
    text: str

    def header(self, name: str) -> str:
        return next((value for key, value in self.headers if key == name), "")

    def same(self) -> tuple[int, list[tuple[str, str]], str]:
        """Without what differs from one answer to the next in any case."""
        told = [(key, _without_token(key, value)) for key, value in self.headers if key not in {"date", "x-request-id"}]
        return self.status, told, self.text


class Browser:
    """One browser on one site; it follows no redirect by itself."""

    def __init__(self, url: str, **headers: str) -> None:
        self._host = urlsplit(url).netloc
        self.cookies: dict[str, str] = {}
        self.referer = ""
        self._headers = {"accept": "text/html", "user-agent": "Tests/1.0"} | {
            name.replace("_", "-"): value for name, value in headers.items()
        }

    def get(self, path: str) -> Page:
        return self._send("GET", path, None, {})

    def post(self, path: str, **fields: str | list[str]) -> Page:
        headers = {"content-type": "application/x-www-form-urlencoded", "sec-fetch-site": "same-origin"}
        headers |= {"referer": self.referer} if self.referer else {}
        return self._send("POST", path, urlencode(fields, doseq=True), headers)

    def download(self, path: str) -> bytes:
        """The file that a form without fields gives."""
        connection = http.client.HTTPConnection(self._host, timeout=60)
        cookies = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        try:
            connection.request("POST", path, "", {**self._headers, "sec-fetch-site": "same-origin", "cookie": cookies})
            response = connection.getresponse()
            assert response.status == 200, response.read()
            return response.read()
        finally:
            connection.close()

    def _send(self, method: str, path: str, body: str | bytes | None, headers: Mapping[str, str]) -> Page:
        cookies = (
            {"cookie": "; ".join(f"{name}={value}" for name, value in self.cookies.items())} if self.cookies else {}
        )
        connection = http.client.HTTPConnection(self._host, timeout=60)
        try:
            connection.request(method, path, body, {**self._headers, **headers, **cookies})
            response = connection.getresponse()
            page = Page(
                response.status,
                [(name.lower(), value) for name, value in response.getheaders()],
                response.read().decode(errors="surrogateescape"),  # a file comes as it is
            )
        finally:
            connection.close()
        self._keep(page)
        return page

    def _keep(self, page: Page) -> None:
        for name, value in page.headers:
            if name == "set-cookie":
                for key, morsel in SimpleCookie(value).items():
                    if morsel["max-age"] == "0":
                        self.cookies.pop(key, None)
                    else:
                        self.cookies[key] = morsel.value


def _without_token(name: str, value: str) -> str:
    return re.sub(r"=[0-9A-Za-z]{43};", "=…;", value) if name == "set-cookie" else value
