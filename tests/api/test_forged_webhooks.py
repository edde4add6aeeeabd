"""Who is not Stripe is not believed, however often and in whatever form they come; Stripe is, and need not wait."""

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from tests.api.shop import Shop
from tests.services.forged import event_body, forged, post_all, signed
from tests.services.process import wait_until
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


def test_events_are_acknowledged_before_stripe_is_asked_anything(fresh_database_url: str, tmp_path: Path) -> None:
    shop = Shop(tmp_path, fresh_database_url, None)
    with StripeStandin(tmp_path) as stripe:
        settings = {"STRIPE_SECRET_KEY": stripe.key, "STRIPE_API_BASE": stripe.url, "STRIPE_WEBHOOK_SECRET": SECRET}
        with shop.served(workers=1, **settings) as served:
            stripe.fault("slow", seconds=3_600, times=COUNT)
            bodies = [event_body(f"evt_{number}") for number in range(50)]
            assert post_all(served.url, [(body.encode(), signed(body, SECRET)) for body in bodies]) == {200: 50}
            assert shop.query("SELECT count(*), count(applied_us) FROM webhook_event") == [(50, 0)]


def test_each_of_two_endpoints_has_its_own_secret_and_both_are_believed(tmp_path: Path) -> None:
    shop = Shop(tmp_path, f"sqlite:///{tmp_path}/farebox.db", None)
    with StripeStandin(tmp_path) as stripe:
        settings = {"STRIPE_SECRET_KEY": stripe.key, "STRIPE_API_BASE": stripe.url}
        served = shop.served(workers=1, **settings)
        url = f"{served.url}/stripe/webhook"
        snapshot, (_, thin) = str(stripe.tell(url, ("price.created",)).secret), stripe.tell_thin(url, ("*",))
        assert snapshot != thin
        served._env = {**served._env, "STRIPE_WEBHOOK_SECRET": f"{snapshot}, {thin}"}
        with served:
            product: Any = {"currency": "usd", "unit_amount": 1, "product_data": {"name": "x"}}
            stripe.client().v1.prices.create(product)
            usage: Any = {"event_name": "none", "payload": {"stripe_customer_id": "cus_none", "value": "1"}}
            stripe.client().v2.billing.meter_event_stream.create({"events": [usage]}, session_of(stripe))
            sql = "SELECT type FROM webhook_event ORDER BY type"
            both = [("price.created",), ("v1.billing.meter.no_meter_found",)]
            wait_until(lambda: shop.query(sql) == both, "an event of each")
            body = event_body("evt_forged")
            wrong = [(body.encode(), signed(body, secret)) for secret in ("whsec_x", f"{snapshot}, {thin}", "")]
            assert post_all(served.url, wrong) == {400: 3}
            right = [(event_body(f"evt_{secret[-5:]}"), secret) for secret in (snapshot, thin)]
            assert post_all(served.url, [(body.encode(), signed(body, secret)) for body, secret in right]) == {200: 2}
            said = served.output()
    assert not any(secret in said for secret in (snapshot, thin))


def session_of(stripe: StripeStandin) -> Any:  # noqa: ANN401  # the SDK's options
    """What lets usage in that is told in bulk: there what is wrong is told by an event, and not at once."""
    return {"api_key": stripe.client().v2.billing.meter_event_session.create().authentication_token}
