"""The Playground: a form for each endpoint, whose calls are real ones of the account that is logged in."""

import asyncio
import secrets
from collections.abc import Mapping
from contextlib import suppress
from typing import Annotated, Any, Final, NamedTuple

from fastapi import APIRouter, Form, Request, Response
from fastapi.responses import JSONResponse
from starlette.concurrency import run_in_threadpool

from farebox.account.playground import make_playground_key, playground_key
from farebox.domain import apikey
from farebox.domain.apikey import ApiKey, Mode
from farebox.domain.errors import BadRequest, CallError, CallNotFound, InvalidApiKey, NotFound
from farebox.domain.reading import CALL_ID
from farebox.ports.people import Visit
from farebox.web.endpoint import PaidEndpoint
from farebox.web.pages.answers import Answer, Problem, Receipt, answer_of, receipt_of
from farebox.web.pages.controls import Control, controls, find_control
from farebox.web.pages.frame import Frame, takes_html
from farebox.web.pages.offers import Offer, callable_offers
from farebox.web.pages.paying import PaidRequest, PassedOn
from farebox.web.pages.snippets import snippets
from farebox.web.pages.typed import Typed, body_of, named, read_typed, request_of, typed_of
from farebox.web.pages.visitor import NOT_KEPT, Visitor, client_of, is_not_kept, see_other
from farebox.web.request import ClientGone, read_body

MODES: Final[tuple[Mode, Mode]] = ("live", "test")
FORM_BYTES: Final = 1 << 20  # of a form, beyond those of the request in it
REFUSED_BYTES_MAX: Final = 64 << 20  # a body that is too large by up to this is refused in our own words
RECEIPT_TRIES: Final = 100  # a stopped call ends only when its server, which may be busy, hears of it
RECEIPT_SECONDS: Final = 0.1
GONE: Final = "The Playground's key was revoked, so nothing was called. Create a new one, and run this again."


class Stand(NamedTuple):
    """One endpoint in the Playground."""

    offer: Offer
    endpoint: PaidEndpoint
    controls: tuple[Control, ...]

    @property
    def place(self) -> str:
        return f"/playground/{self.offer.name}"


class Filled(NamedTuple):
    """What a form is filled in with."""

    typed: Typed
    values: Mapping[str, Any]
    """The request that it comes to."""
    mode: Mode


class Outcome(NamedTuple):
    """What came of a call."""

    status: int
    answer: Answer
    receipt: Receipt | None = None
    is_first: bool = False
    """Whether it was the account's first call."""


def routes(frame: Frame) -> APIRouter:
    router = APIRouter()
    playground = Playground(frame)
    _add_forms(router, playground)
    _add_run(router, playground)
    _add_beside(router, playground)
    return router


class Playground:
    """All endpoints, each with its form."""

    def __init__(self, frame: Frame) -> None:
        self.frame = frame
        self.desk = frame.site.desk
        self.stands = {
            offer.name: Stand(offer, frame.site.paid[offer.path], controls(offer.schema))
            for offer in callable_offers(frame.site)
        }

    def stand(self, name: str) -> Stand:
        """The stand of this endpoint.

        Raises:
            NotFound: there is none.
        """
        if name not in self.stands:
            raise NotFound(f"There is no endpoint {name[:100]!r} here. The Playground lists them all.")
        return self.stands[name]

    def page(
        self, request: Request, visitor: Visit, stand: Stand, filled: Filled, outcome: Outcome | None = None
    ) -> Response:
        """The form as it is filled in, the code for it, and what came of it."""
        problem = outcome.answer.problem if outcome is not None else None
        wrong = find_control(stand.controls, problem.param) if problem is not None else ""
        keys = [(mode, playground_key(self.desk, visitor.account, mode)) for mode in MODES]
        return self.frame.page(
            request, "playground.html", status=outcome.status if outcome is not None else 200, visitor=visitor,
            stand=stand, offer=stand.offer, stands=list(self.stands.values()), filled=filled, outcome=outcome,
            problem=problem, wrong=wrong, once=secrets.token_hex(16), code=self.code(request, stand, filled.values),
            gone=[mode for mode, key in keys if key.state == "gone"],
            is_not_kept=is_not_kept(request, visitor),
            is_first=self.is_first(visitor), has_provider=stand.endpoint.house.has_provider,
        )  # fmt: skip

    def code(self, request: Request, stand: Stand, values: Mapping[str, Any]) -> list[tuple[str, str]]:
        """The call in each language."""
        offer = stand.offer._replace(is_stream=stand.offer.is_stream or values.get("stream") is True)
        return snippets(offer, self.frame.address(request), request=named(values))

    def is_first(self, visitor: Visit) -> bool:
        """Whether the account's next call is its first."""
        return not self.frame.site.readings.has_calls(visitor.account.id)

    async def paid(self, request: Request, visitor: Visit, stand: Stand, typed: Typed) -> PaidRequest:
        """The call that the form asks for.

        Raises:
            CallError: the form is wrong, or the key was revoked.
        """
        values = request_of(stand.controls, typed)
        if stand.offer.streams_on_demand and takes_html(request):
            del values["stream"]  # a page is answered when it is whole
        content_type, body = body_of(values, takes_files=stand.offer.takes_files)
        found = await run_in_threadpool(playground_key, self.desk, visitor.account, _mode(typed))
        if found.state == "gone":
            raise InvalidApiKey(GONE)
        if found.state == "new":
            await run_in_threadpool(make_playground_key, self.desk, visitor, client_of(request), found)
        once = _text(typed, "once") or secrets.token_hex(16)
        return PaidRequest(stand.endpoint, found.key, once, content_type, body)


