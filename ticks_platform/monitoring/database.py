"""What the database knows, and whether it answers. It is asked in a thread, since it may never answer."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import psycopg2

from ticks_platform.errors import TicksPlatformError
from ticks_platform.feeds.settings import FeedSettings
from ticks_platform.ingestion import status
from ticks_platform.ingestion.status import FeedStatus
from ticks_platform.monitoring import feed_states
from ticks_platform.monitoring.feed_states import Silence
from ticks_platform.timescale import quality, sql_files, tables
from ticks_platform.timescale.database import Database
from ticks_platform.timescale.quality import Channels

if TYPE_CHECKING:
    from psycopg2.extensions import cursor as Cursor  # noqa: N812

PATIENCE = 20.0
"""Seconds within which the database has to answer."""

_STATEMENT_SECONDS = 10
"""A native database ends a statement that takes longer; the embedded one cannot."""

NEEDED = (*status.TABLES, *(f"ticks_platform.{name}" for name in ("feed_channel", "feed_hour")))
"""Tables that are read."""


class JobState(NamedTuple):
    """A job that the database's own scheduler runs."""

    job_id: int
    relation: str
    """The table or candle that it works on; its procedure's name, if it is none of the policies."""
    kind: str
    """``refresh``, ``columnstore``, ``retention`` or ``job``."""
    interval: float
    """Seconds."""
    failures: int
    """Runs in a row that failed, as far as the database remembers."""
    error: str | None
    """Of the last of them."""
    success_age: float | None
    """Seconds since it last succeeded; None if it never did."""

    @property
    def name(self) -> str:
        """For people."""
        return f"job {self.job_id}" if self.kind == "job" else f"{self.kind} policy of {self.relation}"


class DatabaseState(NamedTuple):
    """What a look at the database has found."""

    statuses: Sequence[FeedStatus]
    channels: Sequence[Channels]
    silences: Sequence[Silence]
    clocks: dict[str, str]
    """What is wrong with the clock of a feed's machine, by feed."""
    jobs: Sequence[JobState]

    @property
    def refused(self) -> dict[str, str]:
        """Why feeds as a whole are refused, in words, by feed."""
        return {row.feed: words for row in self.channels if (words := feed_states.refusal(row)) is not None}


class NoAnswerInTimeError(TicksPlatformError):
    """The database has not answered within PATIENCE."""


class Watcher:
    """Looks at a database; while an earlier look is not answered, there is no second one."""

    def __init__(self) -> None:
        self._asking: threading.Thread | None = None

    def look(
        self, database: Database, feeds: Sequence[FeedSettings] | None, *, patience: float | None = None
    ) -> DatabaseState | None:
        """What the database knows of these feeds, or of those that it knows as enabled where nothing tells which they
        are; None while its tables are not created.

        Raises TicksPlatformError and psycopg2.Error where it cannot be reached, or does not answer within `patience`.
        """
        if self._asking is not None and self._asking.is_alive():
            raise NoAnswerInTimeError("an earlier question is not answered yet")
        found: list[DatabaseState | None] = []
        errors: list[Exception] = []

        def ask() -> None:
            try:
                found.append(_look(database, feeds))
            except Exception as error:  # noqa: BLE001  (raised below)
                errors.append(error)

        self._asking = threading.Thread(target=ask, name="look-at-database", daemon=True)
        self._asking.start()
        seconds = PATIENCE if patience is None else patience
        self._asking.join(seconds)
        if errors:
            raise errors[0]
        if not found:
            raise NoAnswerInTimeError(f"no answer within {seconds:g} s")
        return found[0]


UNREACHABLE = (TicksPlatformError, psycopg2.Error)
"""What is raised where the database is away, or cannot tell: a missing right or column, or a damaged index, has to be
told as well."""


def jobs(cursor: Cursor) -> list[JobState]:
    """The jobs that the database's scheduler runs, with their failures."""
    cursor.execute(sql_files.read("queries/monitoring/jobs.sql"))
    return [JobState(*row) for row in cursor.fetchall()]


def _look(database: Database, feeds: Sequence[FeedSettings] | None) -> DatabaseState | None:
    with database.transaction() as cursor:
        cursor.execute("SET LOCAL statement_timeout = %s", (_STATEMENT_SECONDS * 1000,))
        if tables.missing(cursor, NEEDED):
            return None
        names = status.enabled(cursor) if feeds is None else [feed.name for feed in feeds]
        return DatabaseState(
            statuses=status.feeds(cursor, names),
            channels=quality.channels(cursor, names),
            silences=feed_states.silences(cursor, feeds or ()),
            clocks=quality.clock_troubles(cursor, names),
            jobs=jobs(cursor),
        )
