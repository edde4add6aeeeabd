"""The free endpoints, on FastAPI (health, readiness, usage, models), Swagger's files, and the error handlers."""

from collections.abc import Callable
from http import HTTPStatus

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse
from starlette.staticfiles import StaticFiles

from farebox.domain import apikey
from farebox.domain.errors import (
    BadRequest,
    BodyTooLarge,
    CallError,
    CallNotFound,
    InternalError,
    InvalidRequest,
    LedgerUnavailable,
    MethodNotAllowed,
    ModelNotFound,
    NotFound,
    PaymentRequired,
)
from farebox.domain.reading import CALL_ID
from farebox.web.endpoint import House
from farebox.web.limits import limit_headers
from farebox.web.openapi import READ, SECURITY, refusals
from farebox.web.problem import problem
from farebox.web.request import read_key
from farebox.web.shapes import CallOut, HealthOut, ModelOut, ModelsOut, ReadyOut, UsageOut, call_of, models_of, usage_of

HouseOf = Callable[[], House]
"""The running system; there is none before start-up."""


def add_routes(app: FastAPI, house_of: HouseOf, *, has_models: bool) -> None:
    """Add the free endpoints to the application itself: FastAPI builds the routes of a router twice.

    `has_models` says whether customers can ask for a model at all.
    """
    _add_service(app, house_of)
    _add_usage(app, house_of)
    if has_models:
        _add_models(app, house_of)


def _add_service(app: FastAPI, house_of: HouseOf) -> None:
    # Load balancers and watchers of a site ask for the head alone.
    @app.head("/health", include_in_schema=False)
    @app.get("/health", tags=["Service"], summary="Alive")
    async def health() -> HealthOut:
        """Whether the process answers. Touches nothing else."""
        return HealthOut(openai_key_loaded=house_of().has_provider)

    @app.head("/ready", include_in_schema=False)
    @app.get("/ready", tags=["Service"], summary="Ready", responses=refusals(LedgerUnavailable))
    async def ready() -> ReadyOut:
        """Whether the database answers, and takes what is written where it did not lately: calls can be recorded."""
        await house_of().ledger.check()
        return ReadyOut()


def _add_usage(app: FastAPI, house_of: HouseOf) -> None:
    @app.get(
        "/v1/usage", tags=["Calls"], summary="Usage", responses=refusals(*READ, PaymentRequired),
        openapi_extra={"security": SECURITY},
    )  # fmt: skip
    async def usage(request: Request, response: Response) -> UsageOut:
        """The period so far: what is used, what is under way, and what is left."""
        house = house_of()
        standing = await house.ledger.standing(_digest(house, request))
        for name, value in limit_headers(standing):
            response.headers[name.decode()] = value.decode()
        response.headers["cache-control"] = "no-store"
        return usage_of(standing)

    @app.get(
        "/v1/usage/calls/{call_id}", tags=["Calls"], summary="Receipt", responses=refusals(*READ, CallNotFound),
        openapi_extra={"security": SECURITY},
    )  # fmt: skip
    async def receipt(call_id: str, request: Request, response: Response) -> CallOut:
        """What became of one call of yours, by its `x-request-id`: what it used, and what it was charged."""
        house = house_of()
        # Only what can be an id is looked for: a database takes no text with a NUL in it.
        found = await house.ledger.find(_digest(house, request), call_id if CALL_ID.fullmatch(call_id) else "")
        if found is None:
            raise CallNotFound(
                "This account has no such call. Send the x-request-id of an answer; refused calls are not kept."
            )
        response.headers["cache-control"] = "no-store"
        return call_of(found)


def _add_models(app: FastAPI, house_of: HouseOf) -> None:
    @app.get(
        "/v1/models", tags=["OpenAI"], summary="Models", responses=refusals(*READ, PaymentRequired),
        openapi_extra={"security": SECURITY},
    )  # fmt: skip
    async def models(request: Request, response: Response) -> ModelsOut:
        """The models that can be asked for."""
        house = house_of()
        await house.ledger.standing(_digest(house, request))
        response.headers["cache-control"] = "no-store"
        return models_of(house.listed)

    @app.get(
        "/v1/models/{name:path}", tags=["OpenAI"], summary="Model", openapi_extra={"security": SECURITY},
        responses=refusals(*READ, PaymentRequired, ModelNotFound),
    )  # fmt: skip
    async def model(name: str, request: Request, response: Response) -> ModelOut:
        """One of the models that can be asked for."""
        house = house_of()
        await house.ledger.standing(_digest(house, request))
        response.headers["cache-control"] = "no-store"
        for found in models_of(house.listed).data:
            if found.id == name:
                return found
        raise ModelNotFound(f"There is no model {name[:100]!r} here. GET /v1/models lists them.", param="model")


def _digest(house: House, request: Request) -> str:
    return apikey.digest(house.service.secret, read_key(request.scope))


def add_docs_files(app: FastAPI) -> None:
    """Serve what the documentation page loads: Swagger, as it is installed, so that it needs no other host."""
    app.mount("/docs/static", StaticFiles(packages=[("fastapi_offline", "static")]), name="docs")


def add_error_pages(app: FastAPI, house_of: HouseOf, call_id: Callable[[Request], str]) -> None:
    """Answer errors in routes with the problem body; only an HTTPException with words of its own keeps them."""

    def answer(request: Request, error: CallError) -> Response:
        status, headers, body = problem(error, call_id(request), house_of().public_url)
        response = Response(body, status)
        response.raw_headers = [*response.raw_headers, *headers]
        return response

    @app.exception_handler(CallError)
    async def refused(request: Request, error: CallError) -> Response:
        return answer(request, error)

    @app.exception_handler(HTTPException)
    async def http_error(request: Request, error: HTTPException) -> Response:
        found = of_status(request, error)
        if found is None:  # a founder's own route, with its own words
            return JSONResponse({"detail": error.detail}, error.status_code, error.headers)
        response = answer(request, found)
        for name, value in (error.headers or {}).items():
            response.headers[name] = value
        return response

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> Response:
        return answer(request, of_validation(error))

    @app.exception_handler(ClientDisconnect)
    async def left(_: Request, __: Exception) -> Response:  # before its request was whole; nothing here has failed
        return Response(status_code=400)

    @app.exception_handler(Exception)
    async def broken(request: Request, _: Exception) -> Response:  # logged in `Farebox`, where all failures pass
        return answer(request, InternalError("Something went wrong on our side. Try again."))


def route_of(request: Request) -> str:
    """The path of the route, for the log: the path that was asked for may have a link's token in it, or a new line."""
    return str(getattr(request.scope.get("route"), "path", ascii(request.url.path)))


def of_validation(error: RequestValidationError) -> InvalidRequest:
    """FastAPI's objection to a request, as our error."""
    first = error.errors()[0]
    field = ".".join(str(part) for part in first["loc"][1:]) or None
    return InvalidRequest(f"{field or 'The request'}: {first['msg']}.", param=field)


def of_status(request: Request, error: HTTPException) -> CallError | None:
    """What Starlette raises without words of its own, in ours; None where there are words."""
    if error.detail != HTTPStatus(error.status_code).phrase:
        return None
    path, method = request.url.path, request.method
    found: dict[int, CallError] = {
        400: BadRequest("The request cannot be read. Send it as /docs shows."),
        404: NotFound(f"There is nothing at {path}. The endpoints are listed at /docs."),
        405: MethodNotAllowed(f"{path} does not take {method}."),
        413: BodyTooLarge("The body is too large. Send less."),
    }
    return found.get(error.status_code)
