"""What is kept, read at length, on both databases: all of it, nothing of others, no secret, and never all at once."""

import io
import json
import re
import zipfile
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from farebox.account.export import export_account, export_person, zipped
from farebox.account.plan import choose_plan, set_spend_cap
from farebox.domain.people import NotAllowed, PersonError, TooOften
from farebox.ports.team import ACTIVITY_MAX, Part
from farebox.store import archive
from farebox.store.database import Database
from farebox.store.mail_outbox import StoredMailOutbox
from farebox.store.tables import metadata
from farebox.web.pages.activity import in_words
from tests.contract.filled import PRODUCT, fill, open_accounts
from tests.contract.test_team import BEA, TeamWorld
from tests.contract.world import ADA, CLIENT

CALLS = 400
# Tables that are no account's, and the ones below that hold what is said in another way, or only secrets.
NO_ACCOUNTS = {
    "guess", "note", "ceremony", "limit_mark", "idempotency",
    "usage_outbox", "usage_event", "usage_check",  # the calls and the invoices are there
}  # fmt: skip

BEFORE = "account_id, name, period_start_us - 1, period_start_us, 0, 0, 0, 0, 0, 0, 0"


def opened(pieces: Iterator[bytes]) -> dict[str, list[dict[str, Any]]]:
    """The rows of each file."""
    with zipfile.ZipFile(io.BytesIO(b"".join(pieces))) as found:
        assert found.testzip() is None
        return {
            name.removesuffix(".jsonl"): [json.loads(line) for line in found.read(name).decode().splitlines()]
            for name in found.namelist()
            if name.endswith(".jsonl")
        }


@pytest.fixture
def world(database: Database) -> TeamWorld:
    return TeamWorld(database)


def test_an_account_is_exported_whole_and_nobody_elses(world: TeamWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "PAGE_ROWS", 30)
    keys = open_accounts(world.database)
    fill(world.database, keys, CALLS)
    email = f"{PRODUCT.plans[0].name}@example.com"
    here = world.visit(world.join(email).cookie)
    found = opened(export_account(world.desk, here, CLIENT))
    mine = {"id": here.account.id}
    for name, table in {
        "calls": "usage_record",
        "calls_under_way": "hold",
        "days": "rollup_daily",
        "periods": "meter",
    }.items():
        [(count,)] = world.rows(f"SELECT count(*) FROM {table} WHERE account_id = :id", **mine)
        assert len(found[name]) == count
    assert len(found["calls"]) > 30
    [charged] = world.rows(
        "SELECT sum(charge_nanodollars), sum(tokens) FROM usage_record WHERE account_id = :id", **mine
    )
    assert (
        sum(row["charge_nanodollars"] for row in found["calls"]),
        sum(row["tokens"] for row in found["calls"]),
    ) == charged
    assert [row["call_id"] for row in found["calls"]] == sorted({row["call_id"] for row in found["calls"]})
    assert [row["email"] for row in found["members"]] == [email]
    assert {row["id"] for row in found["keys"]} == {key.row.id for key in keys if key.row.account_id == here.account.id}
    by_founder = {"account_opened", "key_created"}
    done = {row["what"] for row in found["activity"]}
    assert done == by_founder | {"account_claimed", "logged_in", "exported_account"}
    assert found["account"][0]["created_at"].endswith("Z")
    monkeypatch.setattr(archive, "PAGE_ROWS", 1)  # none that comes twice under a part of its key is passed over
    world.rows(f"INSERT INTO meter SELECT {BEFORE} FROM meter WHERE account_id = :id", **mine)
    for part in archive.StoredArchive(world.database).of_account(here.account.id):
        count = {"days": len(found["days"]), "periods": 2 * len(found["periods"])}.get(part.name)
        assert count is None or sum(len(page) for page in part.pages()) == count
    text = json.dumps(found)
    assert all(key.row.account_id == here.account.id or key.row.account_id not in text for key in keys)
    for secret in ("digest", "cost_nanodollars", "attempts", "price_"):
        assert secret not in text


