"""Keys: refused at once on every process, and nowhere to be read. Promise P7."""

import json
import re
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import chain
from pathlib import Path
from typing import Final

import psutil
import psycopg
import pytest

from farebox.domain import apikey
from tests.api.shop import SECRET, Shop, ask, assert_problem, get, send
from tests.services.load import Load, Reply, fire_all
from tests.services.process import wait_until
from tests.services.served import Served
from tests.services.sums import connect
from tests.services.upstream import Behaviour, FakeUpstream

CONNECTIONS = 100  # new ones, so that each of the four processes takes some


@pytest.fixture
def email(shop: Shop) -> str:
    """An address that no account has yet."""
    return f"customer-{shop.scalar('SELECT count(*) FROM account')}@example.com"


def statuses(replies: list[Reply]) -> set[object]:
    return {reply.error or reply.status for reply in replies}


def everywhere(served: Served, key: str) -> list[Reply]:
    """Answers to many calls over many connections at once."""
    return fire_all([ask(served, key)] * CONNECTIONS)


def key_id(shop: Shop, key: str) -> str:
    parsed = apikey.parse(key)
    assert parsed is not None
    digest = apikey.digest(SECRET.encode(), parsed)
    return str(shop.scalar("SELECT id FROM api_key WHERE digest = %s", digest))


def test_a_revoked_key_is_refused_at_once_on_every_process(
    shop: Shop, served: Served, upstream: FakeUpstream, email: str
) -> None:
    key = shop.sign_up(email, "open")
    workers = [psutil.Process(pid) for pid in served.worker_pids()]
    assert len(workers) == 4
    with Load(lambda _: ask(served, key), callers=CONNECTIONS) as load:  # the key is in use all the while
        wait_until(lambda: all(serving(worker, served) for worker in workers), "each process to serve this key")
        shop.farebox("keys", "revoke", key_id(shop, key))
        revoked_at, seen_before = time.time(), len(load.replies)
        wait_until(lambda: len(load.replies) > seen_before + 10 * CONNECTIONS, "calls on every connection")
        assert all(serving(worker, served) for worker in workers)
    after = [reply for reply in load.replies if reply.sent_at > revoked_at]
    assert statuses(after) == {401}
    assert statuses(load.replies) == {200, 401}
    assert_problem(after[0], 401, "invalid_api_key")
    assert_problem(get(f"{served.url}/v1/usage", key), 401, "invalid_api_key")
    whole = sum(reply.ok for reply in load.replies)
    assert len(shop.records("call_id", key)) == upstream.count() == whole


def serving(worker: psutil.Process, served: Served) -> bool:
    """Whether a process has a caller's connection."""
    mine = [c for c in worker.net_connections("tcp") if c.status == psutil.CONN_ESTABLISHED]
    return any(connection.laddr.port == served.port for connection in mine)


def test_a_rotated_key_works_beside_the_new_one_until_its_grace_ends(
    shop: Shop, served: Served, upstream: FakeUpstream, email: str
) -> None:
    old = shop.sign_up(email, "open")
    new = shop.farebox("keys", "rotate", key_id(shop, old), "--grace", "1h").splitlines()[-1]
    assert new != old
    assert statuses(fire_all([ask(served, old), ask(served, new)])) == {200}
    assert upstream.count() == 2
    shop.query("UPDATE api_key SET expires_us = expires_us - 3600000000 WHERE id = %s", key_id(shop, old))
    wait_until(lambda: send(ask(served, old)).status == 401, "the grace to end")
    assert statuses(everywhere(served, old)) == {401}
    assert "expired" in send(ask(served, old)).json()["detail"]
    assert statuses(everywhere(served, new)) == {200}


def test_an_expired_key_is_refused(shop: Shop, served: Served, upstream: FakeUpstream) -> None:
    key = shop.new_key("open")
    shop.query("UPDATE api_key SET expires_us = created_us + 1 WHERE account_id = %s", shop.account_of(key))
    assert_problem(send(ask(served, key)), 401, "invalid_api_key")
    assert upstream.count() == 0


@pytest.mark.parametrize(
    ("state", "status", "code"), [("suspended", 403, "account_suspended"), ("past_due", 402, "payment_required")]
)
def test_an_account_that_may_not_is_refused_everywhere_until_it_may(
    state: str, status: int, code: str, shop: Shop, served: Served, upstream: FakeUpstream
) -> None:
    key = shop.new_key("open")
    assert send(ask(served, key)).status == 200
    shop.query("UPDATE account SET state = %s WHERE id = %s", state, shop.account_of(key))
    replies = everywhere(served, key)
    assert statuses(replies) == {status}
    assert_problem(replies[0], status, code)
    assert upstream.count() == 1
    shop.query("UPDATE account SET state = 'active' WHERE id = %s", shop.account_of(key))
    assert send(ask(served, key)).status == 200


