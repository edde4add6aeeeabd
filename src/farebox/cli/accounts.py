"""The command `farebox accounts`."""

from typing import Annotated, Final

import typer

from farebox.account import by_hand
from farebox.account.sign_up import sign_up
from farebox.cli.context import AppOption, open_shop
from farebox.domain.events import SignedUp
from farebox.domain.period import iso
from farebox.ports.calls import AccountRow

cli = typer.Typer(help="The accounts of your customers.", no_args_is_help=True)

EmailArgument = Annotated[str, typer.Argument(help="The address of the account.")]
PAID: Final = {"active": "paid", "trialing": "trial", "past_due": "payment failed"}
PAYS_ON: Final = "Its subscription at Stripe goes on, and so do its payments: cancel it there if it is to end."


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


@cli.command("list")
def list_(app: AppOption = None) -> None:
    """List the accounts that are open, with their plan, how it is paid, and the day they began."""
    rows = open_shop(app).accounts.list_accounts()
    for row, status in rows:
        typer.echo(_line(row, status))
    if not rows:
        typer.echo("No accounts yet. Open one with: farebox accounts create EMAIL --plan NAME", err=True)


def _line(row: AccountRow, status: str) -> str:
    paid = f"  {PAID.get(status, 'subscribed')}" if row.is_subscribed else ""
    state = "" if row.state == "active" else f"  {row.state}"
    return f"{row.id}  {row.email}  plan {row.plan}{paid}  {iso(row.created_us)[:10]}{state}"


@cli.command()
def plan(
    email: EmailArgument,
    name: Annotated[str, typer.Argument(metavar="PLAN", help="The name of one of your plans.")],
    app: AppOption = None,
) -> None:
    """Move an account to another plan, as for a sale by hand. What it has used this month counts on."""
    shop = open_shop(app)
    row = by_hand.move(shop.accounts, shop.product, email, name)
    typer.echo(f"{row.id}  {row.email}  plan {row.plan}")


@cli.command()
def suspend(email: EmailArgument, app: AppOption = None) -> None:
    """Refuse an account's calls and its people from this moment on, in every process. Calls under way end as usual."""
    row, is_new = by_hand.suspend(open_shop(app).accounts, email)
    typer.echo(f"{row.email} is suspended." if is_new else f"{row.email} was suspended before.")
    if row.is_subscribed:
        typer.echo(PAYS_ON, err=True)


@cli.command()
def resume(email: EmailArgument, app: AppOption = None) -> None:
    """Let a suspended account call again."""
    row, is_new = by_hand.resume(open_shop(app).accounts, email)
    typer.echo(f"{row.email} may call again." if is_new else f"{row.email} is not suspended.")
