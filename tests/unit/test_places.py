"""Few wait for another service at once, whatever becomes of them; who finds no place is told at once."""

from contextlib import ExitStack, suppress

from farebox.domain.places import AT_ONCE_MAX, OF_ONE_MAX, NoPlace, Places


def taken(places: Places, who: str = "") -> bool:
    with suppress(NoPlace), places.take(who):
        return True
    return False


def test_there_are_a_few_places_and_each_is_free_again_when_its_wait_is_over() -> None:
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
