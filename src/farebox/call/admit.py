"""Who is it, and is there any left? One transaction holds the worst case, or nothing is spent."""

from farebox.call.service import CallRequest, Service
from farebox.domain import apikey
from farebox.domain.admission import Admitted, Answered, Ask, Refused
from farebox.domain.period import MICROSECONDS
from farebox.domain.prices import dearest


async def admit(service: Service, request: CallRequest) -> Admitted | Answered:
    """Hold the worst case of the call, or find the answer that is kept for its Idempotency-Key.

    Raises:
        CallError: the caller may not make this call, or the ledger cannot be asked.
    """
    models = request.models
    first = models[0]
    price = first.price
    if len(models) > 1 or (price is not None and (price.cache_write_per_mtok or price.tiers)):
        price = dearest([model.price for model in models], request.input_tokens_max)
    # Arguments by position: by name takes twice as long, and each call makes an Ask.
    ask = Ask(
        request.call_id, apikey.digest(service.secret, request.key), request.endpoint, first.name,
        price, request.input_tokens_max, request.output_tokens_wanted, int(service.hold_ttl_seconds * MICROSECONDS),
        request.units, first.is_billed, request.answers, request.output_tokens_total, request.once,
    )  # fmt: skip
    decision = await service.ledger.admit(ask)
    if isinstance(decision, Refused):
        decision.error.standing = decision.standing
        raise decision.error
    return decision
