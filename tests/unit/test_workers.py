"""How many processors `farebox serve` counts on."""

import os
import sys
from pathlib import Path

import pytest

from farebox.cli import workers
from farebox.cli.workers import processors_usable

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
