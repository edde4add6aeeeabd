"""The secret that keys are digested under: made only once, and never replaced."""

import os
import re
import stat
import sys
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from farebox import settings
from farebox.domain.errors import FounderError
from farebox.settings import Settings, load, secret_of
from tests.services.at_once import at_once

pytestmark = pytest.mark.usefixtures("bare")


def test_a_secret_that_is_set_is_used_and_no_file_is_made(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAREBOX_SECRET_KEY", "a secret of the founder's own: ü")
    assert secret_of(load(), bare) == "a secret of the founder's own: ü".encode()
    assert list(bare.iterdir()) == []


def test_a_secret_is_made_once_of_256_random_bits_and_for_its_owner_only(bare: Path) -> None:
    made = secret_of(load(), bare)
    assert re.fullmatch(rb"[0-9a-f]{64}", made)
    assert secret_of(load(), bare) == made
    file = bare / "farebox.secret"
    assert [path.name for path in bare.iterdir()] == [file.name]
    if os.name == "posix":
        assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_two_folders_have_two_secrets(bare: Path, tmp_path: Path) -> None:
    assert secret_of(load(), bare) != secret_of(load(), tmp_path)


@pytest.mark.parametrize("damage", [b"", b"0123456789", b"\n" * 64, ("0" * 64).encode("utf-16")])
def test_a_damaged_secret_is_told_and_never_replaced(damage: bytes, bare: Path) -> None:
    file = bare / "farebox.secret"
    file.write_bytes(damage)
    with pytest.raises(FounderError, match=r"farebox\.secret is incomplete"):
        secret_of(load(), bare)
    assert file.read_bytes() == damage


def test_a_secret_may_end_in_a_line_break_as_editors_leave_it(bare: Path) -> None:
    made = secret_of(load(), bare)
    (bare / "farebox.secret").write_bytes(made + b"\r\n")
    assert secret_of(load(), bare) == made


def test_a_folder_that_cannot_be_written_is_a_sentence(bare: Path) -> None:
    with pytest.raises(FounderError, match="set FAREBOX_SECRET_KEY instead"):
        secret_of(load(), bare / "no such folder")


MAKE_SECRET = """
from pathlib import Path
from farebox.settings import Settings, secret_of
settings = Settings()
wait_for_all()
sys.stdout.write(secret_of(settings, Path(sys.argv[1])).decode())
"""


def test_many_processes_that_start_at_once_have_one_secret(bare: Path) -> None:
    assert len(set(at_once(8, MAKE_SECRET, str(bare)))) == 1


def test_a_process_that_comes_while_the_secret_is_being_made_gets_the_whole_one(tmp_path: Path) -> None:
    """One process makes the secret, and another comes just before the first one's n-th line, for every n."""
    for line in range(100):
        folder = tmp_path / str(line)
        folder.mkdir()
        made, others = _secret_with_another_at(line, folder)
        assert others in ([made], [])
        if not others:
            assert line > 3
            return
    pytest.fail("the secret never came to an end")


def _secret_with_another_at(line: int, folder: Path) -> tuple[bytes, list[bytes | FounderError]]:
    others: list[bytes | FounderError] = []
    lines = 0

    def other_comes(frame: FrameType, event: str, _: object) -> Any:  # noqa: ANN401  # itself, as settrace wants it
        nonlocal lines
        if frame.f_code.co_filename != settings.__file__:
            return None
        if event == "line":
            lines += 1
            if lines == line + 1:
                try:
                    others.append(secret_of(Settings(), folder))
                except FounderError as error:
                    others.append(error)
        return other_comes

    before = sys.gettrace()
    sys.settrace(other_comes)
    try:
        return secret_of(Settings(), folder), others
    finally:
        sys.settrace(before)
