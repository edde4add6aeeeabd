"""The keys of an account, as its members make, replace and revoke them on a page."""

import re
import secrets
from collections.abc import Collection
from typing import Final, NamedTuple, NoReturn

from farebox.account.desk import Desk
from farebox.account.keys import KeyTerms, NewKey, check_terms, new_key, successor, with_terms
from farebox.domain import apikey
from farebox.domain.errors import NotFound
from farebox.domain.people import Client, PersonError, digest
from farebox.domain.period import MICROSECONDS, Period, period_at
from farebox.ports.calls import KeyRow
from farebox.ports.people import KeyMade, KeyUsed, Visit

WORKING_MAX: Final = 100
_FORM: Final = re.compile(r"[0-9A-Za-z]{43}", re.ASCII)


class FormUsed(PersonError):
    """This very form was sent before: what it asked for is done, and is not done again."""

    status = 409


class OwnKeys(NamedTuple):
    """An account's keys, and the period that their use is counted in."""

    keys: list[KeyUsed]
    period: Period
    now_us: int


def own_keys(desk: Desk, here: Visit) -> OwnKeys:
    now_us = desk.keys.now_us()
    period = period_at(here.account.anchor_us, now_us)
    return OwnKeys(desk.keys.listed(here.account.id, period.start_us), period, now_us)


def own_key(desk: Desk, here: Visit, key_id: str) -> KeyRow:
    """A key of the account.

    Raises:
        NotFound: it has no such key.
    """
    row = desk.keys.find(here.account.id, key_id)
    if row is None:
        raise NotFound("This account has no such key. Its keys are listed at /keys.")
    return row


def make_key(desk: Desk, here: Visit, client: Client, terms: KeyTerms, endpoints: Collection[str], form: str) -> NewKey:
    """A new key, once for each form.

    Raises:
        PersonError: there can be no such key, or the account has enough.
        FormUsed: the form was sent before.
    """
    check_terms(terms, endpoints)
    key = apikey.mint(desk.product.key_prefix, terms.mode, secrets.randbelow)
    key_id = _id_of(desk, here, form)
    new = with_terms(new_key(desk.secret, here.account.id, key, terms.name, desk.keys.now_us(), key_id), terms)
    made = desk.keys.add(here, client, new.row, WORKING_MAX)
    return new if made == "made" else _refuse(made)


def replace_key(desk: Desk, here: Visit, client: Client, old: KeyRow, grace_seconds: int, form: str) -> NewKey:
    """A key in the place of another one, which works for some time more; once for each form.

    Raises:
        PersonError: the old key no longer works, or the account has enough.
        FormUsed: the form was sent before.
    """
    key_id = _id_of(desk, here, form)
    new = successor(desk.secret, desk.product.key_prefix, old, desk.keys.now_us(), key_id)
    made = desk.keys.replace(here, client, old, new.row, grace_seconds * MICROSECONDS, WORKING_MAX)
    return new if made == "made" else _refuse(made)


def _id_of(desk: Desk, here: Visit, form: str) -> str:
    """The id of the key that a form makes: a form that comes again finds the id taken, and nobody can choose an id."""
    if _FORM.fullmatch(form) is None:
        raise PersonError("Parts of the form are missing. Open the page again, and send it from there.")
    return f"key_{digest(desk.secret, 'form of a key', f'{here.account.id} {form}')[:16]}"


def _refuse(made: KeyMade) -> NoReturn:
    if made == "again":
        raise FormUsed("This form was already sent, so nothing was done.")
    if made == "gone":
        raise PersonError("This key is revoked or has expired, so it cannot be replaced. Create a new one.")
    raise PersonError(
        f"This account has {WORKING_MAX} keys that work, the most it can have. Revoke one first, or replace one so "
        "that the old key ends at once."
    )
