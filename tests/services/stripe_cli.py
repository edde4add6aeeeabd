"""Stripe's own command line, which triggers what happens in shops by Stripe's own sequences of requests."""

import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from tests.clients.installed import node_modules
from tests.services.stripe import StripeStandin

FOLDER: Final = Path(__file__).parents[1] / "clients" / "stripe"
PROGRAM: Final = FOLDER / "node_modules" / "@stripe" / "cli-linux-x64" / "bin" / "stripe"
FAMILIES: Final = (
    "checkout.", "customer.subscription.", "subscription.", "subscription_schedule.", "invoice.", "invoiceitem.",
    "payment_intent.", "payment_method.", "payment_link.", "charge.", "setup_intent.", "test_helpers.",
)  # fmt: skip
only_where_it_is = pytest.mark.skipif(
    (sys.platform, platform.machine()) != ("linux", "x86_64"),
    reason="npm has Stripe's command line for Linux on x86-64",
)


class Cli:
    """The command line, told to talk to a stand-in."""

    def __init__(self, standin: StripeStandin, home: Path) -> None:
        node_modules(FOLDER)
        self._standin = standin
        self._env = {**os.environ, "HOME": str(home), "STRIPE_CLI_TELEMETRY_OPTOUT": "1", "GOGC": "off"}

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