# -- The form -------------------------------------------------------------------------------------------------


def _add_forms(router: APIRouter, playground: Playground) -> None:
    @router.get("/playground")
    def first(request: Request, visitor: Visitor) -> Response:
        place = next(iter(playground.stands.values())).place
        return see_other(f"{place}?told={NOT_KEPT}" if is_not_kept(request, visitor) else place)

    @router.get("/playground/{name}")
    def form(request: Request, visitor: Visitor, name: str, mode: Mode = "live") -> Response:
        stand = playground.stand(name)
        typed = typed_of(stand.controls, stand.offer.request)
        return playground.page(request, visitor, stand, Filled(typed, request_of(stand.controls, typed), mode))

    @router.post("/playground/{name}/key")
    def new_key(request: Request, visitor: Visitor, name: str, mode: Annotated[Mode, Form()]) -> Response:
        """Make a key in place of one that was revoked."""
        stand = playground.stand(name)
        found = playground_key(playground.desk, visitor.account, mode)
        if found.state != "works":
            make_playground_key(playground.desk, visitor, client_of(request), found)
        return see_other(f"{stand.place}?mode={mode}")


# -- The call -------------------------------------------------------------------------------------------------


def _add_run(router: APIRouter, playground: Playground) -> None:
    largest = max(stand.endpoint.body_bytes_max for stand in playground.stands.values())

    @router.post("/playground/{name}", max_body_size=largest + REFUSED_BYTES_MAX)
    async def run(request: Request, visitor: Visitor, name: str) -> Response:
        stand = playground.stand(name)
        typed = await _typed(request, stand)
        if not takes_html(request):
            return PassedOn(await playground.paid(request, visitor, stand, typed))
        filled, outcome = await _made(playground, request, visitor, stand, typed)
        return await run_in_threadpool(playground.page, request, visitor, stand, filled, outcome)


async def _made(
    playground: Playground, request: Request, visitor: Visit, stand: Stand, typed: Typed
) -> tuple[Filled, Outcome | None]:
    """The call, made for a browser without scripts; no outcome where the browser has left."""
    filled = Filled(typed, stand.offer.request, _mode(typed))
    try:
        filled = filled._replace(values=request_of(stand.controls, typed))
        paid = await playground.paid(request, visitor, stand, typed)
        is_first = await run_in_threadpool(playground.is_first, visitor)
    except CallError as error:
        problem = Problem(error.title, error.detail, error.code, error.param or "")
        return filled, Outcome(error.status, Answer(problem=problem))
    came = await paid.whole(request.receive)
    if came is None:
        return filled, None
    answer = answer_of(came, is_text=stand.offer.is_text)
    receipt = None
    with suppress(CallError):  # the answer is shown without it
        receipt = await _receipt(stand, paid.key, came.headers["x-request-id"])
    return filled, Outcome(came.status, answer, receipt, is_first=is_first and answer.problem is None)


async def _typed(request: Request, stand: Stand) -> Typed:
    try:
        body = await read_body(request.receive, stand.endpoint.body_bytes_max + FORM_BYTES)
    except ClientGone:
        raise BadRequest("Parts of the form are missing. Send it again.") from None
    return await read_typed(body, request.headers.get("content-type", "").encode("latin-1"))


def _mode(typed: Typed) -> Mode:
    return "test" if _text(typed, "mode") == "test" else "live"


def _text(typed: Typed, name: str) -> str:
    return next((value for value in typed.get(name, ()) if isinstance(value, str)), "")


# -- Beside the call ------------------------------------------------------------------------------------------


def _add_beside(router: APIRouter, playground: Playground) -> None:
    @router.post("/playground/{name}/code")
    async def code(request: Request, visitor: Visitor, name: str) -> Response:
        """The call that the form asks for now, in each language."""
        del visitor
        stand = playground.stand(name)
        values = request_of(stand.controls, await _typed(request, stand))
        return JSONResponse([text for _, text in playground.code(request, stand, values)])

    @router.get("/playground/{name}/receipts/{call_id}")
    async def receipt(request: Request, visitor: Visitor, name: str, call_id: str, mode: Mode = "live") -> Response:
        stand = playground.stand(name)
        found = await run_in_threadpool(playground_key, playground.desk, visitor.account, mode)
        known = await _receipt(stand, found.key, call_id) if CALL_ID.fullmatch(call_id) else None
        if known is None:
            raise CallNotFound("This call has no receipt: it was refused, is under way, or is not yours.")
        return playground.frame.page(request, "playground_receipt.html", receipt=known)


async def _receipt(stand: Stand, key: ApiKey, call_id: str) -> Receipt | None:
    """What a call came to, once it has an outcome; None where it was refused, or is not this account's.

    Raises:
        CallError: the key no longer works, or the database cannot be asked.
    """
    house = stand.endpoint.house
    digest = apikey.digest(house.service.secret, key)
    for _ in range(RECEIPT_TRIES):
        row = await house.ledger.find(digest, call_id)
        if row is None:
            return None
        if row.outcome is not None:
            return receipt_of(row, await house.ledger.standing(digest))
        await asyncio.sleep(RECEIPT_SECONDS)
    return None
