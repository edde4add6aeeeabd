"""A page for each error code, at the address that its `type` names, and a list of them all. Made of one table."""

import json
import re
from html import escape
from pathlib import Path
from typing import Final, NamedTuple

from fastapi import FastAPI, Request, Response
from starlette.responses import HTMLResponse
from starlette.routing import Route

from farebox.domain import errors
from farebox.domain.errors import CallError, NotFound
from farebox.web.problem import problem
from farebox.web.routes import HouseOf


class Advice(NamedTuple):
    """What a customer wants to know of an error. `docs/errors.md` has the same words; a test compares them."""

    happened: str
    to_do: str
    charged: str = "no"


BROKEN_STREAM: Final = "no; of a stream that had begun, what had come"
FIRST_ONLY: Final = "no; the first call is, once"

ADVICE: Final[dict[type[CallError], Advice]] = {
    errors.BadRequest: Advice(
        "The request is not HTTP, or its body did not arrive within 30 s.",
        "Send it whole; a body that is not JSON is a 422.",
    ),
    errors.RequestRefused: Advice(
        "The service, or the model's provider, says that the request is wrong. A service may choose another status.",
        "Correct what `detail` names.",
    ),
    errors.InvalidApiKey: Advice(
        "There is no key, it was not copied whole, it has expired or was revoked.",
        "Send a key that works, as `X-API-Key` or `Authorization: Bearer`.",
    ),
    errors.PaymentRequired: Advice(
        "The last payment failed, or the account's plan is no longer offered.",
        "Update the payment method, or choose another plan.",
    ),
    errors.AccountSuspended: Advice("The account is suspended.", "Write to the service's support."),
    errors.InsufficientPermissions: Advice(
        "The key was made for other endpoints.", "Use a key that may call this one, or make one for it."
    ),
    errors.NotFound: Advice("There is nothing at this address.", "See `/docs` for the endpoints."),
    errors.ModelNotFound: Advice("The service does not offer this model.", "Choose one that `GET /v1/models` lists."),
    errors.CallNotFound: Advice(
        "The account has no call with this id; a refused call is not kept.", "Take the `x-request-id` of an answer."
    ),
    errors.MethodNotAllowed: Advice("The endpoint takes another method.", "Use the one that `/docs` names."),
    errors.IdempotencyInFlight: Advice(
        "The first call with this `Idempotency-Key` is under way.",
        "Wait as long as `Retry-After` says and send it again: its answer will be there.",
        FIRST_ONLY,
    ),
    errors.IdempotencyStreamed: Advice(
        "The first call with this `Idempotency-Key` was streamed, and streams are not kept.",
        "See what it came to at `GET /v1/usage/calls/{id}`, or use a new key for a new call.",
        FIRST_ONLY,
    ),
    errors.BodyTooLarge: Advice("The body is above the service's limit.", "Send less."),
    errors.InvalidRequest: Advice(
        "A field is missing or has a value that cannot be; `param` names it.", "Correct the field."
    ),
    errors.CallTooLarge: Advice(
        "What the call asks of the model is more than was held for it, so it was not sent.", "Send less."
    ),
    errors.IdempotencyMismatch: Advice(
        "This `Idempotency-Key` came with another request before.", "Use a new key for a new request.", FIRST_ONLY
    ),
    errors.BurstExceeded: Advice(
        "The plan's burst limit: too many calls in a short time.", "Wait as long as `Retry-After` says."
    ),
    errors.QuotaExceeded: Advice(
        "What the plan has of calls, tokens or money this month, or what you allowed your account or this key, is "
        "used, or the call could come to more than is left.",
        "Wait for the next month, change the plan or the limit that is your own, or ask for less: a shorter prompt, a "
        "lower `max_tokens`.",
    ),
    errors.InternalError: Advice(
        "A fault of the service.", "Try again; if it stays, send the `instance` to its support."
    ),
    errors.UpstreamFailed: Advice(
        "The model provider failed, or its answer could not be read.", "Try again.", BROKEN_STREAM
    ),
    errors.UpstreamNoMessage: Advice(
        "The model returned no message, as when its filter refuses.",
        "Change the prompt; the same one tends to end the same way.",
    ),
    errors.UpstreamUnfit: Advice(
        "The model was asked for a certain form, and twice did not keep to it.", "Try again, or change the request."
    ),
    errors.UpstreamBusy: Advice("The model provider has too much to do.", "Wait as long as `Retry-After` says."),
    errors.UpstreamTimeout: Advice(
        "The model did not answer before the call's deadline, or fell silent.",
        "Try again, or ask for less.",
        BROKEN_STREAM,
    ),
    errors.PriceUnknown: Advice(
        "The plan counts money, and the model's price is not known.",
        "The service's owner sets `prices` in the app file.",
    ),
    errors.LedgerUnavailable: Advice(
        "The service's database cannot be reached; without it no model is called.",
        "Wait as long as `Retry-After` says.",
    ),
    errors.HoldLost: Advice("The call outlived what was held for it, so its answer is not given out.", "Try again."),
}

