"""What a call is, and what it needs of the house."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from farebox.domain.apikey import ApiKey, Mode
from farebox.domain.prices import Price
from farebox.ports import Ledger, Upstream


class CallRequest(NamedTuple):
    """A request that is well-formed; who sent it is not yet known."""

    call_id: str
    key: ApiKey
    endpoint: str
    prompt: str
    max_tokens: int | None


class Model(NamedTuple):
    """A model, its price where it is known, the way to it, and whether its calls may be billed."""

    name: str
    price: Price | None
    upstream: Upstream
    is_billed: bool = True


@dataclass(frozen=True, slots=True)
class Service:
    """The ports and figures that each call uses; `wiring.py` makes the one of a process.

    Args:
        models: the model of each mode; test keys have the sandbox's.
        secret: what API keys are digested under.
        call_seconds_max: the one deadline of a call.
        hold_ttl_seconds: how long a hold lives when its process does not.
        upstream_retries_max: how often a failed call to the provider is sent again.
    """

    ledger: Ledger
    models: Mapping[Mode, Model]
    secret: bytes
    call_seconds_max: float
    hold_ttl_seconds: float
    upstream_retries_max: int
