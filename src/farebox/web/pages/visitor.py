"""The visitor of a page: the session, by its cookie, and the client's address. Pages for customers take a `Visitor`."""

import logging
import re
from contextlib import suppress
from functools import cache
from http import HTTPStatus
from ipaddress import IPv6Address, ip_address
from typing import Annotated, Final, NoReturn
from urllib.parse import quote, urlsplit

from fastapi import Depends, HTTPException, Request, Response

from farebox.account import sessions
from farebox.account.desk import LoggedIn
from farebox.domain.errors import CallError
from farebox.domain.pages import ACCOUNT
from farebox.domain.people import LINK_US, SESSION_MAX_US, Client, Person, is_fresh
from farebox.domain.period import MICROSECONDS
from farebox.ports.people import Visit
from farebox.web.site import Network, Site

log = logging.getLogger("farebox.web")

SESSION: Final = "__Host-session"
CODE: Final = "__Host-code"
SIGN_UP: Final = "__Host-signup"
OPENED: Final = "__Host-link"
"""The cookie of the browser that opened a link: it alone can come in by that link once more (`link_again`)."""
HOME: Final = "/overview"
FIRST: Final = "/playground"  # where a new person begins, so that the first call is a click away
NOT_DONE: Final = "told=not-done"
"""In the address of a form that was sent too late: so nothing was done, and it has to be sent again."""
NOT_KEPT: Final = "not-kept"
URL_CHARS: Final = "%/:?#[]@!$&'()*+,;="  # characters with a meaning in an address, and the % of quoted ones
HOP_WITH_PORT: Final = re.compile(r"(?P<v4>[0-9.]+):[0-9]{1,5}|\[(?P<v6>[0-9A-Fa-f:.]+)\](?::[0-9]{1,5})?", re.ASCII)
LOGGED_OUT: Final = "You are logged out, so nothing was done. Log in and try again."
OWNERS_ONLY: Final = "Only an owner of this account may do this. Ask one of them."


class OfAnotherAccount(Exception):
    """A page was asked for that belongs to another account than the one that the session works in."""

    def __init__(self, visit: Visit, account_id: str) -> None:
        super().__init__(account_id)
        self.visit = visit
        self.account_id = account_id


def site_of(request: Request) -> Site:
    site: Site = request.app.state.site
    return site


def client_of(request: Request) -> Client:
    """The client that asks. A proxy is believed only if the settings name it."""
    address = request.client.host if request.client is not None else ""
    hops = [hop.strip() for line in request.headers.getlist("x-forwarded-for") for hop in line.split(",")]
    proxies = site_of(request).proxies
    if hops and not proxies:
        _warn_of_proxy()
    return Client(believed(address, hops, proxies), request.headers.get("user-agent", ""))


@cache  # once a process
def _warn_of_proxy() -> None:
    log.warning(
        "A request had X-Forwarded-For, and FAREBOX_TRUSTED_PROXIES is not set. If it came through a proxy of yours, "
        "all customers share its address, and are refused together when many log in or sign up: set it to that address."
    )


def believed(address: str, hops: list[str], proxies: tuple[Network, ...]) -> str:
    """The client's address: the last hop that is not a proxy of ours. Hops before it may be made up."""
    for hop in map(_without_port, reversed(hops)):
        if not _is_within(address, proxies) or not _is_address(hop):
            break
        address = hop
    return address


def visit_of(request: Request) -> Visit | None:
    """The visitor, if logged in, for a page that is for everybody."""
    return sessions.visit(site_of(request).desk, request.cookies.get(SESSION, ""))


def who_is_told(request: Request, status: int) -> Visit | None:
    """The visitor whom an error is told, if known; not where the database may be what is wrong."""
    if status < HTTPStatus.INTERNAL_SERVER_ERROR:
        with suppress(CallError):
            return visit_of(request)
    return None


def visitor(request: Request) -> Visit:
    """The visitor who is logged in; a stranger is sent to log in first.

    The session may have moved to another account since a page's form, or a mail's link, was made (decision 29).

    Raises:
        OfAnotherAccount: it has moved.
    """
    found = visit_of(request)
    if found is None:
        _send_away(request)
    account_id = request.query_params.get(ACCOUNT, found.account.id)
    if account_id != found.account.id:
        raise OfAnotherAccount(found, account_id)
    return found