STYLE: Final = (Path(__file__).parent / "static" / "errors.css").read_text(encoding="utf-8")
EXAMPLE_ID: Final = "req_019ab2f4c0de6f1d2a3b4c5d6e7f8091"
HEADERS: Final = {
    "content-security-policy": (
        "default-src 'none'; style-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "public, max-age=300",
}
# Links are relative, so that they hold behind a proxy that adds a path.
PAGE: Final = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title} · {product}</title>
<link rel="stylesheet" href="{up}errors/style.css">
<link rel="icon" href="data:,">
</head>
<body>
<header><a href="{up}errors">{product}: errors</a> <a href="{up}docs">Documentation</a></header>
<main>
{main}
</main>
</body>
</html>
"""
EXPLANATION: Final = """<p class="status">Error {status}</p>
<h1>{title}</h1>
<p><code class="code">{code}</code></p>
<dl>
<dt>What happened</dt><dd>{happened}</dd>
<dt>What to do</dt><dd>{to_do}</dd>
<dt>Is it charged?</dt><dd>{charged}.</dd>
</dl>
<h2 id="body">What the answer looks like</h2>
<pre tabindex="0" role="region" aria-labelledby="body">{body}</pre>
<p class="note">The call's id, <code>instance</code>, is also in the header <code>x-request-id</code>.</p>
<p><a href="../errors">All errors</a></p>"""


def add_error_docs(app: FastAPI, house_of: HouseOf) -> None:
    """GET /errors and GET /errors/{code}: no script, and nothing from another host."""
    by_code = {error.code: error for error in ADVICE}

    async def index(_: Request) -> Response:
        return HTMLResponse(_page(app.title, "Errors", _list(), up=""), headers=HEADERS)

    async def style(_: Request) -> Response:
        return Response(STYLE, media_type="text/css", headers=HEADERS)

    async def explanation(request: Request) -> Response:
        error = by_code.get(request.path_params["code"])
        if error is None:
            raise NotFound("There is no such error code. They are listed at /errors.")
        main = _explanation(error, house_of().public_url)
        return HTMLResponse(_page(app.title, error.title, main, up="../"), headers=HEADERS)

    pages = (("/errors", index), ("/errors/style.css", style), ("/errors/{code}", explanation))
    app.router.routes.extend(Route(path, page, include_in_schema=False) for path, page in pages)


def example(error: type[CallError], public_url: str) -> str:
    """The body that an error has, for people."""
    advice = ADVICE[error]
    detail = f"{advice.happened} {advice.to_do}".replace("`", "")
    _, _, body = problem(error(detail), EXAMPLE_ID, public_url)
    return json.dumps(json.loads(body), indent=2, ensure_ascii=False)


def _page(product: str, title: str, main: str, *, up: str) -> str:
    return PAGE.format(product=escape(product), title=escape(title), main=main, up=up)


def _explanation(error: type[CallError], public_url: str) -> str:
    advice = ADVICE[error]
    return EXPLANATION.format(
        status=error.status,
        title=escape(error.title),
        code=escape(error.code),
        happened=_words(advice.happened),
        to_do=_words(advice.to_do),
        charged=_words(advice.charged[:1].upper() + advice.charged[1:]),
        body=escape(example(error, public_url)),
    )


def _list() -> str:
    rows = (
        f'<li><a href="errors/{error.code}"><code>{error.code}</code></a><b>{error.status}</b>'
        f"<span>{escape(error.title)}</span></li>"
        for error in ADVICE
    )
    return "<h1>Errors</h1>\n<ul>\n" + "\n".join(rows) + "\n</ul>"


def _words(text: str) -> str:
    """Text with its `code`, as HTML."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text))
