"""The command `farebox reconcile`."""

from typing import Annotated

import typer

from farebox.cli.context import AppOption, open_shop
from farebox.store.reconcile.sums import reconcile as make_again


def reconcile(
    app: AppOption = None,
    *,
    strict: Annotated[bool, typer.Option("--strict", help="Exit with 1 for notes, too.")] = False,
) -> None:
    """Make every sum again from the calls, and list where one is off (then the exit code is 1)."""
    shop = open_shop(app)
    findings, notes, calls, meters = make_again(shop.database, shop.product.by_name)
    for email, period, what, expected, found in findings:
        typer.echo(f"{email}  {period}  {what}: expected {expected}, found {found}")
    for note in notes:
        typer.echo(f"note: {note}")
    counted = f"{_count(calls, 'call')}, {_count(meters, 'meter')}"
    if findings:
        typer.echo(f"{counted}: {_count(len(findings), 'figure')} off.")
        raise typer.Exit(1)
    typer.echo(f"{counted}: every sum is right.")
    if notes and strict:
        raise typer.Exit(1)


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"
