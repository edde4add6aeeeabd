"""The command `farebox stripe sync`."""

from typing import Annotated

import typer

from farebox import settings as settings_module
from farebox.account.stripe_catalogue import compare, make_so
from farebox.cli.context import AppOption
from farebox.cli.load import load_app
from farebox.domain.catalogue import Change
from farebox.domain.errors import FounderError
from farebox.domain.webhooks import PATH, TYPES, endpoint_at, webhook_url
from farebox.ports.billing import Catalogue
from farebox.ports.money import KeyRefused, PaymentRefused, PaymentsUnavailable
from farebox.settings import Settings
from farebox.wiring import money as wiring_money

PUT_INTO_ENV = "Put this line into .env, and restart Farebox. Stripe shows it at the endpoint, too:"
BY_HAND = (
    "You have no webhook endpoint at Stripe. Set FAREBOX_PUBLIC_URL to the https address that customers use, and this "
    f"command makes one. Or add one at https://dashboard.stripe.com/webhooks whose address ends in {PATH}, for:"
)
NO_KEY = "STRIPE_SECRET_KEY is not set; the keys are at https://dashboard.stripe.com/apikeys."

cli = typer.Typer(help="What is for sale at Stripe.", no_args_is_help=True)


@cli.callback()
def stripe() -> None:
    """What is for sale at Stripe."""


@cli.command("sync")
def sync(
    app: AppOption = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do it without asking.")] = False,
) -> None:
    """Have Stripe sell what your file says: shows the difference, asks, and adds or archives. No price is edited.

    Where FAREBOX_PUBLIC_URL is https, Stripe is told to send its webhooks there, and their secret is printed once.
    It ends with 0 where all is as your file says, and with 1 where something failed or was not wanted.
    """
    loaded = load_app(app)
    settings = settings_module.load(loaded.folder)
    if settings.stripe_secret_key is None:
        raise FounderError(NO_KEY)
    wiring_money.check_keys(settings)
    mode = "live: real money" if settings.sells_live else "test mode"
    try:
        catalogue = wiring_money.catalogue_of(settings)
        has, changes = compare(catalogue, loaded.product, webhook_url(settings.public_url))
        typer.echo(f"{loaded.product.name} at Stripe ({mode})")
        for line in table(changes):
            typer.echo(line)
        for line in by_hand(catalogue, settings) if changes else []:
            typer.echo(line)
        due = sum(change.sign != "=" for change in changes)
        if not due:
            typer.echo("Nothing to do: Stripe sells what your file says.")
            return
        if not yes and not typer.confirm(f"Make {_count(due)}?"):
            typer.echo("Nothing was changed.")
            raise typer.Exit(1)
        made = make_so(catalogue, loaded.product, has, changes)
        typer.echo(f"Made {_count(made.changes)}.")
        if made.webhook_secret:
            typer.echo(f"{PUT_INTO_ENV}\nSTRIPE_WEBHOOK_SECRET={made.webhook_secret}")
    except (PaymentsUnavailable, PaymentRefused) as error:
        raise FounderError(f"{error} What was done so far is kept; run farebox stripe sync again.") from None


def table(changes: list[Change]) -> list[str]:
    """The difference in columns: + is added, - is archived, = is there."""
    width = max((len(change.key) for change in changes), default=0)
    return [f"  {change.sign} {change.what:<7}  {change.key:<{width}}  {change.words}" for change in changes]


def by_hand(catalogue: Catalogue, settings: Settings) -> list[str]:
    """What the founder has to choose at Stripe, where there is neither a public address nor an endpoint.

    Raises:
        PaymentsUnavailable: Stripe cannot be asked.
        PaymentRefused: it said no.
    """
    if webhook_url(settings.public_url):
        return []
    try:
        if endpoint_at(catalogue.endpoints(), "") is not None:
            return []
    except KeyRefused:  # a restricted key may sell without seeing endpoints
        pass
    return [BY_HAND, *(f"    {kind}" for kind in TYPES)]


def _count(number: int) -> str:
    return f"{number} change{'' if number == 1 else 's'}"
