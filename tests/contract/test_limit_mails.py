"""Limit mails on both databases: once a period for each mark of each limit, whoever looks, however often, and late."""

import asyncio
import json
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import pytest

from farebox.account import by_hand
from farebox.account.keys import KeyTerms, NewKey, create_key
from farebox.account.limit_mails import LimitWatch, _then
from farebox.domain.admission import Admitted, Ask
from farebox.domain.ledger import Spent
from farebox.domain.limits import Limit, Used
from farebox.domain.plan import Plan
from farebox.domain.prices import Price
from farebox.domain.product import Product
from farebox.store.accounts import StoredAccounts
from farebox.store.database import Database
from farebox.store.ledger.group_commit import GroupCommitLedger
from farebox.store.limit_marks import StoredLimitMarks
from tests.contract.world import ADA, SECRET, World
from tests.services.process import wait_until

PLANS: Final = Product(
    "Till",
    plans=(
        Plan("free", calls=20),
        Plan("over", calls=4, overage_usd="0.01"),
        Plan("tokens", tokens=1_000),
        Plan("credit", credit_usd="0.001"),
    ),
)
PRICE: Final = Price(1_000_000_000, 0, 0)
MONTH_US: Final = 31 * 86_400 * 10**6


class Watched(World):
    """One account that is called, and who watches over it."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self.account = self.visit(self.join().cookie).account
        self.key = self.new_key()
        self.watches = [self.new_watch() for _ in range(8)]
        self.first = self.watches[0]

    def new_watch(self) -> LimitWatch:
        return LimitWatch(StoredLimitMarks(self.database), PLANS.by_name, self._wake)

    def new_key(self, *, test: bool = False) -> NewKey:
        return create_key(StoredAccounts(self.database), SECRET, "till", ADA, KeyTerms(mode="test" if test else "live"))

    def on(self, plan: str, **columns: Any) -> None:  # noqa: ANN401  # any column
        for name, value in {"plan": plan, **columns}.items():
            self.rows(f"UPDATE account SET {name} = :value", value=value)

    def call(self, *sizes: int, key: NewKey | None = None, tells: bool = True) -> None:
        """Calls one after the other, which come to so many tokens each."""
        asyncio.run(self._call(sizes, key or self.key, tells=tells))

    async def _call(self, sizes: tuple[int, ...], key: NewKey, *, tells: bool) -> None:
        ledger = GroupCommitLedger(self.database, PLANS.by_name)
        ledger.start()
        try:
            for size in sizes:
                call_id = f"req_{time.time_ns():032x}"
                ask = Ask(call_id, key.row.digest, "/v1/generate", "m", PRICE, size, 0, 10**8)
                admitted = await ledger.admit(ask)
                assert isinstance(admitted, Admitted), admitted
                done = await ledger.record(admitted.hold, "post", Spent(size), time.monotonic() + 10)
                if tells:
                    self.first.recorded(admitted.hold, done.outcome, done.standing)
        finally:
            await ledger.close()

    def look(self) -> int:
        """One after the other, as the loop of a process does: those that it was told of."""
        rounds = self.first._rounds
        met, rounds._marked = rounds._marked, set()
        return self.first.look_at(met)

    def mails(self) -> list[tuple[str, str, int]]:
        found = self.rows("SELECT email, data, account_id FROM mail WHERE template = 'limit' ORDER BY created_us, id")
        assert {row[2] for row in found} <= {self.account.id}
        return [(row[0], data["what"], data["percent"]) for row in found for data in [json.loads(row[1])]]


@pytest.fixture
def watched(database: Database) -> Watched:
    return Watched(database)


def test_each_mark_is_told_of_once_to_the_owner(watched: Watched) -> None:
    sent = []
    for _ in range(20):
        watched.call(1)
        sent.append(watched.look())
    assert [number for number, count in enumerate(sent, 1) if count] == [10, 16, 20]
    assert watched.mails() == [(ADA, "calls", 50), (ADA, "calls", 80), (ADA, "calls", 100)]
    assert [watch.look_at_all() for watch in watched.watches] == [0] * 8
    told = [
        json.loads(data)
        for (data,) in watched.rows("SELECT data FROM mail WHERE template = 'limit' ORDER BY created_us")
    ]
    assert [(data["account"], data["used"], data["most"], data["then"]) for data in told] == [
        (ADA, "10", "20 calls", "At the limit, calls are refused until then."),
        (ADA, "16", "20 calls", "At the limit, calls are refused until then."),
        (ADA, "20", "20 calls", "Further calls are refused until then."),
    ]


def test_eight_processes_that_look_at_once_write_one_mail(watched: Watched) -> None:
    for calls, percent in ((10, 50), (6, 80), (4, 100)):
        watched.call(*[1] * calls, tells=False)
        with ThreadPoolExecutor(8) as pool:
            sent = list(pool.map(lambda watch: watch.look_at([watched.account.id]), watched.watches))
        assert sum(sent) == 1
        assert watched.mails()[-1] == (ADA, "calls", percent)
    assert len(watched.mails()) == 3


def test_a_mark_that_nobody_was_told_of_is_found_by_whoever_looks_at_all(watched: Watched) -> None:
    watched.call(*[1] * 10, tells=False)  # and the process dies
    assert watched.look() == 0
    for watch in watched.watches[5:7]:
        watch._look(set())
        assert watched.mails() == [(ADA, "calls", 50)]
    watched.call(*[1] * 6, tells=False)
    watched.watches[5]._look(set())
    assert len(watched.mails()) == 1, "at all of them it looks once an hour"
    watched.watches[5]._look({watched.account.id})
    assert watched.mails()[1:] == [(ADA, "calls", 80)]


def test_marks_that_one_call_leaps_over_are_told_of_together(watched: Watched) -> None:
    watched.on("tokens")
    watched.call(900)
    assert watched.look() == 1
    assert watched.mails() == [(ADA, "tokens", 80)]
    assert watched.rows("SELECT percent FROM limit_mark ORDER BY percent") == [(50,), (80,)]
    watched.call(100)
    assert watched.look() == 1
    assert [percent for _, _, percent in watched.mails()] == [80, 100]


def test_a_plan_that_charges_beyond_its_calls_says_what_they_cost(watched: Watched) -> None:
    watched.on("over")
    watched.call(1, 1, 1, 1, 1)
    assert watched.look() == 1
    data = json.loads(watched.rows("SELECT data FROM mail WHERE template = 'limit'")[0][0])
    assert (data["used"], data["most"], data["then"]) == ("5", "4 calls", "Each further call costs $0.01.")


@pytest.mark.parametrize(
    ("plan", "is_over", "sentence"),
    [
        (Plan("p", tokens=9, overage_usd_per_1k_tokens=1), False, "A thousand tokens beyond these cost $1.00."),
        (Plan("p", tokens=9, overage_usd_per_1k_tokens=1), True, "A further thousand tokens cost $1.00."),
        (Plan("p", credit_usd=9, credit_overage=True), False, "Model use beyond it is charged as it comes."),
        (
            Plan("p", calls=9, overage_usd=1, prepaid=True), True,
            "Each further call costs $1.00. Your credit pays it; without credit, calls are refused.",
        ),
        (Plan("p", tokens=9), True, "Further calls are refused until then."),
        (Plan("p", credit_usd=9), False, "At the limit, calls are refused until then."),
    ],
)  # fmt: skip
def test_what_goes_on_beyond_a_limit_is_told_with_its_price(plan: Plan, is_over: bool, sentence: str) -> None:  # noqa: FBT001
    limit: Limit = "calls" if plan.calls else "tokens" if plan.tokens else "credit"
    assert _then(Used(limit, 9, 9), plan, is_over=is_over) == sentence


def test_an_account_that_has_lapsed_is_told_of_the_free_plans_limits(watched: Watched) -> None:
    watched.on("over", grace_until_us=1)
    watched.call(*[1] * 10)
    assert watched.look() == 1
    assert watched.mails() == [(ADA, "calls", 50)]


def test_an_account_that_is_moved_by_hand_is_told_of_the_new_plans_limits_and_of_its_own_cap_no_more(
    watched: Watched,
) -> None:
    watched.on("over", spend_cap_nanodollars=10_000_000)
    watched.call(1, 1, 1, 1, 1)
    assert watched.look() == 2
    watched.rows("INSERT INTO limit_mark VALUES ('another', 1, 'calls', 100, 1)")
    for _ in range(2):
        by_hand.move(StoredAccounts(watched.database), PLANS, ADA, "free")
        watched.call(1, 1, 1, 1, 1)
        watched.first.look_at_all()
    assert watched.mails() == [(ADA, "calls", 100), (ADA, "spend cap", 100), (ADA, "calls", 50)]
    told = watched.rows("SELECT account_id, name FROM limit_mark WHERE percent = 100 ORDER BY account_id")
    assert told == [(watched.account.id, "spend_cap"), ("another", "calls")]


def test_the_customers_own_cap_and_the_credit_are_told_of_apart(watched: Watched) -> None:
    watched.on("credit", spend_cap_nanodollars=400_000)
    watched.call(200)
    assert watched.look() == 1
    assert watched.mails() == [(ADA, "spend cap", 50)]
    watched.call(200)
    assert watched.look() == 1
    watched.on("credit", spend_cap_nanodollars=None)
    watched.call(100)
    assert watched.look() == 1
    assert watched.mails()[1:] == [(ADA, "spend cap", 100), (ADA, "model credit", 50)]


def test_a_cap_that_is_lowered_is_told_of_when_somebody_looks(watched: Watched) -> None:
    watched.on("credit")
    watched.call(200)
    assert watched.look() == 0
    watched.on("credit", spend_cap_nanodollars=200_000)
    assert watched.first.look_at([watched.account.id]) == 1
    assert watched.mails() == [(ADA, "spend cap", 100)]


def test_a_test_key_never_causes_a_mail(watched: Watched) -> None:
    watched.call(*[1] * 20, key=watched.new_key(test=True))
    assert (watched.look(), watched.first.look_at_all(), watched.mails()) == (0, 0, [])


def test_a_new_period_has_marks_of_its_own_and_one_that_is_over_has_none(watched: Watched) -> None:
    watched.call(*[1] * 10)
    assert watched.look() == 1
    for table, columns in (("meter", ("period_start_us", "period_end_us")), ("limit_mark", ("period_start_us",))):
        moved = ", ".join(f"{name} = {name} - {MONTH_US}" for name in columns)
        watched.rows(f"UPDATE {table} SET {moved}")
    watched.rows("DELETE FROM limit_mark WHERE percent = 50")
    assert watched.first.look_at_all() == 0
    watched.call(*[1] * 10)
    assert watched.look() == 1
    assert len(watched.mails()) == 2


def test_only_owners_who_want_them_are_written_to(watched: Watched) -> None:
    for name, role, wants in (("bea", "owner", 1), ("cem", "owner", 0), ("dan", "member", 1)):
        watched.rows(f"INSERT INTO person VALUES ('{name}', '{name}@example.com', NULL, 1, NULL, NULL, 1)")
        watched.rows(f"INSERT INTO member VALUES ('{watched.account.id}', '{name}', '{role}', 1, {wants})")
    watched.call(*[1] * 10)
    assert watched.look() == 2
    assert {email for email, _, _ in watched.mails()} == {ADA, "bea@example.com"}
    watched.rows("UPDATE member SET has_limit_mails = 0")
    watched.call(*[1] * 6)
    assert watched.look() == 0
    watched.rows("UPDATE member SET has_limit_mails = 1")
    assert watched.first.look_at_all() == 0, "a mark that was passed in silence is not told of later"


def test_an_account_that_is_closed_or_whose_plan_is_gone_is_left_alone(watched: Watched) -> None:
    watched.call(*[1] * 10, tells=False)
    watched.on("gone")
    assert watched.first.look_at_all() == 0
    watched.on("free")
    marks = StoredLimitMarks(watched.database)
    [use] = marks.use([watched.account.id])
    watched.on("free", closed_us=1)
    assert watched.first.look_at_all() == 0
    assert marks.use([watched.account.id]) == []
    assert marks.note(use, "calls", (50,), "{}") == 0, "it was closed a moment ago"
    assert watched.mails() == []


def test_what_another_process_has_told_of_is_not_told_again(watched: Watched) -> None:
    marks = StoredLimitMarks(watched.database)
    watched.call(*[1] * 10, tells=False)
    [use] = marks.use([watched.account.id])
    assert [marks.note(use, "calls", (50,), '{"what": "calls", "percent": 50}') for _ in range(2)] == [1, 0]
    assert watched.mails() == [(ADA, "calls", 50)]
    later = use._replace(meter=use.meter._replace(period_start_us=use.meter.period_end_us))
    assert marks.noted(use.account_id, use.meter.period_start_us) == {("calls", 50)}
    assert marks.noted(use.account_id, later.meter.period_start_us) == set()
    assert marks.noted(use.account_id, use.meter.period_start_us - 1) == set()


def test_more_accounts_than_are_read_at_once_are_all_looked_at(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("farebox.account.limit_mails.AT_ONCE", 2)
    watched.call(*[1] * 10, tells=False)
    assert watched.first.look_at(["0", "1", "2", watched.account.id, "zz"]) == 1


def test_all_accounts_are_looked_at_page_by_page(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("farebox.store.limit_marks.NEXT", "a.id > ? ORDER BY a.id LIMIT 2")
    watched.call(*[1] * 10, tells=False)
    for number in range(5):
        watched.rows(
            "INSERT INTO account (id, email, plan, state, anchor_us, created_us)"
            " SELECT :id, :id, plan, state, anchor_us, created_us FROM account WHERE email = :email",
            id=f"acct_{number}", email=ADA,
        )  # fmt: skip
        watched.rows(
            "INSERT INTO meter SELECT :id, name, period_start_us, period_end_us, posted_calls, 0, 0, 0, 0, 0, 0"
            " FROM meter WHERE account_id = :first",
            id=f"acct_{number}", first=watched.account.id,
        )  # fmt: skip
        watched.rows("INSERT INTO member SELECT :id, person_id, role, 1, 1 FROM member LIMIT 1", id=f"acct_{number}")
    assert watched.first.look_at_all() == 6


def test_the_loop_looks_when_it_was_told_and_again_after_a_fault(
    watched: Watched, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(watched.first._rounds, "_gather_seconds", 0.01)
    monkeypatch.setattr("farebox.account.rounds.RETRY_SECONDS", 0.01)
    marks, faults = watched.first._marks, [LookupError("once")]
    note = marks.note

    def failing(*arguments: Any) -> int:  # noqa: ANN401  # as `note` has them
        if faults:
            raise faults.pop()
        return note(*arguments)

    monkeypatch.setattr(marks, "note", failing)

    async def scene() -> None:
        watching = asyncio.create_task(watched.first.run())
        await watched._call((1,) * 10, watched.key, tells=True)
        watched.first.soon(watched.account.id)
        await asyncio.to_thread(wait_until, lambda: bool(watched.mails()), "the mail")
        watching.cancel()

    asyncio.run(scene())
    assert "a look at limits failed" in caplog.text
    assert watched.mails() == [(ADA, "calls", 50)]
