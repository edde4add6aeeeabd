"""The end of an account on both databases: the money rows stay, and nothing in them names anybody."""

import asyncio
import json
import time
from collections.abc import Callable
from contextlib import closing
from types import SimpleNamespace
from typing import Any, Final

import pytest

from farebox.account import team
from farebox.account.close import close_account
from farebox.account.deliver_mail import Delivery
from farebox.account.keys import KeyTerms, NewKey, create_key
from farebox.account.log_in import ask_for_link
from farebox.account.sign_up import sign_up
from farebox.domain.admission import Admitted, Ask, Once, Refused
from farebox.domain.errors import FounderError, InvalidApiKey
from farebox.domain.ledger import Spent
from farebox.domain.people import COUNTED_US, NotAllowed, PersonError, TooOften, guesses_of_nobody
from farebox.domain.places import Places
from farebox.ports.calls import Kept
from farebox.ports.people import DueMail, Letter, MailRefused
from farebox.store.accounts import StoredAccounts
from farebox.store.database import Database
from farebox.store.ledger.group_commit import GroupCommitLedger
from farebox.store.mail_outbox import StoredMailOutbox
from farebox.store.money.plans import lost_plans
from farebox.store.reconcile.sums import reconcile
from farebox.store.reports import usage
from farebox.store.tables import metadata
from tests.contract.test_team import BEA, CEM, TeamWorld
from tests.contract.world import ADA, CLIENT, GOOD, PRODUCT, SECRET, together
from tests.services.sums import check_sums_at

MONEY: Final = ("usage_record", "rollup_daily", "meter")
FORGOTTEN: Final = ("idempotency", "limit_mark", "top_up")
LIMIT_MARK: Final = "INSERT INTO limit_mark VALUES (:id, 1, 'calls', 50, 1)"
TOP_UP: Final = "INSERT INTO top_up VALUES (:id, '$10', 1, '', '', NULL)"
KEY_NAME: Final = "Ada's own laptop"


class ClosingWorld(TeamWorld):
    """Ada's account, which was called."""

    def __init__(self, database: Database, url: str) -> None:
        super().__init__(database)
        self.url = url
        self.accounts = StoredAccounts(database)
        self.key = create_key(self.accounts, SECRET, "till", ADA, KeyTerms(KEY_NAME))

    def ask(self, key: NewKey, once: Once | None = None) -> Ask:
        return Ask(f"req_{time.time_ns():032x}", key.row.digest, "/v1/generate", "m", None, 40, 60, 10**9, once=once)

    def close(self) -> None:
        close_account(self.desk, self.ada, CLIENT, typed=f" {ADA.upper()} ")

    def till(self, cancel: Callable[[str], None]) -> Any:  # noqa: ANN401
        """Where Ada pays for a plan, and how it is ended."""
        self.rows("UPDATE account SET customer_id = 'cus_1'")
        paid = SimpleNamespace(id="sub_1", is_ours=True, status="active")
        payments = SimpleNamespace(
            subscriptions_of=lambda _: [paid], expire_checkouts=lambda _: None, cancel_now=cancel
        )
        return SimpleNamespace(payments=payments, invoice_open=lambda _: None, places=Places())

    def key_works(self) -> bool:
        return self.rows("SELECT 1 FROM api_key WHERE revoked_us IS NULL") == [(1,)]

    async def call(self, ledger: GroupCommitLedger, once: str = "") -> Admitted:
        asked = Once(once, "fingerprint", is_stream=False, ttl_us=10**12) if once else None
        admitted = await ledger.admit(self.ask(self.key, asked))
        assert isinstance(admitted, Admitted)
        return admitted

    async def end(self, ledger: GroupCommitLedger, admitted: Admitted, kept: Kept | None = None) -> None:
        await ledger.record(admitted.hold, "post", Spent(12, 0, 7), time.monotonic() + 20, kept)

    def money(self) -> list[list[tuple[Any, ...]]]:
        return [self.rows(f"SELECT * FROM {table}") for table in MONEY]


