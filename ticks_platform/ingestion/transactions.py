"""Transactions on one database connection, retried until they are committed."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from itertools import count
from typing import TYPE_CHECKING, TypeVar

from ticks_platform.backoff import Backoff
from ticks_platform.ingestion.statement_watch import StatementWatch
from ticks_platform.timescale.database import Database, SessionConnection
from ticks_platform.timescale.failures import FAILURES

if TYPE_CHECKING:
    from psycopg2.extensions import cursor as Cursor  # noqa: N812

T = TypeVar("T")

logger = logging.getLogger(__name__)


class AbandonedError(Exception):
    """`abandon` was called before the transaction was committed."""


class GivenUpError(Exception):
    """The transaction failed, and the caller does not want the same to be tried again. Its cause is the failure."""


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
        on_failure: Callable[[BaseException], None],
    ) -> None:
        """`on_failure` is called after a failed transaction of `until_committed`, before the delay."""
        self._database = database
        self._application_name = application_name
        self._feed = feed
        self._on_connect = on_connect
        self._on_commit = on_commit
        self._on_failure = on_failure
        self._connection: SessionConnection | None = None
        self._backoff = Backoff(base=0.2, cap=5.0)
        self._abandoned = threading.Event()
        self._awake = threading.Event()
        self._trouble: str | None = None
        self.watch = StatementWatch(feed, database.description)
        """Tells and logs which statement takes long, while it is entered."""

    @property
    def trouble(self) -> str | None:
        """Why the last transaction of `until_committed` failed, or what the database has not answered for long.

        None if it was committed and nothing takes long. Safe from any thread.
        """
        return self.watch.trouble or self._trouble

    def once(self, work: Callable[[Cursor], T]) -> T:
        """Do the work in one transaction. Raises one of FAILURES, and what the work raises."""
        connection = self.connect()
        try:
            with connection.cursor(cursor_factory=self.watch.cursor_class) as cursor:
                connection.begin(cursor)
                result = work(cursor)
        except BaseException:
            if not connection.closed:
                self.watch.watch("ROLLBACK", connection.rollback)
            raise
        self.watch.watch("COMMIT", connection.commit)
        self._on_commit()
        return result

    def until_committed(
        self, work: Callable[[Cursor], T], *, gives_up: Callable[[BaseException, int], bool] | None = None
    ) -> T:
        """Do the work in one transaction, retried until it is committed; delays grow to 5 s.

        `gives_up` is asked after each failure, with the number of failures. Raises AbandonedError, and GivenUpError.
        """
        for failures in count(1):
            try:
                result = self.once(work)
            except FAILURES as error:
                self.close()
                self._trouble = f"{self._database.description}: {str(error).strip() or type(error).__name__}"
                giving_up = gives_up is not None and gives_up(error, failures)
                if giving_up:
                    logger.warning("feed %s: cannot commit: %s", self._feed, self._trouble)
                    self._on_failure(error)
                    raise GivenUpError from error
                delay = self._backoff.next_delay()
                logger.warning("feed %s: cannot commit, retrying in %.1f s: %s", self._feed, delay, self._trouble)
                self._on_failure(error)
                self.wait(delay)
                continue
            self._backoff.reset()
            self._trouble = None
            return result
        raise AssertionError("it counts without end")

    def wait(self, seconds: float) -> None:
        """Wait, but not beyond `hurry`. Raises AbandonedError as soon as `abandon` is called."""
        if not self._abandoned.is_set():
            self._awake.wait(seconds)
            self._awake.clear()
        if self._abandoned.is_set():
            raise AbandonedError

    def hurry(self) -> None:
        """Try again at once what waits, and soon what fails after that. Safe from any thread."""
        self._backoff.reset()
        self._awake.set()

    def abandon(self) -> None:
        """Retry nothing from now on. Safe from any thread."""
        self._abandoned.set()
        self._awake.set()

    @property
    def abandoned(self) -> bool:
        """Whether `abandon` was called."""
        return self._abandoned.is_set()

    def connect(self) -> SessionConnection:
        """Return the connection, opening it if needed. Raises DatabaseUnavailableError."""
        if self._connection is None:
            self._connection = self.watch.watch("connect", lambda: self._database.connect(self._application_name))
            self._on_connect()
        return self._connection

    def close(self) -> None:
        """Close the connection; the next transaction opens a new one."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
