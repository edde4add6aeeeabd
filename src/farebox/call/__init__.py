"""ONE PAID CALL, from the request to its receipt.

    request ─▶ admit ─────────▶ prompt ────────▶ record ───────────▶ receipt
               who is it?       run the model,    post or void the     └▶ settle (later)
               any left?        read its usage    hold, usage row,        expire dead holds
               hold the worst                     rollup
               case                               (one transaction)
               (one transaction)

Two short transactions around one slow call, and never one open across it. A process that dies between them
leaves a hold, which `settle` expires.
"""

from time import monotonic

from farebox.call.admit import admit
from farebox.call.prompt import prompt
from farebox.call.record import Receipt, record
from farebox.call.service import CallRequest, Service

__all__ = ["CallRequest", "Receipt", "Service", "paid_call"]


async def paid_call(service: Service, request: CallRequest) -> Receipt:
    """Admit, run and record one call; when this returns, its usage row is on the disk.

    Raises:
        CallError: why there is no answer. What it cost is recorded all the same.
    """
    deadline = monotonic() + service.call_seconds_max
    admitted = await admit(service, request)
    answer = await prompt(service, admitted.hold, request, deadline)
    return await record(service, admitted, answer, deadline)
