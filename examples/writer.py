"""Writes a story in two steps: an outline first, and then the story, which the customer reads as it is written."""

from collections.abc import AsyncIterator

from farebox import Call, Farebox, LimitNear, Plan

app = Farebox(
    "Storyteller",
    model="openai:gpt-4o-mini",
    plans=[
        Plan("free", calls=5),
        Plan("author", usd=12, credit_usd=8, markup=0.25, max_output_tokens=2_000),
    ],
)


@app.paid(max_input_tokens=4_000, max_output_tokens=3_000)
async def story(call: Call, about: str, outline_words: int = 40) -> AsyncIterator[str]:
    """Write a short story, streamed."""
    outline = await call.ask(f"Outline a story about {about} in {outline_words} words.", max_tokens=200)
    call.log.info("outlined")
    async for piece in call.stream(f"Write this story: {outline}"):
        yield piece


@app.on("limit_near")
def invite(event: LimitNear) -> None:
    print(f"{event.account} has used {event.used} of {event.most} {event.limit}: time for a friendly mail.")
