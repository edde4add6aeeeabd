"""The command `farebox keys`."""

import re
from typing import Annotated

import typer

from farebox.account import keys
from farebox.cli.context import AppOption, open_shop
from farebox.domain.apikey import Mode
from farebox.domain.errors import FounderError
from farebox.domain.period import iso

cli = typer.Typer(help="The API keys of your customers.", no_args_is_help=True)

KeyArgument = Annotated[str, typer.Argument(metavar="KEY", help="The key's id, its last four characters, or itself.")]
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


@cli.command()
def create(
    email: Annotated[str, typer.Argument(help="The address of the account.")],
    name: Annotated[str, typer.Option("--name", help="What the key is for.")] = "",
    test: Annotated[
        bool, typer.Option("--test", help="A test key: it reaches the sandbox model and is never billed.")
    ] = False,
    app: AppOption = None,
) -> None:
    """Make a key. It is the last line printed, and is shown this once."""
    shop = open_shop(app)
    mode: Mode = "test" if test else "live"
    new = keys.create_key(shop.accounts, shop.secret, shop.product.brand, email, name=name, mode=mode)
    typer.echo(f"{new.row.id}: copy the key now; it cannot be shown again.", err=True)
    typer.echo(new.key.text)


@cli.command("list")
def list_(
    email: Annotated[str | None, typer.Argument(help="Only the keys of this account.")] = None, app: AppOption = None
) -> None:
    """List keys by their prefix and last four characters."""
    shop = open_shop(app)
    for row in shop.accounts.list_keys(email):
        state = f"revoked {iso(row.revoked_us)[:19]}Z" if row.revoked_us is not None else "active"
        if row.revoked_us is None and row.expires_us is not None:
            state = f"expires {iso(row.expires_us)[:19]}Z"
        typer.echo(f"{row.id}  {row.prefix}…{row.last4}  {row.mode}  {state}  {row.name}".rstrip())


@cli.command()
def revoke(key: KeyArgument, app: AppOption = None) -> None:
    """Refuse a key from this moment on, in every process."""
    shop = open_shop(app)
    row = keys.find_key(shop.accounts, shop.secret, key)
    keys.revoke_key(shop.accounts, row)
    typer.echo(f"{row.id} is revoked.")


@cli.command()
def rotate(
    key: KeyArgument,
    grace: Annotated[str, typer.Option("--grace", help="How long the old key still works, as 30m, 24h or 7d.")] = "24h",
    app: AppOption = None,
) -> None:
    """Make a key that replaces another one. The new key is the last line printed, and is shown this once."""
    shop = open_shop(app)
    old = keys.find_key(shop.accounts, shop.secret, key)
    new = keys.rotate_key(shop.accounts, shop.secret, shop.product.brand, old, _seconds(grace))
    typer.echo(f"{new.row.id} replaces {old.id}, which works for {grace} more.", err=True)
    typer.echo(new.key.text)


def _seconds(text: str) -> int:
    match = re.fullmatch(r"(\d{1,6})([smhd]?)", text)
    if match is None:
        raise FounderError(f"--grace {text}: write a time as 30m, 24h or 7d.")
    return int(match[1]) * _UNITS[match[2] or "s"]
