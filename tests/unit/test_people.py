"""The rules of people: addresses, tokens, clients; and where a page may send somebody."""

import re
from ipaddress import ip_network
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock
from urllib.parse import urljoin, urlsplit

import pytest
from fastapi import HTTPException, Request

from farebox.account.desk import arrive
from farebox.domain import people
from farebox.domain.errors import FounderError
from farebox.domain.mail import Sender, SmtpServer, parse_sender, parse_smtp
from farebox.domain.people import Client, PersonError, address_of, digest, link_id_of, link_token
from farebox.web.pages.sale import elsewhere
from farebox.web.pages.visitor import _warn_of_proxy, believed, client_of, is_path, see_other

SECRET = b"a secret of the tests, long enough"
LINK = "0123456789abcdef" * 2


@pytest.mark.parametrize(
    ("text", "address"),
    [
        (" Ada@Example.COM ", "ada@example.com"),
        ("a.b+c_d'e@sub.example.co.uk", "a.b+c_d'e@sub.example.co.uk"),
        ("ada@localhost", "ada@localhost"),
        ("ada@xn--bcher-kva.example", "ada@xn--bcher-kva.example"),
    ],
)
def test_an_address_is_stored_in_one_way(text: str, address: str) -> None:
    assert address_of(text) == address


@pytest.mark.parametrize(
    "text",
    [
        "", "ada", "@example.com", "ada@", "ada@@example.com", "a b@example.com", "ada@exa mple.com", "a@example.com.",
        "ada@example.com\r\nBcc: eve@example.com", "ada@example.com\n", "ada@example.com,eve@example.com",
        "ada,eve@example.com", "<ada@example.com>", '"ada"@example.com', "ada@example.com\0", "ada;@example.com",
        f"{'a' * 65}@example.com", f"a@{'b' * 60}.{'c' * 60}.{'d' * 60}.{'e' * 60}.{'f' * 20}", "äda@example.com",
        "ada@-example.com", "ada@[127.0.0.1]", "\N{KELVIN SIGN}ate@example.com",
    ],
)  # fmt: skip
def test_what_is_no_address_or_more_than_one_is_refused(text: str) -> None:
    if text.strip() == "ada@example.com":
        assert address_of(text) == "ada@example.com"
        return
    with pytest.raises(PersonError) as told:
        address_of(text)
    assert told.value.field == "email"


def test_the_token_of_a_link_is_made_again_and_belongs_to_its_secret() -> None:
    token = link_token(SECRET, LINK)
    assert link_id_of(SECRET, token) == LINK
    assert link_token(SECRET, LINK) == token
    assert link_id_of(b"another", token) is None
    assert link_id_of(SECRET, token[:-1] + ("0" if token[-1] != "0" else "1")) is None
    assert link_id_of(SECRET, token + "\n") is None


def test_a_token_of_one_kind_is_none_of_another() -> None:
    found = {digest(secret, kind, "token") for secret in (SECRET, b"another") for kind in ("session", "ceremony")}
    assert len(found) == 4


def test_one_client_is_an_ipv4_address_or_an_ipv6_network() -> None:
    def subject(address: str) -> str:
        return people.sign_ups_from(Client(address, "")).subject

    assert subject("203.0.113.9") != subject("203.0.113.10")
    assert subject("2001:db8::1") == subject("2001:db8::ffff:1:2:3")
    assert subject("2001:db8::1") != subject("2001:db8:0:1::1")
    assert subject("::ffff:203.0.113.9") == subject("203.0.113.9")
    assert Client("203.0.113.9", "").network == "203.0.113.0/24"
    assert Client("2001:db8:1:2::3", "").network == "2001:db8:1::/48"
    assert Client("", "").network == ""


PROXIES = (ip_network("10.0.0.0/8"), ip_network("127.0.0.1"))


