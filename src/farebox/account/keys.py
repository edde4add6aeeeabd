"""Create, find, rotate and revoke API keys. A key's text exists once, in the answer that creates it."""

import secrets
from typing import Final, NamedTuple

from farebox.domain import apikey
from farebox.domain.apikey import ApiKey, Mode
from farebox.domain.errors import FounderError
from farebox.domain.period import MICROSECONDS
from farebox.ports import AccountRow, Accounts, KeyRow

NAME_CHARS_MAX: Final = 100


class NewKey(NamedTuple):
    """A key that was just made. Its text is not kept anywhere."""

    key: ApiKey
    row: KeyRow


def create_key(
    accounts: Accounts, secret: bytes, brand: str, email: str, *, name: str = "", mode: Mode = "live"
) -> NewKey:
    """A new key for an account.

    Raises:
        FounderError: there is no account with this address, or the name cannot be shown in a list.
    """
    if len(name) > NAME_CHARS_MAX or (name and not name.isprintable()):
        raise FounderError(f"A key's name is one line of at most {NAME_CHARS_MAX} characters; choose another one.")
    account = account_of(accounts, email)
    new = new_key(secret, account.id, apikey.mint(brand, mode, secrets.randbelow), name, accounts.now_us())
    accounts.add_key(new.row)
    return new


def account_of(accounts: Accounts, email: str) -> AccountRow:
    """The account with this address.

    Raises:
        FounderError: there is none.
    """
    account = accounts.account_by_email(email)
    if account is not None and account.closed_us is not None:
        raise FounderError("This account was deleted by its owner; it can have no key any more.")
    if account is None:
        raise FounderError(
            f"There is no account {email!r}. Create it with: farebox accounts create {email} --plan NAME"
        )
    return account


def new_key(secret: bytes, account_id: str, key: ApiKey, name: str, now_us: int) -> NewKey:
    """A key with the row to be stored of it."""
    row = KeyRow(
        account_id=account_id,
        id=f"key_{secrets.token_hex(8)}",
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
    """A new key for what the old one was for; the old one works for `grace_seconds` more.

    Raises:
        FounderError: the old key no longer works.
    """
    key = apikey.mint(brand, old.mode, secrets.randbelow)
    new = new_key(secret, old.account_id, key, old.name, accounts.now_us())
    new = NewKey(key, new.row._replace(scopes=old.scopes, cap_calls=old.cap_calls))
    if not accounts.replace_key(old, new.row, int(grace_seconds * MICROSECONDS)):
        raise FounderError("This key is revoked or has expired; create a new one with: farebox keys create EMAIL")
    return new
