"""The n-th thing that the ledger asks of its database fails, for every n: no answer without its row, nothing held."""

import asyncio
import errno
import json
import logging
import re
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import cached_property
from importlib import import_module
from typing import Any, Final, NamedTuple

import pytest

from farebox.account.keys import NewKey
from farebox.call import CallRequest, Receipt, Service, Wire, paid_call
from farebox.call.service import Model
from farebox.call.wire import Question
from farebox.domain.admission import Once
from farebox.domain.breaker import Breaker
from farebox.domain.dialects import CHAT, input_tokens_max
from farebox.domain.errors import CallError, InternalError, LedgerUnavailable
from farebox.ports.calls import Reply, Streamed
from farebox.store.database import Database
from farebox.store.ledger import group_commit as ledger_module
from farebox.store.ledger.group_commit import GroupCommitLedger
from farebox.store.money.wallet import StoredCredit
from tests.contract.till import PRICE, SECRET, Faults, FaultyDatabase, Till, running, until
from tests.services.sums import connect

CALLS_AT_ONCE: Final = 2
OPERATIONS_MAX: Final = 200  # far above what three calls take; a run that never ends is a failure
CENT: Final = 10_000_000  # what a call of the plan 'over' costs beyond its first
NEVER_US: Final = 10**16
BOUGHT: Final = 3 * CENT // 2  # of three calls one is paid with it, one in part; what is left is for the invoice

SWEEPS_MAX: Final = 1_000  # a call that was given up may come to its end between two of them


class Words(NamedTuple):
    """A model in memory. It answers each call by its id, and remembers whom it has answered."""

    seen: list[str]

    async def send(self, path: str, body: bytes, seconds_max: float) -> Reply:
        del path, seconds_max
        prompt: str = json.loads(body)["messages"][0]["content"]
        self.seen.append(prompt)
        await asyncio.sleep(0)
        read, written = tokens_of(prompt)
        message = {"role": "assistant", "content": f"answer to {prompt}"}
        usage = {"prompt_tokens": read, "completion_tokens": written}
        return Reply(200, {}, json.dumps({"choices": [{"message": message}], "usage": usage}).encode())

    async def stream(self, path: str, body: bytes, seconds_max: float) -> Streamed:
        raise NotImplementedError


def tokens_of(call_id: str) -> tuple[int, int]:
    """Figures of a call's own, so that no row can be taken for another's."""
    number = int(re.sub(r"\D", "", call_id))
    return 1 + number % 17, 1 + number % 13


KINDS: Final[dict[str, Callable[[Any], Exception]]] = {
    "the database is gone": lambda driver: driver.OperationalError("gone"),
    "the disk is full": lambda _: OSError(errno.ENOSPC, "No space left on device"),
    "a constraint": lambda driver: driver.IntegrityError("constraint failed"),
}


class WatchedTill(Till):
    """It is looked at a dozen times for each operation that fails, so whoever looks stays connected."""

    @cached_property
    def watcher(self) -> Any:  # noqa: ANN401  # either driver's connection
        return connect(self.url)

    @contextmanager
    def connected(self) -> Iterator[Any]:
        yield self.watcher


@pytest.fixture
def till(migrated_url: str, database: Database) -> Iterator[Till]:
    till = WatchedTill(migrated_url, database)
    with closing(till.watcher):
        yield till


# With money there are half as many operations more: one kind of fault is enough for those.
@pytest.mark.parametrize(("kind", "plan"), [*zip(KINDS, ("over", "open", "open"), strict=True)])
@pytest.mark.parametrize(("times", "done_first"), [(1, False), (1, True), (3, False), (10**9, False)])
def test_whichever_operation_fails_no_answer_is_without_its_row_and_nothing_stays_held(
    till: Till,
    kind: str,
    plan: str,
    times: int,
    done_first: bool,  # noqa: FBT001  # named by pytest
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.CRITICAL)
    monkeypatch.setattr(ledger_module, "RETRY_SECONDS", 0.001)
    monkeypatch.setattr(import_module("farebox.store.ledger.inline"), "REST_SECONDS", 0)
    monkeypatch.setattr(import_module("farebox.store.ledger.inline"), "REST_TIMES", 0)
    monkeypatch.setattr(import_module("farebox.call.record"), "RECORD_SECONDS", 0.02)

    async def every_operation() -> None:
        words = Words([])
        with closing(FaultyDatabase(till.url)) as database:
            async with running(database) as ledger:
                service = service_of(ledger, words)
                key = till.new_key(plan)
                till.query("UPDATE account SET customer_id = 'cus_1', is_subscribed = 1")
                n = 1
                for turn in range(2 * OPERATIONS_MAX):
                    if plan == "over":
                        fill_up(till, key.row.account_id, f"pi_{turn}")
                    faults = Faults(lambda: KINDS[kind](database._driver), n, times, done_first=done_first)
                    database.faults = faults
                    answers = await three_calls(service, key, f"req_{turn:06d}")
                    database.faults = Faults()
                    await nothing_held(till, ledger)
                    assert_each_answer_has_its_row(till, answers)
                    assert "nothing" not in {till.state(call_id) for call_id in words.seen}
                    words.seen.clear()
                    assert till.findings() == []
                    if faults.count >= n:
                        n += 1
                    elif all(isinstance(answer, Receipt) for answer in answers.values()):
                        assert_money_is_kept(till, is_some=plan == "over")
                        return  # there was no n-th operation any more
                    # else the machine was so slow that they were given up before it, and are made again
        pytest.fail(f"three calls took more than {OPERATIONS_MAX} operations")

    asyncio.run(every_operation())


