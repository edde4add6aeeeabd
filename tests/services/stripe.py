"""A stand-in for Stripe, as a process of its own, and somebody who receives its webhooks.

    with StripeStandin(tmp_path) as stripe:             # a free port; `stripe.url`, `stripe.key`
        client = stripe.client()                        # stripe-python's own client, pointed at it
        session = client.v1.checkout.sessions.create({...})
        location = stripe.pay(session.url)              # pays with the card that works; where the browser would go
        stripe.pay(session.url, "failsLater")           # any name of sandbox/stripe/cards.py: fails at the renewal
        stripe.submit(session.url, card="chargeDeclined")  # the page's form as it is; here a page with status 402

STRIPE_SECRET_KEY is `stripe.key`, STRIPE_API_BASE is `stripe.url`.

Time. `stripe.advance(by="month")` (or "hour", "day", or `seconds=90`) moves everybody's time, and every test clock, and
waits until all that became due has happened. A renewal's invoice is a draft for an hour: advance by an hour more to see
it paid. `stripe.settle()` waits for that alone, webhooks included. A single customer's time is a test clock of the API.

Webhooks. `with Inbox() as inbox:` is an endpoint; `endpoint = stripe.tell(inbox.url)` makes it known and has the
`.secret`; thin events, as those of meters, go to `stripe.tell_thin(inbox.url, kinds)`. `inbox.received` are (headers,
body) pairs; `inbox.status` is what it answers. Trouble: `stripe.webhooks(copies=2)`, `(shuffle_seconds=1)`,
`(delay_seconds=5)`, `(hold=True)` until `stripe.release()`, `(lose=3)` for the next three, `(lose=-1)` for all.
`stripe.send(event_id, times=5)` sends one again.

Broken. `stripe.fault("status", status=429, times=3)`, `("slow", seconds=2)`, `("refuse")`, and `("die")`, which does
what it was asked and hangs up before the answer. Each takes `path="/v1/billing/*"`, `method="POST"`, and `times=None`
for until `stripe.heal()`. `stripe.stop()` is a Stripe that is gone; `stripe.start()` brings it back, with everything it
knew.

What it holds: `stripe.usage(customer)` is (sum, number) of all meter events that count; `stripe.dispute(charge=...)` or
`(payment_intent=...)`, `stripe.dispute(dispute=..., verdict="won")`; `stripe.settings(aggregation_seconds=5)`.
"""

import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

import httpx2
import stripe

from farebox.sandbox.stripe import DEFAULT_KEY
from farebox.sandbox.stripe.desk import Desk
from farebox.sandbox.stripe.shelf import Shelf
from tests.services.process import ProcessGroup, free_port, is_listening, wait_until

PROGRAM = """
import sys
from pathlib import Path
import uvicorn
from farebox.sandbox.stripe import Standin
path, port, key = sys.argv[1:]
app = Standin(Path(path), f"http://127.0.0.1:{port}", key)
uvicorn.run(app, host="127.0.0.1", port=int(port), log_level="warning", backlog=4096)
"""


