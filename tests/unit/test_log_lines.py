"""No row of the database gets into the log by the error that quotes it."""

import io
import logging

from farebox.cli.log_lines import Lines

TOLD = "new row violates a constraint\nDETAIL:  Failing row contains (ada@example.com, x).\nHINT:  Look at it."


def test_what_an_error_quotes_of_a_row_is_left_out_of_messages_and_of_tracebacks() -> None:
    log, stream = logging.Logger("tests"), io.StringIO()  # noqa: LOG001  # of this test's own
    handler = logging.StreamHandler(stream)
    handler.setFormatter(Lines())
    log.addHandler(handler)
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


def raise_from(told: str) -> None:
    raise ValueError(told)
