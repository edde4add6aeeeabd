"""What goes in and out, as the OpenAPI page shows it."""

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from farebox.domain.admission import Standing
from farebox.domain.bill import answered_by
from farebox.domain.period import iso
from farebox.domain.providers import ModelName
from farebox.ports.calls import CallRow
from farebox.web.generate import MAX_TOKENS_MAX, PROMPT_CHARS_MAX, PROMPT_CHARS_MIN


class GenerateIn(BaseModel):
    model_config = ConfigDict(json_schema_extra={"examples": [{"prompt": "Write a tagline for a dog-walking app"}]})

    prompt: str = Field(
        min_length=PROMPT_CHARS_MIN, max_length=PROMPT_CHARS_MAX, description="What the model should answer."
    )
    max_tokens: Annotated[int, Field(ge=1, le=MAX_TOKENS_MAX)] | None = Field(
        None, description="The longest answer wanted, in tokens. The plan's own limit holds in any case."
    )
    stream: bool | None = Field(None, description="Send the answer as it comes, as server-sent events.")


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
    """The period so far. A limit that the plan, or the key, does not have is null, and so is what is left of it."""

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
    charge_nanodollars: int = Field(
        description="What the calls came to, in 10⁻⁹ USD: out of the plan's credit or bought credit, or for an invoice."
    )
    charge_held_nanodollars: int
    credit_nanodollars: int | None
    credit_remaining_nanodollars: int | None
    prepaid_remaining_nanodollars: int | None = Field(
        description="Credit that was bought and can be used now; null where none ever was, and for a test key."
    )
    key_calls_limit: int | None = Field(
        description="The key's own limit a month, shared with the one that replaces it."
    )
    key_calls_used: int | None
    key_calls_held: int | None
    key_calls_remaining: int | None


class CallOut(BaseModel):
    """One call. Times are UTC; a call under way has used nothing yet, and counts for what it holds."""

    id: str
    endpoint: str
    model: str = Field(description="The model that was asked first.")
    answered_by: list[str] = Field(
        description="The models that answered; another one than `model` where that one failed."
    )
    mode: Literal["live", "test"]
    plan: str
    state: Literal["held", "posted", "voided", "expired"] = Field(
        description="`posted` is charged, `voided` and `expired` are not, `held` is under way."
    )
    calls: int = Field(description="How many calls of the plan it counts for.")
    input_tokens: int
    cached_tokens: int = Field(description="The part of the input that the provider had in its cache.")
    output_tokens: int
    charge_nanodollars: int = Field(
        description="What it came to, in 10⁻⁹ USD: out of the plan's credit or bought credit, or for an invoice."
    )
    prepaid_nanodollars: int = Field(description="The part of it that was paid with credit bought before.")
    invoiced_nanodollars: int = Field(description="The part of it that comes onto the invoice.")
    marks: list[str] = Field(description="What is out of the ordinary, as `cut` or `estimated`.")
    error: str = Field(description="The code of the error that it ended with.")
    admitted_at: str
    recorded_at: str | None


class ModelOut(BaseModel):
    id: str
    object: Literal["model"] = "model"
    created: int = 0
    owned_by: str


class ModelsOut(BaseModel):
    object: Literal["list"] = "list"
    data: list[ModelOut]


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
    plan, meter, _, cap, prepaid = standing
    return UsageOut(
        plan=plan.name,
        mode="test" if meter.name == "test" else "live",
        period_start=iso(meter.period_start_us),
        period_end=iso(meter.period_end_us),
        calls_used=meter.posted_calls,
        calls_held=meter.held_calls,
        calls_limit=plan.calls,
        calls_remaining=standing.calls_left,
        tokens_used=meter.posted_tokens,
        tokens_held=meter.held_tokens,
        tokens_limit=plan.tokens,
        tokens_remaining=standing.tokens_left,
        charge_nanodollars=meter.posted_nanodollars,
        charge_held_nanodollars=meter.held_nanodollars,
        credit_nanodollars=plan.credit_nanodollars,
        credit_remaining_nanodollars=standing.credit_left,
        prepaid_remaining_nanodollars=prepaid,
        key_calls_limit=cap.calls if cap else None,
        key_calls_used=cap.meter.posted_calls if cap else None,
        key_calls_held=cap.meter.held_calls if cap else None,
        key_calls_remaining=cap.calls_left if cap else None,
    )


def call_of(row: CallRow) -> CallOut:
    """A call as its customer may see it: without what it cost the founder."""
    hold, outcome = row
    return CallOut(
        id=hold.call_id,
        endpoint=hold.endpoint,
        model=hold.model,
        answered_by=answered_by(outcome) if outcome else [],
        mode=hold.mode,
        plan=hold.plan,
        state=outcome.state.value if outcome else "held",
        calls=outcome.calls if outcome else hold.held_calls,
        input_tokens=outcome.input_tokens if outcome else 0,
        cached_tokens=outcome.cached_tokens if outcome else 0,
        output_tokens=outcome.output_tokens if outcome else 0,
        charge_nanodollars=outcome.charge_nanodollars if outcome else 0,
        prepaid_nanodollars=outcome.prepaid_nanodollars if outcome else 0,
        invoiced_nanodollars=outcome.invoiced_nanodollars if outcome else 0,
        marks=outcome.marks.split() if outcome else [],
        error=outcome.error if outcome else "",
        admitted_at=iso(hold.admitted_us),
        recorded_at=iso(outcome.recorded_us) if outcome else None,
    )


def models_of(listed: Sequence[ModelName]) -> ModelsOut:
    return ModelsOut(data=[ModelOut(id=model.name, owned_by=model.provider) for model in listed])
