"""Farebox, the founder's application: an ASGI application that takes ordinary FastAPI routers."""

import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from starlette.routing import Route
from starlette.types import Message, Receive, Scope, Send

from farebox import settings as settings_module
from farebox import wiring
from farebox.domain.dialects import CHAT, EMBEDDINGS, RESPONSES
from farebox.domain.money import Usd
from farebox.domain.plan import Plan
from farebox.domain.product import DEMO_NAME, DEMO_PLANS, Product
from farebox.settings import Settings
from farebox.web.endpoint import House, PaidEndpoint
from farebox.web.generate import GenerateEndpoint
from farebox.web.openapi import add_paid
from farebox.web.relay import RelayEndpoint
from farebox.web.request import new_call_id
from farebox.web.routes import add_docs, add_error_pages, routes


class Farebox(FastAPI):
    """A product: what it is called, the model behind it, and the plans it is sold in.

    Args:
        name: the product's name; its letters begin every API key.
        model: provider and model, as "openai:gpt-4o-mini", or a list of them: where one fails, the next is asked.
        plans: the plans, the first being the one that a new account starts on.
        prices: model prices that you know better: {"model": (input, output)} in US dollars per million tokens.
        providers: providers of your own, by the address of their OpenAI-compatible API.
        embedding_model: the model behind /v1/embeddings, as "openai:text-embedding-3-small".

    Raises:
        FounderError: a mistake in the file, in a sentence.
    """

    def __init__(
        self,
        name: str = DEMO_NAME,
        *,
        model: str | Sequence[str] = "openai:gpt-4o-mini",
        plans: Sequence[Plan] = DEMO_PLANS,
        prices: Mapping[str, tuple[Usd, ...]] | None = None,
        providers: Mapping[str, str] | None = None,
        embedding_model: str | None = None,
    ) -> None:
        self.product = Product(name, model, plans, prices or {}, providers or {}, embedding_model)
        written_in = sys._getframe(1).f_globals.get("__file__")  # noqa: SLF001  # `.env` lies beside that file
        self.folder = Path(written_in).resolve().parent if written_in else None
        self._running: House | None = None
        self._paid: dict[str, PaidEndpoint] = {}
        super().__init__(title=name, docs_url=None, redoc_url=None, redirect_slashes=False, lifespan=_lifespan)
        self.include_router(routes(self._house))
        for path in ("/v1/generate", "/v1/chat/completions", "/v1/responses", "/v1/embeddings"):
            self.router.routes.append(Route(path, _Paid(self._paid), methods=["POST"], include_in_schema=False))
        add_docs(self)
        add_error_pages(self, self._house, lambda request: str(request.scope["farebox.call_id"]))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            # The paid path is looked up here, before FastAPI's routing: that costs as much as the call itself.
            # Where the founder has added middleware, it comes first, and the call takes the route below it.
            paid = self._paid.get(scope["path"]) if scope["method"] == "POST" else None
            if paid is not None and not self.user_middleware:
                await paid(scope, receive, send)
                return
            scope["farebox.call_id"] = new_call_id()
            send = _with_request_id(send, scope["farebox.call_id"])
        await super().__call__(scope, receive, send)

    def openapi(self) -> dict[str, Any]:
        if self.openapi_schema is None:
            self.openapi_schema = add_paid(super().openapi())
        return self.openapi_schema

    def _house(self) -> House:
        assert self._running is not None, "requests come after start-up"
        return self._running

    def _open(self, system: wiring.System, settings: Settings) -> House:
        product = wiring.chosen(self.product, settings)
        house = House(
            service=system.service,
            public_url=settings.public_url.rstrip("/"),
            body_bytes_max=settings.body_bytes_max,
            upload_bytes_max=settings.upload_bytes_max,
            has_provider=system.has_provider,
            listed=product.listed,
        )
        models, embedding = system.service.models, (product.embedding,) if product.embedding else ()
        endpoints: list[PaidEndpoint] = [
            GenerateEndpoint(house),
            RelayEndpoint(house, CHAT, product.models, models),
            RelayEndpoint(house, RESPONSES, product.models, models),
            RelayEndpoint(house, EMBEDDINGS, embedding, system.service.embedding_models),
        ]
        self._paid.update({endpoint.path: endpoint for endpoint in endpoints})
        self._running = house
        return house


class _Paid:
    """The paid endpoints as FastAPI's router sees them."""

    def __init__(self, endpoints: Mapping[str, PaidEndpoint]) -> None:
        self._endpoints = endpoints

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._endpoints[scope["path"]](scope, receive, send)


@asynccontextmanager
async def _lifespan(app: Farebox) -> AsyncIterator[dict[str, object]]:
    settings = settings_module.load(app.folder)
    system = wiring.build(app.product, settings, Path.cwd())
    house = app._open(system, settings)  # noqa: SLF001  # the other half of the class above
    await system.start()
    try:
        yield {"public_url": house.public_url, "farebox": app}  # for web.protocol, which has no other way to know
    finally:
        await system.stop()


def _with_request_id(send: Send, call_id: str) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            names = {name for name, _ in message.get("headers", ())}
            if b"x-request-id" not in names:
                message["headers"] = [*message.get("headers", ()), (b"x-request-id", call_id.encode())]
        await send(message)

    return sending
