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
        """What has to be set up before Stripe Tax computes anything; empty if all is set up."""
        ...

    def endpoints(self) -> list[Endpoint]:
        """All webhook endpoints of the account, whoever made them."""
        ...

    def add_endpoint(self, url: str, types: Sequence[str]) -> str:
        """Have events of these types sent to an address; return the signing secret, which Stripe tells only now."""
        ...

    def mend_endpoint(self, endpoint_id: str, types: Sequence[str]) -> None:
        """Enable an endpoint, and have events of these types sent to it."""
        ...


class Signatures(Protocol):
    """Check that a webhook comes from Stripe."""

    def read(self, body: bytes, signature: str) -> Event | None:
        """The event that a body holds; None where it is not signed, too old, of the future, or no event.

        Raises:
            LedgerUnavailable: this machine's clock says no, and the database, whose clock counts then, cannot be asked.
        """
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

    def now_us(self) -> int: ...
    def add(self, event: Event) -> bool:
        """Store an event that is to be worked off; False where it is there already."""
        ...

    def claim(self) -> Waiting | None:
        """Take an event that is due; no other process gets it for a minute."""
        ...

    def done(self, event_id: str, note: str) -> None: ...
    def put_off(self, event_id: str, seconds: float, reason: str) -> None: ...
    def lapsed(self) -> list[str]:
        """The accounts whose grace is over, and whose owners were not told yet."""
        ...

    def wishing(self) -> list[str]:
        """The accounts that want another plan at their period's end, of which Stripe may not know yet."""
        ...

    def forget(self) -> bool:
        """Delete a few that were worked off long ago: Stripe does not send them again; whether there may be more."""
        ...


class TopUp(NamedTuple):
    """A customer's wish that a pack is bought automatically when credit runs low; a row of the table."""

    account_id: str
    pack: str
    below_nanodollars: int
    attempt: str
    failed: str
    next_us: int | None


class TopUpAttempt(NamedTuple):
    """A payment to make, or to look up. No other process works on it meanwhile."""

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
        """The next accounts after this id for which a payment is to begin; none at the end."""
        ...

    def low_among(self, account_ids: Sequence[str]) -> list[str]:
        """Those of these accounts for which a payment is to begin."""
        ...

    def is_wanted(self, account_id: str, attempt: str) -> bool:
        """Whether a payment that was begun may still be made: the wish stands, and the account may call."""
        ...

    def put_off(self, account_id: str, attempt: str, seconds: float) -> None: ...
    def end(self, account_id: str, attempt: str, failed: str, told: str) -> int:
        """End a payment. Where it failed, none is begun until the wish is changed, and the owners are written to.

        Return how many mails.
        """
        ...


Decide = Callable[[Paying, Known | None, int], Followed | None]
"""Decides by the account, its stored subscription and the database's clock."""


class Billing(Protocol):
    """What an account has bought. Each verb is one transaction, which locks the rows that it decides by.

    Raises:
        LedgerUnavailable: the database cannot be asked.
    """

    def now_us(self) -> int: ...
    def account(self, account_id: str) -> AccountRow | None: ...
    def account_of(self, customer: str) -> AccountRow | None: ...
    def set_customer(self, account_id: str, customer: str, instead_of: str = "") -> str:
        """Note the account's customer at Stripe, if its present one is `instead_of`: none, or one that is gone.

        Return the customer that it has now: another process may have been first.
        """
        ...

    def subscription(self, account_id: str) -> Known | None: ...
    def follow(self, account_id: str, decide: Decide, words: Callable[[Followed], str]) -> Followed | None:
        """Decide under the account's lock, and store the result: columns, the ledger's period, mails to the owners.

        `words` is what the mails say, as JSON.
        """
        ...

    def want_next(self, known: Known, plan: str) -> None:
        """Note the plan that is wanted at the period's end, for Stripe to be told; empty to keep the present one.

        Do nothing if the plan in force is no longer the known one: somebody has changed it meanwhile.
        """
        ...

    def keep_invoice(self, account_id: str, invoice: Invoice, fetched_us: int) -> bool:
        """Store an invoice; False where a later state of it is stored."""
        ...

    def top_up(self, account_id: str) -> TopUp | None: ...
    def wish_top_up(self, account_id: str, pack: str, below_nanodollars: int) -> None:
        """Note the wish, also after a payment failed; an empty pack ends it."""
        ...
