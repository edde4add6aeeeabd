"""Who is it, and is there any left? One transaction holds the worst case, or nothing is spent."""

from farebox.call.service import CallRequest, Service
from farebox.domain import apikey
from farebox.domain.admission import Admitted, Answered, Ask, Refused
from farebox.domain.period import MICROSECONDS
from farebox.domain.prices import dearest


async def admit(service: Service, request: CallRequest) -> Admitted | Answered:
    """Hold the most that the call can come to, or find the answer that its Idempotency-Key got before.

    Raises:
        CallError: the caller may not, or the ledger cannot be asked.
    """
    models = request.models
    first = models[0]
    decision = await service.ledger.admit(
        Ask(
            call_id=request.call_id,
            key_digest=apikey.digest(service.secret, request.key),
            endpoint=request.endpoint,
            model=first.name,
            price=first.price if len(models) == 1 else dearest([model.price for model in models]),
            input_tokens_max=request.input_tokens_max,
            output_tokens_wanted=request.output_tokens_wanted,
            is_billed=first.is_billed,
            hold_ttl_us=int(service.hold_ttl_seconds * MICROSECONDS),
            calls=request.units,
            answers=request.answers,
            output_tokens_total=request.output_tokens_total,
            once=request.once,
        )
    )
    if isinstance(decision, Refused):
        decision.error.standing = decision.standing
        raise decision.error
    return decision
