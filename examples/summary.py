"""Summarises a document that is uploaded. A call counts for one unit for each 10,000 bytes of it."""

from typing import Annotated

from fastapi import HTTPException
from pydantic import Field

from farebox import Call, Farebox, File, Plan

app = Farebox(
    "Short & Sweet",
    model="openai:gpt-4o-mini",
    plans=[
        Plan("free", calls=10),
        Plan("pro", usd=19, calls=1_000, max_output_tokens=800),
    ],
)


@app.paid(units=lambda request: 1 + len(request.document.content) // 10_000, max_input_tokens=200_000)
async def summary(call: Call, document: File, sentences: Annotated[int, Field(ge=1, le=20)] = 3) -> str:
    """Summarise a text document."""
    text = document.text()
    if not text.strip():
        raise HTTPException(422, "The document is empty. Send one with text in it.")
    return await call.ask(f"Summarise in {sentences} sentences:\n\n{text}", system="You write plainly.")
