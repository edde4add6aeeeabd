"""A burst limit holds across four processes with nothing but the database, and refills as it says."""

import re
import time

from tests.api.shop import Shop, ask, assert_problem, get, send
from tests.services.load import Reply, fire_all, statuses
from tests.services.process import wait_until
from tests.services.served import Served
from tests.services.upstream import FakeUpstream

CALLS, WINDOW_SECONDS = 5, 10  # of the plan 'burst', which has 1,000 calls a month besides


def passed(replies: list[Reply]) -> list[Reply]:
    assert statuses(replies).keys() <= {200, 429}
    return [reply for reply in replies if reply.status == 200]


def came_back(since: float) -> int:
    """Calls that the bucket has got back since it was full."""
    return int((time.monotonic() - since) * CALLS / WINDOW_SECONDS)


def told(reply: Reply, policy: str) -> tuple[int, int]:
    """What the RateLimit header says of a policy: calls left, and seconds until it is reset."""
    found = re.search(rf'"{policy}";r=(\d+);t=(\d+)', reply.headers["ratelimit"])
    assert found is not None, reply.headers
    return int(found[1]), int(found[2])


def test_of_sixty_callers_exactly_five_pass_and_the_bucket_refills_as_told(
    shop: Shop, served: Served, upstream: FakeUpstream
) -> None:
    key = shop.new_key("burst")
    started = time.monotonic()
    replies = fire_all([ask(served, key)] * 60)
    # Exactly five, unless the machine was so slow that the first came back meanwhile.
    assert CALLS <= len(passed(replies)) == upstream.count() <= CALLS + came_back(started)
    for reply in replies:
        assert reply.headers["ratelimit-policy"] == f'"burst";q={CALLS};w={WINDOW_SECONDS}, "monthly";q=1000'
        assert reply.headers["x-ratelimit-limit-requests"] == str(CALLS)
        left, seconds = told(reply, "burst")
        assert reply.headers["x-ratelimit-remaining-requests"] == str(left)
        assert reply.headers["x-ratelimit-reset-requests"] == f"{seconds}s"
        assert seconds <= WINDOW_SECONDS
    refused = [reply for reply in replies if reply.status == 429]
    for reply in refused:
        body = assert_problem(reply, 429, "rate_limit_exceeded")
        assert body["violated-policies"] == ["burst"]
        assert 1 <= int(reply.headers["retry-after"]) <= WINDOW_SECONDS / CALLS
        assert "x-should-retry" not in reply.headers  # it does go away by trying again
        assert told(reply, "burst")[0] == 0
    # A caller that waits as long as it was told passes; one more call has come back by then, and not two.
    back_at = time.monotonic() + max(int(reply.headers["retry-after"]) for reply in refused)
    wait_until(lambda: time.monotonic() >= back_at, "the time to try again")
    assert len(passed(fire_all([ask(served, key)] * 20))) >= 1
    assert CALLS + 1 <= upstream.count() <= CALLS + came_back(started)
    assert shop.meter(key)["posted_calls"] == upstream.count()  # refusals have taken nothing from the month
    assert told(get(f"{served.url}/v1/usage", key), "monthly")[0] == 1000 - upstream.count()


def test_the_headers_count_the_bucket_down(shop: Shop, served: Served, upstream: FakeUpstream) -> None:
    key = shop.new_key("burst")
    started = time.monotonic()
    replies = [send(ask(served, key)) for _ in range(CALLS)]
    slowly = came_back(started)
    assert upstream.count() == CALLS
    left = [told(reply, "burst")[0] for reply in replies]
    assert all(0 <= more <= slowly for more in (left[number] - (4 - number) for number in range(CALLS))), left
    assert [told(reply, "monthly")[0] for reply in replies] == [999, 998, 997, 996, 995]


def test_one_accounts_burst_is_not_anothers(shop: Shop, served: Served, upstream: FakeUpstream) -> None:
    keys = shop.new_keys("burst", 12)
    replies = fire_all([ask(served, key) for key in keys for _ in range(CALLS)])
    assert len(passed(replies)) == len(replies) == upstream.count()


def test_two_keys_of_one_account_share_its_burst(shop: Shop, served: Served, upstream: FakeUpstream) -> None:
    key = shop.new_key("burst")
    email = shop.scalar("SELECT email FROM account WHERE id = %s", shop.account_of(key))
    second = shop.farebox("keys", "create", email).splitlines()[-1]
    started = time.monotonic()
    replies = fire_all([ask(served, one) for one in (key, second) for _ in range(20)])
    assert CALLS <= len(passed(replies)) == upstream.count() <= CALLS + came_back(started)
