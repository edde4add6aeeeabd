"""`farebox backup`: a copy that was made while customers call is whole, and goes on beside its secret."""

import errno
import os
import shutil
import sqlite3
import stat
from contextlib import closing
from pathlib import Path
from unittest.mock import Mock

import pytest

from farebox.domain.errors import FounderError
from farebox.store.backup import back_up
from farebox.store.database import Database
from tests.api.shop import Shop, ask, send
from tests.services.command import farebox, printed
from tests.services.load import Load
from tests.services.process import wait_until
from tests.services.upstream import FakeUpstream


def shop_in(folder: Path, upstream: FakeUpstream) -> Shop:
    """On SQLite, with a secret in farebox.secret."""
    shop = Shop(folder, f"sqlite:///{folder}/farebox.db", upstream)
    del shop.settings["FAREBOX_SECRET_KEY"]
    return shop


def test_a_copy_made_under_load_serves_beside_its_secret(tmp_path: Path, upstream: FakeUpstream) -> None:
    first, second, copy = tmp_path / "first", tmp_path / "second", tmp_path / "copy.db"
    first.mkdir()
    second.mkdir()
    shop = shop_in(first, upstream)
    key = shop.sign_up("ada@example.com", "open")
    with shop.served(workers=1) as served, Load(lambda _: ask(served, key), callers=4) as load:
        wait_until(lambda: len(load.replies) >= 50, "calls")
        answered = sum(reply.status == 200 for reply in load.replies)
        told = shop.farebox("backup", str(copy))
    assert answered >= 50
    assert told == (
        f"{first}/farebox.db was copied to {copy}: {copy.stat().st_size / 1e6:.1f} MB.\n"
        "Keep the file farebox.secret too: without it, no key works on the copy.\n"
    )
    assert {path.name for path in tmp_path.iterdir()} == {"first", "second", "copy.db"}

    copy.rename(second / "farebox.db")
    shutil.copy(first / "farebox.secret", second)
    restored = shop_in(second, upstream)
    with restored.served(workers=1) as served:
        assert send(ask(served, key)).status == 200
    posted = restored.scalar("SELECT count(*) FROM usage_record WHERE state = 'posted'")
    assert posted > answered
    assert restored.farebox("reconcile").endswith("1 meter: every sum is right.\n")


def test_what_cannot_be_copied_or_written_is_told(tmp_path: Path) -> None:
    def refused(file: str, **settings: str) -> str:
        done = farebox(tmp_path, "backup", file, **settings)
        assert (done.returncode, done.stdout) == (1, "")
        return done.stderr

    assert "There is no database farebox.db to copy." in refused("copy.db")
    assert not (tmp_path / "farebox.db").exists()
    told = refused("copy.dump", FAREBOX_DATABASE_URL="postgresql://ada:word@127.0.0.1:1/shop")
    assert "pg_dump --format=custom --file=copy.dump postgresql://…" in told
    printed(tmp_path, "migrate")
    (tmp_path / "kept.db").write_text("kept")
    assert "kept.db already exists, and was not changed; name a new file." in refused("kept.db")
    assert (tmp_path / "kept.db").read_text() == "kept"
    told = "There is no folder no/such; make it (mkdir -p no/such), or name another file."
    assert told in refused("no/such/copy.db")
    assert "The folder kept.db could not be made (File exists); name another file." in refused("kept.db/copy.db")
    assert (tmp_path / "no").exists() is False
    assert printed(tmp_path, "backup", "copies/today.db").startswith("farebox.db was copied to copies/today.db")
    assert stat.S_IMODE((tmp_path / "copies").stat().st_mode) == 0o700
    assert "farebox.db already exists" in refused("farebox.db")


def test_a_copy_that_breaks_off_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        error = sqlite3.OperationalError("database or disk is full")
        error.sqlite_errorcode = sqlite3.SQLITE_FULL
        raise error

    copy = tmp_path / "copy.db"
    with closing(Database(f"sqlite:///{tmp_path}/farebox.db")) as database:
        database.migrate()
        with monkeypatch.context() as disk:
            disk.setattr("farebox.store.backup._copy", full)
            with pytest.raises(
                FounderError, match=r"could not be written \(database or disk is full\); make room there, or"
            ):
                back_up(database, copy)
            disk.setattr(
                "farebox.store.backup._copy", Mock(side_effect=PermissionError(errno.EACCES, "Permission denied"))
            )
            with pytest.raises(
                FounderError, match=r"copy\.db could not be written \(Permission denied\); name another file"
            ):
                back_up(database, copy)
            disk.setattr("farebox.store.backup._copy", Mock(side_effect=KeyboardInterrupt))
            with pytest.raises(KeyboardInterrupt):
                back_up(database, copy)
        assert [path for path in tmp_path.iterdir() if "copy" in path.name] == []
        assert back_up(database, copy) == copy.stat().st_size


def test_a_copy_is_made_on_a_disk_that_has_no_links_and_flushes_no_folders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy, fsync = tmp_path / "copy.db", os.fsync

    def flush(file: int) -> None:
        if stat.S_ISDIR(os.fstat(file).st_mode):
            raise OSError(errno.EINVAL, "Invalid argument")
        fsync(file)

    monkeypatch.setattr("os.fsync", flush)
    monkeypatch.setattr("os.link", Mock(side_effect=OSError(errno.EPERM, "Operation not permitted")))
    with closing(Database(f"sqlite:///{tmp_path}/farebox.db")) as database:
        database.migrate()
        assert back_up(database, copy) == copy.stat().st_size
        with pytest.raises(FounderError, match="already exists"):
            back_up(database, copy)
    assert [path.name for path in tmp_path.iterdir() if "copy" in path.name] == ["copy.db"]