class StripeStandin:
    """The process. It may be stopped and started again: its file stays, and so does its port."""

    def __init__(self, folder: Path, key: str = DEFAULT_KEY) -> None:
        self.key = key
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.path = folder / "stripe.db"
        self._log = folder / "stripe.log"
        self._process: ProcessGroup | None = None
        self.http = httpx2.Client(base_url=self.url, trust_env=False, timeout=60)

    def start(self) -> Self:
        command = [sys.executable, "-c", PROGRAM, str(self.path), str(self.port), self.key]
        self._process = ProcessGroup(command, log=self._log, forks=True)
        wait_until(self._is_up, "the stand-in for Stripe to listen")
        return self

    def _is_up(self) -> bool:
        assert self._process is not None
        self._process.require_running()
        return is_listening(self.port)

    def stop(self) -> None:
        """End it at once, as a power cut does."""
        if self._process is not None:
            self._process.kill()
            self._process = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()
        self.http.close()

    def client(self, *, retries: int = 0) -> stripe.StripeClient:
        """Stripe's own client, for this one."""
        bases = dict.fromkeys(("api", "meter_events", "files", "connect"), self.url)
        return stripe.StripeClient(
            self.key,
            base_addresses=bases,  # type: ignore[arg-type]
            max_network_retries=retries,
            http_client=stripe.RequestsClient(),
        )

    # -- its pages

    def submit(self, url: str, **form: str) -> httpx2.Response:
        """Send a page's form, as a browser would that follows no redirect."""
        return self.http.post(url, data=form)

    def pay(self, url: str, card: str = "visa", **form: str) -> str:
        """Pay a checkout session on its page; where the browser goes then. A card that asks its owner is told yes."""
        answer = self.submit(url, card=card, **{"email": "ada@example.com", "is_me": "yes", **form})
        assert answer.status_code == 303, answer.text
        return str(answer.headers["location"])

    # -- its verbs

    def control(self, verb: str, /, **told: object) -> dict[str, Any]:
        answer = self.http.post(f"/_control/{verb}", json=told)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def advance(self, *, settles: bool = True, **told: object) -> None:
        """Let time pass for everybody: `by` "hour", "day" or "month", or by `seconds`."""
        self.control("advance", **told)
        if settles:
            self.settle()

    def settle(self, timeout_seconds: float = 30) -> None:
        """Wait until all has happened that was to happen by now, and every webhook is where it was to be."""
        wait_until(
            lambda: bool(self.control("state")["is_idle"]), "Stripe to come to rest", timeout_seconds=timeout_seconds
        )

    def fault(self, kind: str, **told: object) -> None:
        self.control("faults", kind=kind, **told)

    def webhooks(self, **told: object) -> None:
        self.control("webhooks", **told)

    def release(self) -> int:
        return int(self.control("release")["released"])

    def send(self, event: str, times: int = 1) -> int:
        return int(self.control("send", event=event, times=times)["sent"])

    def heal(self) -> None:
        self.control("heal")

    def settings(self, **told: object) -> None:
        self.control("settings", **told)

    def dispute(self, **told: object) -> dict[str, Any]:
        return self.control("dispute", **told)

    def usage(self, customer: str) -> tuple[int, int]:
        """All that ever counted for a customer: its sum, and how many events it came in."""
        found = self.control("usage", customer=customer)
        return found["sum"], found["events"]

    def tell(self, url: str, events: tuple[str, ...] = ("*",)) -> stripe.WebhookEndpoint:
        """Make an endpoint for webhooks known; what it has to verify them with is its `secret`."""
        wanted: Any = list(events)
        return self.client().v1.webhook_endpoints.create({"url": url, "enabled_events": wanted})

    def webhook_secret(self, url: str) -> str:
        """The same, told as plain HTTP: what webhooks are verified with."""
        told = {"url": url, "enabled_events[0]": "*"}
        answer = self.http.post("/v1/webhook_endpoints", data=told, auth=(self.key, ""))
        assert answer.status_code == 200, answer.text
        return str(answer.json()["secret"])

    def tell_thin(self, url: str, events: tuple[str, ...]) -> tuple[str, str]:
        """Make a destination for thin events known, as those about meters are: its id, and its secret."""
        made = self.client().v2.core.event_destinations.create(
            {
                "name": "tests",
                "type": "webhook_endpoint",
                "event_payload": "thin",
                "enabled_events": list(events),
                "webhook_endpoint": {"url": url},
                "include": ["webhook_endpoint.signing_secret"],
            }
        )
        assert made.webhook_endpoint is not None
        return made.id, str(made.webhook_endpoint.signing_secret)


def make_known(path: Path, url: str, secret: str) -> None:
    """Have webhooks sent to an address, signed with a secret that was chosen before."""
    shelf = Shelf(path)
    try:
        with shelf.transaction() as db:
            desk = Desk(db, "")
            endpoint = desk.new(
                "webhook_endpoint", url=url, enabled_events=["*"], status="enabled", api_version=None,
                description=None, metadata={}, livemode=False,
            )  # fmt: skip
            desk.put({**endpoint, "_secret": secret, "secret": None})
    finally:
        shelf.close()


class Inbox:
    """An endpoint for webhooks, in a thread: it keeps what comes, and answers with its `status`.

    The first ones are answered with the statuses of `refusals`, one each.
    """

    def __init__(self) -> None:
        self.received: list[tuple[dict[str, str], bytes]] = []
        self.status = 200
        self.refusals: list[int] = []
        inbox = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:  # http.server's name
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                headers = {name.lower(): value for name, value in self.headers.items()}
                inbox.received.append((headers, body))
                self.send_response(inbox.refusals.pop(0) if inbox.refusals else inbox.status)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """It says nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/webhook"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def wait_for(self, count: int, timeout_seconds: float = 30) -> None:
        wait_until(lambda: len(self.received) >= count, f"{count} webhooks", timeout_seconds=timeout_seconds)
