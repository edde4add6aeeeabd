"""What the doctor's checks find, and settings to examine."""

from collections.abc import Iterator

import pytest

from farebox import settings as settings_module
from farebox.cli.findings import Finding
from farebox.settings import Settings


def fixes(findings: Iterator[Finding]) -> list[str]:
    """The sentences that name a mistake; each names what to do too."""
    sentences = [finding.sentence for finding in findings if finding.level == "FIX"]
    assert all(" → " in sentence for sentence in sentences)
    return sentences


def set_to(monkeypatch: pytest.MonkeyPatch, **values: str) -> Settings:
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    return settings_module.load()
