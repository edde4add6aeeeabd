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


BROKEN_STREAM: Final = "no, except for the part of a stream that had come"
FIRST_ONLY: Final = "no; only the first call is, once"

ADVICE: Final[dict[type[CallError], Advice]] = {
    errors.BadRequest: Advice(
        "The request is not HTTP/1.1, has no `Host` header or two, or its body did not arrive within 30 s.",
        "Send the whole request. A body that is not JSON is a 422.",
    ),
    errors.RequestRefused: Advice(
        "The service, or the model's provider, says that the request is wrong. A service may choose another status.",
        "Correct what `detail` names.",
    ),
    errors.InvalidApiKey: Advice(
        "The key is missing or incomplete, or it has expired or was revoked.",
        "Send a key that works, as `X-API-Key` or `Authorization: Bearer`.",
    ),
    errors.PaymentRequired: Advice(
        "The last payment failed, the account's plan is no longer offered, or what it includes is used up and the "
        "account's credit does not cover the call.",
        "Do what `detail` says: update the payment method, choose another plan or buy credit at `page`, or write to "
        "the service.",
    ),
    errors.AccountSuspended: Advice("The account is suspended.", "Write to the service's support."),
    errors.InsufficientPermissions: Advice(
        "The key was made for other endpoints.", "Use a key that may call this one, or create one for it."
    ),
    errors.NotFound: Advice("There is nothing at this address.", "See `/docs` for the endpoints."),
    errors.ModelNotFound: Advice("The service does not offer this model.", "Choose one that `GET /v1/models` lists."),
    errors.CallNotFound: Advice(
        "The account has no call with this id; refused calls are not kept.", "Use the `x-request-id` of an answer."
    ),
    errors.MethodNotAllowed: Advice("The endpoint takes another method.", "Use the one that `/docs` shows."),
    errors.IdempotencyInFlight: Advice(
        "The first call with this `Idempotency-Key` is still under way.",
        "Wait as long as `Retry-After` says and send it again: its answer will be there.",
        FIRST_ONLY,
    ),
    errors.IdempotencyStreamed: Advice(
        "The first call with this `Idempotency-Key` was streamed, and streams are not kept.",
        "Look it up at `GET /v1/usage/calls/{id}`, or use a new key for a new call.",
        FIRST_ONLY,
    ),
    errors.BodyTooLarge: Advice("The body is larger than the service's limit.", "Send less."),
    errors.InvalidRequest: Advice(
        "A field is missing or its value is not allowed; `param` names it.", "Correct the field."
    ),
    errors.CallTooLarge: Advice(
        "The call asked more of the model than was set aside for it, so the question was not sent.", "Send less."
    ),
    errors.IdempotencyMismatch: Advice(
        "This `Idempotency-Key` was already used for another request.", "Use a new key for a new request.", FIRST_ONLY
    ),
    errors.BurstExceeded: Advice(
        "Too many calls in a short time: the plan's burst limit is reached.", "Wait as long as `Retry-After` says."
    ),
    errors.QuotaExceeded: Advice(
        "A limit of this month is reached, or the call could go over it: the plan's calls, tokens or money, or a limit "
        "that you set for your account or this key.",
        "Wait for the next month, change the plan or your own limit, or ask for less: a shorter prompt, a lower "
        "`max_tokens`.",
    ),
    errors.InternalError: Advice(
        "Something went wrong in the service.", "Try again. If it happens again, send the `instance` to its support."
    ),
    errors.UpstreamFailed: Advice(
        "The model provider failed, or its answer could not be read.", "Try again.", BROKEN_STREAM
    ),
    errors.UpstreamNoMessage: Advice(
        "The model returned no message, for example because its filter refused.",
        "Change the prompt: the same one will probably end the same way.",
    ),
    errors.UpstreamUnfit: Advice(
        "The model was asked for a certain form, and twice answered in another.", "Try again, or change the request."
    ),
    errors.UpstreamBusy: Advice("The model provider is overloaded.", "Wait as long as `Retry-After` says."),
    errors.UpstreamTimeout: Advice(
        "The model did not answer in time, or fell silent.",
        "Try again, or ask for less.",
        BROKEN_STREAM,
    ),
    errors.PriceUnknown: Advice(
        "The plan is limited in money, and the service has no price for the model.",
        "Write to the service's support: its owner has to set `prices` in the app file.",
    ),
    errors.LedgerUnavailable: Advice(
        "The service's database cannot be reached; without it no model is called.",
        "Wait as long as `Retry-After` says.",
    ),
    errors.HoldLost: Advice("The call took too long to be charged, so its answer was not sent.", "Try again."),
}

EXAMPLE_ID: Final = "req_019ab2f4c0de6f1d2a3b4c5d6e7f8091"


def example(error: type[CallError], public_url: str) -> str:
    """An error's body, indented for people to read."""
    advice = ADVICE[error]
    detail = f"{advice.happened} {advice.to_do}".replace("`", "")
    _, _, body = problem(error(detail), EXAMPLE_ID, public_url)
    return json.dumps(json.loads(body), indent=2, ensure_ascii=False)
