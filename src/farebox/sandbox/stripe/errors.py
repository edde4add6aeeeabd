"""Stripe's refusals: a status, and a body whose type and code clients read."""

from typing import Any, Final

from farebox.sandbox.stripe.things import Thing

KINDS: Final = {
    400: "invalid_request_error",
    401: "invalid_request_error",
    402: "card_error",
    403: "invalid_request_error",
    404: "invalid_request_error",
    409: "invalid_request_error",
    429: "invalid_request_error",
    500: "api_error",
}


class StripeError(Exception):
    """A refusal. If it `keeps`, what was written stays: the payment that was tried, and failed."""

    def __init__(
        self, status: int, message: str, *, code: str = "", param: str = "", kind: str = "", **more: Any
    ) -> None:
        super().__init__(message)
        self.status = status
        self.keeps = False
        self.body: Thing = {"message": message, "type": kind or KINDS.get(status, "api_error"), **more}
        if code:
            self.body["code"] = code
            self.body["doc_url"] = f"https://stripe.com/docs/error-codes/{code.replace('_', '-')}"
        if param:
            self.body["param"] = param


def missing(kind: str, given: str, param: str = "id") -> StripeError:
    """There is no such object."""
    return StripeError(404, f"No such {kind}: '{given}'", code="resource_missing", param=param)


def unknown_reference(kind: str, given: str, param: str) -> StripeError:
    """A parameter names an object that is not there."""
    return StripeError(400, f"No such {kind}: '{given}'", code="resource_missing", param=param)


def wanted(param: str) -> StripeError:
    """A parameter that has to be there is not."""
    return StripeError(400, f"Missing required param: {param}.", code="parameter_missing", param=param)


def refused(message: str, *, code: str = "", param: str = "") -> StripeError:
    """The request makes no sense as things are."""
    return StripeError(400, message, code=code, param=param)
