"""Create, list, rotate and revoke API keys. A key's text exists once, in the answer that creates it."""

import secrets
from typing import NamedTuple

from farebox.domain import apikey
from farebox.domain.apikey import ApiKey, Mode
from farebox.domain.errors import FounderError
from farebox.domain.period import MICROSECONDS
from farebox.ports import Accounts, KeyRow


class NewKey(NamedTuple):
    """A key that was just made. Its text is not kept anywhere."""

    key: ApiKey
    row: KeyRow


def create_key(
    accounts: Accounts, secret: bytes, brand: str, email: str, *, name: str = "", mode: Mode = "live"
) -> NewKey:
    """A new key for an account.

    Raises:
        FounderError: there is no account with this address.
    """
    account = accounts.account_by_email(email)
    if account is None:
        raise FounderError(
            f"There is no account {email!r}. Create it with: farebox accounts create {email} --plan NAME"
        )
    return add_key(accounts, secret, account.id, apikey.mint(brand, mode, secrets.randbelow), name)


def add_key(accounts: Accounts, secret: bytes, account_id: str, key: ApiKey, name: str) -> NewKey:
    row = KeyRow(
        account_id=account_id,
        id=f"key_{secrets.token_hex(8)}",
        digest=apikey.digest(secret, key),
        name=name,
        mode=key.mode,
        prefix=key.prefix,
        last4=key.last4,
        created_us=accounts.now_us(),
        expires_us=None,
        revoked_us=None,
    )
    accounts.add_key(row)
    return NewKey(key, row)


def find_key(accounts: Accounts, secret: bytes, what: str) -> KeyRow:
    """A key by its id, by its last four characters, or by its whole text.

    Raises:
        FounderError: no key, or more than one, is meant by it.
    """
    whole = apikey.parse(what)
    digest = apikey.digest(secret, whole) if whole is not None else ""
    found = [row for row in accounts.list_keys() if row.id == what or row.digest == digest]
    found = found or [row for row in accounts.list_keys() if row.last4 == what and row.revoked_us is None]
    if len(found) > 1:
        raise FounderError(f"{len(found)} keys end in {what!r}; name one by its id: {', '.join(k.id for k in found)}.")
    if not found:
        raise FounderError("There is no such key. 'farebox keys list' shows them with their ids.")
    return found[0]


def revoke_key(accounts: Accounts, row: KeyRow) -> None:
    """Refuse the key from this moment on, in every process."""
    accounts.revoke_key(row.account_id, row.id)


def rotate_key(accounts: Accounts, secret: bytes, brand: str, old: KeyRow, grace_seconds: float) -> NewKey:
    """A new key with the old one's name and mode; the old one works for `grace_seconds` more.

    Raises:
        FounderError: the old key is revoked already.
    """
    if old.revoked_us is not None:
        raise FounderError("This key is revoked; create a new one with: farebox keys create EMAIL")
    new = add_key(accounts, secret, old.account_id, apikey.mint(brand, old.mode, secrets.randbelow), old.name)
    accounts.expire_key(old.account_id, old.id, accounts.now_us() + int(grace_seconds * MICROSECONDS))
    return new
