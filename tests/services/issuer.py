"""Services that people log in at, made up: a GitHub, and an OpenID Connect issuer that can be told to lie."""

import base64
import hashlib
import hmac
import json
import secrets
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit

from joserfc import jwt
from joserfc.jwk import RSAKey
from joserfc.jws import JWSRegistry

ANY_HEAD = JWSRegistry(strict_check_header=False)
"""Some say more in a token's head than the standard knows."""
CLIENT_ID = "client-of-the-tests"
CLIENT_SECRET = "secret-of-the-tests"


class Issuer:
    """An HTTP server in a thread. A browser that goes to its authorization page comes back with a code at once."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        """The path of each request, but those of browsers."""
        self.hangs_at = ""
        self.goes_on = threading.Event()
        """Set, to have it answer where it hangs."""
        self._codes: dict[str, dict[str, str]] = {}
        issuer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:  # http.server's name
                self._answer({})

            def do_POST(self) -> None:
                length = int(self.headers.get("content-length", 0))
                self._answer(dict(parse_qsl(self.rfile.read(length).decode())))

            def _answer(self, form: dict[str, str]) -> None:
                path = urlsplit(self.path).path
                issuer.asked.append(path)
                if path == issuer.hangs_at:
                    issuer.goes_on.wait()
                headers = {name.lower(): value for name, value in self.headers.items()}
                status, body, more = issuer.answer(path, form, headers)
                content = body if isinstance(body, bytes) else json.dumps(body).encode()
                self.send_response(status)
                for name, value in {"content-type": "application/json", **more}.items():
                    self.send_header(name, value)
                self.send_header("content-length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: object) -> None:
                """It says nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def hang(self, path: str) -> None:
        """Say nothing at a path, until `goes_on` is set."""
        self.goes_on.clear()
        self.hangs_at = path

    def agree(self, address: str, **more: str) -> str:
        """What the browser does there: the path and query that it comes back to us with."""
        said = {name: values[0] for name, values in parse_qs(urlsplit(address).query).items()}
        assert said["response_type"] == "code"
        assert said["client_id"] == CLIENT_ID
        assert said["code_challenge_method"] == "S256"
        code = secrets.token_hex(8)
        self._codes[code] = said
        return f"{urlsplit(said['redirect_uri']).path}?{urlencode({'code': code, 'state': said['state'], **more})}"

    def answer(self, path: str, form: dict[str, str], headers: dict[str, str]) -> tuple[int, Any, dict[str, str]]:
        """Status, body and headers of an answer."""
        raise NotImplementedError

    def redeem(self, form: dict[str, str], headers: dict[str, str]) -> dict[str, str] | None:
        """What was asked for with a code, once; None where it is not right in every part."""
        said = self._codes.pop(form.get("code", ""), None)
        proof = _text(hashlib.sha256(form.get("code_verifier", "").encode()).digest())
        basic = base64.b64encode(f"{CLIENT_ID}:{CLIENT_SECRET}".encode()).decode()
        is_us = headers.get("authorization") == f"Basic {basic}" or form.get("client_secret") == CLIENT_SECRET
        if said is None or not is_us or form.get("redirect_uri") != said["redirect_uri"]:
            return None
        return said if proof == said["code_challenge"] else None


class FakeGitHub(Issuer):
    """Its user can be another one for each test."""

    def __init__(self) -> None:
        super().__init__()
        self.user: Any = {"id": 1}
        self.addresses: Any = []
        self._token = secrets.token_hex(8)

    def be(self, number: int, *addresses: tuple[str, bool, bool]) -> None:
        """Have a user, with addresses: whether each is the primary one, and verified."""
        self.user = {"id": number, "login": "ada"}
        self.addresses = [
            {"email": email, "primary": is_primary, "verified": is_verified, "visibility": None}
            for email, is_primary, is_verified in addresses
        ]

    def answer(self, path: str, form: dict[str, str], headers: dict[str, str]) -> tuple[int, Any, dict[str, str]]:
        if path == "/login/oauth/access_token":
            if self.redeem(form, headers) is None:  # GitHub says so with a status of 200
                return 200, {"error": "bad_verification_code", "error_description": "It is incorrect or expired."}, {}
            return 200, {"access_token": self._token, "scope": "user:email", "token_type": "bearer"}, {}
        if headers.get("authorization") != f"Bearer {self._token}" or not headers.get("user-agent"):
            return 401, {"message": "Requires authentication"}, {}
        found = {"/api/v3/user": self.user, "/api/v3/user/emails": self.addresses}
        return (200, found[path], {}) if path in found else (404, {"message": "Not Found"}, {})


class FakeIssuer(Issuer):
    """`wrong` changes what the next tokens say, and what it publishes about itself."""

    def __init__(self) -> None:
        super().__init__()
        self.claims: dict[str, Any] = {}
        self.about: dict[str, Any] = {}
        self.page = b""
        """What it publishes instead, if anything."""
        self.userinfo: dict[str, Any] = {}
        self.key = RSAKey.generate_key(2048, {"kid": "one", "use": "sig", "alg": "RS256"})
        self.signs_with = self.key
        self.header: dict[str, str] = {"alg": "RS256", "kid": "one"}

    def be(self, subject: str, email: str | None, *, is_verified: object = True) -> None:
        """Have a user, and tell the truth."""
        self.claims = {"sub": subject}
        if email is not None:
            self.claims |= {"email": email, "email_verified": is_verified}
        self.about, self.page, self.userinfo = {}, b"", {"sub": subject}
        self.signs_with, self.header = self.key, {"alg": "RS256", "kid": "one"}

    def answer(self, path: str, form: dict[str, str], headers: dict[str, str]) -> tuple[int, Any, dict[str, str]]:
        if path == "/.well-known/openid-configuration":
            return 200, self.page or self._metadata(), {}
        if path == "/jwks":
            return 200, {"keys": [self.key.as_dict(private=False)]}, {}
        if path == "/userinfo":
            return 200, self.userinfo, {}
        if path == "/token":
            said = self.redeem(form, headers)
            if said is None:
                return 400, {"error": "invalid_grant"}, {}
            return 200, {"access_token": "a", "token_type": "Bearer", "id_token": self._id_token(said)}, {}
        return 302, b"", {"location": "http://127.0.0.1:1/elsewhere"}

    def _metadata(self) -> dict[str, Any]:
        paths = {"authorization_endpoint": "authorize", "token_endpoint": "token", "jwks_uri": "jwks",
                 "userinfo_endpoint": "userinfo"}  # fmt: skip
        return {"issuer": self.url, **{name: f"{self.url}/{path}" for name, path in paths.items()}, **self.about}

    def _id_token(self, said: dict[str, str]) -> str:
        now = int(time.time())
        claims = {"iss": self.url, "aud": CLIENT_ID, "iat": now, "exp": now + 60, "nonce": said["nonce"], **self.claims}
        claims = {name: value for name, value in claims.items() if value is not None}
        if self.header["alg"] == "RS256":
            return jwt.encode(self.header, claims, self.signs_with, registry=ANY_HEAD)
        # What no library signs: with nothing, or with what everybody knows.
        signed = ".".join(_text(json.dumps(part).encode()) for part in (self.header, claims))
        public = self.key.as_pem(private=False)
        seal = hmac.digest(public, signed.encode(), "sha256") if self.header["alg"] == "HS256" else b""
        return f"{signed}.{_text(seal)}"


def _text(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).decode().rstrip("=")
