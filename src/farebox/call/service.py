"""A call's request, its models, and what all calls of a process share."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from farebox.call.events import Events
from farebox.domain.admission import Once, Standing
from farebox.domain.apikey import ApiKey, Mode
from farebox.domain.breaker import Breaker
from farebox.domain.ledger import Hold, Outcome
from farebox.domain.prices import Price
from farebox.ports.calls import Ledger, Upstream

if TYPE_CHECKING:
    from farebox.call.handling import Choice
    from farebox.call.wire import Wire


class CallRequest(NamedTuple):
    """A well-formed request whose sender is not known yet. Sizes are worst cases.

    Args:
        models: the models that may answer it, in the order of fallback.
        output_tokens_wanted: the longest answer asked for; the plan bounds it too.
        answers: how many such answers there can be.
        output_tokens_total: the bound on all of a handler's answers together.
        units: how many calls it counts as.
        once: its Idempotency-Key.
    """

    call_id: str
    key: ApiKey
    endpoint: str
    models: "Chain"
    input_tokens_max: int
    output_tokens_wanted: int | None = None
    answers: int = 1
    output_tokens_total: int | None = None
    units: int = 1
    once: Once | None = None


class Model(NamedTuple):
    """A model of a provider, its price where it is known, the way to it, and whether its calls may be billed.

    The breaker is the provider's: its models share it.
    """

    name: str
    provider: str
    price: Price | None
    upstream: Upstream
    breaker: Breaker
    is_billed: bool = True


Chain = tuple[Model, ...]
"""Models in the order of fallback: where one fails, the next one is asked."""


@dataclass(frozen=True, slots=True)
class Service:
    """The ports and figures that each call uses; `wiring` makes one for each process.

    Args:
        models: the models of each mode; test keys have the sandbox's.
        embedding_models: those of /v1/embeddings; none where the founder names none.
        secret: the secret under which API keys are digested.
        call_seconds_max: the one deadline of a call.
        hold_ttl_seconds: after how long a hold expires if its process dies.
        upstream_retries_max: how often a failed call to the provider is sent again.
        idempotency_seconds: how long an answer is kept for its Idempotency-Key.
        openai_client: makes the OpenAI client of a call, from its wire and the models for text and for embeddings.
        events: tells the founder's listeners what happens; None where there are none.
        watch: called with each recorded call, and where its caller stands, if known.
    """

    ledger: Ledger
    models: Mapping[Mode, Chain]
    embedding_models: Mapping[Mode, Chain]
    secret: bytes
    call_seconds_max: float
    hold_ttl_seconds: float
    upstream_retries_max: int
    idempotency_seconds: int
    openai_client: "Callable[[Wire, Choice, Choice], Any] | None" = None
    events: Events | None = None
    watch: Callable[[Hold, Outcome, Standing | None], None] | None = None
