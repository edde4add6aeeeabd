"""The command `farebox usage`."""

import typer

cli = typer.Typer()


@cli.command()
def export() -> None:
    pass
