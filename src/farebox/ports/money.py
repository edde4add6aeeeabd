"""What the use cases of money need of the outside: Stripe, and the rows that remember what it said."""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple, Protocol

from farebox.domain.billing import (
    Bought,
    Checkout,
    Invoice,
    InvoiceLine,
    InvoiceStatus,
    Payment,
    Subscription,
)
from farebox.domain.period import Period
from farebox.domain.upcoming import Subscribed
from farebox.domain.wallet import Grant
from farebox.ports.calls import CallRow, KeyRow


class PaymentsUnavailable(Exception):
    """Stripe cannot be asked now; whether it did what it was told is not known. Try again later, with the same key."""


class KeyRefused(PaymentsUnavailable):
    """Stripe does not take our key: until the founder mends it, that is as if Stripe were away. The text says how."""


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


class UsageMeter(Protocol):
    """The part of Stripe that usage is reported to.

    Raises:
        PaymentsUnavailable: as `Payments`.
        PaymentRefused: Stripe does not take this event, and has not counted it.
    """

    def send_usage(self, event: UsageEvent) -> None:
        """Report an event under its own id; Stripe counts it once, however often it is sent within a day."""
        ...

    def usage_sum(self, customer: str, start_us: int, end_us: int) -> int:
        """What Stripe's meter has counted, in nanodollars; the ends are whole minutes."""
        ...


class Payments(Protocol):
    """Stripe. Each verb that changes something takes an idempotency key `once` where it could be repeated.

    Raises:
        PaymentsUnavailable: no answer, 409, 429 or 5xx after the SDK's own retries.
        KeyRefused: the key is not valid, or may not do this.
        PaymentRefused: any other refusal.
    """

    def check(self) -> str:
        """The name of the account at Stripe that the key belongs to."""
        ...

    def knows(self, customer: str) -> bool:
        """Whether there is such a customer; those of the other mode, or of another account, are not known."""
        ...

    def is_deleted(self, customer: str) -> bool:
        """Whether such a customer was deleted; False for one that is not known."""
        ...

    def create_customer(self, account_id: str, email: str, instead_of: str = "") -> str:
        """Make the customer of an account, once; `instead_of` one that was deleted."""
        ...

    def checkout_plan(
        self, account_id: str, customer: str, lookup_keys: Sequence[str], trial_days: int, success_url: str,
        cancel_url: str,
    ) -> str:  # fmt: skip
        """Make a page to subscribe on, and return its address."""
        ...

    def checkout_pack(self, account_id: str, customer: str, bought: Bought, success_url: str, cancel_url: str) -> str:
        """Make a page to buy credit on, and return its address; the card is kept for topping up."""
        ...

    def expire_checkouts(self, customer: str) -> None:
        """Close the customer's checkout pages that are still open, so that nobody pays there any more."""
        ...

    def portal(self, customer: str, return_url: str) -> str: ...

    def checkout(self, session_id: str) -> Checkout: ...
    def subscription(self, subscription_id: str) -> Subscription: ...
    def subscriptions_of(self, customer: str) -> list[Subscription]: ...
    def invoice(self, invoice_id: str) -> Invoice: ...
    def payment(self, payment_id: str) -> Payment: ...
    def payment_of_charge(self, charge_id: str) -> str: ...

    def change_plan(
        self, subscription_id: str, lookup_keys: Sequence[str], *, prorated: bool, once: str, ends_trial: bool = False
    ) -> None:
        """Put the subscription onto other prices now; the difference is invoiced at once where it is prorated.

        With `ends_trial`, the whole price is invoiced, and a period begins.
        """
        ...

    def end_at_period_end(self, subscription_id: str, *, ends: bool) -> None: ...
    def cancel_now(self, subscription_id: str, *, bills_use: bool = True) -> None:
        """End it. Use since its last invoice is invoiced, unless another subscription is going to bill it."""
        ...

    def pay_off_session(self, account_id: str, customer: str, bought: Bought, once: str) -> Payment:
        """Buy a pack with the card that is kept."""
        ...

    def paid_off_session(self, customer: str, once: str, since_us: int) -> Payment | None:
        """What became of such a payment, however long ago it was begun; None where none was made."""
        ...


class UsageOutbox(Protocol):
    """What calls add to invoices, on its way to Stripe. Each verb is one transaction.

    Each customer has at most one event that is neither taken nor held: Stripe takes one at a time.

    Raises:
        LedgerUnavailable: the database cannot be asked.
    """

    def collect(self, customer: str = "") -> int:
        """Make events of the usage that waits, of all customers or of one; return how many."""
        ...

    def claim(self, customer: str = "") -> UsageEvent | None:
        """Take an event that is due, and note that it is being sent; nobody else gets it for a while.

        For one customer, an event that waits for its next try is due, too. What must not be sent again is held.
        """
        ...

    def taken(self, event_id: str) -> None:
        """Stripe has counted it."""
        ...

    def put_off(self, event_id: str, seconds: float, reason: str) -> None: ...
    def hold(self, event_id: str, reason: str) -> None:
        """Do not send it again before a look at Stripe's sums has said whether it was counted."""
        ...

    def waiting(self, customer: str) -> int:
        """How many calls of a customer Stripe has not been told of."""
        ...


