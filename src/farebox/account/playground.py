"""The keys that the Playground pays with: each is made again from the secret when it is needed, and kept nowhere."""

from typing import Final, Literal, NamedTuple

from farebox.account.desk import Desk
from farebox.account.keys import new_key
from farebox.account.own_keys import WORKING_MAX
from farebox.domain import apikey
from farebox.domain.apikey import ApiKey, Mode
from farebox.domain.people import Client, digest
from farebox.ports.calls import AccountRow
from farebox.ports.people import Visit

KEY_NAME: Final = "Playground"


class PlaygroundKey(NamedTuple):
    """The key of one account and mode. It is `new` where there was none yet, and `gone` where the last was revoked."""

    id: str
    key: ApiKey
    """The key that works, else the one that would be the next."""
    state: Literal["new", "works", "gone"]


def playground_key(desk: Desk, account: AccountRow, mode: Mode) -> PlaygroundKey:
    """Look up the key, without making one.

    A customer can revoke or rotate it like any other: none is made in its place before they ask for it.
    """
    named = desk.keys.named(account.id, KEY_NAME)
    of_mode = [row for row in named if row.mode == mode]
    mine = [row for row in of_mode if apikey.digest(desk.secret, _key(desk, mode, row.id)) == row.digest]
    for row in mine:
        if row.revoked_us is None and row.expires_us is None:
            return PlaygroundKey(row.id, _key(desk, mode, row.id), "works")
    # From the number of keys, so that two requests at the same moment get the same next key.
    next_id = f"key_{digest(desk.secret, 'playground', f'{account.id} {mode} {len(named)}')[:16]}"
    return PlaygroundKey(next_id, _key(desk, mode, next_id), "gone" if mine else "new")


def make_playground_key(desk: Desk, here: Visit, client: Client, found: PlaygroundKey) -> None:
    """Add the key to the account's keys. There is always room for it beside those that customers make."""
    row = new_key(desk.secret, here.account.id, found.key, KEY_NAME, desk.keys.now_us(), found.id).row
    desk.keys.add(here, client, row, 2 * WORKING_MAX)


def _key(desk: Desk, mode: Mode, key_id: str) -> ApiKey:
    return apikey.derive(desk.product.key_prefix, mode, desk.secret, f"playground {key_id}")
