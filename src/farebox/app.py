"""Farebox, the founder's application: an ASGI application that takes ordinary FastAPI routers."""

import asyncio
import logging
import sys
import threading
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, TypeVar, overload

from fastapi import FastAPI, Request
from fastapi.routing import iter_route_contexts
from starlette.routing import Route
from starlette.types import Message, Receive, Scope, Send

from farebox import settings as settings_module
from farebox.call.events import Events, takes_one
from farebox.domain.brand import Brand
from farebox.domain.endpoints import GENERATE
from farebox.domain.errors import FounderError
from farebox.domain.events import NAMES, Event
from farebox.domain.money import Usd
from farebox.domain.pack import Pack
from farebox.domain.plan import Plan
from farebox.domain.product import DEFAULT_BRAND, DEMO_NAME, DEMO_PLANS, Product
from farebox.domain.webhooks import PATH as WEBHOOKS
from farebox.running import LISTENER_SECONDS, Running, Written
from farebox.web.endpoint import House, PaidEndpoint
from farebox.web.founder_pages import founder_pages
from farebox.web.handler import INPUT_TOKENS_DEFAULT, Handler, Terms, Units
from farebox.web.logo import Logo, read_logo
from farebox.web.openapi import add_paid
from farebox.web.request import new_call_id
from farebox.web.routes import add_docs_files, add_error_pages, add_routes, route_of
from farebox.web.site import Pages
from farebox.web.upload import in_utf8
from farebox.web.webhooks import Webhooks

log = logging.getLogger("farebox.web")

Function = TypeVar("Function", bound=Callable[..., Any])
_EVENTS: Final = ", ".join(NAMES)


