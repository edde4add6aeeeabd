"""The pages for people, which are loaded when the first one is asked for: a process that serves only /v1 has none."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Any, Final, Protocol

from starlette.concurrency import run_in_threadpool
from starlette.types import ASGIApp, Receive, Scope, Send

from farebox.account.desk import Desk
from farebox.account.till import Till
from farebox.domain.product import Product
from farebox.ports.calls import Readings
from farebox.ports.money import Invoices
from farebox.ports.people import Letter
from farebox.web.endpoint import PaidEndpoint
from farebox.web.handler import Handler
from farebox.web.logo import Logo

API: Final = "/v1/"  # errors under it stay the problem body, for programs
Network = IPv4Network | IPv6Network


class KeptMail(Protocol):
    """The last mails that were written, the newest first."""

    @property
    def letters(self) -> list[Letter]: ...


@dataclass(frozen=True, slots=True)
class Site:
    """Everything that the pages are made of; known at start-up."""

    product: Product
    handlers: Mapping[str, Handler]
    paid: Mapping[str, PaidEndpoint]
    """The paid endpoints by their paths."""
    public_url: str
    """Without a slash at its end; empty where the settings name none."""
    folder: Path | None
    """The folder that may have the founder's `templates/` and `pages/`."""
    logo: Logo | None
    example: Callable[[object], Any]
    """An example of what a JSON schema describes."""
    openapi: Callable[[], dict[str, Any]]
    """The OpenAPI page."""
    desk: Desk
    """The desk where people are let in."""
    readings: Readings
    """The use of customers."""
    invoices: Invoices
    """The invoices of customers."""
    proxies: tuple[Network, ...]
    """The proxies whose word about the client's address is taken."""
    mailbox: KeptMail | None
    """The mails that would have been sent, where none are."""
    till: Callable[[], Till] | None = None
    """The till where customers buy; None where nothing is sold."""

    @property
    def sells(self) -> bool:
        """Whether anything can be bought online."""
        return self.till is not None

    @property
    def listed(self) -> list[str]:
        """The paths of the paid endpoints that pages tell of."""
        hidden = set(self.product.served_endpoints) - set(self.product.listed_endpoints)
        return [path for path in self.paid if path not in hidden]


class Pages:
    """The pages, which are asked when no route matches, so that the founder's own routes come first."""

    def __init__(self, site_of: Callable[[], Site], nothing: ASGIApp) -> None:
        self._site_of = site_of
        self._nothing = nothing
        self._app: ASGIApp | None = None
        self._turn = asyncio.Lock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or f"{scope['path']}/".startswith(API):
            await self._nothing(scope, receive, send)
            return
        if self._app is None:
            async with self._turn:
                if self._app is None:
                    self._app = await run_in_threadpool(self._load)
        await self._app(scope, receive, send)

    def _load(self) -> ASGIApp:
        from farebox.web.pages import pages  # noqa: PLC0415  # with all that only pages need

        return pages(self._site_of())