def test_a_person_gets_what_is_theirs(world: TeamWorld) -> None:
    world.join(BEA)
    world.accept(world.invite())
    bea = world.visit(world.log_in(email=BEA))
    world.rows(
        "INSERT INTO passkey VALUES ('k', :bea, :key, 0, '', 'phone', 1, NULL)", bea=bea.person.id, key=b"secret"
    )
    world.rows("INSERT INTO identity VALUES ('https://issuer.example', '7', :bea, 1)", bea=bea.person.id)
    ada = world.ada.person.id
    world.rows("INSERT INTO passkey VALUES ('l', :ada, :key, 0, '', 'laptop', 1, NULL)", ada=ada, key=b"secret")
    world.rows("INSERT INTO identity VALUES ('https://issuer.example', '8', :ada, 1)", ada=ada)
    found = opened(export_person(world.desk, bea, CLIENT))
    [person] = found["person"]
    assert (person["email"], person["has_password"], person["has_second_factor"]) == (BEA, 1, 0)
    assert {row["email"] for row in found["accounts"]} == {ADA, BEA}
    assert {row["address"] for row in found["sessions"]} == {CLIENT.address}
    assert [row["name"] for row in found["passkeys"]] == ["phone"]
    assert [row["subject"] for row in found["log_ins_elsewhere"]] == ["7"]
    assert {row["template"] for row in found["mails"]} == {"confirm", "invite"}
    assert {"joined", "logged_in"} <= {row["what"] for row in found["activity"]}
    for name, table, mine in (
        ("sessions", "session", "person_id = :id"), ("activity", "audit", "person_id = :id"),
        ("mails", "mail", "email = :email"),
    ):  # fmt: skip
        rows = world.rows(f"SELECT id FROM {table} WHERE {mine}", id=bea.person.id, email=BEA)
        assert sorted(row["id"] for row in found[name]) == sorted(row[0] for row in rows) != []
    text = json.dumps(found)
    for secret in ("digest", "public_key", "password_hash", "hash of", world.ada.person.id):
        assert secret not in text


def test_every_table_of_accounts_or_people_is_in_one_of_the_exports() -> None:
    """A new table has to be exported, or to be named here."""
    with closing(Database("sqlite:///:memory:")) as database:
        stored = archive.StoredArchive(database)
        parts = [*stored.of_account("x"), *stored.of_person("x")]
    statements = " ".join(str(part.pages.args[0]) for part in parts)  # type: ignore[attr-defined]  # a partial
    read = set(re.findall(r"(?:FROM|JOIN) (\w+)", statements))
    owned = {
        name for name, table in metadata.tables.items() if {"account_id", "person_id", "email"} & {*table.c.keys()}
    }
    assert owned - read - NO_ACCOUNTS == {"recovery_code"}


def test_a_page_is_read_when_the_one_before_it_was_taken() -> None:
    read: list[int] = []

    def pages() -> Iterator[list[dict[str, Any]]]:
        for number in range(50):
            read.append(number)
            yield [{"number": number, "text": f"{number}" * 1000}] * 10

    pieces = zipped("Read me.", [Part("many", pages)])
    whole = [next(pieces)]
    assert whole[0].startswith(b"PK")
    assert read == []
    for expected in range(50):
        whole.append(next(pieces))
        assert read == list(range(expected + 1))
    rows = opened(iter([*whole, *pieces]))["many"]
    assert [row["number"] for row in rows] == [number for number in range(50) for _ in range(10)]


def test_exports_have_a_bound(world: TeamWorld) -> None:
    for _ in range(10):
        export_person(world.desk, world.ada, CLIENT)
    with pytest.raises(TooOften, match="many exports"):
        export_account(world.desk, world.ada, CLIENT)


# -- What happened