class Reported(NamedTuple):
    """What was reported of a span of time: the events whose timestamp is in it."""

    taken_nanodollars: int
    held: Sequence[tuple[str, int]]
    """The ids and amounts of events of which only Stripe knows whether it counted them."""
    is_moving: bool
    """Whether something was sent so lately that Stripe's sums may not have it yet."""


class UsageChecks(Protocol):
    """What was reported, to be compared with what Stripe has counted. Each verb is one transaction.

    Raises:
        LedgerUnavailable: the database cannot be asked.
    """

    def take_turn(self, again_seconds: float) -> bool:
        """Take the turn to check everybody, if it is due; nobody gets another one for `again_seconds`."""
        ...

    def everybody(self) -> list[tuple[str, str]]:
        """The accounts whose use was reported lately, with their customers."""
        ...

    def doubtful(self) -> list[tuple[str, str]]:
        """The accounts with a held event that can be checked by now; nobody else gets the event for a while."""
        ...

    def spans(self, account_id: str) -> Sequence[Period]:
        """The spans of time in which something was reported, as far as Stripe's sums can be relied on."""
        ...

    def reported(self, account_id: str, span: Period) -> Reported: ...
    def counted(self, event_id: str) -> None:
        """Note that a held event was counted after all."""
        ...

    def drop(self, event_id: str) -> None:
        """Note that a held event was not counted: what it reported waits to be part of another one."""
        ...

    def note(self, account_id: str, span: Period, counted: int, reported: int) -> None:
        """Write down what Stripe has counted, beside what was reported."""
        ...


class Granted(NamedTuple):
    """Credit that was bought, and the name of its pack."""

    pack: str
    grant: Grant


class Purse(NamedTuple):
    """An account's credit, in one state of the database."""

    now_us: int
    left_nanodollars: int
    """What can be used now, without what is held or expired."""
    grants: Sequence[Granted]
    """All there ever were, in the order in which they are used."""


class Credit(Protocol):
    """Prepaid credit: how it is given and taken back. Spending it is the ledger's.

    Each verb that changes something is one transaction under the account's lock, and is noted in the audit log.

    Raises:
        LedgerUnavailable: the database cannot be asked.
    """

    def grant(self, account_id: str, source: str, pack: str, amount_nanodollars: int, expires_us: int) -> bool:
        """Give an account credit, once for each `source`, the payment; False where it was given before."""
        ...

    def knows(self, source: str) -> bool:
        """Whether credit was given for a payment."""
        ...

    def take_back(self, source: str, up_to_nanodollars_total: int, ended: str = "", told: str = "") -> int:
        """Take back so much of a payment's credit in total: what was refunded, or is disputed.

        At most what is left is taken; return how much could not be. What calls under way hold is taken once it is free.
        The same total again changes nothing, and a smaller one, as after a dispute that was won, gives credit again.

        If more is due back than before, and `ended` is given, topping up ends for that reason until an owner wants it
        again; the owners get a mail, and `told` is what it says, as JSON.
        """
        ...

    def balance(self, account_id: str) -> int:
        """What can be used now, in nanodollars."""
        ...

    def purse(self, account_id: str) -> Purse:
        """The balance, with all grants, for people."""
        ...


class KeptInvoice(NamedTuple):
    """An invoice as Stripe said last, at `synced_us`."""

    id: str
    number: str
    status: InvoiceStatus
    currency: str
    total_cents: int
    paid_cents: int
    period_start_us: int
    period_end_us: int
    created_us: int
    lines: tuple[InvoiceLine, ...]
    url: str
    synced_us: int


class Ahead(NamedTuple):
    """What the next invoice comes from: the subscription, its plans, and what is used and not invoiced.

    Until Stripe's word about a new period has come, it is still that of the one that is over.
    """

    now_us: int
    subscribed: Subscribed
    plan: str
    next_plan: str
    used_nanodollars: int
    calls: int
    held_nanodollars: int
    """The part of `used_nanodollars` that Stripe may not have counted yet, and will in the end."""


class Behind(NamedTuple):
    """A page of the calls that were reported for a line, the newest first, and what all of them come to."""

    calls: Sequence[CallRow]
    older: str
    """Where to go on; empty at the end."""
    keys: Mapping[str, KeyRow]
    nanodollars: int
    calls_in_all: int


class Invoices(Protocol):
    """An account's invoices, as its customers read them. Each verb is one transaction, and sees one account only.

    Raises:
        LedgerUnavailable: the database cannot be asked.
    """

    def some(self, account_id: str, before: str) -> tuple[Sequence[KeptInvoice], str]:
        """The newest, from the one after `before` on, and where to go on."""
        ...

    def one(self, account_id: str, invoice_id: str) -> KeptInvoice | None: ...
    def ahead(self, account_id: str) -> Ahead | None:
        """None where there is no subscription."""
        ...

    def behind(self, account_id: str, span: Period, before: str) -> Behind:
        """The calls that Stripe has counted in a span of time, which is that of a line about usage."""
        ...

    def all_behind(self, account_id: str, span: Period) -> Iterator[Sequence[CallRow]]:
        """All of them in their order; a page is one transaction, read when it is asked for."""
        ...