@pytest.fixture
def world(database: Database, migrated_url: str) -> ClosingWorld:
    return ClosingWorld(database, migrated_url)


def test_what_names_anybody_goes_and_the_money_rows_stay(world: ClosingWorld) -> None:
    async def scene() -> None:
        ledger = GroupCommitLedger(world.database, PRODUCT.by_name)
        ledger.start()
        kept = Kept("once", lambda *_: ("text/plain", b"an answer for Ada"))
        await world.end(ledger, await world.call(ledger, "once"), kept)
        await world.end(ledger, await world.call(ledger))
        under_way = [await world.call(ledger, "twice"), await world.call(ledger)]
        before = world.money()
        people = [world.person(ADA), world.person(BEA)]
        await asyncio.to_thread(world.close)
        assert world.money() == before
        await world.end(ledger, under_way[0], Kept("twice", lambda *_: ("text/plain", b"another answer for Ada")))
        await world.end(ledger, under_way[1])
        refused = await ledger.admit(world.ask(world.key))
        assert isinstance(refused, Refused)
        assert isinstance(refused.error, InvalidApiKey)
        await ledger.close()
        assert world.rows("SELECT count(*), sum(tokens) FROM usage_record WHERE state = 'posted'") == [(4, 4 * 19)]
        assert world.rows("SELECT count(*) FROM hold") == [(0,)]
        traces = world.traces_of(*people, ADA, BEA, CEM, KEY_NAME, world.key.key.text, world.key.row.digest, "for Ada")
        assert traces == ["guess", "mail: account_deleted", "mail: account_deleted"], "who was invited is counted still"
        world.rows("UPDATE guess SET at_us = at_us - :us", us=COUNTED_US)
        with closing(StoredMailOutbox(world.database)) as outbox:
            outbox.forget()
        assert world.traces_of(CEM) == []

    world.people.count(guesses_of_nobody(ADA))  # she tried to log in before she had signed up
    world.invited_in()
    world.invite(CEM)
    ask_for_link(world.desk, CLIENT, email=ADA, purpose="magic")
    world.rows("INSERT INTO passkey VALUES ('k', :ada, :key, 0, '', 'phone', 1, NULL)", ada=world.person(ADA), key=b"k")
    world.rows("INSERT INTO recovery_code VALUES (:ada, 'x', NULL)", ada=world.person(ADA))
    account_id = world.ada_account
    world.rows("UPDATE account SET spend_cap_nanodollars = 7")
    world.rows(LIMIT_MARK, id=account_id)
    world.rows(TOP_UP, id=account_id)
    woken = world.woken
    asyncio.run(scene())
    assert world.woken > woken, "the last mails go out now"
    for table in ("person", "member", "session", "link", "passkey", "recovery_code", *FORGOTTEN):
        assert world.count(table) == 0, table
    [row] = world.rows("SELECT id, email, plan, spend_cap_nanodollars, closed_us FROM account")
    assert row[:4] == (account_id, f"(deleted) {account_id}", "free", None)
    assert row[4]
    [key] = world.rows("SELECT name, revoked_us FROM api_key")
    assert key[0] == ""
    assert key[1]
    assert check_sums_at(world.url) == []
    assert not reconcile(world.database, PRODUCT.by_name).findings
    assert [line.what for line in world.desk.upkeep.archive.happened(account_id, None)][:1] == ["account_deleted"]


def test_an_address_has_no_more_mails_for_an_account_that_was_deleted_meanwhile(world: ClosingWorld) -> None:
    for _ in range(5):
        world.invite(CEM)
    world.close()
    eve = world.visit(world.join("eve@example.com").cookie)
    with pytest.raises(TooOften, match="invited several times"):
        world.invite(CEM, by=eve)


