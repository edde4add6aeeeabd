from typing import Literal

from farebox import Farebox, Plan

app = Farebox(
    "Tagliner",
    model="openai:gpt-4o-mini",
    plans=[
        Plan("free", calls=20),
        Plan("pro", usd=29, calls=5_000, burst="5/10s", overage_usd=0.01),
    ],
)

@app.paid
async def tagline(call, product: str, tone: Literal["warm", "bold"] = "warm") -> str:
    """Write a tagline for a product."""
    return await call.ask(f"Write a {tone} tagline for {product}.")
