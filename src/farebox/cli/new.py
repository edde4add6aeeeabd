"""The command `farebox new`."""

import re
from pathlib import Path
from typing import Annotated, Final

import typer

from farebox.domain.errors import FounderError

_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,39}", re.ASCII)

APP: Final = '''\
from typing import Literal

from farebox import Call, Farebox, Plan

app = Farebox(
    "{product}",
    tagline="Taglines that stay in the head",
    model="openai:gpt-4o-mini",
    # endpoints=[],  # sell the function below alone: else the model itself is on sale too, at /v1/chat/completions
    plans=[
        Plan("free", calls=20),
        Plan("pro", usd=29, calls=5_000, burst="5/10s", overage_usd="0.01"),
    ],
)


@app.paid
async def tagline(call: Call, product: str, tone: Literal["warm", "bold"] = "warm") -> str:
    """Write a tagline for a product."""
    return await call.ask(f"Write a {{tone}} tagline for {{product}}.")
'''
TEST: Final = """\
import asyncio

from farebox.testing import call

from app import tagline


def test_the_model_is_asked_for_a_tagline() -> None:
    tea = call(answers=["Leaves that love you back."])
    assert asyncio.run(tagline(tea, product="tea", tone="bold")) == "Leaves that love you back."


def test_a_tagline_is_short() -> None:
    tea = call()  # the sandbox model: the same answer for the same words, and no network
    assert asyncio.run(tagline(tea, product="tea"))
    assert 0 < tea.spent.output_tokens < 400
"""
ENV: Final = """\
# Copy this file to .env, and fill in what you have. Without a key, a sandbox model answers.
OPENAI_API_KEY=
# FAREBOX_SECRET_KEY=            16 characters or more; without it, one is made and kept in farebox.secret
# FAREBOX_DATABASE_URL=          postgresql://user:password@host/name; without it, the file farebox.db
# FAREBOX_PUBLIC_URL=            the address that your customers use, as https://api.example.com
"""
IGNORED: Final = ".env\nfarebox.db*\nfarebox-stripe.db*\nfarebox.secret\n__pycache__/\n.pytest_cache/\n"
README: Final = """\
# {product}

    farebox dev       # try it here: prints a key and a curl line that works
    pytest            # test it, without a network

Its endpoint is `POST /v1/tagline` with `{{"product": "tea", "tone": "warm"}}`; the page for customers is at /docs.
"""


def new(name: Annotated[str, typer.Argument(help="The name of your product, and of its folder.")]) -> None:
    """Begin a product: a folder with a file that runs and a test that passes."""
    if not _NAME.fullmatch(name):
        raise FounderError(
            f"{name!r} cannot be a folder's name everywhere; use letters, digits, '-' and '_', a letter first, "
            "and no more than 40."
        )
    folder = Path(name)
    product = name.replace("-", " ").replace("_", " ").strip().title()
    files = {"app.py": APP, "test_app.py": TEST, ".env.example": ENV, ".gitignore": IGNORED, "README.md": README}
    try:
        folder.mkdir()
        for file, text in files.items():
            filled = text.format(product=product) if file in {"app.py", "README.md"} else text
            (folder / file).write_text(filled, encoding="utf-8")
    except FileExistsError:
        raise FounderError(f"There is already something called {name!r} here; choose another name.") from None
    except OSError as error:
        raise FounderError(f"{folder.resolve()} cannot be written ({error.strerror}).") from None
    typer.echo(f"{product} is in {name}/. Go on with:")
    typer.echo(f"\n  cd {name}\n  farebox dev       # try it: prints a key and a curl line that works")
    typer.echo("  pytest            # test it\n\nYour product is the file app.py: change it, and it restarts.")
