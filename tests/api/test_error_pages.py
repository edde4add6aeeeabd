"""The address in an error's `type` is a page of the service that sent it."""

from urllib.parse import urljoin

from tests.api.shop import get
from tests.services.served import Served


def test_the_type_of_a_refusal_leads_to_its_page_and_that_to_all_others(served: Served) -> None:
    refused = get(f"{served.url}/v1/usage")
    page = get(urljoin(served.url, refused.json()["type"]))
    assert (refused.status, page.status) == (401, 200)
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert b"invalid_api_key" in page.body
    assert get(f"{served.url}/errors").body.count(b'<a href="/errors/') > 20
    assert "/errors" not in get(f"{served.url}/openapi.json").json()["paths"]
