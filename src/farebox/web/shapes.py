"""What goes in and out, as the OpenAPI page shows it."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from farebox.domain.admission import Standing
from farebox.domain.period import iso
from farebox.web.api import MAX_TOKENS_MAX, PROMPT_CHARS_MAX, PROMPT_CHARS_MIN


class GenerateIn(BaseModel):
    model_config = ConfigDict(json_schema_extra={"examples": [{"prompt": "Write a tagline for a dog-walking app"}]})

    prompt: str = Field(
        min_length=PROMPT_CHARS_MIN, max_length=PROMPT_CHARS_MAX, description="What the model should answer."
    )
    max_tokens: Annotated[int, Field(ge=1, le=MAX_TOKENS_MAX)] | None = Field(
        None, description="The longest answer wanted, in tokens. The plan's own limit holds in any case."
    )
    stream: Literal[False] | None = Field(None, description="This endpoint does not stream.")


class GenerateOut(BaseModel):
    text: str = Field(description="The model's answer.")
    input_tokens: int
    output_tokens: int
    tokens: int = Field(description="Input and output together.")
    calls_used: int = Field(description="Calls of this period, this one included.")
    calls_remaining: int | None = Field(description="Calls left in this period; null where the plan has no such limit.")


class HealthOut(BaseModel):
    status: Literal["ok"] = "ok"
    openai_key_loaded: bool = Field(description="Whether a provider's key is loaded; without one, answers are made up.")


class ReadyOut(BaseModel):
    status: Literal["ready"] = "ready"


class UsageOut(BaseModel):
    """The period so far. A limit that the plan does not have is null, and so is what is left of it."""

    plan: str
    mode: Literal["live", "test"]
    period_start: str
    period_end: str
    calls_used: int
    calls_held: int = Field(description="Calls under way.")
    calls_limit: int | None
    calls_remaining: int | None
    tokens_used: int
    tokens_held: int
    tokens_limit: int | None
    tokens_remaining: int | None
    charge_nanodollars: int = Field(description="What the calls came to beyond the plan's price, in 10⁻⁹ USD.")
    charge_held_nanodollars: int
    credit_nanodollars: int | None
    credit_remaining_nanodollars: int | None


class ProblemError(BaseModel):
    message: str
    type: str
    param: str | None
    code: str


class ProblemOut(BaseModel):
    """RFC 9457, and `error` as OpenAI's clients read it."""

    model_config = ConfigDict(extra="allow")

    type: str
    title: str
    status: int
    detail: str
    instance: str
    error: ProblemError


def usage_of(standing: Standing) -> UsageOut:
    plan, meter, _ = standing
    return UsageOut(
        plan=plan.name,
        mode=meter.mode,
        period_start=iso(meter.period_start_us),
        period_end=iso(meter.period_end_us),
        calls_used=meter.posted_calls,
        calls_held=meter.held_calls,
        calls_limit=plan.calls,
        calls_remaining=_left(plan.calls, meter.posted_calls + meter.held_calls),
        tokens_used=meter.posted_tokens,
        tokens_held=meter.held_tokens,
        tokens_limit=plan.tokens,
        tokens_remaining=_left(plan.tokens, meter.posted_tokens + meter.held_tokens),
        charge_nanodollars=meter.posted_nanodollars,
        charge_held_nanodollars=meter.held_nanodollars,
        credit_nanodollars=plan.credit_nanodollars,
        credit_remaining_nanodollars=_left(plan.credit_nanodollars, meter.posted_nanodollars + meter.held_nanodollars),
    )


def _left(limit: int | None, used: int) -> int | None:
    return None if limit is None else max(limit - used, 0)
