"""The new and changed rows of a table or candle, found by polling its recent rows."""

from __future__ import annotations

import logging
import threading
import time
from collections import namedtuple
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import psycopg2
import psycopg2.errors
from psycopg2 import sql

from ticks_platform.backoff import Backoff
from ticks_platform.feeds.settings import SettingsError
from ticks_platform.feeds.transport.clock import boottime
from ticks_platform.subscribing.subscription import Change, OnChange
from ticks_platform.timescale import sql_files, tables
from ticks_platform.timescale.candles.candles import ONE_HOUR, ONE_MINUTE, TICKS
from ticks_platform.timescale.database import Database, DatabaseUnavailableError

if TYPE_CHECKING:
    from psycopg2.extensions import connection as Connection  # noqa: N812
    from psycopg2.extensions import cursor as Cursor  # noqa: N812

T = TypeVar("T")

logger = logging.getLogger(__name__)

POLL_INTERVAL = 0.25
"""Shortest pause in seconds between polls. A pause is at least as long as the poll before it, so polling takes at most
half of the database's time."""

PAGE = 20_000
"""Rows per query. The transaction ends before they are delivered, since a subscriber may be slow."""

_MISSING = (psycopg2.errors.UndefinedTable, psycopg2.errors.UndefinedColumn)

_UNAVAILABLE = (DatabaseUnavailableError, psycopg2.OperationalError, psycopg2.InterfaceError)


class Table(NamedTuple):
    """A table that can be subscribed to."""

    name: str
    time: str
    """The time column, by which it is partitioned."""
    key: tuple[str, ...]
    """What identifies a row."""
    changes: bool
    """Whether rows may change."""
    recent: float
    """Seconds before the newest row in which new rows or changes are expected."""
    indexed_by_time: bool
    """Whether there is an index on `time` first; otherwise there is one on the symbol first."""

    @property
    def query(self) -> str:
        """The file that reads a page of it."""
        return (
            "queries/subscribing/rows_by_time.sql" if self.indexed_by_time else "queries/subscribing/rows_by_symbol.sql"
        )


TABLES = {
    table.name: table
    for table in (
        Table(TICKS, "time", ("tick_id",), False, 60.0, True),
        Table("stock_quotes", "time", ("quote_id",), False, 60.0, False),
        Table("stock_aggregates", "start_time", ("symbol", "start_time", "end_time", "feed"), True, 1_200.0, False),
        Table(ONE_MINUTE.name, "bucket", ("symbol", "bucket"), True, 300.0, True),
        Table(ONE_HOUR.name, "bucket", ("symbol", "bucket"), True, 7_200.0, True),
    )
}


class _PollFailedError(DatabaseUnavailableError):
    """A poll failed and may succeed later. Distinct from what a subscriber may raise."""


