"""Accounts of which somebody else keeps a row locked: a psql left open, a machine that vanished (decision 30).

What is asked of them is put aside, and tried by itself, so that nobody else waits for it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from farebox.store.database import LOCK_TIMED_OUT
from farebox.store.ledger.batch import BY_KEY, Finish
from farebox.store.ledger.statements import LOCK_SECONDS_MAX
from farebox.store.ledger.waiting import Waiting

TRIAL_SECONDS: Final = 0.2
REST_SECONDS: Final = 1.0  # after a trial that failed: most of the time is the others'


class RowLocked(Exception):
    """A row was not free in time. Nothing of its batch is written, and of whose account it is, is not known.

    `in_line` says whether it was the account's own row, where all who write wait for one another.
    """

    def __init__(self, *, in_line: bool) -> None:
        super().__init__()
        self.in_line = in_line


def is_row_locked(error: Exception) -> bool:
    return getattr(error, "sqlstate", None) == LOCK_TIMED_OUT


def names_of(batch: Sequence[Waiting]) -> tuple[list[str], list[str]]:
    """The digests of keys, and the ids of accounts, by which a batch names its accounts."""
    digests = {w.item.key_digest for w in batch if isinstance(w.item, BY_KEY)}
    return list(digests), list({w.item.hold.account_id for w in batch if isinstance(w.item, Finish)})


@dataclass(slots=True)
class _Aside:
    waits: list[Waiting]
    tried_at: float = 0.0  # monotonic seconds
    in_line: bool = True
    owner: str | None = None


class LockedAccounts:
    """The accounts that are known to be locked, and what waits for each. For one thread."""

    def __init__(self) -> None:
        self._aside: dict[str, _Aside] = {}
        self._account_of: dict[str, str] = {}  # by the digests of its keys
        self._rests_until = 0.0

    def __bool__(self) -> bool:
        return bool(self._aside)

    @property
    def all_waiting(self) -> list[Waiting]:
        """What is put aside; may be read on any thread."""
        return [waiting for aside in tuple(self._aside.values()) for waiting in tuple(aside.waits)]

    @property
    def has_waiting(self) -> bool:
        return any(aside.waits for aside in self._aside.values())

    def learn(self, keys: Iterable[tuple[str, str]]) -> None:
        """Whose the keys are, by their digests."""
        self._account_of.update(keys)

    def parts(self, batch: Sequence[Waiting]) -> dict[str, list[Waiting]]:
        """A batch by its accounts; what is of none is a part as well."""
        parts: dict[str, list[Waiting]] = {}
        for waiting in batch:
            parts.setdefault(self._account(waiting), []).append(waiting)
        return parts

    def without(self, batch: list[Waiting]) -> list[Waiting]:
        """What is of no locked account; the rest is put aside."""
        if not self._aside:
            return batch
        others: list[Waiting] = []
        for waiting in batch:
            aside = self._aside.get(self._account(waiting))
            (others if aside is None else aside.waits).append(waiting)
        return others

    def put(self, account: str, waits: Sequence[Waiting], *, in_line: bool = True) -> None:
        """An account was found locked, at its own row or behind it."""
        aside = self._aside.setdefault(account, _Aside([]))
        aside.waits += waits
        aside.in_line = in_line

    def is_due(self, now: float) -> bool:
        return now >= self._rests_until and self.has_waiting

    def next(self) -> tuple[str, list[Waiting]]:
        """The account to try now, and what waits for it: the one that was tried longest ago."""
        account = min((name for name, each in self._aside.items() if each.waits), key=self._tried_at)
        waits, self._aside[account].waits = self._aside[account].waits, []
        return account, waits

    def patience_seconds(self, account: str, owner: str | None) -> float:
        """How long a trial waits for the account's rows, whose `owner` is the transaction that last had its own row.

        If the last trial failed at that row, and it has had another one since, it is only busy: in a line of many
        workers, whoever waits long enough has their turn.
        """
        aside = self._aside.get(account)
        if aside is None:
            return TRIAL_SECONDS
        before, aside.owner = aside.owner, owner
        return LOCK_SECONDS_MAX if aside.in_line and before not in {None, owner} else TRIAL_SECONDS

    def tried(self, account: str, now: float, *, is_free: bool) -> None:
        if not is_free or self._aside[account].waits:  # as one by one, where one of them was poisoned
            self._aside[account].tried_at = now
            self._rests_until = now + REST_SECONDS
            return
        del self._aside[account]
        if not self._aside:
            self._account_of.clear()

    def take_late(self, now: float) -> list[Waiting]:
        """Those whose time to be answered is over."""
        late: list[Waiting] = []
        for aside in self._aside.values():
            late += [w for w in aside.waits if w.until < now]
            aside.waits = [w for w in aside.waits if w.until >= now]
        return late

    def _tried_at(self, account: str) -> float:
        return self._aside[account].tried_at

    def _account(self, waiting: Waiting) -> str:
        item = waiting.item
        if isinstance(item, Finish):
            return item.hold.account_id
        return self._account_of.get(item.key_digest, item.key_digest) if isinstance(item, BY_KEY) else ""
