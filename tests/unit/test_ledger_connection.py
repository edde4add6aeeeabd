"""The ledger's connection, interrupted from another thread."""

from typing import Any
from unittest.mock import Mock

import pytest

from farebox.store.ledger.connection import LedgerConnection


class Driver:
    """A connection that is interrupted while it commits."""

    def __init__(self) -> None:
        self.whose: Any = None

    def cursor(self) -> Mock:
        return Mock()

    def commit(self) -> None:
        interrupted(self.whose)

    rollback = close = commit


def interrupted(connection: LedgerConnection, *, is_wanted: bool = True) -> None:
    connection.interrupt_beside(lambda: is_wanted)
    thread = connection._interrupter
    assert thread is not None
    thread.join(30)


@pytest.fixture
def database() -> Mock:
    return Mock(connect=Driver)


def test_a_batch_is_cancelled_on_the_server_and_a_commit_is_not(database: Mock) -> None:
    """A commit that waits for a standby ends well when it is cancelled: its answer would leave without its record."""
    connection = LedgerConnection(database, Mock())
    connection.cursor()
    connection.driver.whose = connection
    interrupted(connection)
    connection.commit()
    interrupted(connection)
    assert [call.kwargs["cancels"] for call in database.interrupt.call_args_list] == [True, False, True]


def test_what_ended_meanwhile_is_not_interrupted(database: Mock) -> None:
    connection = LedgerConnection(database, Mock())
    interrupted(connection)
    connection.cursor()
    interrupted(connection, is_wanted=False)
    database.interrupt.assert_not_called()
