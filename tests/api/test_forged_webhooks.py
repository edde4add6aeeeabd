"""Who is not Stripe is not believed, however often and in whatever form they come; and nobody's words are logged."""

import asyncio
import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tests.api.shop import Shop
from tests.services.forged import event_body, forged, signed
from tests.services.load import Caller, Request
from tests.services.stripe import StripeStandin

SECRET: Final = "whsec_of_nobody_but_stripe"
MARK: Final = "a-word-of-the-body"
COUNT: Final = 10_000
AT_ONCE: Final = 20


async def post_all(url: str, made: Iterator[tuple[bytes, dict[str, str]]]) -> Counter[int | None]:
    """Send all of them, by so many callers at once; how often each status was answered."""
    statuses: Counter[int | None] = Counter()

    async def send_on() -> None:
        caller = Caller()
        for body, headers in made:
            reply = await caller.send(Request(f"{url}/stripe/webhook", body, headers))
            assert reply.error is None, reply.error
            statuses[reply.status] += 1
        caller.close()

    await asyncio.gather(*(send_on() for _ in range(AT_ONCE)))
    return statuses


def forgeries(seed: int) -> Iterator[tuple[bytes, dict[str, str]]]:
    made = random.Random(seed)
    for number in range(COUNT):
        body, signature = forged(made, event_body(f"evt_forged_{number}", note=MARK), SECRET)
        yield body, {} if number % 50 == 0 else {"stripe-signature": signature}


def test_of_ten_thousand_that_were_forged_or_altered_none_is_stored(
    fresh_database_url: str, tmp_path: Path, seed: int
) -> None:
    shop = Shop(tmp_path, fresh_database_url, None)
    with StripeStandin(tmp_path) as stripe:
        settings = {"STRIPE_SECRET_KEY": stripe.key, "STRIPE_API_BASE": stripe.url, "STRIPE_WEBHOOK_SECRET": SECRET}
        with shop.served(workers=2, **settings) as served:
            assert asyncio.run(post_all(served.url, forgeries(seed))) == {400: COUNT}
            assert shop.scalar("SELECT count(*) FROM webhook_event") == 0
            body = event_body("evt_right")
            right = iter([(body.encode(), {"stripe-signature": signed(body, SECRET)})])
            assert asyncio.run(post_all(served.url, right)) == {200: 1}
            assert shop.query("SELECT id FROM webhook_event") == [("evt_right",)]
            output = served.output()
    for hidden in (SECRET, MARK, stripe.key, "Traceback"):
        assert hidden not in output
