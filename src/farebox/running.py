"""A product that is served by this process: its system, its paid endpoints, and what its pages are made of."""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple, Self

from farebox import wiring
from farebox.call.events import Events
from farebox.call.handling import Choice
from farebox.domain.apikey import Mode
from farebox.domain.dialects import CHAT, EMBEDDINGS, RESPONSES
from farebox.domain.events import Event
from farebox.domain.product import Product
from farebox.domain.providers import ModelName
from farebox.sandbox.example import example
from farebox.settings import Settings
from farebox.web.endpoint import House, PaidEndpoint
from farebox.web.generate import GenerateEndpoint
from farebox.web.handler import Handler, HandlerEndpoint
from farebox.web.logo import Logo
from farebox.web.relay import RelayEndpoint, chains_by_name
from farebox.web.site import Site
from farebox.web.webhooks import Webhooks

LISTENER_SECONDS: Final = 10.0  # at the end of the process, for listeners that are being told something


class Written(NamedTuple):
    """The founder's file, once it was read and checked."""

    product: Product
    handlers: Mapping[str, Handler]
    listeners: Mapping[str, Sequence[Callable[[Any], Any]]]
    folder: Path | None
    logo: Logo | None
    openapi: Callable[[], dict[str, Any]]
    is_dev: bool
    bills_sandbox: bool


class Running:
    """The product while a process serves it: `async with` starts its system, and ends it.

    Raises:
        FounderError: something is set up wrongly; the message says what to do.
    """

    def __init__(self, written: Written, settings: Settings) -> None:
        self._written = written
        self._settings = settings
        self._loop = asyncio.get_running_loop()
        self._events = Events(written.listeners) if written.listeners else None
        self._system = wiring.build(
            written.product, settings, Path.cwd(), self._events, templates=written.folder,
            is_dev=written.is_dev, bills_sandbox=written.bills_sandbox, tell=self._tell_soon,
        )  # fmt: skip
        self._product = wiring.chosen(written.product, settings)
        self.house = House(
            service=self._system.service,
            public_url=settings.public_url.rstrip("/"),
            body_bytes_max=settings.body_bytes_max,
            upload_bytes_max=settings.upload_bytes_max,
            has_provider=self._system.has_provider,
            listed=self._product.listed,
        )
        self.paid: dict[str, PaidEndpoint] = {endpoint.path: endpoint for endpoint in self._endpoints()}

    async def __aenter__(self) -> Self:
        await self._system.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._events is not None:
            await self._events.drain(LISTENER_SECONDS)
        await self._system.stop()

    def _endpoints(self) -> Iterator[PaidEndpoint]:
        product, system = self._product, self._system
        models, embedding = system.service.models, (product.embedding,) if product.embedding else ()
        built_in = (
            GenerateEndpoint(self.house),
            RelayEndpoint(self.house, CHAT, product.models, models),
            RelayEndpoint(self.house, RESPONSES, product.models, models),
            RelayEndpoint(self.house, EMBEDDINGS, embedding, system.service.embedding_models),
        )
        yield from (endpoint for endpoint in built_in if endpoint.path in product.served_endpoints)
        embeds = _choices(embedding, system.service.embedding_models)
        for handler in self._written.handlers.values():
            # FAREBOX_MODEL replaces every model of the file, those of single functions too.
            own = handler.terms.models if self._settings.model is None else None
            chosen = _choices(product.models, models) if own is None else _choices(own, system.chains.of(own))
            yield HandlerEndpoint(self.house, handler, chosen, embeds)

    def webhooks(self) -> Webhooks | None:
        """What takes Stripe's webhooks; None if they could not be verified."""
        money = self._system.money
        if money is None or money.signatures is None:
            return None
        return Webhooks(money.inbox, money.signatures, money.clerk.wake, is_live=self._settings.sells_live)

    def site(self) -> Site:
        """What the pages are made of."""
        system = self._system
        return Site(
            product=self._product,
            handlers=self._written.handlers,
            paid=self.paid,
            public_url=self.house.public_url,
            folder=self._written.folder,
            logo=self._written.logo,
            example=example,
            openapi=self._written.openapi,
            desk=system.desk(self._written.product, self._tell_soon),
            readings=system.readings(),
            invoices=system.invoices(),
            proxies=self._settings.proxies(),
            mailbox=system.mailbox,
            till=system.money.open_till if system.money is not None else None,
        )

    def _tell_soon(self, event: Event) -> None:
        """Tell the listeners, on the event loop, of what happened on a page, which runs on another thread."""
        if self._events is not None:
            self._loop.call_soon_threadsafe(self._events.emit, event)


def _choices(listed: tuple[ModelName, ...], chains: Mapping[Mode, tuple[Any, ...]]) -> dict[Mode, Choice]:
    return {mode: Choice(chain, chains_by_name(listed, chain)) for mode, chain in chains.items()}