@pytest.mark.parametrize(
    ("address", "hops", "client"),
    [
        ("203.0.113.9", [], "203.0.113.9"),
        ("203.0.113.9", ["198.51.100.1"], "203.0.113.9"),  # not through a proxy of ours: made up
        ("127.0.0.1", ["198.51.100.1"], "198.51.100.1"),
        ("127.0.0.1", ["1.1.1.1", "198.51.100.1"], "198.51.100.1"),  # what comes first may be made up
        ("127.0.0.1", ["198.51.100.1", "10.2.3.4"], "198.51.100.1"),
        ("127.0.0.1", ["10.9.9.9", "10.2.3.4"], "10.9.9.9"),
        ("127.0.0.1", ["nonsense"], "127.0.0.1"),
        ("127.0.0.1", ["198.51.100.1", "nonsense", "10.2.3.4"], "10.2.3.4"),
        ("127.0.0.1", [], "127.0.0.1"),
        ("127.0.0.1", ["1.1.1.1:1", "198.51.100.1:4711", "10.2.3.4:80"], "198.51.100.1"),  # as Azure's gateway writes
        ("127.0.0.1", ["[2001:db8::1]:4711"], "2001:db8::1"),
        ("127.0.0.1", ["[2001:db8::1]"], "2001:db8::1"),
        ("127.0.0.1", ["198.51.100.1:x"], "127.0.0.1"),
        ("::ffff:127.0.0.1", ["198.51.100.1"], "198.51.100.1"),  # on a socket of both kinds
        ("::ffff:203.0.113.9", ["198.51.100.1"], "::ffff:203.0.113.9"),
        ("", ["198.51.100.1"], ""),
    ],
)
def test_a_clients_address_is_the_last_that_no_proxy_of_ours_has(address: str, hops: list[str], client: str) -> None:
    assert believed(address, hops, PROXIES) == client
    assert believed(address, hops, ()) == address


def test_a_proxy_that_no_setting_names_is_told_of_once(caplog: pytest.LogCaptureFixture) -> None:
    """Behind it all customers share the bounds by address, so that the 21st to sign up within an hour is refused."""

    def asked(proxies: tuple[object, ...], **headers: str) -> str:
        app = SimpleNamespace(state=SimpleNamespace(site=SimpleNamespace(proxies=proxies)))
        raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
        return client_of(Request({"type": "http", "app": app, "client": ("10.0.0.1", 1), "headers": raw})).address

    _warn_of_proxy.cache_clear()
    assert asked(()) == "10.0.0.1"
    assert asked(PROXIES, x_forwarded_for="203.0.113.9") == "203.0.113.9"
    assert caplog.messages == []
    for _ in range(2):
        assert asked((), x_forwarded_for="203.0.113.9") == "10.0.0.1"
    [told] = caplog.messages
    assert told.startswith("A request had X-Forwarded-For, and FAREBOX_TRUSTED_PROXIES is not set.")


# -- Where a page may send somebody


def resolved(location: str) -> str:
    """Where a browser on our site goes: it drops tabs and line ends, and takes a backslash for a slash."""
    plain = re.sub(r"[\t\r\n]", "", location.strip("\0 ")).replace("\\", "/")
    return urlsplit(urljoin("https://till.example/login", plain)).netloc


@pytest.mark.parametrize(
    "path",
    ["/", "/overview", "/calls?after=x&key=y", "/keys#new", "/calls/日本?q=é", "/a//b", "/x?next=//evil.example"],
)
def test_a_path_of_this_site_may_be_gone_to(path: str) -> None:
    assert is_path(path)
    location = see_other(path).headers["location"]
    assert location.isascii()
    assert resolved(location) == "till.example"


@pytest.mark.parametrize(
    "path",
    [
        "", "overview", "/\tevil", "/\r\nset-cookie: x=y", "/\x00", " /overview", "http:/overview",
    "//evil.example", "///evil.example", "////evil.example", "https://evil.example", "https:evil.example",
    "https:/evil.example", "http://evil.example/", "HTTPS://evil.example", "/\\evil.example", "\\\\evil.example",
    "\\/evil.example", "/\t/evil.example", "\t//evil.example", "/\n/evil.example", "/\r\nlocation: //evil.example",
    " //evil.example", "evil.example", "@evil.example", "//till.example@evil.example", "javascript:alert(1)",
    "data:text/html,x", "%2f%2fevil.example", "/\u2028/evil.example", "\x00//evil.example", "//evil.example%2f..",
    "?x", "#x", "//[::1]", "https://till.example.evil.example", "https://till.example/overview", "//\u3002evil",
    "/\ud800",
],
)  # fmt: skip
def test_open_redirect_no_other_place_may_be_gone_to(path: str) -> None:
    assert not is_path(path)


