"""The new and changed rows of a table or candle, found by short polls of its latest part."""

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
from ticks_platform.subscribing.subscription import Change, OnChange
from ticks_platform.timescale import sql_files, tables
from ticks_platform.timescale.database import Database, DatabaseUnavailableError

if TYPE_CHECKING:
    from psycopg2.extensions import connection as Connection  # noqa: N812
    from psycopg2.extensions import cursor as Cursor  # noqa: N812

T = TypeVar("T")

logger = logging.getLogger(__name__)

POLL_INTERVAL = 0.25
"""Seconds between polls; after a poll that took longer, as long as it took, so that the database has half of its time
for others."""

PAGE = 20_000
"""Rows that are read at once. The transaction ends before they are handed on, for however slow that may be."""

_MISSING = (psycopg2.errors.UndefinedTable, psycopg2.errors.UndefinedColumn)

_AWAY = (DatabaseUnavailableError, psycopg2.OperationalError, psycopg2.InterfaceError)


class Table(NamedTuple):
    """A table that can be subscribed to."""

    name: str
    time: str
    """The column by which it is divided into chunks."""
    key: tuple[str, ...]
    """What identifies a row."""
    changes: bool
    """Whether a row may come to hold something else."""
    recent: float
    """Seconds before the newest row in which rows still come, or change."""
    indexed_by_time: bool
    """Whether there is an index that begins with `time`; else there is one that begins with the symbol."""

    @property
    def query(self) -> str:
        """The file that reads a page of it."""
        return (
            "queries/subscribing/rows_by_time.sql" if self.indexed_by_time else "queries/subscribing/rows_by_symbol.sql"
        )


TABLES = {
    table.name: table
    for table in (
        Table("stocks_real_time", "time", ("tick_id",), False, 60.0, True),
        Table("stock_quotes", "time", ("quote_id",), False, 60.0, False),
        Table("stock_aggregates", "start_time", ("symbol", "start_time", "end_time", "feed"), True, 1_200.0, False),
        Table("one_minute_candle", "bucket", ("symbol", "bucket"), True, 300.0, True),
        Table("one_hour_candle", "bucket", ("symbol", "bucket"), True, 7_200.0, True),
    )
}


class _DatabaseAwayError(DatabaseUnavailableError):
    """A poll failed, and another one may succeed. Told apart from what a subscriber raises."""


class TableSource:
    """Polls the part of a table that begins some time before its newest row, and tells what is new or different."""

    def __init__(self, table: Table, database: Database, *, recent_seconds: float | None = None) -> None:
        self.name = table.name
        self._table = table
        self._database = database
        self._recent = timedelta(seconds=table.recent if recent_seconds is None else recent_seconds)
        self._stopping = threading.Event()
        self._connection: Connection | None = None
        self._known: dict[Any, tuple[datetime, Any]] = {}
        """The rows of the recent part by their keys: their times, and what they hold where that may change."""
        self._newest: datetime
        self._server_time: tuple[datetime, float]
        """The server's clock when this began, and the monotonic clock of then."""
        self._make_row: Callable[..., Any]
        self._key: Callable[..., Any]
        self._time_place: int
        self._key_places: tuple[int, ...]
        self._first_page: sql.Composed
        self._next_page: sql.Composed

    def open(self) -> None:
        """Take note of what is there. Raises SettingsError when the table is missing, DatabaseUnavailableError."""
        try:
            self._describe()
            ((now,),) = self._fetch(sql.SQL("SELECT now()"))
            self._newest, self._server_time = now, (now, time.monotonic())
            for row in self._rows():
                self._note(row)
        except _MISSING as error:
            self.close()
            raise SettingsError(
                f"{self._database.description} has no {self.name} as this platform makes it "
                f"({str(error).strip().splitlines()[0]}): materialize it first, as `make dev` does by itself"
            ) from None
        except BaseException:
            self.close()
            raise

    def follow(self, hand_on: OnChange) -> None:
        """Poll until `stop`; a database that is away is waited for. Raises psycopg2.Error for any other trouble."""
        backoff = Backoff(base=0.2, cap=5.0)
        pause = POLL_INTERVAL
        while not self._stopping.wait(pause):
            begin = time.monotonic()
            try:
                self._poll(hand_on)
            except _DatabaseAwayError as away:
                self._disconnect()
                pause = backoff.next_delay()
                logger.warning("%s cannot be read, trying again in %.1f s: %s", self.name, pause, away)
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
        names = [column.name for column in self._ask(lambda cursor: tables.columns(cursor, table.name))]
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

    def _poll(self, hand_on: OnChange) -> None:
        for row in self._rows():
            for change in self._note(row):
                hand_on(change)

    def _rows(self) -> Iterator[Any]:
        """The rows of the recent part, in order of time, as of when each page of them is read."""
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
            # Nothing before the last row is read again, which the index on time makes use of.
            last = page[-1]
            values["since"] = last[self._time_place]
            values.update({name: getattr(last, name) for name in (self._table.time, *self._table.key)})
            query = self._next_page

    def _note(self, row: Any) -> list[Change]:
        """What has changed with this row."""
        key = self._key(*(row[place] for place in self._key_places))
        at = row[self._time_place]
        known = self._known.get(key)
        if known is not None and (not self._table.changes or known[1] == row):
            return []
        self._known[key] = (at, row if self._table.changes else None)
        # Providers stamp some events ahead of time: what comes after them is not too old for that.
        begun_at, begun = self._server_time
        self._newest = max(self._newest, min(at, begun_at + timedelta(seconds=time.monotonic() - begun)))
        addition = Change(key, row, at, True)
        return [addition] if known is None else [Change(key, known[1], at, False), addition]

    def _fetch(self, query: sql.Composable, values: dict[str, Any] | None = None) -> list[tuple[Any, ...]]:
        def work(cursor: Cursor) -> list[tuple[Any, ...]]:
            cursor.execute(query, values)
            return cursor.fetchall()

        return self._ask(work)

    def _ask(self, work: Callable[[Cursor], T]) -> T:
        try:
            if self._connection is None:
                self._connection = self._database.connect("ticks_platform subscription")
                # Each statement by itself: no transaction is open while a subscriber is at work.
                self._connection.autocommit = True
            with self._connection.cursor() as cursor:
                return work(cursor)
        except _AWAY as error:
            raise _DatabaseAwayError(f"{self._database.description}: {str(error).strip()}") from error

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _in_utc(value: Any) -> Any:
    return value.astimezone(timezone.utc) if isinstance(value, datetime) else value
