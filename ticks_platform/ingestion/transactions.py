"""Transactions on one connection to the database, repeated until they are committed."""

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
"""What a transaction raises when it is not committed, or when nobody knows whether it is."""


class AbandonedError(Exception):
    """Nobody waits for the transaction any more."""


class Transactions:
    """One connection to the database, opened when it is needed. For the transactions of one thread at a time."""

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
        """`on_failure` is called after a transaction of `until_done` has failed, before the wait for the next try."""
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
        """Why the last transaction of `until_done` was not committed, or None."""

    @property
    def abandoned(self) -> bool:
        """Whether somebody has called `abandon`."""
        return self._abandoned.is_set()

    def abandon(self) -> None:
        """Try nothing again from now on. Safe from any thread."""
        self._abandoned.set()

    def wait(self, seconds: float) -> None:
        """Wait. Raises AbandonedError as soon as somebody calls `abandon`."""
        if self._abandoned.wait(seconds):
            raise AbandonedError

    def once(self, work: Callable[[Cursor], T]) -> T:
        """Do the work in one transaction. Raises one of FAILURES."""
        connection = self.connect()
        with connection, connection.cursor() as cursor:
            result = work(cursor)
        self._on_commit()
        return result

    def until_done(self, work: Callable[[Cursor], T]) -> T:
        """Do the work in one transaction, again and again until it is committed.

        Waits in between, longer each time, up to 5 s. Raises AbandonedError.
        """
        while True:
            try:
                result = self.once(work)
            except FAILURES as error:
                self.close()
                delay = self._backoff.next_delay()
                self.trouble = f"{self._database.description}: {str(error).strip()}"
                logger.warning("feed %s cannot commit, trying again in %.1f s: %s", self._feed, delay, self.trouble)
                self._on_failure(error)
                self.wait(delay)
                continue
            self._backoff.reset()
            self.trouble = None
            return result

    def connect(self) -> Connection:
        """The connection, opened if it is not open. Raises DatabaseUnavailableError."""
        if self._connection is None:
            self._connection = self._database.connect(self._application_name)
            self._on_connect()
        return self._connection

    def close(self) -> None:
        """Close the connection; the next transaction opens another one."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
