"""Senders of usage that die, each in a process of its own, forked from one that has loaded everything.

`Senders(url, stripe)` starts that one; `senders.run(how)` forks a sender that does what is due, and says how it ended:

- "whole": it does all of it.
- "answered": it is killed (-9) when Stripe has answered, before that is noted.
- "unanswered": it is killed when no answer came, before that is noted.
"""

import os
import signal
import subprocess
import sys
from typing import Literal, Self

from tests.services.stripe import StripeStandin

PROGRAM = """
import os, sys
from farebox.account.check_usage import UsageCheck
from farebox.account.report_usage import UsageReport
from farebox.adapters import stripe_client
from farebox.adapters.stripe_usage import StripeUsage
from farebox.store.database import Database
from farebox.store.money.usage_checks import StoredUsageChecks
from farebox.store.money.usage_outbox import StoredUsageOutbox

url, key, api_base = sys.argv[1:]
stripe_client.TRIES = 0  # the SDK's own: each of them waits

def die(*_):
    os.kill(os.getpid(), 9)

def run(how):
    database = Database(url)
    outbox, checks = StoredUsageOutbox(database), StoredUsageChecks(database)
    usage = StripeUsage(stripe_client.open_client(key, api_base))
    if how == "answered":
        outbox.taken = die
    if how == "unanswered":
        outbox.put_off = die
    UsageReport(outbox, UsageCheck(checks, lambda: usage), lambda: usage).look()
    os._exit(0)

for line in sys.stdin:
    child = os.fork()
    if not child:
        run(line.strip())
    print(os.waitpid(child, 0)[1], flush=True)
"""
How = Literal["whole", "answered", "unanswered"]


class Senders:
    def __init__(self, url: str, stripe: StripeStandin) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, url, stripe.key, stripe.url],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env={**os.environ, "PYTHONWARNINGS": "ignore"},
        )  # fmt: skip

    def run(self, how: How) -> bool:
        """Whether it lived to its end."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{how}\n")
        self._process.stdin.flush()
        ended = self._process.stdout.readline().strip()
        assert ended in {"0", str(int(signal.SIGKILL))}, f"{ended}: {self.end()}"
        return ended == "0"

    def end(self) -> str:
        """End it; what it, and those who died, have logged."""
        _, logged = self._process.communicate(timeout=30)
        return logged

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()
