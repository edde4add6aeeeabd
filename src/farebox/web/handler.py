"""A founder's function as a paid endpoint."""

import asyncio
import inspect
import logging
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from types import SimpleNamespace
from typing import Any, Final

from starlette.exceptions import HTTPException

from farebox.call import CallRequest, Listener, Receipt, Wire
from farebox.call.events import takes_one
from farebox.call.handling import Call, Choice
from farebox.call.prompt import within_deadline
from farebox.domain.apikey import Mode
from farebox.domain.errors import CallError, FounderError, InternalError, RequestRefused
from farebox.domain.ledger import TOKENS_MAX, charge_for_cost
from farebox.domain.plan import Plan
from farebox.domain.prices import Price, dearest, worst_cost_nanodollars
from farebox.domain.providers import ModelName
from farebox.web.endpoint import House, PaidEndpoint, PlainCall, StreamedCall
from farebox.web.generate import OwnStream
from farebox.web.inputs import Inputs, Values
from farebox.web.outputs import Output
from farebox.web.request import Head, once_of
from farebox.web.signature import Signature, gives_nothing, signature_of
from farebox.web.template import prompted

log = logging.getLogger("farebox.handler")

INPUT_TOKENS_DEFAULT: Final = 32_000
UNITS_MAX: Final = 1_000_000
WRONG: Final = "Something went wrong on our side. Nothing was charged; try again."
Units = int | Callable[[Any], int]


@dataclass(frozen=True, slots=True)
class Terms:
    """How many calls a call of a function counts for, and the most tokens that it can take.

    Raises:
        FounderError: a value that makes no sense.
    """

    units: Units = 1
    max_input_tokens: int = INPUT_TOKENS_DEFAULT
    max_output_tokens: int | None = None
    models: tuple[ModelName, ...] | None = None
    """Models of its own; None for the product's."""

    def __post_init__(self) -> None:
        if not (callable(self.units) or is_units(self.units)):
            raise FounderError(
                f"units has to be a whole number from 0 to {UNITS_MAX:,}, or a function of the call that gives one, "
                f"not {self.units!r}."
            )
        if callable(self.units) and (inspect.iscoroutinefunction(self.units) or not takes_one(self.units)):
            raise FounderError(
                "units has to be a function, not async, of one argument, which has the request's fields, as in: "
                "units=lambda request: 1 + len(request.text) // 1_000"
            )
        for name in ("max_input_tokens", "max_output_tokens"):
            tokens = getattr(self, name)
            if tokens is None and name == "max_output_tokens":
                continue
            if type(tokens) is not int or not 1 <= tokens <= TOKENS_MAX:
                raise FounderError(f"{name} has to be a whole number from 1 to {TOKENS_MAX:,}, not {tokens!r}.")


def is_units(found: object) -> bool:
    return type(found) is int and 0 <= found <= UNITS_MAX


