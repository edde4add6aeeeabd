"""The stand-in beside a product that is developed: who is told of what happens there, and under which secret."""

from pathlib import Path

from farebox.sandbox.stripe.desk import Desk
from farebox.sandbox.stripe.shelf import Shelf

ENDPOINT = "we_farebox_dev"


def make_known(path: Path, url: str, secret: str) -> None:
    """Have webhooks sent to an address, signed with this secret, and to no other one that was made known so."""
    shelf = Shelf(path)
    try:
        with shelf.transaction() as db:
            desk = Desk(db, "")
            endpoint = desk.new(
                "webhook_endpoint", url=url, enabled_events=["*"], status="enabled", api_version=None,
                description="The product that is developed here", metadata={}, livemode=False,
            )  # fmt: skip
            desk.put({**endpoint, "id": ENDPOINT, "_secret": secret, "secret": None})
    finally:
        shelf.close()
