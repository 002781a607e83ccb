"""The connection that reads a journal's file, which may be replaced while somebody reads."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Iterator


class Reader:
    """Reads one file; if the journal is rewritten, a reading that has begun ends in the old file."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        """`connection` is open, and closed when it is retired."""
        self._connection = connection
        self._lock = threading.Condition()
        self._users = 0
        self._retired = False

    @contextlib.contextmanager
    def use(self) -> Iterator[sqlite3.Connection]:
        """The connection."""
        with self._lock:
            self._users += 1
        try:
            yield self._connection
        finally:
            with self._lock:
                self._users -= 1
                self._close_if_unused()
                self._lock.notify_all()

    def retire(self) -> None:
        """Close it as soon as nobody reads."""
        with self._lock:
            self._retired = True
            self._close_if_unused()

    def wait_unused(self, seconds: float) -> bool:
        """Wait until nobody reads; whether that is so."""
        with self._lock:
            return self._lock.wait_for(lambda: not self._users, seconds)

    def _close_if_unused(self) -> None:
        if self._retired and not self._users:
            self._connection.close()
