"""How pages and what they load are kept by caches, and how small they are sent."""

import gzip
import re

import pytest

from farebox import Brand, Farebox
from tests.api.test_pages import HTML, PAGES, Serve


def test_what_pages_load_is_kept_for_good_under_an_address_that_changes_with_it(serve: Serve) -> None:
    client = serve(Farebox(brand=Brand(colour="#0f766e")))
    html = client.get("/").text
    loaded = re.findall(r'"(/static/[0-9a-f]{12}/[^"]+)"', html)
    assert len(loaded) == 7
    for address in loaded:
        reply = client.get(address)
        assert reply.status_code == 200
        assert reply.headers["cache-control"] == "public, max-age=31536000, immutable"
        again = client.get(address, headers={"if-none-match": reply.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")
    assert client.get("/static/000000000000/farebox.css").headers["cache-control"] == "no-cache"
    assert client.get("/static/farebox.css").headers["cache-control"] == "no-cache"


def test_another_brand_has_other_addresses(serve: Serve) -> None:
    one, other = (serve(Farebox(brand=Brand(colour=colour))).get("/").text for colour in ("#0f766e", "#7c3aed"))
    assert not set(re.findall(r"/static/[0-9a-f]{12}/", one)) & set(re.findall(r"/static/[0-9a-f]{12}/", other))


def test_it_is_sent_small_to_whoever_takes_it(serve: Serve) -> None:
    client = serve(Farebox())
    plain = client.get("/static/farebox.css", headers={"accept-encoding": "identity"})
    small = client.get("/static/farebox.css", headers={"accept-encoding": "gzip"})
    assert "content-encoding" not in plain.headers
    assert small.headers["content-encoding"] == "gzip"
    assert int(small.headers["content-length"]) < len(plain.content) / 3
    assert gzip.compress(plain.content) != plain.content
    assert small.text == plain.text
    assert small.headers["vary"] == "accept-encoding"


def test_a_page_for_everybody_is_sent_small_and_no_other(serve: Serve) -> None:
    client = serve(Farebox())
    plain = client.get("/", headers={"accept-encoding": "identity"})
    small = client.get("/", headers={"accept-encoding": "gzip, br"})
    assert small.headers["content-encoding"] == "gzip"
    assert int(small.headers["content-length"]) < int(plain.headers["content-length"]) / 2
    assert small.text == plain.text
    assert plain.headers["vary"] == small.headers["vary"] == "accept-encoding"
    mine = client.get("/nothing", headers=HTML | {"accept-encoding": "gzip"})
    assert (mine.headers["cache-control"], "content-encoding" in mine.headers) == ("no-store", False)


@pytest.mark.parametrize("name", ["nope.css", "..%2Fsite.py", "%2e%2e/site.py", "errors.css"])
def test_there_is_no_file_but_those(serve: Serve, name: str) -> None:
    client = serve(Farebox())
    assert client.get(f"/static/{name}").status_code == 404
    assert client.get(f"/static/000000000000/{name}").status_code == 404


@pytest.mark.parametrize("public_url", ["", "https://api.example.com"])
def test_no_cache_for_all_keeps_an_address_that_a_request_made_up(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, public_url: str
) -> None:
    monkeypatch.setenv("FAREBOX_PUBLIC_URL", public_url)
    client, kept = serve(Farebox()), []
    for path in (*PAGES, "/robots.txt", "/sitemap.xml", "/openapi.json"):
        reply = client.get(path, headers={"host": "evil.example"})
        if "public" in reply.headers.get("cache-control", ""):
            kept.append(path)
            assert "evil.example" not in reply.text
    assert bool(kept) == bool(public_url)
