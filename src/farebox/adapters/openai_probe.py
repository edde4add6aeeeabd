"""Ask a provider something that costs nothing, to find out how it is set up."""

from datetime import timedelta
from typing import Final

from pyreqwest.client import SyncClientBuilder
from pyreqwest.exceptions import DetailedPyreqwestError, PyreqwestError

from farebox.domain.errors import UpstreamFailed
from farebox.ports import Reply

PROBE_SECONDS_MAX: Final = 5
HEADERS_READ: Final = ("content-type", "date", "location")


def probe(url: str, api_key: str | None, body: bytes | None = None) -> Reply:
    """GET the address, or POST a body to it; the key is sent to it alone, as redirects are not followed.

    Raises:
        UpstreamFailed: nobody answered; the detail says why.
    """
    client = SyncClientBuilder().follow_redirects(enable=False).timeout(timedelta(seconds=PROBE_SECONDS_MAX)).build()
    headers = {"accept": "application/json"} | ({"authorization": f"Bearer {api_key}"} if api_key else {})
    try:
        request = client.get(url) if body is None else client.post(url).body_bytes(body)
        if body is not None:
            headers["content-type"] = "application/json"
        response = request.headers(headers).build().send()
    except PyreqwestError as error:
        raise UpstreamFailed(_reason(error)) from error
    except ValueError as error:
        raise UpstreamFailed(str(error)) from error
    finally:
        client.close()
    told = {name: value for name in HEADERS_READ if (value := response.get_header(name)) is not None}
    return Reply(response.status, told, bytes(response.bytes()))


def _reason(error: PyreqwestError) -> str:
    causes = error.details["causes"] if isinstance(error, DetailedPyreqwestError) else None
    return causes[-1]["message"] if causes else error.message
