"""A new address: by a link to it that only its person can use, and with notices to the one before."""

import json
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest
from sqlalchemy import text

from farebox.account.address import ask_for_address, change_address
from farebox.account.deliver_mail import reason_not_to_send
from farebox.account.log_in import ask_for_link, log_in_by_link
from farebox.account.sessions import change_password
from farebox.account.sign_up import sign_up
from farebox.domain.people import LinkGone, NotAllowed, PersonError, TooOften, WrongPassword, mails_from, mails_to
from farebox.ports.people import Visit
from farebox.store.accounts import StoredAccounts
from farebox.store.database import Database
from farebox.store.mail_outbox import StoredMailOutbox
from farebox.store.people.members import lock_account
from tests.contract.world import ADA, CLIENT, GOOD, OTHER, PRODUCT, World

NEW = "ada@new.example"


class Moving(World):
    """Somebody who asks for another address."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self.cookie = self.join().cookie

    @property
    def here(self) -> Visit:
        return self.visit(self.cookie)

    def ask(self, email: str = NEW, here: Visit | None = None) -> str:
        ask_for_address(self.desk, here or self.here, CLIENT, email=email)
        return self.token("change", email.strip().lower())

    def change(self, token: str, here: Visit | None = None) -> None:
        change_address(self.desk, here or self.here, CLIENT, token=token)

    def notices(self, email: str) -> list[str]:
        rows = self.rows("SELECT data FROM mail WHERE template = 'changed' AND email = :email ORDER BY created_us",
                         email=email)  # fmt: skip
        return [json.loads(data)["what"] for (data,) in rows]


@pytest.fixture
def world(database: Database) -> Moving:
    return Moving(database)


def test_the_link_changes_the_address_and_the_accounts_and_the_old_address_is_told_twice(world: Moving) -> None:
    token = world.ask(" Ada@New.example ")
    assert world.here.email == ADA
    world.change(token)
    assert (world.here.email, world.here.account.email) == (NEW, NEW)
    assert ["was asked" in what or "asked to change" in what for what in world.notices(ADA)] == [True, False]
    assert world.notices(NEW) == []
    assert world.log_in(email=NEW)
    with pytest.raises(WrongPassword):
        world.log_in(email=ADA)
    with pytest.raises(LinkGone):
        world.change(token)


def test_only_who_asked_can_use_the_link(world: Moving) -> None:
    """Else whoever is sent one could be led to give an attacker's account their address, and log in to it later."""
    token = world.ask()
    eve = world.visit(world.join("eve@example.com").cookie)
    with pytest.raises(LinkGone):
        world.change(token, eve)
    with pytest.raises(LinkGone):
        log_in_by_link(world.desk, CLIENT, token=token)
    assert (world.here.email, world.visit(world.cookie).email) == (ADA, ADA)
    world.change(token)


def test_only_the_newest_link_of_a_person_works_for_an_hour(world: Moving) -> None:
    older, newer = world.ask("first@example.com"), world.ask()
    with pytest.raises(LinkGone):
        world.change(older)
    world.rows("UPDATE link SET created_us = created_us - :us, expires_us = expires_us - :us", us=3_600 * 10**6)
    with pytest.raises(LinkGone):
        world.change(newer)
    assert world.here.email == ADA


def test_an_address_that_somebody_has_is_asked_for_alike_and_not_taken(world: Moving) -> None:
    world.join("eve@example.com")
    world.rows("DELETE FROM mail")
    before = world.counts()
    token = world.ask("eve@example.com")
    taken = {name: count - before[name] for name, count in world.counts().items()}
    outbox = StoredMailOutbox(world.database)
    dues = [outbox.claim(), outbox.claim()]
    outbox.close()
    reasons = {due.mail.template: reason_not_to_send(due) for due in dues if due is not None}
    assert reasons == {"changed": "", "change": "somebody has this address already"}
    with pytest.raises(NotAllowed, match="Somebody else"):
        world.change(token)
    before = world.counts()
    world.ask()
    assert {name: count - before[name] for name, count in world.counts().items()} == taken
    assert world.here.email == ADA


def test_an_account_of_the_address_that_the_command_made_is_not_taken_over(world: Moving) -> None:
    sign_up(StoredAccounts(world.database), PRODUCT, NEW, "pro")
    with pytest.raises(NotAllowed):
        world.change(world.ask())
    assert (world.here.email, world.here.account.email, world.here.account.plan) == (ADA, ADA, "free")


def test_a_link_to_the_old_address_logs_nobody_in_any_more(world: Moving) -> None:
    ask_for_link(world.desk, CLIENT, email=ADA, purpose="magic")
    token = world.token("magic")
    world.change(world.ask())
    with pytest.raises(LinkGone):
        log_in_by_link(world.desk, CLIENT, token=token)


def test_a_change_of_password_ends_a_change_of_address_that_is_under_way(world: Moving) -> None:
    """What a thief of a session has begun is over when its owner sets a new password."""
    token = world.ask()
    change_password(world.desk, world.here, CLIENT, current=GOOD, new=OTHER)
    with pytest.raises(LinkGone):
        world.change(token)


def test_mails_to_an_address_and_of_a_person_have_a_bound(world: Moving) -> None:
    for number in range(7):
        ask_for_address(world.desk, world.here, CLIENT, email=f"victim{number}@example.com")
    assert world.rows("SELECT count(*) FROM link WHERE purpose = 'change'") == [(5,)]


def test_mails_to_one_address_have_a_bound_whoever_asks(world: Moving) -> None:
    world.use_up(mails_to(NEW, "change"))
    ask_for_address(world.desk, world.here, CLIENT, email=NEW)
    assert world.rows("SELECT count(*) FROM link WHERE purpose = 'change'") == [(0,)]


def test_mails_that_one_network_has_sent_have_a_bound(world: Moving) -> None:
    world.use_up(mails_from(CLIENT))
    with pytest.raises(TooOften, match="from your network"):
        ask_for_address(world.desk, world.here, CLIENT, email=NEW)


def test_the_same_address_and_what_is_none_are_told(world: Moving) -> None:
    for email in (ADA.upper(), "no address"):
        with pytest.raises(PersonError) as told:
            world.ask(email)
        assert told.value.field == "email"


def test_an_address_is_changed_in_the_order_in_which_somebody_is_removed(migrated_pg_url: str) -> None:
    with closing(Database(migrated_pg_url)) as database, ThreadPoolExecutor(1) as pool:
        world = Moving(database)
        here, token = world.here, world.ask()
        with database.write() as removing:
            lock_account(removing, here.account.id)
            changed = pool.submit(world.change, token, here)
            while not removing.execute(text("SELECT 1 FROM pg_locks WHERE NOT granted")).first() and not changed.done():
                time.sleep(0.01)
            removing.execute(text("SELECT 1 FROM person FOR UPDATE NOWAIT"))  # whoever waits for us has not locked it
        changed.result()
        assert world.here.email == NEW
