"""The keys that the Playground pays with: each is made again from the secret when it is needed, and kept nowhere."""

from typing import Final, Literal, NamedTuple

from farebox.account.desk import Desk
from farebox.account.keys import new_key, working_key
from farebox.domain import apikey
from farebox.domain.apikey import ApiKey, Mode
from farebox.domain.people import Client
from farebox.ports import AccountRow
from farebox.ports_people import Visit

KEY_NAME: Final = "Playground"


class PlaygroundKey(NamedTuple):
    """The key of one account and mode. It is `new` where there was none yet, and `gone` where the last was revoked."""

    key: ApiKey
    """The one that works, else the one that would be the next."""
    state: Literal["new", "works", "gone"]


def playground_key(desk: Desk, account: AccountRow, mode: Mode) -> PlaygroundKey:
    """Look which key it is; nothing is made.

    A customer can revoke or rotate it like any other: none is made in its place before they ask for it.
    """
    known = {row.digest: row for _, row in desk.accounts.list_keys(account.email)}

    def derived(number: int) -> ApiKey:
        return apikey.derive(desk.product.key_prefix, mode, desk.secret, f"playground {account.id} {mode} {number}")

    found = working_key(desk.secret, known, derived)
    return PlaygroundKey(found.key, "works" if found.is_known else "new" if found.number == 1 else "gone")


def make_playground_key(desk: Desk, here: Visit, client: Client, found: PlaygroundKey) -> None:
    """Have the key among the account's keys. Whoever does it at the same moment makes the same one."""
    row = new_key(desk.secret, here.account.id, found.key, KEY_NAME, desk.accounts.now_us()).row
    if desk.accounts.add_key(row):
        desk.people.note("key_created", client, person_id=here.person.id, account_id=here.account.id)
