"""Whatever Stripe's own command line triggers leaves Farebox consistent, and who bought before keeps what they have."""

from pathlib import Path

from tests.api.test_buying import Buyer, Market, market
from tests.services.process import wait_until
from tests.services.stripe_cli import Cli, only_where_it_is

__all__ = ["market"]  # the fixture
pytestmark = only_where_it_is
EVENTS_MIN = 100


def test_every_trigger_is_worked_off_and_every_sum_holds(market: Market, tmp_path: Path) -> None:
    shop, buyer = market.shop, Buyer(market)
    buyer.browser.get(buyer.pay(buyer.checkout("/plan/buy", "pro")))
    account = "SELECT plan, is_subscribed, grace_until_us, anchor_us FROM account WHERE email = %s"
    before = shop.query(account, buyer.email)
    cli = Cli(market.stripe, tmp_path)
    assert not [wrong for kind in cli.triggers() if (wrong := cli.trigger(kind))]
    market.stripe.settle(120)
    wait_until(lambda: shop.scalar("SELECT count(*) FROM webhook_event WHERE applied_us IS NULL") == 0, "all of them",
               timeout_seconds=120)  # fmt: skip
    assert int(str(shop.scalar("SELECT count(*) FROM webhook_event"))) > EVENTS_MIN
    assert shop.query(account, buyer.email) == before
    assert buyer.call()[0] == 200
    shop.farebox("reconcile")
