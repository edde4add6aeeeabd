"""Whole answers over HTTP/1.1 on real sockets: every form that an answer can have, and whose it is."""

import asyncio
import datetime as dt
import gzip
import ssl
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import pytest
import uvloop
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from farebox.adapters import http1
from farebox.adapters.http1 import Answer, Connections
from farebox.adapters.openai_http import OpenAIUpstream
from farebox.domain.errors import UpstreamFailed
from tests.contract.answering import OK, SOON_SECONDS, request, serving, sized

Scene = Callable[[], Awaitable[None]]


def both(scene: Scene) -> None:
    """On the loop of Linux and macOS, and on that of Windows."""

    async def one() -> None:
        await scene()

    asyncio.run(one())
    uvloop.run(one())


PACKED: Final = gzip.compress(b"abc" * 100_000)
GZIP: Final = OK + b"Content-Encoding: gzip\r\n"
CHUNKED: Final = OK + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nTrailer: t\r\n\r\n"
ECHO: Final = OK + b"Content-Length: 11\r\n\r\n[BODY]"


@pytest.mark.parametrize(
    ("answer", "body", "is_kept"),
    [
        (sized(b"abc"), b"abc", True),
        (CHUNKED, b"abcde", True),
        (
            b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nContent-Encoding: gzip\r\n\r\n" + sized(b"abc"),
            b"abc",
            True,
        ),
        (sized(b""), b"", True),
        (sized(b"x" * 300_000), b"x" * 300_000, True),
        (sized(b"abc", head=OK + b"Connection: close\r\n"), b"abc", False),
        (sized(b"abc", head=b"HTTP/1.0 200 OK\r\n"), b"abc", False),
        (OK + b"\r\nabc", b"abc", False),
        (sized(PACKED, head=GZIP), b"abc" * 100_000, True),
        (sized(b"abc", head=OK + b"Content-Encoding: Identity \r\n"), b"abc", True),
        (sized(b"abc", head=OK + b"Content-Encoding:\r\n"), b"abc", True),
    ],
    ids=[
        "sized",
        "chunked",
        "informed",
        "empty",
        "large",
        "closing",
        "old",
        "unsized",
        "packed",
        "as it is",
        "not said",
    ],
)
def test_an_answer_is_read_whole_whatever_its_form(answer: bytes, body: bytes, is_kept: bool) -> None:  # noqa: FBT001
    async def scene() -> None:
        async with serving(*[answer] * (3 if is_kept else 1), closes=not is_kept) as (server, connections):
            for _ in range(3):
                found = await connections.send(request(b"{}"), SOON_SECONDS)
                assert (found.status, found.body) == (200, body)
            assert server.connections == (1 if is_kept else 3)

    both(scene)


def test_an_answer_that_comes_byte_by_byte_is_read_whole() -> None:
    async def scene() -> None:
        async with serving(CHUNKED, step_bytes=1) as (_, connections):
            assert (await connections.send(request(b"{}"), SOON_SECONDS)).body == b"abcde"

    both(scene)


def test_of_many_at_once_each_gets_its_own_answer() -> None:
    async def scene() -> None:
        async with serving(*[ECHO] * 2000) as (server, connections):

            async def caller(name: int) -> None:
                for turn in range(40):
                    body = b"%04d-%04d" % (name, turn)
                    assert (await connections.send(request(body), SOON_SECONDS)).body == b"[%b]" % body

            await asyncio.gather(*map(caller, range(32)))
            assert server.connections <= 32

    both(scene)


def test_who_leaves_or_is_too_late_closes_the_connection_and_the_next_one_gets_a_new_one() -> None:
    async def scene() -> None:
        async with serving() as (server, connections):
            with pytest.raises(TimeoutError):
                await connections.send(request(b"{}"), 1)
            await asyncio.wait_for(server.gone.wait(), SOON_SECONDS)
            server.gone.clear()
            server.came.clear()
            leaving = asyncio.create_task(connections.send(request(b"{}"), 60))
            await asyncio.wait_for(server.came.wait(), SOON_SECONDS)
            leaving.cancel()
            with pytest.raises(asyncio.CancelledError):
                await leaving
            await asyncio.wait_for(server.gone.wait(), SOON_SECONDS)

    both(scene)


