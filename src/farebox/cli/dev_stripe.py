"""The stand-in for Stripe that `farebox dev` brings: it takes the place of Stripe where the settings name none."""

import logging
import os
import secrets
import time
from pathlib import Path
from typing import Final

from farebox import settings as settings_module
from farebox import wiring_money
from farebox.account.offer import compare, make_so
from farebox.app import Farebox
from farebox.domain.catalogue import for_sale
from farebox.domain.product import Product
from farebox.ports_money import PaymentRefused, PaymentsUnavailable
from farebox.sandbox.stripe import DEFAULT_KEY, Standin
from farebox.sandbox.stripe.beside import make_known
from farebox.settings import LISTENING_VARIABLE, Settings

log = logging.getLogger("farebox.money")

AT: Final = "/dev/stripe"
FILE: Final = Path("farebox-stripe.db")
TRIES: Final = 40
WAIT_SECONDS: Final = 0.25


def sells_by_standin(product: Product, settings: Settings) -> bool:
    """Whether there is something to sell, and no Stripe to sell it by."""
    return settings.stripe_secret_key is None and bool(for_sale(product.plans, product.packs))


def put_beside(app: Farebox) -> None:
    """Serve the stand-in beside the product, and have this process sell by it."""
    url = os.environ[LISTENING_VARIABLE]
    secret = f"whsec_{secrets.token_hex(24)}"
    make_known(FILE, f"{url}/stripe/webhook", secret)
    os.environ |= {
        "STRIPE_SECRET_KEY": DEFAULT_KEY, "STRIPE_WEBHOOK_SECRET": secret, "STRIPE_API_BASE": f"{url}{AT}"
    }  # fmt: skip
    app.beside(AT, Standin(FILE, f"{url}{AT}"), lambda: _offer(app))


def _offer(app: Farebox) -> None:
    """Have the stand-in sell what the file says, as soon as it is served."""
    settings = settings_module.load(app.folder)
    for _ in range(TRIES):
        try:
            catalogue = wiring_money.catalogue_of(settings)
            make_so(catalogue, app.product, *compare(catalogue, app.product))
        except PaymentsUnavailable:
            time.sleep(WAIT_SECONDS)
        except PaymentRefused as error:
            log.warning("the stand-in for Stripe: %s", error)
            return
        else:
            return
