"""The command `farebox keys`."""

import re
from typing import Annotated, Final

import typer

from farebox.account import keys
from farebox.cli.context import AppOption, open_shop
from farebox.domain.errors import FounderError
from farebox.domain.period import iso
from farebox.ports.calls import KeyRow

cli = typer.Typer(help="The API keys of your customers.", no_args_is_help=True)

KeyArgument = Annotated[str, typer.Argument(metavar="KEY", help="The key's id, its last four characters, or itself.")]
PREFIX_CHARS_MAX: Final = 24
LINE_CHARS_MAX: Final = 79
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


@cli.command()
def create(
    email: Annotated[str, typer.Argument(help="The address of the account.")],
    name: Annotated[str, typer.Option("--name", help="What the key is for, to tell it apart.")] = "",
    test: Annotated[
        bool, typer.Option("--test", help="A test key: it reaches the sandbox model and is never billed.")
    ] = False,
    scopes: Annotated[
        str | None, typer.Option("--scopes", help="The only endpoints it may call, as /v1/tagline,/v1/generate.")
    ] = None,
    cap: Annotated[int | None, typer.Option("--cap", help="The most calls a month that it may make.")] = None,
    expires_days: Annotated[
        int | None, typer.Option("--expires-days", help="The number of days after which it ends.")
    ] = None,
    app: AppOption = None,
) -> None:
    """Make a key. It is the last line printed, and is shown this once."""
    shop = open_shop(app)
    paths = tuple(path.strip() for path in (scopes or "").split(",") if path.strip())
    if scopes is not None and not paths:  # as from a variable that is not set: the key would be for everything
        raise FounderError("--scopes names no endpoint; write it as /v1/tagline,/v1/generate, or leave it out.")
    terms = keys.KeyTerms(name, "test" if test else "live", paths, cap, expires_days)
    brand = shop.product.key_prefix
    new = keys.create_key(shop.accounts, shop.secret, brand, email, terms, shop.app.paid_paths)
    typer.echo(f"{new.row.id}: copy the key now; it cannot be shown again.", err=True)
    typer.echo(new.key.text)


@cli.command("list")
def list_(
    email: Annotated[str | None, typer.Argument(help="Only the keys of this account.")] = None, app: AppOption = None
) -> None:
    """List keys by their prefix and last four characters, under the address of their account."""
    shop = open_shop(app)
    if email is not None:
        keys.account_of(shop.accounts, email)
    owner = ""
    for address, row in shop.accounts.list_keys(email):
        if address != owner:
            typer.echo(address)
            owner = address
        typer.echo(_line(row))
    if not owner:
        typer.echo(f"No keys yet. Make one with: farebox keys create {email or 'EMAIL'}", err=True)


def _line(row: KeyRow) -> str:
    """One key, in 80 columns."""
    prefix = row.prefix if len(row.prefix) <= PREFIX_CHARS_MAX else row.prefix.partition("_")[2]
    state = "active"
    if row.revoked_us is not None:
        state = f"revoked {iso(row.revoked_us)[:10]}"
    elif row.expires_us is not None:
        state = f"ends {iso(row.expires_us)[:16]}Z"
    line = f"  {row.id}  {prefix}…{row.last4}  {state}"
    room = LINE_CHARS_MAX - len(line) - 2
    name = row.name if len(row.name) <= room else f"{row.name[: max(room - 1, 0)]}…"
    return f"{line}  {name}".rstrip()


@cli.command()
def revoke(key: KeyArgument, app: AppOption = None) -> None:
    """Refuse a key from this moment on, in every process."""
    shop = open_shop(app)
    row = keys.find_key(shop.accounts, shop.secret, key)
    revoked_now = shop.accounts.revoke_key(row.account_id, row.id)
    typer.echo(f"{row.id} is revoked." if revoked_now else f"{row.id} was revoked before.")


@cli.command()
def rotate(
    key: KeyArgument,
    grace: Annotated[
        str, typer.Option("--grace", help="How long the old key still works, such as 30m, 24h or 7d.")
    ] = "24h",
    app: AppOption = None,
) -> None:
    """Make a key that replaces another one. The new key is the last line printed, and is shown this once."""
    shop = open_shop(app)
    old = keys.find_key(shop.accounts, shop.secret, key)
    new = keys.rotate_key(shop.accounts, shop.secret, shop.product.key_prefix, old, _seconds(grace))
    typer.echo(
        f"{new.row.id} replaces {old.id}, which works for {grace}{'s' if grace.isdigit() else ''} more at most.",
        err=True,
    )
    typer.echo(new.key.text)


def _seconds(text: str) -> int:
    match = re.fullmatch(r"(\d{1,6})([smhd]?)", text)
    if match is None:
        raise FounderError(f"--grace {text}: write a time as 30m, 24h or 7d.")
    return int(match[1]) * _UNITS[match[2] or "s"]
