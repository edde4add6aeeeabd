"""A process that serves only calls carries nothing of the pages."""

from pathlib import Path

from tests.api.shop import Shop, ask, assert_problem, get, send
from tests.services.load import Request
from tests.services.upstream import FakeUpstream

APP = """
import sys

from farebox import Farebox, Plan

app = Farebox("Till", plans=[Plan("open")], prices={"gpt-4o-mini": (0.15, 0.60)})


@app.get("/mine/loaded")
async def loaded() -> list[str]:
    return [name for name in sys.modules if name.startswith(("jinja2", "markdown_it", "farebox.web.pages"))]
"""


def test_pages_are_loaded_with_the_first_page(tmp_path: Path, upstream: FakeUpstream) -> None:
    shop = Shop(tmp_path, f"sqlite:///{tmp_path}/farebox.db", upstream, APP)
    key = shop.new_key("open")
    with shop.served_in_earnest(workers=1) as served:
        assert send(ask(served, key)).status == 200
        assert get(f"{served.url}/v1/usage", key).status == 200
        assert get(f"{served.url}/ready").status == 200
        assert get(f"{served.url}/openapi.json").status == 200
        browser = {"accept": "text/html"}
        assert_problem(send(Request(f"{served.url}/v1/nothing", method="GET", headers=browser)), 404, "not_found")
        assert_problem(
            send(Request(f"{served.url}/v1/generate", method="GET", headers=browser)), 405, "method_not_allowed"
        )
        assert get(f"{served.url}/mine/loaded").json() == []
        assert get(f"{served.url}/").status == 200
        assert "jinja2" in get(f"{served.url}/mine/loaded").json()
