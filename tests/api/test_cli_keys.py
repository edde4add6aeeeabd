"""`farebox accounts` and `farebox keys`, against a server that is running."""

import gc
import re
from collections.abc import Iterator
from contextlib import closing
from importlib.metadata import version
from pathlib import Path
from typing import Final

import pytest

from farebox import cli
from tests.api.shop import get
from tests.services.command import farebox, farebox_onto, printed
from tests.services.process import wait_until
from tests.services.served import Served
from tests.services.sums import connect

# A long name makes a long brand, and with it the longest lines.
APP: Final = (
    'from farebox import Farebox, Plan\napp = Farebox("A product of a long name", plans=[Plan("free", calls=9)])\n'
)
KEY: Final = re.compile(r"aproductofalongname_(live|test)_[0-9A-Za-z]{38}")


class Till:
    """A served shop, and the commands on it."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder = folder
        self.settings = {"FAREBOX_DATABASE_URL": url}
        (folder / "app.py").write_text(APP)
        self.run("migrate")
        self.server = Served(env=self.settings, cwd=folder)

    def run(self, *arguments: str) -> str:
        return printed(self.folder, *arguments, **self.settings)

    def refused(self, *arguments: str) -> str:
        done = farebox(self.folder, *arguments, **self.settings)
        assert (done.returncode, done.stdout) == (1, "")
        return done.stderr

    def let_an_hour_pass(self) -> None:
        """For the keys that end."""
        with closing(connect(self.settings["FAREBOX_DATABASE_URL"])) as connection:
            connection.execute("UPDATE api_key SET expires_us = expires_us - 3600000000")

    def status(self, key: str) -> int | None:
        return get(f"{self.server.url}/v1/usage", key).status


@pytest.fixture
def till(tmp_path: Path, pg_url: str) -> Iterator[Till]:
    """On PostgreSQL; tests/contract/test_accounts.py has both kinds."""
    till = Till(tmp_path, pg_url)
    with till.server:
        yield till


def test_the_life_of_a_key(till: Till) -> None:
    """One test, because a server and each command take their second."""
    assert re.fullmatch(
        r"acct_[0-9a-f]{16}  ada@example.com  plan free\n",
        till.run("accounts", "create", "Ada@example.com", "--plan", "free"),
    )
    told = till.refused("accounts", "create", "ada@example.com", "--plan", "free")
    assert "There is already an account 'ada@example.com'. Create a key for it with: farebox keys create ada" in told

    # The key is the last line of stdout, and all of it.
    created = till.run(
        "keys", "create", "ada@example.com", "--name", "a name that is much too long for any list of keys"
    )
    assert KEY.fullmatch(created.removesuffix("\n"))
    old = created.splitlines()[-1]
    assert till.status(old) == 200

    assert till.run("keys", "create", "ada@example.com", "--test").startswith("aproductofalongname_test_")

    # Rotated, both work for the grace; then the new one alone.
    new = till.run("keys", "rotate", old, "--grace", "1h").splitlines()[-1]
    assert KEY.fullmatch(new)
    assert (till.status(old), till.status(new)) == (200, 200)
    till.let_an_hour_pass()
    wait_until(lambda: till.status(old) == 401, "the old key to end")
    assert till.status(new) == 200

    # A suspended account is refused with the next request, until it may call again.
    assert till.run("accounts", "suspend", "ada@example.com") == "ada@example.com is suspended.\n"
    assert till.status(new) == 403
    assert till.run("accounts", "list").endswith("  suspended\n")
    assert till.run("accounts", "resume", "ada@example.com") == "ada@example.com may call again.\n"
    assert till.status(new) == 200
    assert till.run("accounts", "plan", "ada@example.com", "free").endswith("  ada@example.com  plan free\n")

    # A list tells them apart without telling one.
    listed = till.run("keys", "list", "ada@example.com")
    address, *lines = listed.splitlines()
    assert address == "ada@example.com"
    assert [line.split()[1][-4:] for line in lines[::2]] == [old[-4:], new[-4:]]
    assert [line.split()[2] for line in lines] == ["ends", "active", "active"]
    assert max(map(len, listed.splitlines())) <= 80
    assert "a name that is" in lines[2]
    assert old not in listed
    assert new not in listed

    # Revoked, it is refused with the next request.
    key_id = lines[2].split()[0]
    assert till.run("keys", "revoke", new[-4:]) == f"{key_id} is revoked.\n"
    assert till.status(new) == 401
    assert till.run("keys", "revoke", key_id) == f"{key_id} was revoked before.\n"
    assert "  revoked 2" in till.run("keys", "list")
    assert "is revoked or has expired; create a new one" in till.refused("keys", "rotate", key_id)

    # Limited, it says what cannot be.
    limited = ("keys", "create", "ada@example.com", "--scopes", "/v1/embeddings, /v1/generate", "--cap", "2")
    assert KEY.fullmatch(till.run(*limited, "--test", "--expires-days", "30").removesuffix("\n"))
    # A variable that is not set makes no key for everything.
    assert "--scopes names no endpoint; write it as" in till.refused(
        "keys", "create", "ada@example.com", "--scopes", ""
    )
    assert "There is no endpoint /v1/nothing. Choose from /v1/generate" in till.refused(
        "keys", "create", "ada@example.com", "--scopes", "/v1/nothing"
    )


def test_what_cannot_be_meant_is_a_sentence(tmp_path: Path) -> None:
    cases = {
        (
            "keys",
            "create",
            "a@b.c",
        ): "There is no account 'a@b.c'. Create it with: farebox accounts create a@b.c --plan",
        ("usage", "export", "--account", "a@b.c"): "There is no account 'a@b.c'; check the address.",
        ("keys", "list", "--app", "other.py"): "There is no file other.py; check the path.",
    }
    for arguments, told in cases.items():
        done = farebox(tmp_path, *arguments)
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr.startswith(f"farebox: {told}")


def test_the_version_is_told(tmp_path: Path) -> None:
    assert printed(tmp_path, "--version") == f"farebox {version('farebox')}\n"


def test_a_command_that_is_interrupted_while_it_imports_prints_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "_run", interrupted)
    monkeypatch.setattr(cli, "GC_THRESHOLD", gc.get_threshold()[0])  # this process's own stays
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 130
    assert capsys.readouterr() == ("", "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no file here that is always full")
def test_output_that_cannot_be_written_is_a_sentence(tmp_path: Path) -> None:
    printed(tmp_path, "accounts", "create", "ada@example.com", "--plan", "free")
    for arguments in (["keys", "create", "ada@example.com"], ["usage", "export", "--format", "csv"], ["--help"]):
        done = farebox_onto(Path("/dev/full"), tmp_path, *arguments)
        told = "The output cannot be written (No space left on device); make room there, or write it elsewhere."
        *_, last = done.stderr.splitlines()
        assert (done.returncode, last, "Traceback" in done.stderr) == (1, f"farebox: {told}", False)
