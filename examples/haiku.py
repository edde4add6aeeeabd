"""Two products without a line of code: behind the docstring's first empty line stands the prompt."""

from collections.abc import AsyncIterator
from typing import Literal

from farebox import Farebox, Plan

app = Farebox("Poet", model="openai:gpt-4o-mini", plans=[Plan("free", calls=20), Plan("pro", usd=5, calls=1_000)])


@app.prompt
async def haiku(topic: str, mood: Literal["sad", "glad"] = "glad") -> str:
    """Write a haiku.

    You are a poet. Write a {mood} haiku about {topic}, in 5, 7 and 5 syllables.
    """


@app.prompt(units=2)
async def ode(topic: str) -> AsyncIterator[str]:
    """Write an ode, streamed.

    Write an ode of three verses to {topic}.
    """
