"""Transactions on one database connection, retried until they are committed."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

import psycopg2

from ticks_platform.backoff import Backoff
from ticks_platform.timescale.database import Database, DatabaseUnavailableError

if TYPE_CHECKING:
    from psycopg2.extensions import connection as Connection  # noqa: N812
    from psycopg2.extensions import cursor as Cursor  # noqa: N812

T = TypeVar("T")

logger = logging.getLogger(__name__)

FAILURES = (psycopg2.Error, DatabaseUnavailableError)
"""What a transaction raises if it is not committed, or if that is unknown."""


class AbandonedError(Exception):
    """`abandon` was called before the transaction was committed."""


class Transactions:
    """One connection to the database, opened on demand. One thread at a time may run transactions."""

    def __init__(
        self,
        database: Database,
        application_name: str,
        *,
        feed: str,
        on_connect: Callable[[], None],
        on_commit: Callable[[], None],
        on_failure: Callable[[Exception], None],
    ) -> None:
        """`on_failure` is called after a failed transaction of `until_committed`, before the delay."""
        self._database = database
        self._application_name = application_name
        self._feed = feed
        self._on_connect = on_connect
        self._on_commit = on_commit
        self._on_failure = on_failure
        self._connection: Connection | None = None
        self._backoff = Backoff(base=0.2, cap=5.0)
        self._abandoned = threading.Event()
        self.trouble: str | None = None
        """Why the last transaction of `until_committed` failed; None if it was committed."""

    def once(self, work: Callable[[Cursor], T]) -> T:
        """Do the work in one transaction. Raises one of FAILURES."""
        connection = self.connect()
        with connection, connection.cursor() as cursor:
            result = work(cursor)
        self._on_commit()
        return result

    def until_committed(self, work: Callable[[Cursor], T]) -> T:
        """Do the work in one transaction, retried until it is committed; delays grow to 5 s. Raises AbandonedError."""
        while True:
            try:
                result = self.once(work)
            except FAILURES as error:
                self.close()
                delay = self._backoff.next_delay()
                self.trouble = f"{self._database.description}: {str(error).strip()}"
                logger.warning("feed %s: cannot commit, retrying in %.1f s: %s", self._feed, delay, self.trouble)
                self._on_failure(error)
                self.wait(delay)
                continue
            self._backoff.reset()
            self.trouble = None
            return result

    def wait(self, seconds: float) -> None:
        """Wait. Raises AbandonedError as soon as `abandon` is called."""
        if self._abandoned.wait(seconds):
            raise AbandonedError

    def abandon(self) -> None:
        """Retry nothing from now on. Safe from any thread."""
        self._abandoned.set()

    @property
    def abandoned(self) -> bool:
        """Whether `abandon` was called."""
        return self._abandoned.is_set()

    def connect(self) -> Connection:
        """Return the connection, opening it if needed. Raises DatabaseUnavailableError."""
        if self._connection is None:
            self._connection = self._database.connect(self._application_name)
            self._on_connect()
        return self._connection

    def close(self) -> None:
        """Close the connection; the next transaction opens a new one."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
