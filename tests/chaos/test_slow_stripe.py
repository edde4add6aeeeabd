"""A Stripe that counts what it is told, and answers when nobody waits any more."""

from pathlib import Path
from typing import Final

import pytest

from farebox.adapters.stripe_client import SECONDS_MAX
from tests.api.billed import EACH, INCLUDED, billed
from tests.api.shop import generate
from tests.services.load import fire_all
from tests.services.process import wait_until
from tests.services.upstream import FakeUpstream

pytestmark = pytest.mark.chaos

TIMES: Final = 2
CALLS: Final = 40
DRAINED_SECONDS: Final = 5 * SECONDS_MAX


def test_what_stripe_counted_and_did_not_answer_in_time_is_counted_once(
    fresh_database_url: str, tmp_path: Path, upstream: FakeUpstream
) -> None:
    with billed(tmp_path, fresh_database_url, upstream) as place:
        customers = [place.subscriber() for _ in range(3)]
        place.stripe.settle()
        place.stripe.fault("slow", seconds=SECONDS_MAX + 5, times=TIMES * len(customers))
        asked = [generate(place.served.url, one.key, {"prompt": "Say hello"}) for one in customers] * CALLS
        replies = fire_all(asked)
        assert all(reply.ok for reply in replies)
        assert max(reply.seconds for reply in replies) < SECONDS_MAX / 2, "no call waits for Stripe"
        for one in customers:
            sql = "SELECT count(*) FROM usage_event WHERE account_id = %s AND state = 'sent'"
            account_id = one.customer.account.id
            wait_until(
                lambda: place.counted(one) == place.invoiced(one) and place.shop.scalar(sql, account_id) > 0,  # noqa: B023
                "the outbox to drain",
                timeout_seconds=DRAINED_SECONDS,
            )
            assert place.counted(one) == (CALLS - INCLUDED) * EACH
        assert place.stripe.control("state")["faults"] == [], "each fault was met"
        assert place.shop.farebox("reconcile").endswith("every sum is right.\n")