@pytest.mark.parametrize("is_refused", [False, True])
def test_the_last_mail_goes_out_and_its_address_is_forgotten(
    world: ClosingWorld, database: Database, *, is_refused: bool
) -> None:
    world.join(CEM)
    world.accept(world.invite(CEM))
    world.rows("DELETE FROM mail")
    world.close()
    sent: list[tuple[str, bool]] = []

    class Sending:
        def send(self, letter: Letter) -> None:
            if is_refused:
                raise MailRefused(f"550 {letter.to} is nobody here")

        def close(self) -> None:
            pass

    def render(due: DueMail) -> Letter:
        sent.append((due.mail.email, due.is_known))
        return Letter(due.mail.id, due.mail.email, "", "", "")

    outbox = StoredMailOutbox(database)
    delivery = Delivery(outbox, render, Sending)
    assert delivery.send_all() == (0 if is_refused else 2)
    outbox.close()
    assert sorted(sent) == [(ADA, False), (CEM, True)]
    assert world.rows("SELECT email, data FROM mail") == [("", "{}"), ("", "{}")]
    assert world.traces_of(ADA) == []


def test_who_is_elsewhere_as_well_stays_there(world: ClosingWorld) -> None:
    at_home = world.join(CEM).cookie
    world.accept(world.invite(CEM))
    here = world.log_in(GOOD, CEM)
    world.desk.upkeep.team.switch(world.visit(here), world.ada_account, CLIENT)
    world.close()
    assert world.is_out(here, world.ada_cookie)
    assert world.visit(at_home).others == ()
    assert world.log_in(GOOD, CEM)


def test_another_account_keeps_all_it_has(world: ClosingWorld) -> None:
    eve = world.visit(world.join("eve@example.com").cookie)
    works, ended = (create_key(world.accounts, SECRET, "till", eve.account.email).row.id for _ in range(2))
    world.invite(CEM, by=eve)
    for sql in (LIMIT_MARK, TOP_UP, "INSERT INTO idempotency VALUES (:id, 'once', '', 'req_1', 0, 1, '', NULL)"):
        world.rows(sql, id=eve.account.id)

    def kept() -> list[str]:
        tables = [table.name for table in metadata.sorted_tables if "account_id" in table.c]
        found = [row for name in tables for row in world.rows(f"SELECT * FROM {name}")]
        return sorted(str(row) for row in found if eve.account.id in row)

    closing, before = world.desk.upkeep.closing, kept()
    refused_us = closing.refuse_calls(world.ada, CLIENT)
    assert kept() == before
    world.rows("UPDATE api_key SET revoked_us = :us WHERE id = :id", us=refused_us, id=ended)  # of the same moment
    before = kept()
    closing.take_calls(world.ada, CLIENT, refused_us)
    assert kept() == before
    closing.refuse_calls(world.ada, CLIENT)
    world.close()
    assert kept() == before
    assert closing.refuse_calls(eve, CLIENT) > refused_us, "that of Ada's is no deletion of Eve's"
    assert world.rows("SELECT 1 FROM api_key WHERE id = :id AND revoked_us IS NOT NULL", id=works) == [(1,)]


def test_the_address_is_free_for_a_new_account(world: ClosingWorld) -> None:
    world.close()
    here = world.visit(world.join().cookie)
    assert here.account.email == ADA
    assert world.count("account") == 2
    assert world.rows("SELECT count(*) FROM usage_record WHERE account_id = :id", id=here.account.id) == [(0,)]


def test_an_owner_has_to_type_which_account_and_to_be_an_owner_still(world: ClosingWorld) -> None:
    for typed in ("", "yes", "eve@example.com"):
        with pytest.raises(PersonError) as told:
            close_account(world.desk, world.ada, CLIENT, typed=typed)
        assert told.value.field == "address"
    ada, bea = world.ada, world.visit(world.invited_in(role="owner"))
    world.desk.upkeep.team.set_role(bea, ada.person.id, "member", CLIENT)
    with pytest.raises(NotAllowed):
        close_account(world.desk, ada, CLIENT, typed=ADA)
    assert world.rows("SELECT closed_us FROM account") == [(None,)]


