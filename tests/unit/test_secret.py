"""The secret that keys are digested under: made only once, and never replaced."""

import os
import re
import stat
import subprocess
import sys
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from farebox import settings
from farebox.domain.errors import FounderError
from farebox.settings import Settings, load, secret_of


@pytest.fixture(autouse=True)
def working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory of the test's own, and no secret in the environment."""
    monkeypatch.delenv("FAREBOX_SECRET_KEY", raising=False)
    folder = tmp_path / "working directory"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def beside(tmp_path: Path) -> Path:
    """Another folder."""
    folder = tmp_path / "beside"
    folder.mkdir()
    return folder


def test_a_secret_that_is_set_is_used_and_no_file_is_made(beside: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAREBOX_SECRET_KEY", "a secret of the founder's own: ü")
    assert secret_of(load(), beside) == "a secret of the founder's own: ü".encode()
    assert list(beside.iterdir()) == []


def test_a_secret_is_made_once_of_256_random_bits_and_for_its_owner_only(beside: Path) -> None:
    made = secret_of(load(), beside)
    assert re.fullmatch(rb"[0-9a-f]{64}", made)
    assert secret_of(load(), beside) == made
    file = beside / "farebox.secret"
    assert [path.name for path in beside.iterdir()] == [file.name]
    if os.name == "posix":
        assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_two_folders_have_two_secrets(beside: Path, working_directory: Path) -> None:
    assert secret_of(load(), beside) != secret_of(load(), working_directory)


@pytest.mark.parametrize("damage", [b"", b"0123456789", b"\n" * 64, ("0" * 64).encode("utf-16")])
def test_a_damaged_secret_is_told_and_never_replaced(damage: bytes, beside: Path) -> None:
    file = beside / "farebox.secret"
    file.write_bytes(damage)
    with pytest.raises(FounderError, match=r"farebox\.secret is not whole"):
        secret_of(load(), beside)
    assert file.read_bytes() == damage


def test_a_secret_may_end_in_a_line_break_as_editors_leave_it(beside: Path) -> None:
    made = secret_of(load(), beside)
    (beside / "farebox.secret").write_bytes(made + b"\r\n")
    assert secret_of(load(), beside) == made


def test_a_folder_that_cannot_be_written_is_a_sentence(beside: Path) -> None:
    with pytest.raises(FounderError, match="set FAREBOX_SECRET_KEY instead"):
        secret_of(load(), beside / "no such folder")


MAKE_SECRET = """
import sys
from pathlib import Path
from farebox.settings import Settings, secret_of
settings = Settings()
sys.stdout.write("ready\\n")
sys.stdout.flush()
sys.stdin.readline()
sys.stdout.write(secret_of(settings, Path(sys.argv[1])).decode())
"""


def test_many_processes_that_start_at_once_have_one_secret(beside: Path) -> None:
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", MAKE_SECRET, str(beside)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for _ in range(8)
    ]  # fmt: skip
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    answers = [process.communicate() for process in processes]
    assert {error for _, error in answers} == {""}
    assert len({secret for secret, _ in answers}) == 1


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
