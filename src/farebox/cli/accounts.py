"""The command `farebox accounts`."""

from typing import Annotated

import typer

from farebox.account.sign_up import sign_up
from farebox.cli.context import AppOption, open_shop
from farebox.domain.events import SignedUp

cli = typer.Typer(help="The accounts of your customers.", no_args_is_help=True)


@cli.callback()
def group() -> None:
    """The accounts of your customers."""


@cli.command()
def create(
    email: Annotated[str, typer.Argument(help="The customer's e-mail address.")],
    plan: Annotated[str, typer.Option("--plan", help="The name of one of your plans.")],
    app: AppOption = None,
) -> None:
    """Open an account on a plan. Its billing month begins now."""
    shop = open_shop(app)
    row = sign_up(shop.accounts, shop.product, email, plan)
    typer.echo(f"{row.id}  {row.email}  plan {row.plan}")
    shop.app.tell(SignedUp(row.id, row.plan, row.email))
