"""ONE PAID CALL, from the request to its receipt.

    request ─▶ admit ─────────▶ prompt ────────▶ record ───────────▶ receipt
               who is it?       run the work,     post or void the     └▶ settle (later)
               any left?        meter the wire    hold, usage row,        expire dead holds
               hold the worst                     rollup
               case                               (one transaction)
               (one transaction)

Two short transactions around one slow call, and never one open across it. A process that dies between them
leaves a hold, which `settle` expires.
"""

from time import monotonic

from farebox.call.admit import admit
from farebox.call.prompt import Content, Work, prompt
from farebox.call.record import Receipt, Render, record
from farebox.call.service import CallRequest, Service
from farebox.call.stream import Listener, StreamWork, pass_on
from farebox.call.wire import Wire
from farebox.domain.admission import Answered
from farebox.domain.errors import CallError

__all__ = [
    "CallRequest", "Content", "Listener", "Receipt", "Render", "Service", "StreamWork", "Wire", "Work",
    "paid_call", "paid_stream",
]  # fmt: skip


async def paid_call(service: Service, request: CallRequest, work: Work, render: Render) -> Receipt | Answered:
    """Admit, run and record one call; when this returns, its usage row is on the disk.

    Raises:
        CallError: why there is no answer. What it cost is recorded all the same.
    """
    deadline = monotonic() + service.call_seconds_max
    admitted = await admit(service, request)
    if isinstance(admitted, Answered):
        return admitted
    wire = Wire(service, admitted, deadline)
    content, ending, error = await prompt(wire, work)
    return await record(wire, request, ending, error, content, render)


async def paid_stream(service: Service, request: CallRequest, work: StreamWork, listener: Listener) -> None:
    """The same for a stream: the answer goes out as it comes, and its end once its usage row is on the disk.

    Raises:
        CallError: why there is no answer. Not raised once anything has gone out.
    """
    deadline = monotonic() + service.call_seconds_max
    admitted = await admit(service, request)
    assert not isinstance(admitted, Answered)
    wire = Wire(service, admitted, deadline)
    passed = await pass_on(wire, work, listener)
    try:
        receipt = await record(wire, request, passed.ending, passed.error, None, None)
        last = work.end(receipt)
    except CallError as error:
        if not listener.has_begun:
            raise
        last = work.broken(error, request.call_id)
    if not passed.has_left:
        await listener.end(last)
