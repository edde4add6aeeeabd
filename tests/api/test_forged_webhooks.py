"""Who is not Stripe is not believed, however often and in whatever form they come."""

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tests.api.shop import Shop
from tests.services.forged import event_body, forged, post_all, signed
from tests.services.stripe import StripeStandin

SECRET: Final = "whsec_of_nobody_but_stripe"
COUNT: Final = 10_000


def forgeries(seed: int) -> Iterator[tuple[bytes, str | None]]:
    made = random.Random(seed)
    for number in range(COUNT):
        body, signature = forged(made, event_body(f"evt_forged_{number}"), SECRET)
        yield body, None if number % 50 == 0 else signature


def test_of_ten_thousand_that_were_forged_or_altered_none_is_stored(
    fresh_database_url: str, tmp_path: Path, seed: int
) -> None:
    shop = Shop(tmp_path, fresh_database_url, None)
    with StripeStandin(tmp_path) as stripe:
        settings = {"STRIPE_SECRET_KEY": stripe.key, "STRIPE_API_BASE": stripe.url, "STRIPE_WEBHOOK_SECRET": SECRET}
        with shop.served(workers=2, **settings) as served:
            assert post_all(served.url, forgeries(seed)) == {400: COUNT}
            assert shop.scalar("SELECT count(*) FROM webhook_event") == 0
            body = event_body("evt_right")
            assert post_all(served.url, [(body.encode(), signed(body, SECRET))]) == {200: 1}
            assert shop.query("SELECT id FROM webhook_event") == [("evt_right",)]
            assert "Traceback" not in served.output()
