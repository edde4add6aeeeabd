"""No row of the database gets into the log by the error that quotes it."""

import io
import logging
from types import SimpleNamespace
from typing import Any

import pytest
from fastapi import FastAPI, Response
from pydantic import TypeAdapter, ValidationError
from starlette.testclient import TestClient

from farebox import Farebox
from farebox.cli.log_lines import Lines
from farebox.web.pages.frame import add_errors

TOLD = "new row violates a constraint\nDETAIL:  Failing row contains (ada@example.com, x).\nHINT:  Look at it."


def written() -> tuple[logging.Logger, io.StringIO]:
    log, stream = logging.Logger("tests"), io.StringIO()  # noqa: LOG001  # of this test's own
    handler = logging.StreamHandler(stream)
    handler.setFormatter(Lines())
    log.addHandler(handler)
    return log, stream


def test_what_an_error_quotes_of_a_value_is_left_out_where_a_founders_own_model_refuses_it() -> None:
    log, stream = written()
    words = {"a": "s3cret, input_type=s3cret", "b": "s3cret"}
    try:
        TypeAdapter(dict[str, int]).validate_python(words)
    except ValidationError:
        log.exception("it failed")
    said = stream.getvalue()
    assert "s3cret" not in said
    assert said.count("[type=int_parsing, input_value=(not logged), input_type=str]") == 2


def test_what_an_error_quotes_of_a_row_is_left_out_of_messages_and_of_tracebacks() -> None:
    log, stream = written()
    try:
        raise_from(TOLD)
    except ValueError as error:
        log.exception("it failed")
        log.warning("the database said %r", error)
    said = stream.getvalue()
    assert "ada@example.com" not in said
    assert said.count("DETAIL:  (not logged)") == 2
    assert said.count("HINT:  Look at it.") == 2
    assert "Traceback" in said


def test_what_another_service_says_is_no_entry_of_ours_and_moves_no_cursor() -> None:
    log, stream = written()
    log.warning("It: %s", "no\r\n2026-11-28 ERROR farebox.money: made up\x1b[2J\x9b2J\tx")
    assert stream.getvalue() == "It: no\\x0d\n  2026-11-28 ERROR farebox.money: made up\\x1b[2J\\x9b2J\tx\n"


@pytest.mark.parametrize("is_page", [True, False])
def test_a_page_that_fails_is_logged_without_what_its_path_held(
    caplog: pytest.LogCaptureFixture, *, is_page: bool
) -> None:
    app, frame = FastAPI() if is_page else Farebox(), SimpleNamespace(error=lambda *_: Response(None, 500))
    app.get("/link/{token}")(broken)
    given: Any = frame
    if is_page:
        add_errors(app, given)
    else:
        app.exception_handler(Exception)(frame.error)

    async def named(scope: Any, receive: Any, send: Any) -> None:  # noqa: ANN401  # as ASGI has them
        await app({**scope, "farebox.call_id": "req_1"}, receive, send)

    answer = TestClient(named, raise_server_exceptions=False).get("/link/s3cret%0A2026-11-27 ERROR farebox: made up")
    assert answer.status_code == 500
    line = f"GET /link/{{token}}{', req_1' if is_page else ''} failed"
    assert [record.getMessage() for record in caplog.records] == [line]


def broken() -> None:
    raise RuntimeError


def raise_from(told: str) -> None:
    raise ValueError(told)