@pytest.mark.parametrize(
    "answer",
    [
        OK + b"Content-Length: 9\r\n\r\nabc",
        OK + b"Transfer-Encoding: chunked\r\n\r\n3\r\nab",
        OK + b"Content-Length: 3\r\n",
        b"",
        b"SSH-2.0-OpenSSH\r\n\r\n",
        OK + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
        b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nabc",
        OK + b"A: b\r\n" * 20_000,
        b"HTTP/1.1 100 Continue\r\n\r\n" * 20_000,
        sized(PACKED[:-9], head=GZIP),
        sized(b"abc", head=GZIP),
    ],
    ids=[
        "short",
        "cut",
        "headless",
        "nothing",
        "ssh",
        "two lengths",
        "upgrade",
        "long head",
        "never",
        "half packed",
        "not packed",
    ],
)
def test_what_is_no_whole_answer_is_a_failure(answer: bytes) -> None:
    async def scene() -> None:
        async with serving(answer, closes=True) as (_, connections):
            with pytest.raises(ConnectionError):
                await connections.send(request(b"{}"), SOON_SECONDS)

    both(scene)


def test_an_answer_over_the_bound_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http1, "ANSWER_BYTES_MAX", 200_000)

    async def scene() -> None:
        async with serving(sized(b"x" * 3_000_000)) as (_, connections):
            with pytest.raises(ConnectionError, match="too large"):
                await connections.send(request(b"{}"), SOON_SECONDS)
        async with serving(sized(PACKED, head=GZIP)) as (_, connections):
            with pytest.raises(ConnectionError, match="too large"):
                await connections.send(request(b"{}"), SOON_SECONDS)

    both(scene)


def test_an_answer_without_a_length_that_is_broken_off_is_a_failure() -> None:
    async def scene() -> None:
        async with serving(OK + b"\r\nabc", resets=True) as (_, connections):
            with pytest.raises(ConnectionError):
                await connections.send(request(b"{}"), SOON_SECONDS)

    both(scene)


@pytest.mark.parametrize("extra", [sized(b"poison"), b"HTTP/1.1 2", b"x"], ids=["whole", "begun", "noise"])
def test_what_nobody_asked_for_answers_nobody(extra: bytes) -> None:
    async def scene() -> None:
        async with serving(sized(b"mine") + extra, sized(b"poison")) as (server, connections):
            for _ in range(3):
                with suppress(ConnectionError):
                    assert (await connections.send(request(b"{}"), SOON_SECONDS)).body == b"mine"
            assert server.connections == 3

    both(scene)


def test_a_connection_whose_request_was_answered_before_it_was_read_is_not_used_again() -> None:
    async def scene() -> None:
        async with serving(sized(b"enough")) as (server, connections):
            unread = request(b"") + b"x" * 20_000_000
            for _ in range(2):
                assert (await connections.send(unread, SOON_SECONDS)).body == b"enough"
            assert server.connections == 2

    both(scene)


def test_a_connection_that_is_kept_has_neither_the_time_nor_the_bytes_of_the_call_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(http1, "ANSWER_BYTES_MAX", 100_000)

    async def scene() -> None:
        async with serving(*[sized(b"x" * 90_000)] * 2, step_bytes=10_000) as (server, connections):
            await connections.send(request(b"{}"), 1)
            await asyncio.sleep(1.1)
            await connections.send(request(b"{}"), SOON_SECONDS)
            assert server.connections == 1

    asyncio.run(scene())


def test_a_connection_that_the_server_closed_or_nobody_used_for_long_is_replaced() -> None:
    async def scene() -> None:
        async with serving(sized(b"a"), closes=True) as (server, connections):
            for _ in range(3):
                await connections.send(request(b"{}"), SOON_SECONDS)
                await asyncio.wait_for(server.gone.wait(), SOON_SECONDS)
                await asyncio.sleep(0.05)  # for its end to arrive
            assert server.connections == 3
        async with serving(*[sized(b"a")] * 9) as (server, connections):
            await connections.send(request(b"{}"), SOON_SECONDS)
            connections._idle_seconds_max = -1
            await connections.send(request(b"{}"), SOON_SECONDS)
            assert server.connections == 2
            await asyncio.wait_for(server.gone.wait(), SOON_SECONDS)

    both(scene)


