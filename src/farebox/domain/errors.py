"""Every way a call can be refused. A leaf carries its HTTP status and a stable code; nothing else invents one."""

from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from farebox.domain.admission import Standing


class FounderError(ValueError):
    """A mistake in the founder's file or settings. Told at start-up, in a sentence that says what to do."""


class CallError(Exception):
    """The root of what a customer can be told.

    Attributes:
        detail: a sentence for the customer that says what to do.
        retry_after_seconds: when trying again makes sense, or None.
        param: the field of the request that is wrong, or None.
        page: the service's page where the customer can do something about it, as '/plan?account=acct_1', or nothing.
        standing: where the caller stands, for the limit headers; None where that is not known.
    """

    status: int = 500
    code: ClassVar[str] = "internal_error"
    title: ClassVar[str] = "Internal error"
    kind: ClassVar[str] = "api_error"
    should_retry: ClassVar[bool | None] = None
    page: str = ""

    def __init__(self, detail: str, *, retry_after_seconds: int | None = None, param: str | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.retry_after_seconds = retry_after_seconds
        self.param = param
        self.standing: Standing | None = None


class InternalError(CallError):
    """A fault of ours that no rule foresaw."""


# -- The request is wrong -------------------------------------------------------------------------------------


class RequestError(CallError):
    kind = "invalid_request_error"


class BadRequest(RequestError):
    status, code, title = 400, "bad_request", "Bad request"


class NotFound(RequestError):
    status, code, title = 404, "not_found", "Not found"


class MethodNotAllowed(RequestError):
    status, code, title = 405, "method_not_allowed", "Method not allowed"


class BodyTooLarge(RequestError):
    status, code, title = 413, "body_too_large", "Request body too large"


class InvalidRequest(RequestError):
    status, code, title = 422, "invalid_request_error", "Invalid request"


class ModelNotFound(RequestError):
    status, code, title = 404, "model_not_found", "No such model"


class CallNotFound(RequestError):
    status, code, title = 404, "call_not_found", "No such call"


class CallTooLarge(RequestError):
    """What a handler asks of the model no longer fits into its call's hold: it was not sent."""

    status, code, title = 422, "call_too_large", "Too much for one call"


class RequestRefused(RequestError):
    """The founder's handler, or the provider, says that the request itself is wrong: 400, or as the handler has it."""

    status, code, title = 400, "request_refused", "Request refused"

    def of_status(self, status: int) -> "RequestRefused":
        self.status = status
        return self


class IdempotencyInFlight(RequestError):
    status, code, title = 409, "idempotency_in_flight", "The first call is not finished"


class IdempotencyStreamed(RequestError):
    status, code, title = 409, "idempotency_streamed", "A stream is not sent twice"
    should_retry = False


class IdempotencyMismatch(RequestError):
    status, code, title = 422, "idempotency_mismatch", "This Idempotency-Key was already used"


# -- The caller may not ---------------------------------------------------------------------------------------


class InvalidApiKey(CallError):
    status, code, title, kind = 401, "invalid_api_key", "Invalid API key", "invalid_request_error"


class PaymentRequired(CallError):
    status, code, title, kind = 402, "payment_required", "Payment required", "insufficient_quota"


class AccountSuspended(CallError):
    status, code, title, kind = 403, "account_suspended", "Account suspended", "permission_error"


class InsufficientPermissions(CallError):
    """The key is valid, but not for this endpoint."""

    status, code, title, kind = 403, "insufficient_permissions", "This key may not do this", "permission_error"


class BurstExceeded(CallError):
    status, code, title, kind = 429, "rate_limit_exceeded", "Burst limit exceeded", "rate_limit_exceeded"


class QuotaExceeded(CallError):
    status, code, title, kind = 429, "insufficient_quota", "Monthly limit reached", "insufficient_quota"
    # OpenAI's clients retry a 429 by themselves; a month's limit does not go away by trying again.
    should_retry = False
    policy = "monthly"
    """Which limit was reached: one of the plan's, by its name in the RateLimit headers, or the customer's own."""


# -- The model, or we, cannot ---------------------------------------------------------------------------------


class UpstreamError(CallError):
    """The provider's fault: nothing is charged."""

    kind = "upstream_error"


class UpstreamFailed(UpstreamError):
    status, code, title = 502, "upstream_failed", "The model provider failed"


class UpstreamNoMessage(UpstreamError):
    status, code, title = 502, "upstream_no_message", "The model returned no message"
    # The provider charges for each attempt, and the same prompt tends to end the same way.
    should_retry = False


class UpstreamUnfit(UpstreamError):
    """The model was asked for a certain form, and twice did not keep to it."""

    status, code, title = 502, "upstream_unfit", "The model's answer has the wrong form"


class UpstreamBusy(UpstreamError):
    status, code, title = 503, "upstream_busy", "The model provider is busy"


class UpstreamTimeout(UpstreamError):
    status, code, title = 503, "upstream_timeout", "The model provider timed out"


class PriceUnknown(CallError):
    status, code, title = 503, "price_unknown", "The model's price is not known"
    should_retry = False


class LedgerUnavailable(CallError):
    """The database cannot be asked: money fails closed."""

    is_row_locked = False
    """Whether it is only one row that somebody else keeps locked."""

    status, code, title = 503, "ledger_unavailable", "Temporarily unavailable"


def stops_all(error: Exception) -> bool:
    """Whether work for other accounts would fail as well, since the database cannot be asked."""
    return isinstance(error, CallError) and not (isinstance(error, LedgerUnavailable) and error.is_row_locked)


class HoldLost(LedgerUnavailable):
    """The answer came after the call's hold had expired, so it can no longer be charged."""

    code, title = "hold_expired", "The call took too long"


def all_errors() -> list[type[CallError]]:
    """Every leaf that a customer can see, for the documentation and its tests."""
    found: list[type[CallError]] = []
    queue: list[type[CallError]] = [CallError]
    while queue:
        cls = queue.pop(0)
        queue.extend(cls.__subclasses__())
        if cls.__dict__.get("code") or cls is InternalError:
            found.append(cls)
    return [cls for cls in found if cls is not CallError]
