"""Post or void the hold, with the usage row and the rollup. Only then does the customer get an answer."""

import logging
from collections.abc import Callable
from time import monotonic
from typing import Final, NamedTuple

from farebox.call.prompt import Content
from farebox.call.service import CallRequest
from farebox.call.wire import Wire
from farebox.domain.admission import Standing
from farebox.domain.errors import CallError
from farebox.domain.ledger import Ending, Mark, Outcome
from farebox.ports.calls import Kept

log = logging.getLogger("farebox.ledger")

# How long to wait at least for a database that went away during the call, past the call's deadline if need be.
RECORD_SECONDS: Final = 15.0

Render = Callable[["Receipt"], tuple[str, bytes]]
"""An answer's content type and body."""


class Receipt(NamedTuple):
    """What a call answered, what it used, and where the caller stands after it."""

    call_id: str
    content: Content
    outcome: Outcome
    standing: Standing


async def record(
    wire: Wire, request: CallRequest, ending: Ending, error: CallError | None, content: Content, render: Render | None
) -> Receipt:
    """Write the outcome to disk, then hand out the answer.

    Raises:
        CallError: the call failed, or its outcome could not be recorded.
    """
    hold, standing = wire.admitted
    spent = wire.spent if error is None else wire.spent._replace(error=error.code)
    until = max(wire.deadline, monotonic() + RECORD_SECONDS)
    kept = None
    if request.once is not None and render is not None and error is None:
        kept = _kept(request, content, standing, render)
    outcome, found = await wire.service.ledger.record(hold, ending, spent, until, kept)
    if found is not None and found.prepaid_nanodollars is None and standing.prepaid_nanodollars is not None:
        # The call touched none of its credit.
        found = found._replace(prepaid_nanodollars=standing.prepaid_nanodollars)
    if Mark.OVER_HOLD in outcome.marks:
        log.error("call %s used more than its hold, and is charged up to the hold; raise its bound", hold.call_id)
    if wire.service.events is not None and found is not None:
        wire.service.events.recorded(hold, outcome, found)
    if wire.service.watch is not None:
        wire.service.watch(hold, outcome, found)
    if error is not None:
        error.standing = found or standing
        raise error
    return Receipt(hold.call_id, content, outcome, found or standing)


def _kept(request: CallRequest, content: Content, standing: Standing, render: Render) -> Kept:
    """The answer as it will be sent, for its Idempotency-Key."""
    assert request.once is not None

    def body(outcome: Outcome, found: Standing | None) -> tuple[str, bytes]:
        return render(Receipt(request.call_id, content, outcome, found or standing))

    return Kept(request.once.id, body)
