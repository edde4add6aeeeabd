"""A database that is away is told of in a line, and in another every five seconds."""

import logging

import pytest

from farebox.store.ledger.outage_log import OutageLog


def test_the_first_batch_is_told_at_once_and_the_others_by_their_number(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    told = OutageLog()
    for second in range(13):
        for _ in range(10):
            told.failed(OSError("gone"), float(second))
    assert [record.getMessage() for record in caplog.records] == [
        "the database did not take a batch: OSError('gone')",
        "the database did not take 50 batches: OSError('gone')",
        "the database did not take 50 batches: OSError('gone')",
    ]
