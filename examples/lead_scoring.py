"""Scores a sales lead, and says why. The answer is an object that the model has to keep to."""

from typing import Literal

from pydantic import BaseModel, Field

from farebox import Call, Farebox, Plan


class Lead(BaseModel):
    company: str = Field(min_length=1, max_length=200)
    employees: int | None = Field(None, ge=1)
    message: str = Field(max_length=4_000, description="What they wrote to you.")


class Score(BaseModel):
    points: int = Field(ge=0, le=100)
    stage: Literal["cold", "warm", "hot"]
    reasons: list[str]


app = Farebox(
    "Lead Score",
    model=["openai:gpt-4o-mini", "openai:gpt-4.1-mini"],
    plans=[
        Plan("free", calls=50),
        Plan("team", usd=49, calls=2_000, burst="10/10s", overage_usd="0.03"),
    ],
)


@app.paid(max_input_tokens=8_000, max_output_tokens=1_000)
async def score(call: Call, lead: Lead, ideal_customer: str = "a software company") -> Score:
    """Score a sales lead from 0 to 100, with the reasons."""
    return await call.ask(f"Our ideal customer is {ideal_customer}. Score this lead: {lead.model_dump_json()}", Score)