def test_an_account_on_a_plan_that_is_gone_has_to_choose_another(
    shop: Shop, served: Served, upstream: FakeUpstream
) -> None:
    assert_problem(send(ask(served, shop.new_key("long-gone"))), 402, "payment_required")
    assert upstream.count() == 0


MISTAKES: Final[dict[str, Callable[[str], str]]] = {
    "the checksum is wrong": lambda key: key[:-1] + ("a" if key[-1] != "a" else "b"),
    "the body is wrong": lambda key: key[:-7] + ("a" if key[-7] != "a" else "b") + key[-6:],
    "the end is missing": lambda key: key[:-1],
    "something follows": lambda key: key + "a",
    "in capitals": lambda key: key.upper(),
    "right form and checksum, no such key": lambda key: key.replace("till_live", "till_test"),
    "another brand": lambda key: key.replace("till_", "toll_"),
    "another provider's form": lambda key: f"sk-{key}",
    "empty": lambda _key: "",
    "well-formed, and nobody's": lambda _key: apikey.mint("till", "live", lambda n: n // 3).text,
}


@pytest.mark.parametrize("mistake", MISTAKES.values(), ids=MISTAKES)
def test_a_key_that_is_nearly_right_is_refused(
    mistake: Callable[[str], str], shop: Shop, served: Served, upstream: FakeUpstream
) -> None:
    assert_problem(send(ask(served, mistake(shop.new_key("open")))), 401, "invalid_api_key")
    assert upstream.count() == 0


# -- what is stored


def dump(shop: Shop) -> Iterator[str]:
    """Every value of every table, and with SQLite the files as they lie on the disk."""
    if shop.is_sqlite:
        with closing(connect(shop.database_url)) as connection:
            yield from connection.iterdump()
        database = Path(shop.database_url.removeprefix("sqlite:///"))
        files = sorted(database.parent.glob(f"{database.name}*"))
        assert len(files) >= 3  # the database, its -wal and -shm
        yield from (file.read_bytes().decode("latin-1") for file in files)
        return
    with psycopg.connect(shop.database_url) as connection:
        tables = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
        assert len(tables) > 5
        for (table,) in tables:
            with connection.cursor().copy(f'COPY "{table}" TO STDOUT'.encode()) as rows:
                yield from (bytes(row).decode() for row in rows)


def pieces(secret_part: str, length: int = 12) -> list[str]:
    return [secret_part[i : i + length] for i in range(len(secret_part) - length + 1)]


def test_neither_the_database_nor_the_log_holds_a_key_or_the_secret(
    shop: Shop, served: Served, upstream: FakeUpstream, email: str
) -> None:
    keys = [shop.sign_up(email, "open")]
    keys.append(shop.farebox("keys", "create", email, "--test").splitlines()[-1])
    keys.append(shop.farebox("keys", "rotate", key_id(shop, keys[0])).splitlines()[-1])
    assert statuses(fire_all([ask(served, key) for key in keys])) == {200}
    assert upstream.count() == 2  # the test key's call went to the sandbox
    wrong = keys[0][:-1] + "!"
    assert send(ask(served, keys[1], "x")).status == send(ask(served, keys[2], "y")).status == 422
    assert send(ask(served, wrong)).status == 401
    listed = shop.farebox("keys", "list", email)
    everything = "\n".join(chain(dump(shop), [served.output(), listed]))
    assert key_id(shop, keys[0]) in everything  # the search finds what is there
    assert keys[0][-4:] in everything
    for key in keys:
        found = re.fullmatch(r"till_(?:live|test)_(.+)", key)
        assert found is not None
        assert [piece for piece in pieces(found[1]) if piece in everything] == []
    assert SECRET not in everything
    assert json.dumps(SECRET)[1:-1] not in everything
    for row in shop.query("SELECT digest, prefix, last4 FROM api_key"):
        assert re.fullmatch(r"[0-9a-f]{64}", row[0])
        assert (len(row[1]), len(row[2])) == (len("till_live_0000"), 4)


def test_a_prompt_and_its_answer_are_not_kept(shop: Shop, served: Served, upstream: FakeUpstream) -> None:
    key = shop.new_key("open")
    upstream.program(Behaviour(text="A hollow voice says frobozz"))
    reply = send(ask(served, key, "The word is xyzzyplugh"))
    assert (reply.status, upstream.count()) == (200, 1)
    everything = "\n".join(chain(dump(shop), [served.output()]))
    assert reply.headers["x-request-id"] in everything
    assert "xyzzyplugh" not in everything
    assert "frobozz" in reply.json()["text"]
    assert "frobozz" not in everything  # answers that came with an Idempotency-Key are, for a day
