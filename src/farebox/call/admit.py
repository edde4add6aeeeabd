"""Who is it, and is there any left? One transaction holds the worst case, or nothing is spent."""

from farebox.call.service import CallRequest, Service
from farebox.domain import apikey
from farebox.domain.admission import Admitted, Ask, Refused
from farebox.domain.completion import input_tokens_max
from farebox.domain.period import MICROSECONDS


async def admit(service: Service, request: CallRequest) -> Admitted:
    """Hold the most that the call can come to.

    Raises:
        CallError: the caller may not, or the ledger cannot be asked.
    """
    model = service.models[request.key.mode]
    decision = await service.ledger.admit(
        Ask(
            call_id=request.call_id,
            key_digest=apikey.digest(service.secret, request.key),
            endpoint=request.endpoint,
            model=model.name,
            price=model.price,
            input_tokens_max=input_tokens_max(request.prompt),
            output_tokens_wanted=request.max_tokens,
            is_billed=model.is_billed,
            hold_ttl_us=int(service.hold_ttl_seconds * MICROSECONDS),
        )
    )
    if isinstance(decision, Refused):
        decision.error.standing = decision.standing
        raise decision.error
    return decision
