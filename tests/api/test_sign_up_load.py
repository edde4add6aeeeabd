"""Two hundred people sign up at the same moment: each of them can, and whoever is a customer hardly notices."""

import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlencode

import psutil
import pytest

from tests.api.conftest import empty_database
from tests.api.place import PASSWORD, numbers
from tests.api.shop import Shop, ask
from tests.services.load import Load, Request, fire_all
from tests.services.mail import MailServer
from tests.services.process import wait_until
from tests.services.served import Served
from tests.services.upstream import Behaviour, FakeUpstream

AT_ONCE = 200
ROUNDS = 3
CALLERS = 2
SLOWER_MAX = 3
RSS_BYTES_MAX = 250_000_000

pytestmark = pytest.mark.alone


class Rush(NamedTuple):
    """A product on one process, whose pages and calls get in each other's way if they can."""

    shop: Shop
    served: Served
    server: MailServer


@pytest.fixture(scope="module")
def rush(
    database_kind: str,
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    upstream_process: FakeUpstream,
) -> Iterator[Rush]:
    folder: Path = tmp_path_factory.mktemp("rush")
    upstream_process.reset()
    # No provider is faster; a call that costs nothing but the processor would measure how many there are.
    upstream_process.program(Behaviour(latency_seconds=0.05))
    with empty_database(database_kind, folder, request) as url, MailServer() as server:
        shop = Shop(folder, url, upstream_process)
        settings = {"SMTP_URL": server.url, "FAREBOX_TRUSTED_PROXIES": "127.0.0.1"}
        with shop.served_in_earnest(workers=1, **settings) as served:
            yield Rush(shop, served, server)


def sign_up(served: Served) -> Request:
    """Somebody new, on a network of their own."""
    number = next(numbers)
    headers = {
        "content-type": "application/x-www-form-urlencoded", "sec-fetch-site": "same-origin", "accept": "text/html",
        "x-forwarded-for": f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}",
    }  # fmt: skip
    body = urlencode({"email": f"rush{number}@example.com", "password": PASSWORD}).encode()
    return Request(f"{served.url}/signup", body, headers)


def test_two_hundred_sign_ups_at_once_all_succeed_and_calls_keep_their_pace(rush: Rush) -> None:
    key = rush.shop.new_key("open")
    process = psutil.Process(rush.served.pid)
    fire_all([sign_up(rush.served)])  # the pages are loaded
    slower = []
    for _ in range(ROUNDS):
        with Load(lambda _: ask(rush.served, key), callers=CALLERS) as load:
            usual_pace = load.replies
            wait_until(lambda found=usual_pace: len(found) >= 100, "the usual pace")  # type: ignore[misc]  # mypy's
            before = len(load.replies)
            replies = fire_all([sign_up(rush.served) for _ in range(AT_ONCE)], timeout_seconds=120)
            calls = load.replies[:]
        assert {(reply.status, reply.error) for reply in replies} == {(303, None)}
        assert all(reply.ok for reply in calls)
        assert len(calls) > before, "no call came through"
        usual, then = (statistics.median(each.seconds for each in part) for part in (calls[:before], calls[before:]))
        slower.append(then / usual)
        rss, longest = process.memory_info().rss, max(reply.seconds for reply in replies)
        print(f"{usual * 1000:.1f} ms before, {then * 1000:.1f} ms meanwhile; {rss / 1e6:.0f} MB; {longest:.1f} s")
        assert rss < RSS_BYTES_MAX
        if slower[-1] < SLOWER_MAX:
            break
    assert min(slower) < SLOWER_MAX, slower


def test_each_of_them_has_one_mail(rush: Rush) -> None:
    links = rush.shop.scalar("SELECT count(*) FROM link WHERE purpose = 'confirm'")
    wait_until(lambda: len(rush.server.letters) == links, "all mails", timeout_seconds=60)
    assert len({recipients[0] for _, recipients in rush.server.envelopes}) == links > AT_ONCE
