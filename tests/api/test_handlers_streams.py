"""A founder's functions that take files, that stream, and that are told of events."""

import contextlib
import http.client
import json
from typing import Any

import pytest

from tests.api.functions import call, form
from tests.api.shop import Shop, assert_problem
from tests.services.load import Reply, Request, fire_all
from tests.services.process import wait_until
from tests.services.served import Served
from tests.services.upstream import Behaviour, FakeUpstream, expected_answer

# -- Files


def test_a_file_comes_as_a_form(till: Shop, server: Served, upstream: FakeUpstream) -> None:
    sent = form("x", ("document", "a.bin", b"\x00" * 1_500_000), ("title", "", "Ä".encode()))
    reply = call(server, till.new_key("open"), "sized", **sent)
    assert reply.json() | {"said": ""} == {"bytes": 1_500_000, "name": "a.bin", "title": "Ä", "said": ""}
    assert upstream.count() == 1
    large = form("x", ("document", "a.bin", b"\x00" * 2_100_000))
    assert_problem(call(server, till.new_key("open"), "sized", **large), 413, "body_too_large")


@pytest.mark.parametrize("made_up", ["", "till_test"])
def test_who_is_refused_before_all_of_a_form_came_gets_the_answer_and_no_reset(
    till: Shop, server: Served, made_up: str
) -> None:
    key = till.new_key("open").replace("till_live", made_up)  # with a right checksum, or no key at all
    sent = form("x", ("document", "a.bin", b"\x00" * 8_000_000), ("unknown", "", b""))
    connection = http.client.HTTPConnection("127.0.0.1", server.port)  # which sends all before it reads
    with contextlib.closing(connection):
        connection.request("POST", "/v1/sized", sent.pop("body"), {"x-api-key": key, "connection": "close", **sent})
        answer = connection.getresponse()
        assert (answer.status, json.loads(answer.read())["error"]["code"]) == (401, "invalid_api_key")


def test_the_same_form_again_is_the_same_call(till: Shop, server: Served, upstream: FakeUpstream) -> None:
    key = till.new_key("open")
    first, again, other = (
        call(server, key, "sized", **form(boundary, ("document", "a", content)), **{"idempotency-key": "form"})
        for boundary, content in (("x", b"text"), ("yy", b"text"), ("x", b"other"))
    )
    assert first.status == again.status == 200
    assert (again.body, again.headers["idempotent-replayed"]) == (first.body, "true")
    assert_problem(other, 422, "idempotency_mismatch")
    assert upstream.count() == 1


# -- Streams


def events(reply: Reply) -> list[tuple[str, Any]]:
    found = []
    for block in reply.body.decode().strip().split("\n\n"):
        lines = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
        if lines:
            found.append((lines.get("event", ""), json.loads(lines["data"])))
    return found


def test_a_generator_is_a_stream(till: Shop, server: Served, upstream: FakeUpstream) -> None:
    key = till.new_key("ten")
    reply = call(server, key, "story", {"about": "dogs"})
    honest = expected_answer(upstream.calls()[0].body)
    assert reply.headers["content-type"] == "text/event-stream; charset=utf-8"
    *pieces, (last, sums) = events(reply)
    assert "".join(piece["text"] for _, piece in pieces) == honest.text
    assert len(pieces) > 1
    assert (last, sums["output_tokens"], sums["calls_used"]) == ("done", honest.output_tokens, 1)
    assert till.records("state, calls, output_tokens", key) == [("posted", 1, honest.output_tokens)]


def test_a_stream_of_objects_and_one_of_nothing(till: Shop, server: Served) -> None:
    key = till.new_key("open")
    found = events(call(server, key, "numbers", {"count": 2}))
    assert [data for _, data in found[:2]] == [{"first": "0", "second": "x"}, {"first": "1", "second": "x"}]
    [(name, _)] = events(call(server, key, "numbers", {"count": 0}))
    assert name == "done"


def test_a_stream_of_anything_else_has_each_item_as_json(till: Shop, server: Served) -> None:
    found = events(call(server, till.new_key("open"), "countdown", {"count": 2}))
    assert [data for _, data in found[:2]] == [2, 1]
    assert [name for name, _ in found] == ["", "", "done"]


def test_a_stream_that_fails_before_its_first_piece_is_no_stream(till: Shop, server: Served) -> None:
    key = till.new_key("open")
    assert_problem(call(server, key, "story", {"about": "dogs", "fails_after": 0}), 409, "request_refused")
    assert till.records("state", key) == [("voided",)]


