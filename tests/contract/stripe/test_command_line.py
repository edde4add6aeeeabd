"""Stripe's own command line triggers what happens in shops, by Stripe's own sequences of requests."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.services.stripe import StripeStandin
from tests.services.stripe_cli import Cli, only_where_it_is

pytestmark = only_where_it_is
LEAVES = {"subscription_schedule.aborted": "subscription_schedule.canceled",
          "subscription.payment_succeeded": "invoice.payment_succeeded",
          "subscription.payment_failed": "invoice.payment_failed"}  # fmt: skip
"""The event that a trigger leaves, where it is not named after it."""
NEEDED = {"checkout.session.completed", "checkout.session.async_payment_succeeded", "customer.subscription.created",
          "customer.subscription.deleted", "invoice.paid", "invoice.payment_failed", "payment_intent.payment_failed",
          "charge.dispute.created", "charge.refunded"}  # fmt: skip


@pytest.fixture(scope="module")
def cli(own: StripeStandin, tmp_path_factory: pytest.TempPathFactory) -> Cli:
    return Cli(own, tmp_path_factory.mktemp("home"))


def test_every_trigger_of_what_shops_do_succeeds_and_leaves_its_event(own: StripeStandin, cli: Cli) -> None:
    kinds = cli.triggers()
    assert set(kinds) >= NEEDED
    with ThreadPoolExecutor(2) as pool:
        assert not [wrong for wrong in pool.map(cli.trigger, kinds) if wrong]
    own.settle()
    found = {event.type for event in own.client().v1.events.list({"limit": 100}).auto_paging_iter()}
    assert {LEAVES.get(kind, kind) for kind in kinds} <= found


def test_it_reads_what_is_there(own: StripeStandin, cli: Cli) -> None:
    ada = own.client().v1.customers.create({"email": "ada@example.com"})
    shown = cli.run("get", ada.id, "--api-base", own.url, "--api-key", own.key)
    assert '"email": "ada@example.com"' in shown.stdout, shown.stderr