def test_a_page_to_pay_on_is_a_page_on_the_web() -> None:
    assert elsewhere("https://pay.example/cs_1").headers["location"] == "https://pay.example/cs_1"
    for url in ("", "/overview", "//evil.example", "javascript:alert(1)", "data:text/html,x"):
        with pytest.raises(HTTPException):
            elsewhere(url)


# -- Mail's settings


@pytest.mark.parametrize(
    ("url", "server"),
    [
        ("smtp://mail.example.com", SmtpServer("mail.example.com", 587, user="", password="", is_tls=False)),
        ("smtp://127.0.0.1:2525", SmtpServer("127.0.0.1", 2525, user="", password="", is_tls=False)),
        (
            "smtps://me%40x.example:p%2Fw%3A@mail.example.com",
            SmtpServer("mail.example.com", 465, user="me@x.example", password="p/w:", is_tls=True),
        ),
    ],
)  # fmt: skip
def test_a_mail_server_is_named_by_a_url(url: str, server: SmtpServer) -> None:
    assert parse_smtp(url) == server


@pytest.mark.parametrize(
    "url",
    ["mail.example.com", "http://mail.example.com", "smtp://", "smtp://user:secret@", "smtp://user@host", "smtp://:secret@host",
     "smtp://u:secret@host:port", "smtp://u:secret/x@host:587", "smtp://host:99999", "smtp://u:secret@host:0",
     "smtp://u:secret@a..b:25", f"smtp://u:secret@{'x' * 64}.example", "smtp://u:secret@a b:25"],
)  # fmt: skip
def test_what_names_no_mail_server_is_a_sentence_without_the_password(url: str) -> None:
    with pytest.raises(FounderError, match=r"^SMTP_URL .*smtp://user:password@host:587") as told:
        parse_smtp(url)
    assert "secret" not in str(told.value)


@pytest.mark.parametrize(
    ("text", "sender"),
    [
        ("", Sender("Till & co", "no-reply@api.example.com")),
        ("hello@example.com", Sender("Till & co", "hello@example.com")),
        ("Till <hello@example.com>", Sender("Till", "hello@example.com")),
        ("<hello@example.com>", Sender("Till & co", "hello@example.com")),
    ],
)
def test_whom_mail_comes_from(text: str, sender: Sender) -> None:
    assert parse_sender(text, "Till\n & co", "https://api.example.com:8443") == sender


def test_a_machines_own_address_is_no_domain_of_mail() -> None:
    assert parse_sender("", "Till", "http://127.0.0.1:8000").address == "no-reply@localhost"


@pytest.mark.parametrize(
    "text", ["hello", "Till <hello>", "a@x.example, b@x.example", "Till <a@x.example", "a@x.example>",
             "hällo@x.example", "Till\r\nBcc: x <a@x.example>", "a@x.example\r\nBcc: b@x.example"]
)  # fmt: skip
def test_what_is_no_sender_is_a_sentence(text: str) -> None:
    with pytest.raises(FounderError, match=r"^FAREBOX_MAIL_FROM is no address"):
        parse_sender(text, "Till", "https://api.example.com")


@pytest.mark.parametrize("contact", ["help@till.example", ""])
def test_whose_account_is_suspended_is_told_whom_to_write_to(contact: str) -> None:
    refused = Mock(side_effect=people.Suspended("This account is suspended."))
    desk: Any = SimpleNamespace(secret=SECRET, product=SimpleNamespace(contact=contact))
    with pytest.raises(people.NotAllowed, match=f"Write to {contact or 'the people who run this service'}."):
        arrive(desk, "password", Client("", ""), refused)
