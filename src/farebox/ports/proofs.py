"""How people prove who they are, besides by a password: second factors, passkeys, other services."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from farebox.domain.people import Ceremony, CeremonyKind, Client, Identity, Passkey, Person, Session
from farebox.ports.people import Arrival, Entered


class Ceremonies(Protocol):
    """The ceremonies that browsers have begun. Each verb is one transaction, here and in the ports below.

    Raises:
        LedgerUnavailable: the database cannot be asked.
    """

    def begin(self, ceremony: Ceremony) -> None: ...
    def look(self, digest: str, kind: CeremonyKind) -> Ceremony | None:
        """A ceremony that was begun and is not over."""
        ...

    def end(self, digest: str, kind: CeremonyKind) -> Ceremony | None:
        """End a ceremony and return it; of several requests at once, only one gets it."""
        ...


class Shown(NamedTuple):
    """What was shown as a second factor: a step under this secret, or a recovery code. Each works once."""

    sealed: bytes
    step: int | None
    recovery_digest: str


class SecondFactors(Protocol):
    """Second factors and recovery codes. What may be shown only once is decided here."""

    def person(self, person_id: str) -> Person | None: ...
    def codes_left(self, person_id: str) -> int: ...
    def codes(self, person_id: str) -> set[str]:
        """The digests of the recovery codes that were made last, used or not."""
        ...

    def turn_on(self, person: Person, sealed: bytes, step: int, codes: Sequence[str], client: Client) -> bool:
        """Turn on a second factor whose `step` is used up, with recovery codes as digests; False where one is on."""
        ...

    def is_on(self, person: Person, sealed: bytes, codes: Sequence[str]) -> bool:
        """Whether this very second factor is on, with these recovery codes, used or not."""
        ...

    def turn_off(self, person: Person, client: Client) -> None:
        """Turn the second factor off, and end what was begun to turn one on."""
        ...

    def replace_codes(self, person: Person, old: set[str], codes: Sequence[str], client: Client) -> bool:
        """Replace the old recovery codes; False where `old` are not the stored ones, or no second factor is on.

        True, with nothing done, where the new ones are stored already.
        """
        ...

    def log_in(self, link_id: str, shown: Shown, arrival: Arrival) -> Entered | None:
        """Let in whoever has shown both factors; None where the link, the step or the code has been used.

        Raises:
            NotAllowed: they may not come in.
        """
        ...

    def show_again(self, session: Session, shown: Shown, client: Client) -> bool:
        """Note that the person of this session has shown again who they are; False where `shown` has been used."""
        ...


class Passkeys(Protocol):
    """The passkeys of people."""

    def of(self, person_id: str) -> list[Passkey]:
        """The oldest first."""
        ...

    def find(self, passkey_id: str) -> Passkey | None: ...
    def add(self, person: Person, passkey: Passkey, client: Client) -> bool:
        """False where somebody has it already.

        Raises:
            NotAllowed: the person was deleted meanwhile.
        """
        ...

    def rename(self, person_id: str, passkey_id: str, name: str) -> bool: ...
    def remove(self, person: Person, passkey_id: str, client: Client) -> bool: ...
    def log_in(self, passkey: Passkey, sign_count: int, arrival: Arrival) -> Entered | None:
        """Let in its owner; a passkey counts as two factors. None where it was used meanwhile, or removed.

        Raises:
            NotAllowed: they may not come in.
        """
        ...

    def show_again(self, session: Session, passkey: Passkey, sign_count: int, client: Client) -> bool:
        """Note that they have shown again who they are; False if it was used meanwhile, removed, or is not theirs."""
        ...


class Known(NamedTuple):
    """Who somebody is, as another service says it. The address is set only if the service has verified it."""

    issuer: str
    subject: str
    email: str | None


class Identities(Protocol):
    """Who people are at other services."""

    def of(self, person_id: str) -> list[Identity]: ...
    def is_news(self, known: Known) -> bool:
        """Whether this would be a new person."""
        ...

    def log_in(self, known: Known, service: str, plan: str, arrival: Arrival) -> Entered | None:
        """Let in the person of an identity, else of its verified address, else somebody new; note the identity.

        None where nobody has the identity, and there is no verified address.

        Raises:
            NotAllowed: they may not come in.
        """
        ...

    def connect(self, person: Person, known: Known, service: str, client: Client) -> bool:
        """Give a person an identity; False where another has it.

        Raises:
            NotAllowed: the person was deleted meanwhile.
        """
        ...

    def disconnect(self, person: Person, issuer: str, subject: str, service: str, client: Client) -> bool: ...


class Addresses(Protocol):
    """How a person gets another address."""

    def change(self, link_id: str, session: Session, client: Client) -> bool:
        """Use the link that was mailed to the new address; False where it cannot be used, or is another person's.

        Raises:
            NotAllowed: somebody else has the address.
        """
        ...


class Vault(Protocol):
    """Encrypts what has to be read again, so that a stolen database does not tell it."""

    def seal(self, plain: bytes, owner: str) -> bytes: ...
    def unseal(self, sealed: bytes, owner: str) -> bytes | None:
        """None where it is another owner's, or was sealed under another secret."""
        ...


class Place(NamedTuple):
    """The site as authenticators know it."""

    host: str
    origins: tuple[str, ...]
    name: str


class NewPasskey(NamedTuple):
    """What an authenticator made."""

    id: str
    public_key: bytes
    sign_count: int
    transports: str


class Authenticators(Protocol):
    """Makes the requests to authenticators, and checks their answers. User verification is always required.

    Raises:
        PersonError: the answer is not valid.
    """

    def ask_to_make(self, place: Place, challenge: bytes, person: Person, others: Sequence[Passkey]) -> str:
        """The options of a registration, as JSON."""
        ...

    def made(self, place: Place, challenge: bytes, answer: str) -> NewPasskey: ...
    def ask_to_show(self, place: Place, challenge: bytes, passkeys: Sequence[Passkey]) -> str:
        """The options of a log-in, as JSON; without passkeys, any that the browser has for this site."""
        ...

    def passkey_id(self, answer: str) -> str:
        """The id of the passkey that an answer claims to be of."""
        ...

    def shown(self, place: Place, challenge: bytes, answer: str, passkey: Passkey) -> int:
        """Check the answer, and return how often the authenticator has signed by now."""
        ...


class Trip(NamedTuple):
    """What ties a browser's way to another service and back together."""

    back: str
    """The address of ours that the service sends the browser back to."""
    state: str
    nonce: str
    verifier: str


class OtherService(Protocol):
    """Another service that says who somebody is.

    Raises:
        PersonError: the service does not say so now.
    """

    @property
    def label(self) -> str:
        """Its name, as people know it."""
        ...

    @property
    def issuer(self) -> str: ...
    def address(self, trip: Trip) -> str:
        """Where the browser has to go."""
        ...

    def known(self, trip: Trip, code: str, issuer: str) -> Known:
        """Who came back with this code; `issuer` is the issuer that the address names, or empty."""
        ...
