"""Tests that are the steps of one way: where one fails, those after it are skipped."""

from collections.abc import Iterator
from typing import Protocol, TypeVar

import pytest


class Way(Protocol):
    has_ended: bool


SomeWay = TypeVar("SomeWay", bound=Way)


def next_step(way: SomeWay, request: pytest.FixtureRequest) -> Iterator[SomeWay]:
    """The way so far. Where it has ended, the rest cannot be gone."""
    if way.has_ended:
        pytest.skip("an earlier step failed")
    failed = request.session.testsfailed
    yield way
    way.has_ended = request.session.testsfailed > failed
