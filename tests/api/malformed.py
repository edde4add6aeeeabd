"""Requests that are wrong in every way that a seed can think of, and what may be answered to each."""

import json
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

MEBIBYTE: Final = 2**20
PATHS: Final = ("/v1/generate", "/v1/usage", "/health", "/ready", "/docs", "/openapi.json")
METHODS: Final = ("GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "POST")


@dataclass(frozen=True, slots=True)
class Malformed:
    """Bytes to send, and the statuses that are a right answer to them."""

    kind: str
    data: bytes
    statuses: frozenset[int]
    is_head: bool = False
    ends_early: bool = False  # the sender leaves before it has sent what it promised


def malformed(dice: random.Random, key: str) -> Malformed:
    """One request; `key` is a good one, so that only the request can be at fault."""
    make = dice.choices([kind for kind, _ in KINDS], [weight for _, weight in KINDS])[0]
    return make(dice, key)


def request(
    body: bytes = b"",
    *,
    method: str = "POST",
    path: bytes = b"/v1/generate",
    headers: Mapping[str, bytes] | None = None,
    length: bytes | None = None,
) -> bytes:
    lines = [b"%b %b HTTP/1.1" % (method.encode(), path), b"host: test"]
    lines += [b"%b: %b" % (name.encode(), value) for name, value in (headers or {}).items()]
    if "transfer-encoding" not in (headers or {}):
        lines.append(b"content-length: %b" % (str(len(body)).encode() if length is None else length))
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def generate(kind: str, key: str, body: bytes, *statuses: int, **headers: bytes) -> Malformed:
    sent = {"x-api-key": key.encode(), "content-type": b"application/json"}
    return Malformed(kind, request(body, headers=sent | headers), frozenset(statuses or {422}))


# -- the body


def bad_utf8(dice: random.Random, key: str) -> Malformed:
    broken = dice.choice([b"\xff", b"\xc3\x28", b"\xed\xa0\x80", b"\xf8\x88\x80\x80\x80", b"\xc0\xaf", b"\x80" * 9])
    prompt = b"a" * dice.randint(0, 50) + broken + b"b" * dice.randint(0, 50)
    return generate("bad UTF-8", key, b'{"prompt": "' + prompt + b'"}')


def no_json(dice: random.Random, key: str) -> Malformed:
    bodies = [
        b"", b" ", b"{", b"}", b"[]", b"null", b"true", b"0", b'"prompt"', b"{'prompt': 'abc'}", b"prompt=abc",
        b'{"prompt": "abc",}', b'{"prompt": "abc"} {}', b'{"prompt": "a\nb"}', b'{"prompt": "\\x41bc"}',
        b"\xef\xbb\xbf" + b'{"prompt": "abc"}', '{"prompt": "abc"}'.encode("utf-16"), b"<prompt>abc</prompt>",
        b'{"prompt": "abc"', b"\x00" * 100, dice.randbytes(dice.randint(1, 200)), b"--x\r\n\r\nabc\r\n--x--",
    ]  # fmt: skip
    return generate("no JSON", key, dice.choice(bodies))


def constants(dice: random.Random, key: str) -> Malformed:
    value = dice.choice([b"NaN", b"Infinity", b"-Infinity", b"1e999", b"-1e400", b"0x10", b"1_000", b"01", b"+1"])
    name = dice.choice([b"max_tokens", b"prompt", b"other"])
    return generate("a number that is none", key, b'{"prompt": "abc", "%b": %b}' % (name, value))


def deep(dice: random.Random, key: str) -> Malformed:
    depth = dice.randint(10_000, 100_000)
    opening, closing = dice.choice([(b"[", b"]"), (b'{"a":', b"}")])
    nested = opening * depth + dice.choice([b"", b"1" + closing * depth])
    body = dice.choice([nested, b'{"prompt": %b}' % nested, b'{"prompt": "abc", "other": %b}' % nested])
    return generate("deep nesting", key, body, 413, 422)


def huge(dice: random.Random, key: str) -> Malformed:
    size = dice.choice([MEBIBYTE + 1, 2 * MEBIBYTE, 10 * MEBIBYTE])
    return generate("a huge body", key, b'{"prompt": "' + b"x" * size + b'"}', 413)


def huge_in_chunks(dice: random.Random, key: str) -> Malformed:
    chunks = [b"x" * dice.randint(1, 200_000) for _ in range(dice.randint(30, 60))] + [b"x" * MEBIBYTE]
    body = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"
    return generate("a huge body in chunks", key, body, 413, **{"transfer-encoding": b"chunked"})


def nul(dice: random.Random, key: str) -> Malformed:
    body = dice.choice(
        [b'{"prompt": "a\x00bc"}', b'{"prompt"\x00: "abc"}', b'{"prompt": "abc"}\x00', b'\x00{"prompt": "abc"}']
    )
    return generate("a raw NUL", key, body)


def twice(dice: random.Random, key: str) -> Malformed:
    pairs = dice.choice(
        [
            b'"prompt": "abc", "prompt": "abc"',
            b'"prompt": "abc", "prompt": 1',
            b'"prompt": "abc", "max_tokens": 1, "max_tokens": 2',
            b'"prompt": "abc", "other": {"a": 1, "a": 1}',
            b'"prompt": "abc", "pr\\u006fmpt": "def"',
        ]
    )
    return generate("a key twice", key, b"{%b}" % pairs)


def wrong_types(dice: random.Random, key: str) -> Malformed:
    odd = [1, -1, 1.5, True, [], {}, ["abc"], {"a": "abc"}, 10**400, "x"]
    name = dice.choice(["prompt", "max_tokens", "stream"])
    fields: dict[str, object] = {"prompt": "abc", name: dice.choice(odd)}
    if name == "max_tokens" and fields[name] == 1 and fields[name] is not True:
        fields[name] = 0
    if name == "stream" and fields[name] is True:
        fields[name] = "true"
    if dice.random() < 0.1:
        del fields["prompt"]
    return generate("a wrong type", key, json.dumps(fields).encode())


def wrong_length(dice: random.Random, key: str) -> Malformed:
    prompt = dice.choice(["", "ab", "x" * 2001, "x" * 50_000, "😀" * 2001, "\ud800abc", "abc\udfff"])
    return generate("a prompt of no right length, or half a character", key, json.dumps({"prompt": prompt}).encode())


# -- the key


def odd_key(dice: random.Random, key: str) -> Malformed:
    values = [
        b"", b" ", b"Bearer", b"Bearer ", b"Basic dXNlcjpwYXNz", b"Bearer null", b"Bearer undefined", b"\xff\xfe\xfd",
        "Bearer ключ".encode(), "Bearer 🔑".encode(), b"Bearer " + dice.randbytes(30).hex().encode(), b"a" * 5_000,
        b"Bearer ' OR '1'='1", b"Bearer '; DROP TABLE account; --", b"Bearer %00", b"Bearer {{7*7}}", b"Bearer ${jndi}",
        key.encode()[:-1] + b"!", key.encode()[:-1], key.encode() + b"x", key.upper().encode(), key.encode()[::-1],
        b"Bearer Bearer " + key.encode(), b"bearer\t" + key.encode(), b"Token " + key.encode(),
        b"sk-" + key.encode(), f"till_live_{'A' * 38}".encode(), f"{key},{key}".encode(),
        "till_live_".encode("utf-16-le").hex().encode(), key.encode().replace(b"_", b"\xc2\xa0"),
    ]  # fmt: skip
    name = dice.choice(["authorization", "x-api-key"])
    path, method = dice.choice([(b"/v1/generate", "POST"), (b"/v1/usage", "GET")])
    headers = {name: dice.choice(values), "content-type": b"application/json"}
    body = b'{"prompt": "abc"}' if method == "POST" else b""
    return Malformed("an odd key", request(body, method=method, path=path, headers=headers), frozenset({401}))


# -- the request as such


def odd_path(dice: random.Random, key: str) -> Malformed:
    del key
    path = dice.choice(
        [
            b"/%2e%2e/%2e%2e/etc/passwd", b"//", b"/v1", b"/v1/", b"/v1/generate/", b"/V1/generate", b"/v1/generate%00",
            b"/%ff%fe", b"/.git/config", b"/docs/static/%2e%2e/%2e%2e/x", b"/docs/static/%00",
            b"/docs/static/" + b"a" * 5000,
            b"/v1/models/../generate", b"/" + b"a" * 20_000, b"/;/v1/usage", b"/v1/usage/", b"*", b"/wp-login.php",
            b"/errors/" + dice.randbytes(4).hex().encode(),
        ]
    )  # fmt: skip
    method = dice.choice(METHODS)
    is_head = method == "HEAD"
    statuses = {400, 404, 405} | ({401} if b"/models/" in path else set())  # a model's name may have slashes
    return Malformed("an odd path", request(method=method, path=path), frozenset(statuses), is_head=is_head)


def odd_method(dice: random.Random, key: str) -> Malformed:
    method, path = dice.choice(METHODS), dice.choice(PATHS)
    taken = "POST" if path == "/v1/generate" else "GET"
    if method in {taken, "HEAD"}:
        method = "PATCH"
    data = request(method=method, path=path.encode(), headers={"x-api-key": key.encode()})
    return Malformed("an odd method", data, frozenset({405}))


def no_http(dice: random.Random, key: str) -> Malformed:
    del key
    data = dice.choice(
        [
            b"garbage\r\n\r\n", b"BREW /v1/generate HTTP/1.1\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n",
            b"GET /\xff HTTP/1.1\r\n\r\n", b"GET / HTTP/1.1\r\nno colon\r\n\r\n", b"GET / HTTP/1.1\r\na: \x00\r\n\r\n",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + dice.randbytes(100),
            b"CONNECT example.com:443 HTTP/1.1\r\n\r\n", b"\x00" * 500,
            b"GET /health HTTP/1.1\r\n" + b"a" * 400_000,
            b"GET /health HTTP/1.1\r\nx: " + b"a" * 2_000_000 + b"\r\n\r\n",
            b"GET /" + b"a" * 400_000, b"POST / HTTP/1.1\r\ncontent-length: x\r\n\r\n",
        ]
    )  # fmt: skip
    return Malformed("no HTTP", data, frozenset({400}))


def odd_framing(dice: random.Random, key: str) -> Malformed:
    head = {"x-api-key": key.encode()}
    body = b'{"prompt": "abc"}'
    chunked = head | {"transfer-encoding": b"chunked"}
    data = dice.choice(
        [
            request(body, headers=head, length=b"-1"),
            request(body, headers=head, length=b"9" * 30),
            request(body, headers=head | {"content-length": b"3"}),
            request(body, headers=chunked),
            request(b"zz\r\nabc", headers=chunked),
            request(b"3\r\nabcdef\r\n0\r\n\r\n", headers=chunked),
            request(b"f" * 20 + b"\r\nabc", headers=chunked),
            request(b"3\r\nabc\r\n0\r\n\r\n", headers=chunked | {"content-length": b"3"}),
        ]
    )
    # What follows a request that is complete (here: after a wrong length) is the next one, and is no HTTP either.
    return Malformed("odd framing", data, frozenset({400, 422}))


def cut_short(dice: random.Random, key: str) -> Malformed:
    whole = request(b'{"prompt": "abc"}', headers={"x-api-key": key.encode()})
    data = whole[: dice.randint(1, len(whole) - 1)]
    return Malformed("cut short", data, frozenset(), ends_early=True)


def odd_type(dice: random.Random, key: str) -> Malformed:
    kinds = [b"", b"text/plain", b"application/xml", b"multipart/form-data", b"\xff", b"application/json;" * 99]
    return generate("an odd content type", key, b"prompt=abc", 422, **{"content-type": dice.choice(kinds)})


def odd_upgrade(dice: random.Random, key: str) -> Malformed:
    wanted = dice.choice([b"websocket", b"h2c", b"TLS/1.3", b"\xff"])
    headers = {"connection": b"upgrade", "upgrade": wanted, "x-api-key": key.encode()}
    return Malformed("an upgrade", request(method="PUT", path=b"/health", headers=headers), frozenset({400, 405}))


Maker = Callable[[random.Random, str], Malformed]
KINDS: Final[list[tuple[Maker, float]]] = [
    (bad_utf8, 10), (no_json, 15), (constants, 10), (deep, 4), (huge, 1), (huge_in_chunks, 0.5), (nul, 5), (twice, 5),
    (wrong_types, 12), (wrong_length, 8), (odd_key, 20), (odd_path, 10), (odd_method, 8), (no_http, 8),
    (odd_framing, 6), (cut_short, 4), (odd_type, 3), (odd_upgrade, 2),
]  # fmt: skip
