"""What the use cases of money need of the outside: Stripe, and the rows that remember what it said."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from farebox.domain.billing import Bought, Checkout, Invoice, Payment, Subscription
from farebox.domain.wallet import Grant


class PaymentsUnavailable(Exception):
    """Stripe cannot be asked now; whether it did what it was told is not known. Try again later, with the same key."""


class PaymentRefused(Exception):
    """Stripe understood and said no; the text says why, for people."""


class UsageEvent(NamedTuple):
    """A sum of charges to report once, as a row of `usage_event` has it."""

    id: str
    account_id: str
    customer: str
    period_start_us: int
    nanodollars: int
    calls: int
    timestamp_us: int
    first_sent_us: int | None
    tries: int


class Payments(Protocol):
    """Stripe. Each verb that changes something takes an idempotency key `once` where it could be repeated.

    Raises:
        PaymentsUnavailable: no answer, 409, 429 or 5xx after the SDK's own retries.
        PaymentRefused: any other refusal; of a bad key, the text says which variable to look at.
    """

    def check(self) -> str:
        """The name of the account at Stripe that the key belongs to."""
        ...

    def create_customer(self, account_id: str, email: str) -> str: ...

    def checkout_plan(
        self, account_id: str, customer: str, lookup_keys: Sequence[str], trial_days: int, success_url: str,
        cancel_url: str,
    ) -> str:  # fmt: skip
        """Where to send somebody to subscribe: the page's address."""
        ...

    def checkout_pack(self, account_id: str, customer: str, bought: Bought, success_url: str, cancel_url: str) -> str:
        """Where to send somebody to buy credit; the card is kept for topping up."""
        ...

    def portal(self, customer: str, return_url: str) -> str: ...

    def checkout(self, session_id: str) -> Checkout: ...
    def subscription(self, subscription_id: str) -> Subscription: ...
    def subscriptions_of(self, customer: str) -> list[Subscription]: ...
    def invoice(self, invoice_id: str) -> Invoice: ...
    def next_invoice(self, subscription_id: str) -> Invoice: ...
    def payment(self, payment_id: str) -> Payment: ...
    def payment_of_charge(self, charge_id: str) -> str: ...

    def change_plan(self, subscription_id: str, lookup_keys: Sequence[str], *, prorated: bool, once: str) -> None:
        """Put the subscription onto other prices now; the difference is invoiced at once where it is prorated."""
        ...

    def end_at_period_end(self, subscription_id: str, *, ends: bool) -> None: ...
    def cancel_now(self, subscription_id: str) -> None: ...

    def pay_off_session(self, account_id: str, customer: str, bought: Bought, once: str) -> Payment:
        """Buy a pack with the card that is kept."""
        ...

    def send_usage(self, event: UsageEvent) -> None: ...
    def usage_sum(self, customer: str, start_us: int, end_us: int) -> int:
        """What Stripe's meter has counted, in nanodollars; the ends are whole minutes."""
        ...


class Granted(NamedTuple):
    """Credit that was bought, and the name of its pack."""

    pack: str
    grant: Grant


class Purse(NamedTuple):
    """An account's credit, in one state of the database."""

    now_us: int
    left_nanodollars: int
    """What can be used now: nothing that is held, or at its end."""
    grants: Sequence[Granted]
    """All there ever were, in the order in which they are used."""


class Credit(Protocol):
    """Credit that was paid beforehand. What calls spend of it is the ledger's; here it comes, and is taken back.

    Each verb is one transaction under the account's lock, and what changes something is noted in the audit log.

    Raises:
        LedgerUnavailable: the database cannot be asked.
    """

    def grant(self, account_id: str, source: str, pack: str, amount_nanodollars: int, expires_us: int) -> bool:
        """Give an account credit, once for each `source`, the payment; False where it was given before."""
        ...

    def take_back(self, source: str, up_to_nanodollars_total: int) -> int:
        """Have so much of a payment's credit taken back in all: what was refunded, or is disputed.

        At most what is left is taken; how much could not be. What calls under way hold is taken when it comes free. The
        same total again changes nothing, and a smaller one, as after a dispute that was won, gives credit again.
        """
        ...

    def balance(self, account_id: str) -> int:
        """What can be used now, in nanodollars."""
        ...

    def purse(self, account_id: str) -> Purse:
        """The balance, with all grants, for people."""
        ...
