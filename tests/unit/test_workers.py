"""How many processors `farebox serve` counts on, and what is told when a worker cannot come."""

import os
import signal
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import uvicorn
from uvicorn.config import STARTUP_FAILURE

from farebox.cli import workers
from farebox.cli.workers import Workers, processors_usable

HAS: int = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


@pytest.mark.parametrize(
    ("told", "usable"),
    [
        ("max 100000\n", HAS),
        ("100000 100000\n", 1),
        ("150000 100000\n", min(HAS, 2)),
        ("1000 100000\n", 1),
        ("6400000 100000\n", min(HAS, 64)),
        ("", HAS),
        (None, HAS),
    ],
)
def test_a_container_has_the_share_that_it_was_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, told: str | None, usable: int
) -> None:
    share = tmp_path / "cpu.max"
    if told is not None:
        share.write_text(told)
    monkeypatch.setattr(workers, "CONTAINERS_SHARE", share)
    assert processors_usable() == usable


@pytest.fixture
def parent(monkeypatch: pytest.MonkeyPatch) -> Workers:
    """The parent of one worker, which is dead, and whose replacement never is ready."""
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    made = Workers(uvicorn.Config("x:y", workers=1), [], 1)
    dead: Any = SimpleNamespace(
        is_alive=lambda timeout: timeout < 0, kill=lambda: None, join=lambda: None, exitcode=STARTUP_FAILURE,
        wait_until_ready=lambda *_: False,
    )  # fmt: skip
    made.processes = [dead]
    monkeypatch.setattr(made, "_started", lambda _: dead)
    return made


def test_a_worker_that_cannot_start_ends_all_and_is_told_of(parent: Workers, caplog: pytest.LogCaptureFixture) -> None:
    parent.keep_subprocess_alive()
    assert parent.should_exit.is_set()
    assert "could not start" in caplog.text


def test_a_restart_that_fails_leaves_the_old_workers_and_is_told_of(
    parent: Workers, caplog: pytest.LogCaptureFixture
) -> None:
    before = list(parent.processes)
    parent.restart_all()
    assert (parent.processes, parent.should_exit.is_set()) == (before, False)
    assert "was not ready in time" in caplog.text
