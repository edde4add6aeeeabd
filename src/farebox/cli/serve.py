"""The command `farebox serve`."""

import os
from typing import Annotated

import typer
import uvicorn

from farebox.app import Farebox
from farebox.cli.context import APP_VARIABLE, AppArgument, load_app, open_shop
from farebox.domain.errors import FounderError


def serve(
    app: AppArgument = None,
    host: Annotated[str, typer.Option("--host", help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="The port to listen on.")] = 8000,
    workers: Annotated[int, typer.Option("--workers", min=1, max=64, help="How many processes.")] = 1,
) -> None:
    """Serve your product."""
    shop = open_shop(app)  # every mistake is told here, once, and not by each worker
    if workers > 1 and shop.database.is_memory:
        raise FounderError("Several workers cannot share a database in memory. Name a file: sqlite:///farebox.db")
    if not shop.settings.has_provider:
        typer.echo("No OPENAI_API_KEY: calls are answered by the sandbox model, farebox-sandbox.", err=True)
    shop.database.close()
    run(app, host, port, workers)


def run(app: str | None, host: str, port: int, workers: int) -> None:
    """Hand over to uvicorn; the processes find the product by the environment."""
    os.environ[APP_VARIABLE] = app or ""
    uvicorn.run(
        "farebox.cli.serve:served_app", factory=True, host=host, port=port, workers=workers,
        access_log=False, log_level="warning", server_header=False, date_header=True,
        timeout_graceful_shutdown=30, proxy_headers=False,
    )  # fmt: skip


def served_app() -> Farebox:
    """The product of a worker process."""
    return load_app(os.environ.get(APP_VARIABLE) or None)
