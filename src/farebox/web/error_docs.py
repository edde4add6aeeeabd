"""Advice about each error, from which the pages are made that a `type` leads to."""

import json
from typing import Final, NamedTuple

from farebox.domain import errors
from farebox.domain.errors import CallError
from farebox.web.problem import problem


class Advice(NamedTuple):
    """Advice to a customer on an error. `docs/errors.md` has the same words; a test compares them."""

    happened: str
    to_do: str
    charged: str = "no"


BROKEN_STREAM: Final = "no; of a stream that had begun, what had come"
FIRST_ONLY: Final = "no; the first call is, once"

ADVICE: Final[dict[type[CallError], Advice]] = {
    errors.BadRequest: Advice(
        "The request is not HTTP/1.1, has no `Host` header or two, or its body did not arrive within 30 s.",
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
        "The last payment failed, the account's plan is no longer offered, or what it includes is used and the "
        "account's credit does not cover the call.",
        "Update the payment method, choose another plan, or buy credit: `page` says where.",
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

EXAMPLE_ID: Final = "req_019ab2f4c0de6f1d2a3b4c5d6e7f8091"


def example(error: type[CallError], public_url: str) -> str:
    """An error's body, indented for people to read."""
    advice = ADVICE[error]
    detail = f"{advice.happened} {advice.to_do}".replace("`", "")
    _, _, body = problem(error(detail), EXAMPLE_ID, public_url)
    return json.dumps(json.loads(body), indent=2, ensure_ascii=False)
