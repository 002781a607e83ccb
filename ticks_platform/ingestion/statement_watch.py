"""Tells which statement the database has not answered for long, while it has not."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from psycopg2.extensions import cursor as Cursor  # noqa: N812
from psycopg2.sql import Composed

if TYPE_CHECKING:
    from types import TracebackType

T = TypeVar("T")

logger = logging.getLogger(__name__)

LONG = 5.0
"""Seconds after which a statement without an answer is told."""

_CHECK_INTERVAL = 0.5
"""Seconds between checks."""

_SHOWN = 120
"""Characters of a statement that are told."""


class _Running(NamedTuple):
    statement: str | bytes
    since: float


class StatementWatch:
    """Watches the statements of one thread. While it is entered, a thread of its own logs one that takes long."""

    def __init__(self, feed: str, database: str) -> None:
        """`database` is its description, without a password."""
        self._feed = feed
        self._database = database
        self._running: _Running | None = None
        self._told: _Running | None = None
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None
        watch = self.watch

        class WatchedCursor(Cursor):
            """A cursor whose statements are watched."""

            def execute(self, query: Any, vars: Any = None) -> None:
                watch(query, lambda: super(WatchedCursor, self).execute(query, vars))

            def copy_expert(self, sql: Any, file: Any, size: int = 8192) -> None:
                watch(sql, lambda: super(WatchedCursor, self).copy_expert(sql, file, size))

        self.cursor_class = WatchedCursor

    def watch(self, statement: Any, call: Callable[[], T]) -> T:
        """Make a call that waits for the database, and return what it returns."""
        # Not CLOCK_BOOTTIME: while this machine sleeps, nobody waits for the database.
        self._running = _Running(statement, time.monotonic())
        try:
            return call()
        finally:
            self._running = None

    @property
    def trouble(self) -> str | None:
        """What the database has not answered for long; None if there is no such statement. Safe from any thread."""
        running = self._running
        if running is None or (seconds := time.monotonic() - running.since) < LONG:
            return None
        return (
            f"{self._database}: no answer for {seconds:.0f} s to: {_first_words(running.statement)}. It waits for a "
            "lock, is slow, or hangs; pg_stat_activity tells which"
        )

    def __enter__(self) -> StatementWatch:
        self._ended.clear()
        self._thread = threading.Thread(target=self._log, name=f"watch-{self._feed}", daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        if self._thread is not None:
            self._thread.join()

    def _log(self) -> None:
        while not self._ended.wait(_CHECK_INTERVAL):
            running, trouble = self._running, self.trouble
            if trouble is not None and running is not self._told:
                self._told = running
                logger.warning("feed %s: %s", self._feed, trouble)


def _first_words(statement: Any) -> str:
    """The begin of a statement, without its comments and its values."""
    if isinstance(statement, Composed):
        statement = "".join(getattr(part, "string", "…") for part in statement)
    text = statement.decode("utf-8", "replace") if isinstance(statement, bytes) else str(statement)
    lines = (line.strip() for line in text.splitlines() if not line.strip().startswith("--"))
    words, values, _ = " ".join(line for line in lines if line).partition("VALUES")
    return f"{words[:_SHOWN]}…" if len(words) > _SHOWN or values else words