def test_an_account_is_closed_once_though_both_owners_close_it(world: ClosingWorld) -> None:
    both = iter([world.ada, world.visit(world.invited_in(role="owner"))])
    came = together(2, lambda: close_account(world.desk, next(both), CLIENT, typed=ADA))
    assert sorted(type(each).__name__ for each in came) == ["NoneType", "NotAllowed"]
    assert world.rows("SELECT count(*) FROM audit WHERE what = 'account_deleted'") == [(1,)]
    assert world.rows("SELECT count(*) FROM mail WHERE template = 'account_deleted'") == [(2,)]


def test_who_accepts_while_the_account_is_closed_is_in_none_of_it(world: ClosingWorld) -> None:
    token, account_id = world.invite(CEM), world.ada_account
    ada, acts = world.ada, iter("ab")

    def act() -> object:
        if next(acts) == "a":
            return world.accept(token)
        close_account(world.desk, ada, CLIENT, typed=ADA)
        return None

    together(2, act)
    assert world.rows("SELECT count(*) FROM member WHERE account_id = :id", id=account_id) == [(0,)]
    assert world.count("person") == 0


def test_the_commands_cope_with_a_closed_account(world: ClosingWorld) -> None:
    account_id = world.ada_account
    asyncio.run(_one_call(world))
    world.close()
    world.rows("UPDATE account SET plan = 'gone'")
    assert world.accounts.list_keys() == []
    assert lost_plans(world.database, PRODUCT.by_name) == ""
    with pytest.raises(FounderError, match="deleted by its owner"):
        create_key(world.accounts, SECRET, "till", f"(deleted) {account_id}")
    assert [used.email for used in usage(world.database)] == [f"(deleted) {account_id}"]
    assert sign_up(world.accounts, PRODUCT, ADA, "pro").email == ADA


async def _one_call(world: ClosingWorld) -> None:
    ledger = GroupCommitLedger(world.database, PRODUCT.by_name)
    ledger.start()
    await world.end(ledger, await world.call(ledger))
    await ledger.close()


def test_a_key_that_was_made_in_the_last_moment_calls_nothing(world: ClosingWorld) -> None:
    account_id = world.ada_account
    world.close()
    late = create_key(world.accounts, SECRET, "till", world.visit(world.join(BEA).cookie).account.email)
    world.rows("UPDATE api_key SET account_id = :id WHERE id = :key", id=account_id, key=late.row.id)

    async def scene() -> None:
        ledger = GroupCommitLedger(world.database, PRODUCT.by_name)
        ledger.start()
        assert isinstance(await ledger.admit(world.ask(late)), Refused)
        await ledger.close()

    asyncio.run(scene())


def test_a_mail_of_a_limit_goes_with_the_account(world: ClosingWorld) -> None:
    at_home = world.join(CEM).cookie
    world.accept(world.invite(CEM, "owner"))
    told = json.dumps({"account": ADA})
    row = ":id, :email, 'limit', :told, NULL, 1, 1, 0, NULL, '', :account"
    world.rows(f"INSERT INTO mail VALUES ({row})", id="m", email=CEM, told=told, account=world.ada_account)
    world.close()
    assert world.rows("SELECT count(*) FROM mail WHERE template = 'limit'") == [(0,)]
    assert world.visit(at_home)


def test_team_is_looked_at_by_its_account_only(world: ClosingWorld) -> None:
    eve = world.visit(world.join("eve@example.com").cookie)
    world.invite(BEA)
    assert [each.email for each in world.desk.upkeep.team.members(eve.account.id)] == ["eve@example.com"]
    assert world.desk.upkeep.team.invitations(eve.account.id) == []
    assert team.look_at_invitation(world.desk, world.token("invite", BEA)).account.email == ADA
