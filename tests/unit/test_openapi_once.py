"""The OpenAPI page: made once, whole, whoever asks for it first."""

from concurrent.futures import ThreadPoolExecutor

from farebox import Farebox


def test_whoever_asks_for_the_openapi_page_first_the_paid_endpoints_are_in_it() -> None:
    for _ in range(10):
        app = Farebox("Shop")
        with ThreadPoolExecutor(4) as pages:
            asked = [pages.submit(app.openapi) for _ in range(8)]
            assert all("/v1/generate" in page.result()["paths"] for page in asked)
