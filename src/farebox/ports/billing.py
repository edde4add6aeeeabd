"""What is bought and paid, as the database remembers it, and what the use cases of buying need beside `Payments`."""

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from farebox.domain.billing import Invoice
from farebox.domain.catalogue import AtStripe, ForSale
from farebox.domain.subscribing import Followed, Known, Paying
from farebox.domain.webhooks import Endpoint, Event
from farebox.ports.calls import AccountRow


class Catalogue(Protocol):
    """What is for sale at Stripe. It knows its own things by their metadata, and leaves all others alone.

    Raises:
        PaymentsUnavailable: no answer.
        PaymentRefused: Stripe said no.
    """

    def read(self, lookup_keys: Sequence[str]) -> AtStripe:
        """All that is ours and active, and the prices with these keys, active or not."""
        ...

    def add_meter(self) -> str: ...
    def add_product(self, own: str, name: str) -> str: ...
    def add_price(self, price: ForSale, product: str, meter: str) -> None: ...
    def add_portal(self) -> None:
        """Let customers look after their card, address and invoices there, and nothing that our own pages do."""
        ...

    def set_active(self, price_id: str, *, is_active: bool) -> None: ...
    def taxes_lack(self) -> Sequence[str]:
        """What has to be set up before Stripe Tax reckons anything; empty where all is."""
        ...

    def endpoints(self) -> list[Endpoint]:
        """All webhook endpoints of the account, whoever made them."""
        ...

    def add_endpoint(self, url: str, types: Sequence[str]) -> str:
        """Have events of these types sent to an address; what they are signed with, which is told this once."""
        ...

    def mend_endpoint(self, endpoint_id: str, types: Sequence[str]) -> None:
        """Have an endpoint enabled, and told of these types."""
        ...


class Signatures(Protocol):
    """Stripe's word that a webhook is its own."""

    def read(self, body: bytes, signature: str) -> Event | None:
        """The event that a body holds; None where it is not signed, too old, of the future, or no event."""
        ...


class Waiting(NamedTuple):
    """An event that is to be worked off."""

    id: str
    type: str
    object_id: str
    received_us: int
    tries: int


class Inbox(Protocol):
    """The events that came from Stripe. Each verb is one transaction, on the driver's own connection.

    Raises:
        LedgerUnavailable: the database cannot be asked.
    """

    def add(self, event: Event) -> bool:
        """Store an event that is to be worked off; False where it is there already."""
        ...

    def claim(self) -> Waiting | None:
        """Whatever is due; no other process gets it for a minute."""
        ...

    def done(self, event_id: str, note: str) -> None: ...
    def put_off(self, event_id: str, seconds: float, reason: str) -> None: ...
    def lapsed(self) -> list[str]:
        """The accounts whose grace is over, and whose owners were not told yet."""
        ...

    def wishing(self) -> list[str]:
        """The accounts that want another plan at their period's end, which Stripe is not known to have."""
        ...

    def forget(self) -> None:
        """Delete what was worked off long ago: Stripe does not send it again."""
        ...


class TopUp(NamedTuple):
    """A customer's wish to buy a pack by itself when credit runs low; a row of the table."""

    account_id: str
    pack: str
    below_nanodollars: int
    attempt: str
    failed: str
    next_us: int | None


class TopUpAttempt(NamedTuple):
    """A payment that is to be made, or to be asked after. No other process makes it meanwhile."""

    account_id: str
    pack: str
    id: str
    """The key under which Stripe makes it once."""
    begun_us: int


class TopUps(Protocol):
    """Topping up: at most one payment at a time for an account, on the driver's own connection.

    Raises:
        LedgerUnavailable: the database cannot be asked.
    """

    def claim(self, account_id: str) -> TopUpAttempt | None:
        """Begin a payment, where one is wished for, none is under way, and the credit is low enough."""
        ...

    def claim_due(self) -> TopUpAttempt | None:
        """A payment under way whose process has died, or that had to wait."""
        ...

    def low(self, after: str) -> list[str]:
        """The next accounts behind an id for which a payment is to begin; none at the end."""
        ...

    def low_among(self, account_ids: Sequence[str]) -> list[str]:
        """Those of some accounts."""
        ...

    def is_wanted(self, account_id: str, attempt: str) -> bool:
        """Whether a payment that was begun may still be made: the wish stands, and the account may call."""
        ...

    def put_off(self, account_id: str, attempt: str, seconds: float) -> None: ...
    def end(self, account_id: str, attempt: str, failed: str, told: str) -> int:
        """End a payment. Where it failed, none is begun until the wish is changed, and the owners are written to.

        How many mails that were.
        """
        ...


Decide = Callable[[Paying, Known | None, int], Followed | None]
"""From the account, its stored subscription and the database's clock."""


class Billing(Protocol):
    """What an account has bought. Each verb is one transaction; what it decides by is locked.

    Raises:
        LedgerUnavailable: the database cannot be asked.
    """

    def now_us(self) -> int: ...
    def account(self, account_id: str) -> AccountRow | None: ...
    def account_of(self, customer: str) -> AccountRow | None: ...
    def set_customer(self, account_id: str, customer: str, instead_of: str = "") -> str:
        """Note who the account is at Stripe, where it was nobody, or one that is gone.

        Who it is, as another process may have been first.
        """
        ...

    def subscription(self, account_id: str) -> Known | None: ...
    def follow(self, account_id: str, decide: Decide, words: Callable[[Followed], str]) -> Followed | None:
        """Decide under the account's lock, and store it: columns, the ledger's period, mails to the owners.

        `words` is what the mails say, as JSON.
        """
        ...

    def want_next(self, known: Known, plan: str) -> None:
        """Note the plan that is wanted at the period's end, of which Stripe is to be told; empty for what it has.

        Nothing is noted where another plan than the known one is in force by now: somebody has moved meanwhile.
        """
        ...

    def keep_invoice(self, account_id: str, invoice: Invoice, fetched_us: int) -> bool:
        """Store an invoice; False where it is known as it was later."""
        ...

    def top_up(self, account_id: str) -> TopUp | None: ...
    def wish_top_up(self, account_id: str, pack: str, below_nanodollars: int) -> None:
        """Note the wish, also after a payment failed; without a pack there is none any more."""
        ...
