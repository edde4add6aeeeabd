"""The stand-in for Stripe beside `farebox dev`: a server of its own in a thread, which a reload does not touch."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import uvicorn

from farebox.account.stripe_catalogue import compare, make_so
from farebox.cli.server import free_port_after, open_port, url_of
from farebox.domain.catalogue import for_sale
from farebox.domain.product import Product
from farebox.domain.webhooks import PATH
from farebox.settings import Settings
from farebox.wiring import money as wiring_money

STANDIN_VARIABLE: Final = "FAREBOX_DEV_STRIPE"  # tells the serving process the stand-in's address
FILE: Final = "farebox-stripe.db"


@contextmanager
def stripe_beside(product: Product, settings: Settings, host: str, url: str) -> Iterator[str | None]:
    """Serve the stand-in and have the product use it; yields its address, or None where it is not needed.

    What is bought stays in a file in the working directory, as the product's own database does.
    """
    if settings.stripe_secret_key is not None or not for_sale(product.plans, product.packs):
        yield None
        return
    from farebox.sandbox.stripe import DEFAULT_KEY, Standin  # noqa: PLC0415  # only where it is used

    listener = open_port(host, free_port_after(host, int(url.rpartition(":")[2])))
    address = url_of(listener)
    standin = Standin(Path.cwd() / FILE, address)
    server = uvicorn.Server(uvicorn.Config(standin, log_config=None, log_level="warning", access_log=False))
    thread = threading.Thread(target=server.run, args=([listener],), name="farebox-stripe", daemon=True)
    thread.start()
    os.environ.update(
        {
            STANDIN_VARIABLE: address,
            "STRIPE_SECRET_KEY": DEFAULT_KEY,
            "STRIPE_API_BASE": address,
            "STRIPE_WEBHOOK_SECRET": standin.told_to(f"{url}{PATH}"),
        }
    )
    try:
        yield address
    finally:
        server.should_exit = True
        thread.join()
        listener.close()


def is_beside(settings: Settings) -> bool:
    """Whether the settings lead to the stand-in of this `farebox dev`."""
    return bool(settings.stripe_api_base) and settings.stripe_api_base == os.environ.get(STANDIN_VARIABLE)


def offer_beside(product: Product, settings: Settings) -> None:
    """Have the stand-in sell what the file says; a Stripe that is not ours is left as it is.

    Raises:
        FounderError: two prices would be called the same.
    """
    if is_beside(settings):
        catalogue = wiring_money.catalogue_of(settings)
        make_so(catalogue, product, *compare(catalogue, product))