class Farebox(FastAPI):
    """A product: what it is called, the model behind it, and the plans it is sold in.

    Args:
        name: the product's name; its letters begin every API key.
        model: provider and model, as "openai:gpt-4o-mini", or a list of them: where one fails, the next is asked.
        plans: the plans, the first being the one that a new account starts on.
        prices: model prices that you know better: {"model": (input, output)} in US dollars per million tokens;
            a third and a fourth price are for input read from the provider's cache, and written to it.
        providers: providers of your own, by the address of their OpenAI-compatible API.
        embedding_model: the model behind /v1/embeddings, as "openai:text-embedding-3-small".
        endpoints: which of the built-in endpoints are sold, as ["/v1/chat/completions"]; all where it is left out.
        tagline: what the product does, in a line, for its pages.
        brand: how its pages look: a colour and a logo.
        contact: the e-mail address that customers can write to.
        packs: credit that customers can buy, for what is beyond their plan.

    Raises:
        FounderError: a mistake in the file, in a sentence.
    """

    def __init__(  # noqa: PLR0913  # each is named in the founder's file
        self,
        name: str = DEMO_NAME,
        *,
        model: str | Sequence[str] = "openai:gpt-4o-mini",
        plans: Sequence[Plan] = DEMO_PLANS,
        prices: Mapping[str, tuple[Usd, ...]] | None = None,
        providers: Mapping[str, str] | None = None,
        embedding_model: str | None = None,
        endpoints: Sequence[str] | None = None,
        tagline: str = "",
        brand: Brand = DEFAULT_BRAND,
        contact: str = "",
        packs: Sequence[Pack] = (),
    ) -> None:
        self._logo: Logo | None = None
        self.product = Product(
            name=name, model=model, plans=plans, prices=prices or {}, providers=providers or {},
            embedding_model=embedding_model, endpoints=endpoints, handler_models=None, tagline=tagline, brand=brand,
            contact=contact, packs=packs,
        )  # fmt: skip
        frame = sys._getframe(1)  # noqa: SLF001  # `.env` lies beside that file, and mistakes are told with its line
        written_in = frame.f_globals.get("__file__")
        self.folder = Path(written_in).resolve().parent if written_in else None
        self._place = f"{written_in}, line {frame.f_lineno}"
        self._running: Running | None = None
        self.is_dev = False
        """Whether this is `farebox dev`: mails that nobody gets are kept, and the sandbox stands in for any model."""
        self.bills_sandbox = False
        """Whether live calls that the sandbox answers are billed, as in `farebox dev`, whose Stripe is a stand-in."""
        self.paid_paths: list[str] = []
        """The endpoints that a key can be made for."""
        self._paid: dict[str, PaidEndpoint] = {}
        self._openapi_lock = threading.Lock()
        self.handlers: dict[str, Handler] = {}
        self._listeners: dict[str, list[Callable[[Any], Any]]] = {}
        super().__init__(title=name, docs_url=None, redoc_url=None, redirect_slashes=False, lifespan=_lifespan)
        add_routes(self, self._house, has_models=bool(self.product.served_endpoints))
        for path in self.product.served_endpoints:
            self._add_paid(path)
        add_docs_files(self)
        add_error_pages(self, self._house, lambda request: str(request.scope["farebox.call_id"]))

    # -- What the founder writes

    @overload
    def paid(self, function: Function, /) -> Function: ...
    @overload
    def paid(
        self, function: None = None, /, *, units: Units = 1, max_input_tokens: int = INPUT_TOKENS_DEFAULT,
        max_output_tokens: int | None = None, model: str | Sequence[str] | None = None,
    ) -> Callable[[Function], Function]: ...  # fmt: skip
    def paid(
        self, function: Function | None = None, /, *, units: Units = 1, max_input_tokens: int = INPUT_TOKENS_DEFAULT,
        max_output_tokens: int | None = None, model: str | Sequence[str] | None = None,
    ) -> Function | Callable[[Function], Function]:  # fmt: skip
        """Make an async function a paid endpoint: POST /v1/<its name>.

        Its first parameter is the call; the others are the fields of the request. Its docstring is public.

        Args:
            function: the function, where the decorator stands without brackets.
            units: how many calls of the plan a call counts for: a number, or a function of the request's fields.
            max_input_tokens: the most that all the questions to models can come to in one call.
            max_output_tokens: the same for their answers; the plan's own `max_output_tokens`, where it is left out.
            model: another model than the product's, or a list of them.

        Raises:
            FounderError: the function cannot be an endpoint.
        """
        terms = self._terms(units, max_input_tokens, max_output_tokens, model)

        def add(function: Function) -> Function:
            self._add_handler(Handler(function, terms))
            return function

        return add if function is None else add(function)

    @overload
    def prompt(self, function: Callable[..., Any], /) -> Callable[..., Any]: ...
    @overload
    def prompt(
        self, function: None = None, /, *, units: Units = 1, max_input_tokens: int = INPUT_TOKENS_DEFAULT,
        max_output_tokens: int | None = None, model: str | Sequence[str] | None = None,
    ) -> Callable[[Callable[..., Any]], Callable[..., Any]]: ...  # fmt: skip
    def prompt(
        self, function: Callable[..., Any] | None = None, /, *, units: Units = 1,
        max_input_tokens: int = INPUT_TOKENS_DEFAULT, max_output_tokens: int | None = None,
        model: str | Sequence[str] | None = None,
    ) -> Callable[..., Any]:  # fmt: skip
        """Make a docstring a paid endpoint: after its first empty line it is the prompt, with {fields} in it.

        The function has no body, and does not take the call. The function that replaces it does: it is called as
        `await haiku(call, topic="tea")`. The arguments are those of `paid`.

        Raises:
            FounderError: the prompt and the fields do not belong together.
        """
        terms = self._terms(units, max_input_tokens, max_output_tokens, model)

        def add(function: Callable[..., Any]) -> Callable[..., Any]:
            handler = Handler(function, terms, has_body=False)
            self._add_handler(handler)
            return handler.function

        return add if function is None else add(function)

    def on(self, event: str) -> Callable[[Function], Function]:
        """Have a function told of an event: "signed_up", "limit_near", "limit_reached" or "payment_failed".

        It takes one argument, the event. Where it fails, that is logged, and nothing else comes of it.

        Raises:
            FounderError: there is no such event, or the function cannot be told of it.
        """
        if callable(event):
            raise FounderError(f'@app.on needs the event, as in @app.on("signed_up"); the events are: {_EVENTS}.')
        if event not in tuple(NAMES):  # it may be anything, and so have no hash
            raise FounderError(f"There is no event {event!r}; the events are: {_EVENTS}.")

        def add(function: Function) -> Function:
            if not takes_one(function):
                raise FounderError(
                    f'@app.on("{event}") stands above a function that takes the event, as in: def f(event) -> None'
                )
            self._listeners.setdefault(event, []).append(function)
            return function

        return add

    def check(self) -> None:
        """Find mistakes that show only when the whole file has been read: at start-up, before anything is served.

        Raises:
            FounderError: a price of a model that is never asked, a function that no call of a plan has room for, or a
            logo or a page that cannot be shown.
        """
        own = {name: handler.terms.models for name, handler in self.handlers.items() if handler.terms.models}
        try:
            self.product = replace(self.product, handler_models=own)
            self._logo = read_logo(self.folder, self.product.brand.logo)
        except FounderError as error:
            raise FounderError(f"{self._place}: {error}") from None
        founder_pages(self.folder)
        self._check_endpoints()
        for handler in self.handlers.values():
            handler.check(self.product.plans)

    @property
    def shadowed(self) -> list[str]:
        """Routes of the founder's own, in routers too, whose path is exactly that of an open built-in endpoint.

        They are never asked. Each is told in a sentence without a full stop.
        """
        paths = (
            route.path
            for route in iter_route_contexts(self.router.routes)
            if "POST" in (route.methods or ()) and not isinstance(route.endpoint, _Paid)
        )
        return [
            f"your route POST {path} is never asked, as that is one of the built-in endpoints; leave it out of "
            "endpoints=[…] in your file, or give the route another path"
            for path in paths
            if path in self.product.served_endpoints
        ]

    def _check_endpoints(self) -> None:
        if not self.handlers and GENERATE not in self.product.served_endpoints:
            raise FounderError(
                f"{self._place}: endpoints leaves out {GENERATE}, and there is no function that the pages and the "
                "Playground could show in its place; add it to endpoints, or write a function with @app.paid."
            )

    def _terms(
        self, units: Units, input_tokens: int, output_tokens: int | None, model: str | Sequence[str] | None
    ) -> Terms:
        models = None if model is None else self.product.parse_models(model)
        return Terms(units, input_tokens, output_tokens, models)

    def _add_handler(self, handler: Handler) -> None:
        before = self.handlers.get(handler.name)
        if before is not None:
            raise FounderError(
                f"{handler.name} is the name of two functions; rename this one, or the one at {before.place}."
            )
        self.handlers[handler.name] = handler
        self._add_paid(handler.path)
        self.openapi_schema = None

    def tell(self, event: Event) -> None:
        """Tell the listeners of an event, and wait for them: for a command, which has no event loop."""
        if self._listeners:
            asyncio.run(_tell(Events(self._listeners), event))

    # -- How it is served

    def _add_paid(self, path: str) -> None:
        self.paid_paths.append(path)
        self.router.routes.append(Route(path, _Paid(self._paid), methods=["POST"], include_in_schema=False))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            # The paid path is looked up here, before FastAPI's routing, which costs as much as the call itself.
            # Where the founder has added middleware, it comes first, and the call takes the route below it.
            paid = self._paid.get(scope["path"]) if scope["method"] == "POST" else None
            if paid is not None and not self.user_middleware:
                await paid(scope, receive, send)
                return
            scope["farebox.call_id"] = new_call_id()
            scope["headers"] = [
                (name, in_utf8(value) if name == b"content-type" else value) for name, value in scope["headers"]
            ]
            answer = _Answer(send, scope["farebox.call_id"])
            try:
                await super().__call__(scope, receive, answer.send)
            except Exception:
                # The error was answered. Starlette raises it all the same, and a server takes that for an answer
                # that broke off: it would close the connection, on which the next request may have come.
                if not answer.is_whole:
                    raise  # and the server logs it
                request = Request(scope)
                log.exception("%s %s failed", request.method, route_of(request))
            return
        await super().__call__(scope, receive, send)

    def openapi(self) -> dict[str, Any]:
        with self._openapi_lock:  # pages ask on other threads, and FastAPI stores its part before ours is added
            if self.openapi_schema is None:
                self.openapi_schema = add_paid(
                    super().openapi(), list(self.handlers.values()), self.product.listed_endpoints
                )
            return self.openapi_schema

    def _house(self) -> House:
        return self._served().house

    def _served(self) -> Running:
        assert self._running is not None, "requests come after start-up"
        return self._running

    def _written(self) -> Written:
        return Written(
            product=self.product, handlers=self.handlers, listeners=self._listeners, folder=self.folder,
            logo=self._logo, openapi=self.openapi, is_dev=self.is_dev, bills_sandbox=self.bills_sandbox,
        )  # fmt: skip

    @asynccontextmanager
    async def _serve(self) -> AsyncIterator[Running]:
        """Run the product. It is read whole first, as only now nothing more is added to it."""
        self.check()
        running = Running(self._written(), settings_module.load(self.folder))
        self._paid.update(running.paid)
        self._take_webhooks(running.webhooks())
        # If no route matches: the founder's come first.
        self.router.default = Pages(running.site, self.router.not_found)
        self._running = running
        async with running:
            yield running

    def _take_webhooks(self, webhooks: Webhooks | None) -> None:
        self.router.routes[:] = [one for one in self.router.routes if getattr(one, "path", "") != WEBHOOKS]
        if webhooks is not None:
            self.router.routes.append(webhooks.route)


class _Paid:
    """The paid endpoints as FastAPI's router sees them."""

    def __init__(self, endpoints: Mapping[str, PaidEndpoint]) -> None:
        self._endpoints = endpoints

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._endpoints[scope["path"]](scope, receive, send)


async def _tell(events: Events, event: Event) -> None:
    events.emit(event)
    await events.drain(LISTENER_SECONDS)


@asynccontextmanager
async def _lifespan(app: Farebox) -> AsyncIterator[dict[str, object]]:
    async with app._serve() as running:  # noqa: SLF001  # the class above
        # For web.protocol, which cannot get them otherwise.
        yield {"public_url": running.house.public_url, "farebox": app}


class _Answer:
    """The answer to one request; it adds the call's id to the headers."""

    is_whole = False

    def __init__(self, send: Send, call_id: str) -> None:
        self._send = send
        self._call_id = call_id

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            names = {name for name, _ in message.get("headers", ())}
            if b"x-request-id" not in names:
                message["headers"] = [*message.get("headers", ()), (b"x-request-id", self._call_id.encode())]
        await self._send(message)
        self.is_whole = message["type"] == "http.response.body" and not message.get("more_body")
