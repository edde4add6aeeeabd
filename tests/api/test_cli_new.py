"""`farebox new`: what it writes runs, and its test passes."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.api.shop import Shop, send
from tests.services.command import farebox, printed
from tests.services.load import Request
from tests.services.upstream import FakeUpstream

FILES = {".env.example", ".gitignore", "README.md", "app.py", "test_app.py"}


def test_what_it_writes_has_a_test_that_passes(tmp_path: Path) -> None:
    said = printed(tmp_path, "new", "dog-walker")
    folder = tmp_path / "dog-walker"
    assert {path.name for path in folder.iterdir()} == FILES
    assert "Dog Walker is in dog-walker/" in said
    assert "cd dog-walker" in said
    assert "farebox dev" in said
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "error"]
    command += ["-p", "no:langsmith_plugin", "-p", "no:schemathesis"]  # ours, and no founder's
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert "2 passed" in done.stdout


def test_what_it_writes_runs(tmp_path: Path, upstream: FakeUpstream) -> None:
    printed(tmp_path, "new", "dog_walker")
    folder = tmp_path / "dog_walker"
    app = (folder / "app.py").read_text()
    assert '"Dog Walker"' in app
    shop = Shop(folder, f"sqlite:///{folder}/farebox.db", upstream, app)
    with shop.served(workers=1) as served:
        key = shop.new_key("pro")
        reply = send(Request(f"{served.url}/v1/tagline", {"product": "leashes"}, {"x-api-key": key}))
    assert (reply.status, upstream.count()) == (200, 1)


def test_what_it_writes_is_as_ruff_has_it(tmp_path: Path) -> None:
    printed(tmp_path, "new", "Shop")
    ruff = Path(sys.executable).with_name("ruff")
    for command in (["format", "--check", "--isolated", "--line-length", "120"], ["check", "--isolated"]):
        done = subprocess.run([ruff, *command, "."], cwd=tmp_path / "Shop", capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout


def test_it_takes_nothing_that_is_there(tmp_path: Path) -> None:
    (tmp_path / "shop").mkdir()
    (tmp_path / "file").write_text("mine")
    for name in ("shop", "file"):
        done = farebox(tmp_path, "new", name)
        assert (done.returncode, "here; choose another name" in done.stderr) == (1, True)
    assert list((tmp_path / "shop").iterdir()) == []


@pytest.mark.parametrize("name", ["../shop", "a/b", "1shop", "sh op", "", "-", "Ähren", "x" * 41])
def test_a_name_that_no_folder_should_have_is_refused(tmp_path: Path, name: str) -> None:
    done = farebox(tmp_path, "new", "--", name)
    assert done.returncode == 1
    assert "use letters, digits, '-' and '_', a letter first, and no more than 40." in done.stderr
    assert list(tmp_path.iterdir()) == []
