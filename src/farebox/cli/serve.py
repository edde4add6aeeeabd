"""The command `farebox serve`."""

from math import ceil
from typing import Annotated

import typer

from farebox import wiring
from farebox.call.record import RECORD_SECONDS
from farebox.cli.context import AppArgument, Shop, open_shop
from farebox.cli.doctor_stripe import check_stripe
from farebox.cli.own_templates import check_templates, warn_of_templates
from farebox.cli.server import listen, run, url_of
from farebox.cli.workers import processors_usable
from farebox.domain.odd_prices import odd_prices
from farebox.store.money.plans import lost_plans
from farebox.wiring.askers import key_variables

HostOption = Annotated[str, typer.Option("--host", help="The address to listen on.")]
WorkersOption = Annotated[
    int,
    typer.Option(
        "--workers",
        min=1,
        max=64,
        help="How many processes to run; those beyond the number of processors stand by.",
    ),
]
ProcessorsOption = Annotated[
    int | None,
    typer.Option("--processors", min=1, help="How many processors it may use, if the machine reports another number."),
]
PortOption = Annotated[int, typer.Option("--port", min=0, max=65535, help="The port to listen on.")]


def serve(
    app: AppArgument = None,
    host: HostOption = "127.0.0.1",
    port: PortOption = 8000,
    workers: WorkersOption = 1,
    processors: ProcessorsOption = None,
) -> None:
    """Serve your product to your customers."""
    at_work = min(workers, processors or processors_usable())
    with listen(host, port, "farebox serve", at_work) as listeners:
        shop = open_shop(app)  # every mistake is told here, once, and not by each worker
        wiring.check(shop.product, shop.settings)
        check_templates(shop.app.folder)
        warn_of_sandbox(shop)
        warn_of_lost_plans(shop)
        warn_of_prices(shop)
        warn_of_routes(shop)
        warn_of_templates(shop.app.folder)
        warn_of_mail(shop, url_of(listeners[0]))
        warn_of_stripe(shop)
        # A call under way is finished, and recorded, before its process goes.
        grace_seconds = ceil(shop.settings.call_seconds_max + RECORD_SECONDS)
        shop.database.close()
        typer.echo(f"{shop.product.name} is served at {url_of(listeners[0])}, by {told(workers, at_work)}.")
        run(
            "farebox.cli.load:served_app", app, listeners, grace_seconds=grace_seconds, workers=workers, at_work=at_work
        )


def told(workers: int, at_work: int) -> str:
    """The number of processes that serve, in words."""
    if workers == 1:
        return "1 process"
    if workers == at_work:
        return f"{workers} processes"
    there_are = "there is 1 processor" if at_work == 1 else f"there are {at_work} processors"
    return f"{workers} processes, of which {workers - at_work} stand by, as {there_are}"


def warn_of_sandbox(shop: Shop) -> None:
    product = wiring.chosen(shop.product, shop.settings)
    if not wiring.usable(product.models, product, shop.settings):
        missing = key_variables(product, product.models)
        sandbox = "calls are answered by the sandbox model, farebox-sandbox, and nothing beyond a plan is charged"
        typer.echo(f"No {missing}: {sandbox}.", err=True)


def warn_of_mail(shop: Shop, url: str) -> None:
    if shop.settings.smtp_url is None:
        typer.echo("No SMTP_URL: mails are printed here, and sent to nobody.", err=True)
    elif not shop.settings.public_url:
        typer.echo(f"No FAREBOX_PUBLIC_URL: links in mails lead to {url}.", err=True)


def warn_of_lost_plans(shop: Shop) -> None:
    sentence = lost_plans(shop.database, shop.product.by_name)
    if sentence:
        typer.echo(f"Warning: {sentence}", err=True)


def warn_of_prices(shop: Shop) -> None:
    for sentence in odd_prices(wiring.chosen(shop.product, shop.settings)):
        typer.echo(f"Warning: {sentence}.", err=True)


def warn_of_routes(shop: Shop) -> None:
    for sentence in shop.app.shadowed:
        typer.echo(f"Warning: {sentence}.", err=True)


def warn_of_stripe(shop: Shop) -> None:
    """Warn of what keeps customers from buying. Stripe is asked once; the product is served even if it is away."""
    if shop.settings.stripe_secret_key is None:
        return
    for finding in check_stripe(shop.settings, shop.product):
        if finding.level == "FIX":
            typer.echo(f"Warning: {finding.sentence}", err=True)