class Handler:
    """A founder's function, with all that its endpoint has to know of it.

    Args:
        function: takes the call, and then the fields of the request by their names.
        has_body: whether it is a function to run; else its docstring is the prompt, and it takes no call.

    Raises:
        FounderError: it cannot be an endpoint.
    """

    def __init__(self, function: Callable[..., Any], terms: Terms, *, has_body: bool = True) -> None:
        signature: Signature = signature_of(function, takes_call=has_body)
        self.name = signature.name
        self.path = f"/v1/{signature.name}"
        self.place = signature.place
        self.summary = signature.summary
        rest = f"\n\n{signature.rest}" if has_body and signature.rest else ""
        self.description = signature.description + rest
        self.terms = terms
        self.is_stream = signature.is_stream
        self.inputs = Inputs(signature.name, signature.parameters)
        self.output = Output(signature.name, signature.returns)
        if has_body and not self.is_stream and gives_nothing(function) and not self.output.takes_none:
            raise FounderError(f"{self.name} returns nothing; return its answer, or use @app.prompt if it has no body.")
        self.function = function if has_body else prompted(function, signature)

    def check(self, plans: Sequence[Plan]) -> None:
        """Refuse a plan in which this function can never be called.

        Raises:
            FounderError: the most that a call can come to is more than all the tokens of a plan, or it counts for
                more calls than any plan has.
        """
        units = self.terms.units
        # One plan too small for a call may be meant, all of them cannot. A plan with 0 calls is closed on purpose.
        most_calls = [plan.calls for plan in plans if plan.calls is not None and plan.overage_nanodollars is None]
        if isinstance(units, int) and len(most_calls) == len(plans) and 0 < max(most_calls, default=0) < units:
            raise FounderError(
                f"{self.place}: a call of {self.name} counts for {units:,} calls, and no plan has more than "
                f"{max(most_calls):,} a month, so none would ever pass. Lower its units=…, raise a plan's calls, "
                "or give it a price beyond them, as in overage_usd=0.01."
            )
        for plan in plans:
            most = sum(self._bounds(plan))
            if plan.tokens is not None and most > plan.tokens and plan.overage_per_mtok is None:
                raise FounderError(
                    f"{self.place}: a call of {self.name} can come to {most:,} tokens, and Plan({plan.name!r}) has "
                    f"{plan.tokens:,} a month, so no call would ever pass. Lower the bound, as in "
                    f"@app.paid({self._lower(plan, plan.tokens)}), or raise the plan's tokens."
                )

    def most_charged(self, plan: Plan, prices: Sequence[Price | None]) -> int | None:
        """The hold of a call, in nanodollars, in a plan that is limited in money; None without the prices."""
        input_max, output_max = self._bounds(plan)
        price = dearest(prices, input_max)
        if price is None:
            return None
        return charge_for_cost(worst_cost_nanodollars(price, input_max, output_max), plan.markup_basis_points)

    def _bounds(self, plan: Plan) -> tuple[int, int]:
        """The most tokens that all questions of a call can come to, and all answers."""
        return self.terms.max_input_tokens, self.terms.max_output_tokens or plan.max_output_tokens

    def _lower(self, plan: Plan, tokens: int) -> str:
        """The arguments of the decorator with which a call has room in so many tokens."""
        input_max, output_max = self._bounds(plan)
        tenth = max(tokens // 10, 1)
        lower = f"max_input_tokens={min(input_max, tenth)}"
        has_room = min(input_max, tenth) + output_max <= tokens
        return lower if has_room else f"{lower}, max_output_tokens={tenth}"

    def units(self, values: Values) -> int:
        """How many calls a request counts for.

        Raises:
            InternalError: the founder's function for it gives no such number.
        """
        if isinstance(self.terms.units, int):
            return self.terms.units
        try:
            found = self.terms.units(SimpleNamespace(**values))
        except (Exception, SystemExit) as error:
            log.exception("units of %s failed", self.name)
            raise InternalError(WRONG) from error
        if not is_units(found):
            shown = found if type(found) is int else f"a {type(found).__name__}"  # a text may be the customer's
            log.error("units of %s gave %s, which is not a whole number from 0 to %d", self.name, shown, UNITS_MAX)
            raise InternalError(WRONG)
        return found

    async def answer(self, call: Call, values: Values) -> bytes:
        """The body of the answer. A value of another type than promised is the handler's failure."""
        with self._told():
            return self.output.body(await self.function(call, **values))

    async def stream(self, call: Call, values: Values, listener: Listener) -> None:
        """Send the items of a stream, as server-sent events."""
        with self._told():
            async with _items(self.function, call, values) as items:
                if not isinstance(items, AsyncIterable):
                    raise TypeError(
                        f"{self.name} is declared as a stream, but returned {type(items).__name__}: yield its pieces, "
                        "or write another type after its arrow"
                    )
                async for item in items:
                    await listener.send(b"data: " + self.output.item(item) + b"\n\n")

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Turn what a function raises into the error for its customer, and into the log for its founder."""
        try:
            yield
        except HTTPException as error:
            raise _refusal(error) from error
        except (Exception, asyncio.CancelledError, GeneratorExit):
            raise
        except BaseException as error:  # as by sys.exit() or argparse: it ends the call, not the process
            raise RuntimeError(f"{self.name} raised {error!r}") from error


@asynccontextmanager
async def _items(function: Callable[..., Any], call: Call, values: Values) -> AsyncIterator[AsyncIterator[Any]]:
    """The items that a function streams; a generator is closed in any case."""
    found = function(call, **values)
    items = await found if inspect.isawaitable(found) else found
    try:
        yield items
    finally:
        if hasattr(items, "aclose"):
            await items.aclose()


def _refusal(error: HTTPException) -> CallError:
    """The customer's error for an HTTPException that a handler raised."""
    if HTTPStatus.BAD_REQUEST <= error.status_code < HTTPStatus.INTERNAL_SERVER_ERROR:
        return RequestRefused(str(error.detail)).of_status(error.status_code)
    log.error("the handler raised HTTPException(%d): %s", error.status_code, error.detail)
    return InternalError(WRONG)


class HandlerEndpoint(PaidEndpoint):
    """One function, served.

    Args:
        models: those that it may ask for text, for each mode of a key.
        embedding: those that it may ask for embeddings.
    """

    def __init__(
        self, house: House, handler: Handler, models: Mapping[Mode, Choice], embedding: Mapping[Mode, Choice]
    ) -> None:
        super().__init__(house)
        self.path = handler.path
        if handler.inputs.takes_files:
            self.body_bytes_max = house.upload_bytes_max
        self._handler = handler
        self._models = models
        self._embedding = embedding

    async def read(self, call_id: str, head: Head, body: bytes) -> PlainCall | StreamedCall:
        handler, service, mode = self._handler, self.house.service, head.key.mode
        values, seen = await handler.inputs.read(body, head.content_type)
        request = CallRequest(
            call_id=call_id,
            key=head.key,
            endpoint=self.path,
            models=self._models[mode].chain,
            input_tokens_max=handler.terms.max_input_tokens,
            output_tokens_total=handler.terms.max_output_tokens,
            units=handler.units(values),
            once=once_of(head, self.path, seen, service.idempotency_seconds, is_stream=handler.is_stream),
        )

        def call_of(wire: Wire) -> Call:
            wire.loop, wire.place = asyncio.get_running_loop(), handler.place
            return Call(wire, self._models[mode], self._embedding[mode])

        if handler.is_stream:
            return StreamedCall(request, HandlerStream(handler, values, call_of, self.house.public_url))

        async def work(wire: Wire) -> bytes:
            return await within_deadline(wire, handler.answer(call_of(wire), values))

        return PlainCall(request, work, _render)


def _render(receipt: Receipt) -> tuple[str, bytes]:
    return "application/json", receipt.content


class HandlerStream(OwnStream):
    """The items of a function, as it yields them."""

    def __init__(self, handler: Handler, values: Values, call_of: Callable[[Wire], Call], public_url: str) -> None:
        super().__init__(public_url)
        self._handler = handler
        self._values = values
        self._call_of = call_of

    async def run(self, wire: Wire, listener: Listener) -> None:
        await self._handler.stream(self._call_of(wire), self._values, listener)
