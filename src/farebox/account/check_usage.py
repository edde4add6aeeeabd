"""Compare what was reported with what Stripe has counted: daily for everybody, and soon where an event is in doubt."""

import logging
from collections.abc import Callable, Sequence
from typing import Final

from farebox.domain.errors import CallError
from farebox.domain.money import format_usd
from farebox.domain.period import Period, iso
from farebox.domain.report import counted_of
from farebox.ports.money import PaymentRefused, PaymentsUnavailable, UsageChecks, UsageMeter

log = logging.getLogger("farebox.usage")

DAY_SECONDS: Final = 86_400.0


class UsageCheck:
    """The check of Stripe's sums. They settle the events in doubt; any other difference is logged, and not mended."""

    def __init__(self, checks: UsageChecks, open_meter: Callable[[], UsageMeter]) -> None:
        self._checks = checks
        self._open_meter = open_meter
        self._has_turn = False
        self._due: set[tuple[str, str]] = set()
        """The customers still to be looked at: if the database goes away meanwhile, the day's turn is not lost."""

    def look(self) -> int:
        """Look at the customers that are due; return the number of differences."""
        self._due |= set(self._checks.doubtful())
        self._has_turn = self._has_turn or self._checks.take_turn(DAY_SECONDS)
        if self._has_turn:
            self._due |= set(self._checks.everybody())
            self._has_turn = False
        return self._look_at(self._due)

    def look_at_all(self) -> int:
        """Look at everybody now."""
        return self._look_at(set(self._checks.everybody()))

    def _look_at(self, due: set[tuple[str, str]]) -> int:
        count = 0
        for account_id, customer in sorted(due):
            try:
                count += self.look_at(account_id, customer)
            except CallError:
                raise
            except PaymentsUnavailable as error:
                log.warning("what Stripe has counted for %s will be checked later: %s", customer, error)
            except PaymentRefused as error:
                log.error("Stripe does not say what it has counted for %s: %s", customer, error)  # noqa: TRY400  # its words say it
            except Exception:
                log.exception("what Stripe has counted for %s could not be compared", customer)
            due.discard((account_id, customer))
        return count

    def look_at(self, account_id: str, customer: str) -> int:
        """Look at one customer; return how many spans of time differ."""
        return sum(self._differs(account_id, customer, span) for span in self._checks.spans(account_id))

    def _differs(self, account_id: str, customer: str, span: Period) -> bool:
        reported = self._checks.reported(account_id, span)
        if reported.is_moving:
            return False
        counted = self._open_meter().usage_sum(customer, *span)
        if self._checks.reported(account_id, span) != reported:  # something was sent meanwhile
            return False
        amounts = [nanodollars for _, nanodollars in reported.held]
        chosen = counted_of(counted - reported.taken_nanodollars, amounts)
        settled = reported.taken_nanodollars
        if chosen is not None:
            settled += sum(amounts[place] for place in chosen)
            self._settle(reported.held, chosen)
        self._checks.note(account_id, span, counted, settled)
        if settled != counted:
            log.error(
                "Stripe has counted %s for %s from %s to %s, and %s was reported%s",
                format_usd(counted), customer, iso(span.start_us), iso(span.end_us), format_usd(settled),
                f", beside {len(amounts)} events in doubt" if amounts else "",
            )  # fmt: skip
        return settled != counted

    def _settle(self, held: Sequence[tuple[str, int]], chosen: set[int]) -> None:
        for place, (event_id, nanodollars) in enumerate(held):
            if place in chosen:
                log.warning("%s was counted by Stripe: %s", event_id, format_usd(nanodollars))
                self._checks.counted(event_id)
            else:
                log.warning("%s was not counted by Stripe, so it is sent again: %s", event_id, format_usd(nanodollars))
                self._checks.drop(event_id)