class TableSource:
    """Polls a table from some time before its newest row, and delivers new and changed rows."""

    def __init__(self, table: Table, database: Database, *, recent_seconds: float | None = None) -> None:
        self.name = table.name
        self._table = table
        self._database = database
        self._recent = timedelta(seconds=table.recent if recent_seconds is None else recent_seconds)
        self._stopping = threading.Event()
        self._connection: Connection | None = None
        self._known: dict[Any, tuple[datetime, Any]] = {}
        """Time of each recent row by its key, and the row itself if rows may change."""
        self._newest: datetime
        self._server_time: tuple[datetime, float]
        """The server's clock at the start, and seconds since boot at the same moment."""
        self._make_row: Callable[..., Any]
        self._key: Callable[..., Any]
        self._time_place: int
        self._key_places: tuple[int, ...]
        self._first_page: sql.Composed
        self._next_page: sql.Composed

    def open(self) -> None:
        """Read the rows that exist. Raises SettingsError if the table is missing; DatabaseUnavailableError."""
        try:
            self._describe()
            ((now,),) = self._fetch(sql.SQL("SELECT now()"))
            self._newest, self._server_time = now, (now, boottime())
            for row in self._rows():
                self._update(row)
        except _MISSING as error:
            self.close()
            raise SettingsError(
                f"{self._database.description} has no {self.name} with the platform's columns "
                f"({str(error).strip().splitlines()[0]}): materialize it first; `make dev` does so"
            ) from None
        except BaseException:
            self.close()
            raise

    def follow(self, deliver: OnChange) -> None:
        """Poll until `stop`; retry while the database is unavailable. Raises psycopg2.Error for any other failure."""
        backoff = Backoff(base=0.2, cap=5.0)
        pause = POLL_INTERVAL
        while not self._stopping.wait(pause):
            begin = time.monotonic()
            try:
                self._poll(deliver)
            except _PollFailedError as error:
                self._disconnect()
                pause = backoff.next_delay()
                logger.warning("cannot read %s, retrying in %.1f s: %s", self.name, pause, error)
            else:
                backoff.reset()
                pause = max(POLL_INTERVAL, time.monotonic() - begin)

    def stop(self) -> None:
        """Ask `follow` to return."""
        self._stopping.set()

    def close(self) -> None:
        """Close the connection."""
        self._disconnect()

    def _describe(self) -> None:
        table = self._table
        names = [column.name for column in self._with_cursor(lambda cursor: tables.columns(cursor, table.name))]
        self._make_row = namedtuple(table.name, names)  # type: ignore[misc]
        self._key = namedtuple(f"{table.name}_key", table.key)  # type: ignore[misc]
        self._time_place = names.index(table.time)
        self._key_places = tuple(names.index(name) for name in table.key)
        rest = [name for name in table.key if name != table.time]
        identifiers = sql.SQL(", ").join
        order = [table.time, *rest]
        after = sql.SQL("({}) > ({})").format(
            identifiers(map(sql.Identifier, order)), identifiers(map(sql.Placeholder, order))
        )
        self._first_page, self._next_page = (
            sql_files.compose(
                table.query,
                columns=identifiers(map(sql.Identifier, names)),
                table=sql.Identifier(table.name),
                time=sql.Identifier(table.time),
                after=condition,
                order=identifiers(map(sql.Identifier, order)),
            )
            for condition in (sql.SQL("true"), after)
        )

    def _poll(self, deliver: OnChange) -> None:
        for row in self._rows():
            for change in self._update(row):
                deliver(change)

    def _rows(self) -> Iterator[Any]:
        """The recent rows in order of time, read page by page."""
        since = self._newest - self._recent
        for key in [key for key, (at, _) in self._known.items() if at < since]:
            del self._known[key]
        values: dict[str, Any] = {"since": since, "page": PAGE}
        query = self._first_page
        while not self._stopping.is_set():
            page = [self._make_row(*map(_in_utc, row)) for row in self._fetch(query, values)]
            yield from page
            if len(page) < PAGE:
                return
            # The next page begins at the last row's time, for which there is an index.
            last = page[-1]
            values["since"] = last[self._time_place]
            values.update({name: getattr(last, name) for name in (self._table.time, *self._table.key)})
            query = self._next_page

    def _update(self, row: Any) -> list[Change]:
        """Remember a row; return its changes."""
        key = self._key(*(row[place] for place in self._key_places))
        at = row[self._time_place]
        known = self._known.get(key)
        if known is not None and (not self._table.changes or known[1] == row):
            return []
        self._known[key] = (at, row if self._table.changes else None)
        # An event whose time is in the future must not make the following rows count as old.
        server_start, start = self._server_time
        self._newest = max(self._newest, min(at, server_start + timedelta(seconds=boottime() - start)))
        addition = Change(key, row, at, True)
        return [addition] if known is None else [Change(key, known[1], at, False), addition]

    def _fetch(self, query: sql.Composable, values: dict[str, Any] | None = None) -> list[tuple[Any, ...]]:
        def work(cursor: Cursor) -> list[tuple[Any, ...]]:
            cursor.execute(query, values)
            return cursor.fetchall()

        return self._with_cursor(work)

    def _with_cursor(self, work: Callable[[Cursor], T]) -> T:
        try:
            if self._connection is None:
                self._connection = self._database.connect("ticks_platform subscription")
                # No transaction is open while `on_change` runs.
                self._connection.autocommit = True
            with self._connection.cursor() as cursor:
                return work(cursor)
        except _UNAVAILABLE as error:
            raise _PollFailedError(f"{self._database.description}: {str(error).strip()}") from error

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _in_utc(value: Any) -> Any:
    return value.astimezone(timezone.utc) if isinstance(value, datetime) else value
