"""Create, find, rotate and revoke API keys. A key's text exists once, in the answer that creates it."""

import secrets
from collections.abc import Collection
from typing import Final, NamedTuple

from farebox.domain import apikey
from farebox.domain.apikey import ApiKey, Mode
from farebox.domain.errors import FounderError
from farebox.domain.people import DAY_US, PersonError
from farebox.domain.period import MICROSECONDS
from farebox.ports.calls import AccountRow, Accounts, KeyRow

NAME_CHARS_MAX: Final = 100
DAYS_MAX: Final = 3_650
CAP_CALLS_MAX: Final = 10**9


class KeyTerms(NamedTuple):
    """The terms of a key: its name, the endpoints that it may call (all, where none is named), and its limits."""

    name: str = ""
    mode: Mode = "live"
    scopes: tuple[str, ...] = ()
    cap_calls: int | None = None
    days: int | None = None
    """The number of days after which it ends."""


PLAIN: Final = KeyTerms()


class NewKey(NamedTuple):
    """A key that was just made. Its text is not kept anywhere."""

    key: ApiKey
    row: KeyRow


def check_terms(terms: KeyTerms, endpoints: Collection[str]) -> None:
    """Refuse terms that no key can have.

    Raises:
        PersonError: a sentence that says why, and the field.
    """
    if len(terms.name) > NAME_CHARS_MAX or (terms.name and not terms.name.isprintable()):
        raise PersonError(f"A key's name has to be one line of at most {NAME_CHARS_MAX} characters.", field="name")
    for path in terms.scopes:
        if path not in endpoints:
            raise PersonError(f"There is no endpoint {path}. Choose from {', '.join(endpoints)}.", field="scopes")
    if terms.cap_calls is not None and not 1 <= terms.cap_calls <= CAP_CALLS_MAX:
        raise PersonError(f"A limit has to be a whole number of calls, from 1 to {CAP_CALLS_MAX:,}.", field="cap")
    if terms.days is not None and not 1 <= terms.days <= DAYS_MAX:
        raise PersonError(f"Enter a whole number of days, from 1 to {DAYS_MAX:,}.", field="days")


def create_key(
    accounts: Accounts,
    secret: bytes,
    brand: str,
    email: str,
    terms: KeyTerms = PLAIN,
    endpoints: Collection[str] = (),
) -> NewKey:
    """A new key for an account; `endpoints` are the paths that it can be made for.

    Raises:
        FounderError: there is no account with this address, or there can be no such key.
    """
    try:
        check_terms(terms, endpoints)
    except PersonError as error:
        raise FounderError(error.detail) from None
    account = account_of(accounts, email)
    key = apikey.mint(brand, terms.mode, secrets.randbelow)
    new = with_terms(new_key(secret, account.id, key, terms.name, accounts.now_us()), terms)
    accounts.add_key(new.row)
    return new


def account_of(accounts: Accounts, email: str) -> AccountRow:
    """The account with this address.

    Raises:
        FounderError: there is none.
    """
    account = accounts.account_by_email(email)
    if account is not None and account.closed_us is not None:
        raise FounderError("This account was deleted by its owner, so it can have no new key.")
    if account is None:
        raise FounderError(
            f"There is no account {email!r}. Create it with: farebox accounts create {email} --plan NAME"
        )
    return account


def new_key(secret: bytes, account_id: str, key: ApiKey, name: str, now_us: int, key_id: str = "") -> NewKey:
    """A key with its row, which is to be stored."""
    row = KeyRow(
        account_id=account_id,
        id=key_id or f"key_{secrets.token_hex(8)}",
        digest=apikey.digest(secret, key),
        name=name,
        mode=key.mode,
        prefix=key.prefix,
        last4=key.last4,
        created_us=now_us,
        expires_us=None,
        revoked_us=None,
    )
    return NewKey(key, row)


def with_terms(new: NewKey, terms: KeyTerms) -> NewKey:
    """The key with its limits."""
    row = new.row._replace(
        scopes=",".join(terms.scopes),
        cap_calls=terms.cap_calls,
        cap_id="" if terms.cap_calls is None else new.row.id,
        expires_us=None if terms.days is None else new.row.created_us + terms.days * DAY_US,
    )
    return NewKey(new.key, row)


def successor(secret: bytes, brand: str, old: KeyRow, now_us: int, key_id: str = "") -> NewKey:
    """A key with the scopes and the cap of the old one: both count on one cap, so that rotating gives nobody more."""
    key = apikey.mint(brand, old.mode, secrets.randbelow)
    new = new_key(secret, old.account_id, key, old.name, now_us, key_id)
    return NewKey(key, new.row._replace(scopes=old.scopes, cap_calls=old.cap_calls, cap_id=old.cap_id))


def find_key(accounts: Accounts, secret: bytes, what: str) -> KeyRow:
    """A key by its id, by its last four characters, or by its whole text.

    Raises:
        FounderError: no key, or more than one, is meant by it.
    """
    whole = apikey.parse(what)
    digest = apikey.digest(secret, whole) if whole is not None else ""
    meant = accounts.find_keys(what, digest)
    found = [row for row in meant if row.id == what or row.digest == digest] or meant
    if len(found) > 1:
        ids = ", ".join(row.id for row in found)
        raise FounderError(f"{len(found)} keys end in {what!r}; name one by its id: {ids}.")
    if not found:
        raise FounderError("There is no such key. 'farebox keys list' shows them with their ids.")
    return found[0]


def rotate_key(accounts: Accounts, secret: bytes, brand: str, old: KeyRow, grace_seconds: float) -> NewKey:
    """A new key with the scopes and the cap of the old one, which works for `grace_seconds` more.

    Raises:
        FounderError: the old key no longer works.
    """
    new = successor(secret, brand, old, accounts.now_us())
    if not accounts.replace_key(old, new.row, int(grace_seconds * MICROSECONDS)):
        raise FounderError("This key is revoked or has expired; create a new one with: farebox keys create EMAIL")
    return new
