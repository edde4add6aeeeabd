"""Usage at Stripe: reported as events of a meter, and summed up by it."""

from typing import Final

import stripe

from farebox.adapters.stripe_client import told
from farebox.domain.catalogue import METER
from farebox.domain.period import MICROSECONDS
from farebox.ports.money import PaymentsUnavailable, UsageEvent

# Stripe's answer to an identifier that it has counted already; by now it has a code for that, too.
DUPLICATE: Final = "duplicate_meter_event"
DUPLICATE_WORDS: Final = "already exists with identifier"
AHEAD: Final = "timestamp_in_future"
CLOCK_AHEAD: Final = (
    "the database's clock is more than 5 minutes ahead of Stripe's, which takes nothing from the future: set it right. "
    "Nothing was counted, and it is sent again."
)


class StripeUsage:
    """The port `UsageMeter`."""

    def __init__(self, client: stripe.StripeClient) -> None:
        self._api = client.v1
        self._meter_id = ""

    def send_usage(self, event: UsageEvent) -> None:
        """Report an event; it counts once by its identifier.

        Each try has its own idempotency key: under the same one, Stripe would repeat an error of its own for a day.
        """
        with told():
            try:
                self._api.billing.meter_events.create(
                    {
                        "event_name": METER,
                        "identifier": event.id,
                        "timestamp": event.timestamp_us // MICROSECONDS,
                        "payload": {"stripe_customer_id": event.customer, "value": str(event.nanodollars)},
                    },
                    {"idempotency_key": f"{event.id}-{event.tries}"},
                )
            except stripe.InvalidRequestError as error:
                if error.code == AHEAD:  # it was not counted, and will be once Stripe's clock has come as far
                    raise PaymentsUnavailable(CLOCK_AHEAD) from None
                if not _is_duplicate(error):
                    raise

    def usage_sum(self, customer: str, start_us: int, end_us: int) -> int:
        with told():
            meter_id = self._meter()
            if meter_id is None:
                return 0
            summaries = self._api.billing.meters.event_summaries.list(
                meter_id,
                {"customer": customer, "start_time": start_us // MICROSECONDS, "end_time": end_us // MICROSECONDS},
            )
            return sum(int(one.aggregated_value) for one in summaries.auto_paging_iter())

    def _meter(self) -> str | None:
        """The meter's id; none where `farebox stripe sync` has not made it."""
        if not self._meter_id:
            meters = self._api.billing.meters.list({"status": "active", "limit": 100})
            self._meter_id = next((one.id for one in meters.auto_paging_iter() if one.event_name == METER), "")
        return self._meter_id or None


def _is_duplicate(error: stripe.InvalidRequestError) -> bool:
    return error.code == DUPLICATE or DUPLICATE_WORDS in (error.user_message or "")
