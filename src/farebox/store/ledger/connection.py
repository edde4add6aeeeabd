"""The connection on which the ledger's thread runs its batches; another thread may interrupt it."""

import logging
import threading
from collections.abc import Callable
from typing import Any

from farebox.store.cursor import Cursor
from farebox.store.database import Database, give_up
from farebox.store.ledger.statements import Statements

log = logging.getLogger("farebox.ledger")


class LedgerConnection:
    """Opened when it is needed; what fails on it may drop it, and the next cursor is on another."""

    def __init__(self, database: Database, statements: Statements) -> None:
        self._database = database
        self._statements = statements
        self._dropping = threading.Lock()  # between dropping the connection and interrupting it
        self._is_committing = False
        self._interrupter: threading.Thread | None = None
        self.driver: Any = None

    def cursor(self) -> Cursor:
        if self.driver is None:
            self.driver = self._database.connect()
            try:
                self._statements.prepare(self.driver.cursor())
            except BaseException:
                self.drop()
                raise
        cursor: Cursor = self.driver.cursor()
        return cursor

    def commit(self) -> None:
        with self._dropping:
            self._is_committing = True
        try:
            self.driver.commit()
        finally:
            self._is_committing = False

    def roll_back(self) -> None:
        """Take back what was done since the last commit, and keep the connection if it is alive."""
        try:
            if self.driver is not None:
                self.driver.rollback()
        except self._database.outages:
            self.drop()

    def drop(self) -> None:
        with self._dropping:
            connection, self.driver = self.driver, None
        if connection is not None:
            give_up(connection)

    def interrupt_beside(self, is_wanted: Callable[[], bool]) -> None:
        """Make what runs on it fail, here and on the server, if that is still wanted when a thread for it has begun.

        It has a thread of its own: a silent server takes a second, and the event loop's threads may all wait for it.
        """
        if self._interrupter is None or not self._interrupter.is_alive():
            self._interrupter = threading.Thread(
                target=self._interrupt, args=(is_wanted,), name="farebox-interrupt", daemon=True
            )
            self._interrupter.start()

    def _interrupt(self, is_wanted: Callable[[], bool]) -> None:
        with self._dropping:
            if self.driver is not None and is_wanted():
                # A commit is not cancelled: PostgreSQL would answer it though no standby has it yet.
                self._database.interrupt(self.driver, cancels=not self._is_committing)