def test_the_log_is_read_page_by_page_without_gap_or_repetition(world: TeamWorld) -> None:
    account_id = world.ada_account
    for number in range(2 * ACTIVITY_MAX + 7):
        world.rows(
            "INSERT INTO audit VALUES (:id, :at, :account, NULL, 'thing_done', '', '{}')",
            id=f"audit_{number:032x}", at=number // 3, account=account_id,
        )  # fmt: skip
    world.rows("INSERT INTO audit VALUES ('audit_elsewhere', 1, 'acct_elsewhere', NULL, 'thing_done', '', '{}')")
    found, before = [], None
    while page := world.desk.upkeep.archive.happened(account_id, before):
        assert len(page) <= ACTIVITY_MAX
        found += page
        before = page[-1].at_us, page[-1].id
    [(count,)] = world.rows("SELECT count(*) FROM audit WHERE account_id = :id", id=account_id)
    assert len(found) == len({line.id for line in found}) == count
    assert [(line.at_us, line.id) for line in found] == sorted(((line.at_us, line.id) for line in found), reverse=True)
    assert in_words(found[-1]) == "thing done"


def test_what_happened_is_told_in_words_with_the_addresses_of_now(world: TeamWorld) -> None:
    world.invited_in()
    people = world.desk.upkeep.team
    people.set_role(world.ada, world.person(BEA), "owner", CLIENT)
    world.rows("UPDATE person SET email = 'b@elsewhere.example' WHERE email = :bea", bea=BEA)
    choose_plan(world.desk, world.ada, CLIENT, "free")
    lines = world.desk.upkeep.archive.happened(world.ada_account, None)
    told = [f"{line.email} {in_words(line)}" for line in lines]
    assert told[0] == f"{ADA} made b@elsewhere.example an owner", "the same plan again is no event"
    assert {
        f"{ADA} invited {BEA} as a member", "b@elsewhere.example joined as a member", f"{ADA} opened the account",
        f"{ADA} logged in by an e-mail link",
    } < set(told)  # fmt: skip
    assert lines[0].network == "203.0.113.0/24"
    people.remove(world.ada, world.person("b@elsewhere.example"), CLIENT)
    line = world.desk.upkeep.archive.happened(world.ada_account, None)[0]
    assert f"{line.email} {in_words(line)}" == f"{ADA} removed somebody who has left"


def test_of_an_invitation_that_is_forgotten_nobody_says_that_they_have_left(world: TeamWorld) -> None:
    world.invited_in()
    world.rows("UPDATE link SET expires_us = 1")
    with closing(StoredMailOutbox(world.database)) as outbox:
        outbox.forget()
    assert "invited somebody as a member" in map(in_words, world.desk.upkeep.archive.happened(world.ada_account, None))


# -- The plan


def test_an_owner_can_go_to_the_first_plan_and_to_no_other(world: TeamWorld) -> None:
    world.rows("UPDATE account SET plan = 'pro'")
    for name in ("pro", "gone", ""):
        with pytest.raises(NotAllowed, match="cannot be chosen"):
            choose_plan(world.desk, world.ada, CLIENT, name)
    choose_plan(world.desk, world.ada, CLIENT, "free")
    assert world.ada.account.plan == "free"
    assert world.limits_changed == [world.ada_account]
    lines = world.desk.upkeep.archive.happened(world.ada_account, None)
    assert in_words(lines[0]) == "moved the account from the plan pro to free"


def test_a_cap_is_an_amount_and_only_where_something_is_charged_by_use(world: TeamWorld) -> None:
    here = world.visit(world.log_in())
    with pytest.raises(PersonError, match="charges nothing by use"):
        set_spend_cap(world.desk, here, CLIENT, "5")
    set_spend_cap(world.desk, here, CLIENT, "")
    over = world.over()
    for text in ("x", "-1", "1e400", "NaN", "0.0000000001"):
        with pytest.raises(PersonError) as told:
            set_spend_cap(over, here, CLIENT, text)
        assert told.value.field == "cap"
    for text, cap in ((" $1,250.50 ", 1_250_500_000_000), ("0", 0), ("", None)):
        set_spend_cap(over, here, CLIENT, text)
        assert world.visit(world.log_in()).account.spend_cap_nanodollars == cap
