"""The command line, one file a command. Help is written for a founder."""

import sys

import typer

from farebox.cli import accounts, dev, doctor, keys, migrate, reconcile, serve, usage
from farebox.domain.errors import CallError, FounderError

cli = typer.Typer(
    name="farebox",
    help="Turn a Python function into a paid AI service.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
cli.command("dev")(dev.dev)
cli.command("serve")(serve.serve)
cli.add_typer(accounts.cli, name="accounts")
cli.add_typer(keys.cli, name="keys")
cli.add_typer(usage.cli, name="usage")
cli.command("reconcile")(reconcile.reconcile)
cli.command("migrate")(migrate.migrate)
cli.command("doctor")(doctor.doctor)


def main() -> None:
    """Run a command; a founder's mistake is a sentence on stderr and exit code 1."""
    try:
        cli()
    except FounderError as error:
        sys.exit(f"farebox: {error}")
    except CallError as error:
        cause = f" ({error.__cause__})" if error.__cause__ is not None else ""
        sys.exit(f"farebox: {error.detail}{cause}")
