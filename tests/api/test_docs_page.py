"""The documentation page stands on this host alone, Swagger included, and says how to send a key."""

import re
from typing import Final

from tests.api.shop import get
from tests.services.served import Served

SWAGGER: Final = r'data-(?:script|sheet|more)="([^"]+)"'


def test_swagger_is_loaded_from_this_host(served: Served) -> None:
    page = get(f"{served.url}/docs").body.decode()
    assert "https://" not in page
    loaded = re.findall(SWAGGER, page)
    assert len(loaded) == 3
    for address in loaded:
        assert address.startswith("/")
        asset = get(f"{served.url}{address}")
        kind = "javascript" if address.endswith(".js") else "text/css"
        assert (asset.status, kind in asset.headers["content-type"]) == (200, True), address
        assert len(asset.body) > 100


def test_the_openapi_page_tells_both_ways_to_send_a_key(served: Served) -> None:
    page = get(f"{served.url}/openapi.json").json()
    schemes = page["components"]["securitySchemes"]
    assert {(s["type"], s.get("in"), s.get("name"), s.get("scheme")) for s in schemes.values()} == {
        ("apiKey", "header", "X-API-Key", None),
        ("http", None, None, "bearer"),
    }
    # Swagger sends the key with a call only where the call names its scheme.
    either: list[dict[str, list[str]]] = [{name: []} for name in schemes]
    for path, method in (("/v1/generate", "post"), ("/v1/usage", "get")):
        assert page["paths"][path][method]["security"] == either
    for path in ("/health", "/ready"):
        assert "security" not in page["paths"][path]["get"]


def test_every_documented_refusal_has_the_problem_body(served: Served) -> None:
    page = get(f"{served.url}/openapi.json").json()
    responses = page["paths"]["/v1/generate"]["post"]["responses"]
    assert responses.keys() == {"200", "400", "401", "402", "403", "409", "413", "422", "429", "502", "503"}
    for path, methods in page["paths"].items():
        for operation in methods.values():
            for status, response in operation["responses"].items():
                if status >= "400":
                    assert list(response["content"]) == ["application/problem+json"], (path, status)