def owner(visit: Annotated[Visit, Depends(visitor)]) -> Visit:
    """An owner of the account."""
    if visit.role != "owner":
        raise HTTPException(403, OWNERS_ONLY)
    return visit


def fresh(request: Request, visit: Annotated[Visit, Depends(visitor)]) -> Visit:
    """A visitor who proved a moment ago who they are; others are sent to prove it again, and come back to the page."""
    if not is_fresh(visit.session, site_of(request).desk.people.now_us()):
        page = page_of(request) if request.method == "GET" else f"{page_of(request)}?{NOT_DONE}"
        raise HTTPException(303, headers={"location": f"/settings/confirm?next={quote(page, safe='')}"})
    return visit


Visitor = Annotated[Visit, Depends(visitor)]
Fresh = Annotated[Visit, Depends(fresh)]
OwnerVisitor = Annotated[Visit, Depends(owner)]


def is_path(path: str) -> bool:
    """Whether it is a place on this very site, where one may be sent after logging in."""
    parts = urlsplit(path)
    return path.startswith("/") and not path.startswith(("//", "/\\")) and path.isprintable() and not parts.netloc


def welcomed(path: str, person: Person) -> str:
    """The path for a new person; without a password, the page there says that the one of their sign-up is not kept."""
    return path if person.password_hash is not None else f"{path}{'&' if '?' in path else '?'}told={NOT_KEPT}"


def is_not_kept(request: Request, visit: Visit) -> bool:
    """Whether to say that the password is not kept: the link was opened in another browser than that of the sign-up."""
    return visit.person.password_hash is None and request.query_params.get("told") == NOT_KEPT


def see_other(path: str) -> Response:
    """Redirect to a page after a form was sent."""
    return Response(None, 303, {"location": quote(path, safe=URL_CHARS)})


def arrived(request: Request, came: LoggedIn, path: str) -> Response:
    """Lead somebody who has logged in to the path, or to their second factor first."""
    before = request.cookies.get(SESSION, "")
    if before:  # the session that this browser had is not left open behind the new one
        sessions.log_out(site_of(request).desk, before)
    target = path if is_path(path) else HOME
    if not came.cookie:
        response = see_other(f"/login/code?next={quote(target)}")
        set_cookie(response, CODE, came.code, LINK_US["code"] // MICROSECONDS)
        return response
    response = see_other(target)
    set_cookie(response, SESSION, came.cookie, SESSION_MAX_US // MICROSECONDS)
    return response


def set_cookie(response: Response, name: str, value: str, seconds: int) -> None:
    """Set a cookie for this host alone, which no script can read and no other site can have sent with a form."""
    response.set_cookie(name, value, max_age=seconds, path="/", secure=True, httponly=True, samesite="lax")


def forget_cookie(response: Response, name: str) -> None:
    set_cookie(response, name, "", 0)


def page_of(request: Request) -> str:
    """The page that the visitor is on: this one, or the one that the form was on."""
    if request.method == "GET":
        return f"{request.url.path}?{request.url.query}" if request.url.query else request.url.path
    came_from = urlsplit(request.headers.get("referer", ""))
    is_ours = came_from.netloc in {request.headers.get("host"), urlsplit(site_of(request).public_url).netloc}
    return came_from.path if is_ours and is_path(came_from.path) else HOME


def _send_away(request: Request) -> NoReturn:
    if request.method != "GET":
        raise HTTPException(403, LOGGED_OUT)
    raise HTTPException(303, headers={"location": f"/login?next={quote(page_of(request), safe='')}"})


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _without_port(hop: str) -> str:
    """The hop's address. Some proxies, as Azure's, add the client's port: 203.0.113.9:4711, [2001:db8::1]:4711."""
    found = HOP_WITH_PORT.fullmatch(hop)
    return found["v4"] or found["v6"] if found is not None else hop


def _is_within(address: str, networks: tuple[Network, ...]) -> bool:
    if not _is_address(address):
        return False
    found = ip_address(address)
    mapped = found.ipv4_mapped if isinstance(found, IPv6Address) else None  # as on a socket for IPv4 and IPv6
    return any(found in network or (mapped is not None and mapped in network) for network in networks)
