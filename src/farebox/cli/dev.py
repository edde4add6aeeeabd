"""The command `farebox dev`."""

import json
import os
import sys
from typing import Final

import typer

from farebox import wiring
from farebox.account.developer import DEVELOPER, Developer, developer
from farebox.app import Farebox
from farebox.cli import told
from farebox.cli.context import AppArgument, Shop, open_shop
from farebox.cli.dev_stripe import is_beside, offer_beside, stripe_beside
from farebox.cli.load import APP_VARIABLE
from farebox.cli.models import local_model, model_line, use
from farebox.cli.own_templates import check_templates, warn_of_templates
from farebox.cli.serve import (
    HostOption,
    PortOption,
    warn_of_lost_plans,
    warn_of_prices,
    warn_of_routes,
    warn_of_stripe,
)
from farebox.cli.server import listen, run, url_of
from farebox.domain.errors import FounderError, LedgerUnavailable
from farebox.sandbox.example import example
from farebox.web.pages.offers import SAMPLE, suggested

GRACE_SECONDS: Final = 5  # a reload must not wait for a slow model
REAL_MONEY: Final = (
    "STRIPE_SECRET_KEY is a live key, but farebox dev is for trying things out, and would charge real cards. Set a key "
    "of Stripe's test mode, sk_test_…, or none, to use a stand-in. To serve customers, run farebox serve."
)
GENERATE: Final = ("/v1/generate", '{"prompt": "Write a tagline for a dog-walking app"}')


def dev(app: AppArgument = None, host: HostOption = "127.0.0.1", port: PortOption = 8000) -> None:
    """Try your product out on this machine: prints a key and a curl line, and reloads when your file changes."""
    with listen(host, port, "farebox dev") as listeners:
        shop = open_shop(app, migrate=True)
        _check(shop)
        you = developer(shop.accounts, shop.product, shop.secret)
        url = url_of(listeners[0])
        with stripe_beside(shop.product, shop.settings, host, url) as stripe:
            for line in _welcome(shop, you, url, stripe):
                typer.echo(line)
            warn_of_lost_plans(shop)
            warn_of_prices(shop)
            warn_of_routes(shop)
            if stripe is None:
                warn_of_stripe(shop)
            shop.database.close()
            served = "farebox.cli.dev:reloaded_app"
            watched, grace = shop.app.folder, GRACE_SECONDS
            run(served, app, listeners, grace_seconds=grace, watched=watched, stays=stripe is not None)


def reloaded_app() -> Farebox:
    """The product after a change of its file; a mistake is told in a sentence, until the next change."""
    try:
        shop = open_shop(os.environ.get(APP_VARIABLE) or None)
        _check(shop)
        offer_beside(shop.product, shop.settings)
        warn_of_templates(shop.app.folder)
    except (FounderError, LedgerUnavailable) as error:
        sys.exit(told(error))
    shop.database.close()
    shop.app.is_dev = True
    shop.app.bills_sandbox = is_beside(shop.settings)
    # Looked for here, at each start, so that a key that is set later in `.env` is used.
    local = local_model(shop.product, shop.settings)
    if local is not None:
        use(local)
    return shop.app


def _check(shop: Shop) -> None:
    """Refuse what cannot be served, and what must not be tried out.

    Raises:
        FounderError: something is set up wrongly, or real cards would be charged.
    """
    wiring.check(shop.product, shop.settings, is_dev=True)
    check_templates(shop.app.folder)
    if shop.settings.sells_live:
        raise FounderError(REAL_MONEY)


def _welcome(shop: Shop, you: Developer, url: str, stripe: str | None) -> list[str]:
    moved = f" (moved from {you.moved_from!r}, which your file no longer has)" if you.moved_from else ""
    return [
        f"{shop.product.name} runs at {url}",
        f"  Docs   {url}/docs",
        *_mail_lines(shop, url),
        *([f"  Stripe {stripe}, a stand-in: no card is charged"] if stripe else []),
        f"  Model  {_model_line(shop, stripe)}",
        f"  Plan   {you.account.plan}, for the account {DEVELOPER}{moved}",
        f"  Key    {you.key.text}",
        *_first_lines(shop.app, url, you.key.text),
        "",
        "Ctrl-C stops it." + (" It restarts when you change your file." if shop.app.folder else ""),
    ]


def _model_line(shop: Shop, stripe: str | None) -> str:
    local = local_model(shop.product, shop.settings)
    told = model_line(shop.product, shop.settings, local)
    product = wiring.chosen(shop.product, shop.settings)
    if local is not None or wiring.usable(product.models, product, shop.settings):
        return told
    if stripe is None:
        return f"{told}. What it answers is not charged"
    return f"{told}. What it answers is charged at the price of {product.models[0].name}"


def _mail_lines(shop: Shop, url: str) -> list[str]:
    return [f"  Mail   {url}/dev/mail, and here"] if shop.settings.smtp_url is None else []


def _first_lines(app: Farebox, url: str, key: str) -> list[str]:
    """A call that can be pasted, where one needs no file."""
    first = _first_call(app)
    if first is None:
        return [f"Each of its functions takes a file: make a first call at {url}/docs."]
    return ["Paste this into another terminal:", "", curl(url, key, *first, windows=sys.platform == "win32")]


def _first_call(app: Farebox) -> tuple[str, str] | None:
    """A path and a body for it: of the first function of the file that takes no file, else of the plain prompt."""
    for handler in app.handlers.values():
        if not handler.inputs.takes_files:
            return handler.path, json.dumps(example(suggested(handler.inputs.schema, SAMPLE))).replace("'", "")
    return GENERATE if GENERATE[0] in app.product.served_endpoints else None


def curl(url: str, key: str, path: str = GENERATE[0], body: str = GENERATE[1], *, windows: bool) -> str:
    """A call that can be pasted: into sh, or into the command prompt of Windows."""
    if windows:
        body = body.replace('"', r"\"")
    quote = '"' if windows else "'"
    sent = [f"X-API-Key: {key}", "Content-Type: application/json"]
    headers = " ".join(f"-H {quote}{header}{quote}" for header in sent)
    return f"curl{'.exe' if windows else ''} {url}{path} {headers} -d {quote}{body}{quote}"
