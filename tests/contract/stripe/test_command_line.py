"""Stripe's own command line triggers what happens in shops, by Stripe's own sequences of requests."""

import os
import platform
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.clients.installed import node_modules
from tests.services.stripe import StripeStandin

FOLDER = Path(__file__).parents[2] / "clients" / "stripe"
PROGRAM = FOLDER / "node_modules" / "@stripe" / "cli-linux-x64" / "bin" / "stripe"
FAMILIES = ("checkout.", "customer.subscription.", "subscription.", "subscription_schedule.", "invoice.",
            "invoiceitem.", "payment_intent.", "payment_method.", "payment_link.", "charge.", "setup_intent.",
            "test_helpers.")  # fmt: skip
LEAVES = {"subscription_schedule.aborted": "subscription_schedule.canceled",
          "subscription.payment_succeeded": "invoice.payment_succeeded",
          "subscription.payment_failed": "invoice.payment_failed"}  # fmt: skip
"""The event that a trigger leaves, where it is not named after it."""
NEEDED = {"checkout.session.completed", "checkout.session.async_payment_succeeded", "customer.subscription.created",
          "customer.subscription.deleted", "invoice.paid", "invoice.payment_failed", "payment_intent.payment_failed",
          "charge.dispute.created", "charge.refunded"}  # fmt: skip

pytestmark = pytest.mark.skipif(
    (sys.platform, platform.machine()) != ("linux", "x86_64"),
    reason="npm has Stripe's command line for Linux on x86-64",
)


class Cli:
    def __init__(self, standin: StripeStandin, home: Path) -> None:
        self._standin = standin
        self._env = {**os.environ, "HOME": str(home), "STRIPE_CLI_TELEMETRY_OPTOUT": "1"}

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(PROGRAM), *words], capture_output=True, text=True, env=self._env, check=False, timeout=60
        )

    def triggers(self) -> list[str]:
        """What it can trigger, by its own help."""
        words = self.run("trigger", "--help").stdout.split("Supported events:")[1].split("Usage:")[0].split()
        return [word for word in words if word.startswith(FAMILIES)]

    def trigger(self, kind: str) -> str:
        """What went wrong, or nothing."""
        done = self.run("trigger", kind, "--api-base", self._standin.url, "--api-key", self._standin.key)
        return f"{kind}:\n{done.stdout}{done.stderr}" if done.returncode else ""


@pytest.fixture(scope="module")
def cli(own: StripeStandin, tmp_path_factory: pytest.TempPathFactory) -> Cli:
    node_modules(FOLDER)
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
