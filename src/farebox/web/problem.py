"""The one error body: RFC 9457's members, and `error` as OpenAI's clients parse it."""

import json

from farebox.domain.errors import BurstExceeded, CallError, InvalidApiKey, QuotaExceeded
from farebox.web.limits import Headers, limit_headers

PROBLEM_TYPE = b"application/problem+json"


def problem(error: CallError, call_id: str, public_url: str) -> tuple[int, Headers, bytes]:
    """Status, headers and body of an error; `x-request-id` is among the headers."""
    body: dict[str, object] = {
        "type": f"{public_url}/errors/{error.code}",
        "title": error.title,
        "status": error.status,
        "detail": error.detail,
        "instance": call_id,
        "error": {"message": error.detail, "type": error.kind, "param": error.param, "code": error.code},
    }
    headers: Headers = [(b"content-type", PROBLEM_TYPE), (b"cache-control", b"no-store")]
    if error.param is not None:
        body["param"] = error.param
    if isinstance(error, QuotaExceeded | BurstExceeded):
        body["violated-policies"] = ["burst" if isinstance(error, BurstExceeded) else error.policy]
    if error.page:
        body["page"] = f"{public_url}{error.page}"
    if isinstance(error, InvalidApiKey):
        headers.append((b"www-authenticate", b"Bearer"))
    if error.retry_after_seconds is not None:
        headers.append((b"retry-after", b"%d" % error.retry_after_seconds))
    if error.should_retry is not None:
        headers.append((b"x-should-retry", b"true" if error.should_retry else b"false"))
    if error.standing is not None:
        headers += limit_headers(error.standing)
    headers.append((b"x-request-id", call_id.encode()))
    return error.status, headers, json.dumps(body).encode()