def service_of(ledger: GroupCommitLedger, words: Words) -> Service:
    models = (Model("m", "openai", PRICE, words, Breaker(0, 0)),)
    return Service(
        ledger=ledger,
        models={"live": models, "test": models},
        embedding_models={"live": (), "test": ()},
        secret=SECRET,
        call_seconds_max=0.05,
        hold_ttl_seconds=0,  # whoever is not recorded is dead to the sweep that the test runs
        upstream_retries_max=0,
        idempotency_seconds=86_400,
    )


async def three_calls(service: Service, key: NewKey, name: str) -> dict[str, Receipt | CallError]:
    """Some calls at once, then one alone; each has an answer or an error that a customer may see."""
    at_once = await asyncio.gather(*(call(service, key, f"{name}{n}") for n in range(CALLS_AT_ONCE)))
    return dict([*at_once, await call(service, key, f"{name}{CALLS_AT_ONCE}")])


async def call(service: Service, key: NewKey, call_id: str) -> tuple[str, Receipt | CallError]:
    models = service.models["live"]
    seen = models[0].upstream.seen  # type: ignore[attr-defined]  # Words has it
    question = Question(CHAT, {"messages": [{"role": "user", "content": call_id}]}, models, input_tokens_max(call_id))

    async def work(wire: Wire) -> str | None:
        return (await wire.ask(question)).completion.text

    once = Once(call_id, "the one request", is_stream=False, ttl_us=10**9)
    request = CallRequest(call_id, key.key, "/v1/generate", models, question.input_tokens_max, once=once)
    try:
        receipt = await paid_call(service, request, work, rendered)
    except (LedgerUnavailable, InternalError) as error:
        return call_id, error
    else:
        assert isinstance(receipt, Receipt)
        return call_id, receipt
    finally:
        assert seen.count(call_id) <= 1


def rendered(receipt: Receipt) -> tuple[str, bytes]:
    return "text/plain", str(receipt.content).encode()


async def nothing_held(till: Till, ledger: GroupCommitLedger) -> None:
    """Wait for what is still being tried, then sweep."""
    await until(lambda: not ledger._again, "the end of what is tried again")
    for _ in range(SWEEPS_MAX):
        await ledger.expire()
        if till.held() == 0:
            return
    pytest.fail("a hold would not expire")


def assert_each_answer_has_its_row(till: Till, answers: dict[str, Receipt | CallError]) -> None:
    for call_id, answer in answers.items():
        if isinstance(answer, Receipt):
            assert answer.content == f"answer to {call_id}"
            kept = till.query("SELECT content_type, body FROM idempotency WHERE call_id = %s", call_id)
            assert [(name, bytes(body)) for name, body in kept] == [rendered(answer)]
            row = till.query("SELECT state, input_tokens, output_tokens FROM usage_record WHERE call_id = %s", call_id)
            assert row == [("posted", *tokens_of(call_id))]
            assert answer.outcome[3:6:2] == tokens_of(call_id)


def fill_up(till: Till, account_id: str, source: str) -> None:
    """Have an account's credit come to what it is before each three calls."""
    spent = "(SELECT coalesce(sum(prepaid_nanodollars), 0) FROM usage_record WHERE account_id = account.id)"
    bought = "(SELECT coalesce(sum(amount_nanodollars), 0) FROM credit_grant WHERE account_id = account.id)"
    [(left,)] = till.query(f"SELECT {bought} - {spent} FROM account WHERE id = %s", account_id)
    if left < BOUGHT:
        assert StoredCredit(till.database).grant(account_id, source, "small", BOUGHT - int(left), NEVER_US)


def assert_money_is_kept(till: Till, *, is_some: bool) -> None:
    """What rows say of credit and of the invoice is what is kept of both."""
    [(prepaid, invoiced)] = till.query("SELECT sum(prepaid_nanodollars), sum(invoiced_nanodollars) FROM usage_record")
    assert till.query("SELECT coalesce(sum(nanodollars), 0) FROM usage_outbox") == [(invoiced,)]
    assert till.query("SELECT coalesce(sum(spent_nanodollars), 0) FROM credit_grant") == [(prepaid,)]
    assert (prepaid > 0, invoiced > 0) == (is_some, is_some)