def test_a_connection_is_left_before_a_server_that_is_near_or_says_so_closes_it() -> None:
    async def scene() -> None:
        far = Connections("localhost", 1, is_secure=True, connect_seconds_max=1)
        assert far._idle_seconds_max == http1.IDLE_SECONDS_MAX
        told = sized(b"a", head=OK + b"Keep-Alive: timeout=3, max=9\r\n")
        async with serving(sized(b"a"), told, sized(b"a")) as (server, connections):
            left_after = []
            for _ in range(3):
                await connections.send(request(b"{}"), SOON_SECONDS)
                left_after.append(connections._idle_seconds_max)
            near = OpenAIUpstream(f"http://localhost:{server.port}/v1", None)
            await (await near.stream("/responses", b"{}", SOON_SECONDS)).close()
            assert near._streams is not None
            assert near._streams._session.connector._keepalive_timeout == 4  # type: ignore[union-attr]
            await near.close()
        assert left_after == [4, 2, 2]

    asyncio.run(scene())


@pytest.mark.parametrize(
    ("connect_seconds_max", "seconds_max", "error"), [(0.2, 3_600, ConnectionError), (3_600, 0.2, TimeoutError)]
)
def test_a_connection_is_waited_for_no_longer_than_it_may_take_or_the_call_has(
    connect_seconds_max: float, seconds_max: float, error: type[Exception]
) -> None:
    async def scene() -> None:
        async with serving(b"") as (server, _):  # which knows nothing of TLS, and says nothing
            silent = Connections("localhost", server.port, is_secure=True, connect_seconds_max=connect_seconds_max)
            async with asyncio.timeout(SOON_SECONDS) as hung:
                with pytest.raises(error):
                    await silent.send(request(b"{}"), seconds_max)
            assert not hung.expired()

    asyncio.run(scene())


# -- TLS, and the way around it


def certificate(folder: Path, name: str) -> tuple[Path, ssl.SSLContext]:
    """A server's certificate that trusts itself, and the server's side of TLS with it."""
    key = ec.generate_private_key(ec.SECP256R1())
    who = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(who)
        .issuer_name(who)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    public, private = folder / "cert.pem", folder / "key.pem"
    public.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(public, private)
    return public, tls


async def ask_over_tls(tls: ssl.SSLContext) -> list[Answer]:
    async with serving(*[sized(b"abc")] * 2, tls=tls) as (server, connections):
        found = [await connections.send(request(b"{}"), SOON_SECONDS) for _ in range(2)]
        assert server.connections == 1
        return found


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def test_over_tls_only_a_server_whose_name_and_issuer_are_right_is_asked(
    run: Callable[[Any], Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trusted, tls = certificate(tmp_path, "localhost")
    with pytest.raises(ssl.SSLCertVerificationError):
        run(ask_over_tls(tls))
    monkeypatch.setenv("SSL_CERT_FILE", str(trusted))
    assert [answer.body for answer in run(ask_over_tls(tls))] == [b"abc", b"abc"]
    trusted, tls = certificate(tmp_path, "elsewhere.test")
    with pytest.raises(ssl.SSLCertVerificationError):
        run(ask_over_tls(tls))


@pytest.mark.parametrize("user", ["", "http://", "http://me:pw@"])
def test_a_proxy_of_the_environment_is_used_but_not_to_this_machine(
    user: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "netrc").write_text("default login me password mine\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))  # which is not asked: the provider has its own key

    async def scene() -> None:
        async with serving(sized(b"{}"), sized(b"{}")) as (proxy, _):
            monkeypatch.setenv("http_proxy", f"{user}127.0.0.1:{proxy.port}")
            upstream = OpenAIUpstream("http://provider.test/v1", "sk-1")
            reply = await upstream.send("/chat/completions", b"{}", SOON_SECONDS)
            assert (reply.status, reply.body) == (200, b"{}")
            stream = await upstream.stream("/chat/completions", b"{}", SOON_SECONDS)
            assert (stream.status, await stream.read()) == (200, b"{}")
            await stream.close()
            await upstream.close()
            for head, accepted in zip(proxy.heads, (b"application/json", b"text/event-stream"), strict=True):
                assert head.startswith(b"POST http://provider.test/v1/chat/completions HTTP/1.1\r\n")
                assert b"\r\naccept: %b\r\n" % accepted in head.lower()
                assert b"\r\nauthorization: bearer sk-1\r\n" in head.lower()
                assert (b"\r\nproxy-authorization: basic bwu6chc=\r\n" in head.lower()) == ("@" in user)
            here = OpenAIUpstream("http://127.0.0.1:9/v1", "sk-1")
            with pytest.raises(UpstreamFailed):
                await here.send("/chat/completions", b"{}", SOON_SECONDS)
            await here.close()
            assert proxy.connections == 1

    both(scene)