def test_a_stream_that_fails_later_says_so_at_its_end(till: Shop, server: Served, upstream: FakeUpstream) -> None:
    key = till.new_key("open")
    upstream.program(Behaviour(chunk_seconds=0.05))
    found = events(call(server, key, "story", {"about": "dogs", "fails_after": 2}))
    assert [name for name, _ in found] == ["", "", "error"]
    assert found[-1][1]["error"]["code"] == "request_refused"
    assert till.records("state, calls", key) == [("voided", 0)]


def test_a_function_that_leaves_the_program_ends_its_call_alone(till: Shop, server: Served) -> None:
    key = till.new_key("open")
    first, last = events(call(server, key, "exiting_midway"))
    assert first == ("", {"text": "once"})
    assert (last[0], last[1]["error"]["code"]) == ("error", "internal_error")
    assert till.records("state, calls", key) == [("voided", 0)]
    assert server.health() == 200


def leave(till: Shop, server: Served, key: str, name: str, body: object) -> None:
    """Leave a stream after its first bytes."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    connection.request("POST", f"/v1/{name}", json.dumps(body), {"x-api-key": key})
    answer = connection.getresponse()
    answer.read1(10)
    answer.close()
    connection.close()
    wait_until(lambda: till.records("state", key) != [], "the call to be recorded")


def test_who_leaves_a_stream_pays_for_what_came(till: Shop, server: Served, upstream: FakeUpstream) -> None:
    key = till.new_key("open")
    upstream.program(Behaviour(tokens=400, chunk_seconds=0.05))
    leave(till, server, key, "story", {"about": "dogs"})
    [(state, calls, tokens, marks)] = till.records("state, calls, output_tokens, marks", key)
    assert (state, calls, 0 < tokens < 400, "cut" in marks) == ("posted", 1, True, True)


def test_who_leaves_a_stream_that_asks_no_model_pays_for_the_call(till: Shop, server: Served) -> None:
    key = till.new_key("one")
    leave(till, server, key, "countdown", {"count": 100, "pause": 0.05})
    assert till.records("state, calls, marks", key) == [("posted", 1, "cut")]
    assert_problem(call(server, key, "countdown", {"count": 1}), 429, "insufficient_quota")


def test_a_stream_is_not_answered_twice(till: Shop, server: Served) -> None:
    key = till.new_key("open")
    for status in (200, 409):
        reply = call(server, key, "numbers", {"count": 1}, **{"idempotency-key": "stream"})
        assert reply.status == status


@pytest.mark.parametrize("said", [0, 1])
def test_a_stream_whose_model_fell_silent_is_free_and_may_come_again_unless_something_was_said(
    till: Shop, server: Served, upstream: FakeUpstream, said: int
) -> None:
    key = till.new_key("open")
    upstream.program_next(*[Behaviour()] * said, Behaviour(fault="empty_content"))
    for status in (200 if said else 502, 409 if said else 200):
        assert call(server, key, "twice", **{"idempotency-key": f"silent {said}"}).status == status
    found = till.records("error, calls", key)
    assert found == ([("upstream_no_message", 1)] if said else [("upstream_no_message", 0), ("", 1)])


# -- Events


def told_of(till: Shop, key: str) -> list[str]:
    path = till.folder / "events.txt"
    account = till.account_of(key)
    lines = path.read_text().splitlines() if path.exists() else []
    return sorted(line.replace(f" {account}", "") for line in lines if account in line)


def test_exactly_the_calls_that_cross_a_limit_are_told(till: Shop, server: Served) -> None:
    key, over = till.new_key("ten"), till.new_key("over")
    asks = [
        Request(f"{server.url}/v1/counted", {"words": ["a"]}, {"x-api-key": own}) for own in [key] * 12 + [over] * 9
    ]
    replies = fire_all(asks)
    assert sorted(reply.status or 0 for reply in replies) == [200] * 19 + [429] * 2
    expected = ["near calls 8/10", "reached calls 10/10"]
    wait_until(lambda: told_of(till, key) == expected, "both events")
    wait_until(lambda: told_of(till, over) == ["near calls 4/5", "reached calls 5/5"], "both events")
    wait_until(lambda: "a listener that fails" in server.output(), "that to be logged")


def test_a_call_that_passes_both_marks_tells_of_the_last(till: Shop, server: Served) -> None:
    key = till.new_key("ten")
    call(server, key, "counted", {"words": ["a"] * 10})
    wait_until(lambda: told_of(till, key) == ["reached calls 10/10"], "the event")
    test_key = till.new_key("ten", "test")
    call(server, test_key, "counted", {"words": ["a"] * 10})
    assert told_of(till, test_key) == []


def test_who_signs_up_is_told_of(till: Shop) -> None:
    till.farebox("accounts", "create", "ada@example.com", "--plan", "ten")
    assert "welcome ada@example.com ten\n" in (till.folder / "events.txt").read_text()
