"""Few wait for another service at once, whatever becomes of them; who finds no place is told soon."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress

import pytest

from farebox.domain.places import AT_ONCE_MAX, OF_ONE_MAX, QUEUE_MAX, NoPlace, Places
from tests.services.process import wait_until


def taken(places: Places, who: str = "") -> bool:
    with suppress(NoPlace), places.take(who):
        return True
    return False


def test_there_are_a_few_places_and_each_is_free_again_when_its_wait_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("farebox.domain.places.QUEUE_SECONDS", 0)
    places = Places()
    for _ in range(2):
        with ExitStack() as waiting:
            for _ in range(AT_ONCE_MAX):
                waiting.enter_context(places.take())
            assert not taken(places)
        with suppress(ValueError), places.take():
            raise ValueError("the service has hung up")


def test_one_account_leaves_places_to_the_others() -> None:
    places = Places()
    with ExitStack() as waiting:
        for _ in range(OF_ONE_MAX):
            waiting.enter_context(places.take("acct_1"))
        assert [taken(places, who) for who in ("acct_1", "acct_2", "")] == [False, True, True]
    assert taken(places, "acct_1")


def test_who_comes_a_little_later_than_the_others_has_the_next_place_and_not_more_queue_than_may(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("farebox.domain.places.QUEUE_SECONDS", 60)
    places = Places()
    with ThreadPoolExecutor(QUEUE_MAX) as threads:
        with ExitStack() as waiting:
            for _ in range(AT_ONCE_MAX):
                waiting.enter_context(places.take())
            queued = [threads.submit(taken, places) for _ in range(QUEUE_MAX)]
            wait_until(lambda: places._queued.total() == QUEUE_MAX, "all to queue")
            assert not taken(places)
        assert [one.result(timeout=60) for one in queued] == [True] * QUEUE_MAX


def test_one_account_leaves_the_queue_to_the_others_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("farebox.domain.places.QUEUE_SECONDS", 60)
    places = Places()
    with ThreadPoolExecutor(OF_ONE_MAX + 1) as threads:
        with ExitStack() as waiting:
            for _ in range(AT_ONCE_MAX):
                waiting.enter_context(places.take())
            queued = [threads.submit(taken, places, "acct_1") for _ in range(OF_ONE_MAX)]
            wait_until(lambda: places._queued.total() == OF_ONE_MAX, "both to queue")
            assert not threads.submit(taken, places, "acct_1").result(timeout=10)
        assert [one.result(timeout=60) for one in queued] == [True] * OF_ONE_MAX
    assert taken(places, "acct_1")
