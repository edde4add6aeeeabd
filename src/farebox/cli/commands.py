"""Every command, by its name."""

from importlib import metadata
from typing import Annotated

import typer

from farebox.cli import accounts, backup, dev, doctor, keys, migrate, new, reconcile, serve, stripe, usage

cli = typer.Typer(
    name="farebox",
    help="Turn a Python function into a paid AI service.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _tell_version(is_asked: bool) -> None:
    if is_asked:
        typer.echo(f"farebox {metadata.version('farebox')}")
        raise typer.Exit


@cli.callback()
def options(
    version: Annotated[  # its callback does it
        bool, typer.Option("--version", is_eager=True, callback=_tell_version, help="Show the version, and exit.")
    ] = False,
) -> None:
    """What may stand before a command."""


cli.command("new")(new.new)
cli.command("dev")(dev.dev)
cli.command("serve")(serve.serve)
cli.add_typer(accounts.cli, name="accounts")
cli.add_typer(keys.cli, name="keys")
cli.add_typer(usage.cli, name="usage")
cli.add_typer(stripe.cli, name="stripe")
cli.command("reconcile")(reconcile.reconcile)
cli.command("migrate")(migrate.migrate)
cli.command("backup")(backup.backup)
cli.command("doctor")(doctor.doctor)
