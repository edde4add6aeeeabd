"""Post or void the hold, with the usage row and the rollup. Only then does the customer get an answer."""

import logging
from time import monotonic
from typing import Final, NamedTuple

from farebox.call.prompt import Answer
from farebox.call.service import Service
from farebox.domain.admission import Admitted, Standing
from farebox.domain.ledger import Mark, Outcome

log = logging.getLogger("farebox.ledger")

# Time to wait for a database that went away during the call, past the call's own deadline.
RECORD_SECONDS: Final = 15.0


class Receipt(NamedTuple):
    """An answer, what it used, and where the caller stands after it."""

    call_id: str
    text: str
    outcome: Outcome
    standing: Standing


async def record(service: Service, admitted: Admitted, answer: Answer, deadline: float) -> Receipt:
    """Have the outcome on the disk, then hand out the answer.

    Raises:
        CallError: the model gave no answer, or its outcome could not be recorded.
    """
    hold = admitted.hold
    until = max(deadline, monotonic() + RECORD_SECONDS)
    outcome, standing = await service.ledger.record(hold, answer.ending, answer.spent, until)
    if Mark.OVER_HOLD in outcome.marks:
        log.error("call %s used more than its hold: charged up to the hold; raise the bound", hold.call_id)
    if answer.error is not None:
        answer.error.standing = standing or admitted.standing
        raise answer.error
    return Receipt(hold.call_id, answer.text, outcome, standing or admitted.standing)
