"""What the landing page shows as code works when it is pasted: in a shell, in Python and in JavaScript."""

import html
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.api.shop import Shop, get
from tests.browser.shop_window import write_shop_window
from tests.clients.installed import HERE, NODE, node_modules
from tests.services.served import Served

KEY = "YOUR_API_KEY"
DEMO = "from farebox import Farebox, Plan\n\napp = Farebox(plans=[Plan('free')])\n"
SAID = "farebox-sandbox"
ANSWERS = {"tagline": SAID, "ideas": "result", "summary": SAID, "story": "event: done"}


def snippets(served: Served, beginning: str) -> list[str]:
    """The code on the first page that begins so."""
    found = re.findall(r"<code>(.*?)</code>", get(f"{served.url}/").body.decode(), re.DOTALL)
    return [html.unescape(code) for code in found if code.startswith(beginning)]


def run(*command: str, cwd: Path) -> str:
    """What a program printed; it must succeed."""
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, f"{command[-1]}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def window(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Shop, Served]]:
    folder = tmp_path_factory.mktemp("window")
    write_shop_window(folder)
    (folder / "document.txt").write_text("A document of a few words.")
    shop = Shop(folder, f"sqlite:///{folder}/farebox.db", None, (folder / "app.py").read_text())
    with shop.served(workers=1) as served:
        yield shop, served


def test_the_curl_lines_work(window: tuple[Shop, Served]) -> None:
    shop, served = window
    found = snippets(served, "curl ")
    assert len(found) == len(ANSWERS)
    key = shop.new_key("open")
    for code, answer in zip(found, ANSWERS.values(), strict=True):
        assert answer in run("sh", "-c", code.replace("curl ", "curl -sS ").replace(KEY, key), cwd=shop.folder), code


def test_the_python_works(window: tuple[Shop, Served]) -> None:
    shop, served = window
    found = snippets(served, "import requests")
    assert len(found) == len(ANSWERS)
    key = shop.new_key("open")
    for code, answer in zip(found, ANSWERS.values(), strict=True):
        assert answer in run(sys.executable, "-c", code.replace(KEY, key), cwd=shop.folder), code


def test_the_javascript_works(window: tuple[Shop, Served]) -> None:
    shop, served = window
    found = snippets(served, "const ")
    assert len(found) == len(ANSWERS)
    key = shop.new_key("open")
    program = shop.folder / "call.mjs"
    for code, answer in zip(found, ANSWERS.values(), strict=True):
        program.write_text(code.replace(KEY, key))
        assert answer in run(str(NODE), str(program), cwd=shop.folder), code


def test_openais_clients_work_as_shown(tmp_path: Path) -> None:
    node_modules()
    (tmp_path / "node_modules").symlink_to(HERE / "node" / "node_modules")
    shop = Shop(tmp_path, f"sqlite:///{tmp_path}/farebox.db", None, DEMO)
    key = shop.new_key("free")
    with shop.served(workers=1) as served:
        [python] = snippets(served, "from openai import")
        [javascript] = snippets(served, "import OpenAI")
        assert SAID in run(sys.executable, "-c", python.replace(KEY, key), cwd=tmp_path)
        (tmp_path / "call.mjs").write_text(javascript.replace(KEY, key))
        assert SAID in run(str(NODE), str(tmp_path / "call.mjs"), cwd=tmp_path)
