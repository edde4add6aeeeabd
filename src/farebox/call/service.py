"""What a call is, and what it needs of the house."""

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
    """A request that is well-formed; who sent it is not yet known. Sizes are the most that it can come to.

    Args:
        models: those that it may be answered by, in the order of fallback.
        output_tokens_wanted: the longest answer asked for; the plan bounds it too.
        answers: how many such answers there can be.
        output_tokens_total: what bounds all of a handler's answers together.
        units: how many calls it counts for.
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
    """The ports and figures that each call uses; `wiring.py` makes the one of a process.

    Args:
        models: the models of each mode; test keys have the sandbox's.
        embedding_models: those of /v1/embeddings; none where the founder names none.
        secret: what API keys are digested under.
        call_seconds_max: the one deadline of a call.
        hold_ttl_seconds: how long a hold lives when its process does not.
        upstream_retries_max: how often a failed call to the provider is sent again.
        idempotency_seconds: how long an answer is kept for its Idempotency-Key.
        openai_client: makes the OpenAI client of a call, from its wire and the models for text and for embeddings.
        events: who listens to what happens; None where nobody does.
        watch: told of each call that was recorded, and where its caller stands, as far as that is known.
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
