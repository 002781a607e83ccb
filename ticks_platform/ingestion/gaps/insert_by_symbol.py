"""Stores rows of coverage; a symbol that the database will not take does not hold up the others."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeAlias

from psycopg2.extras import execute_values

from ticks_platform.timescale import sql_files
from ticks_platform.timescale.failures import first_line
from ticks_platform.timescale.splitting import store_items
from ticks_platform.timestamps import from_nanoseconds

if TYPE_CHECKING:
    from psycopg2.extensions import cursor as Cursor  # noqa: N812

IN_FLIGHT = 250_000_000
"""Nanoseconds that a frame may be in flight: one that is lost with its connection was sent up to so much before the
last received one was stamped. Coverage ends earlier by this time."""

IN_FLIGHT_INTERVAL = timedelta(microseconds=IN_FLIGHT // 1000)

_Period: TypeAlias = tuple[str, int, int, int | None, str | None]
"""A `coverage_notes.Period`."""

logger = logging.getLogger(__name__)


def insert_by_symbol(cursor: Cursor, query: str, values: list[tuple[Any, ...]], template: str | None = None) -> None:
    """Insert rows that begin with feed and symbol. A symbol that no index can hold, for example, is logged and left
    out: its ticks cannot be stored either. Raises psycopg2.Error if the symbols are not at fault.
    """

    def insert(rows: list[tuple[Any, ...]]) -> None:
        execute_values(cursor, sql_files.read(query), rows, template=template, page_size=1000)

    for rows, error in store_items(cursor, values, insert, only_data=True):
        for feed, symbol, *_ in rows:
            logger.error("feed %s: no coverage of symbol %.40s is stored: %s", feed, symbol, first_line(error))


def store_periods(cursor: Cursor, feed: str, epoch: int, periods: Iterable[_Period]) -> None:
    """Store the latest state of each period of coverage.

    Where coverage ended by silence, which is known to the second only, extends it to the last tick in the table: that
    arrived before the silence, since later ones are loaded after this.
    """
    # An INSERT … ON CONFLICT must not have the same key twice.
    last = {(symbol, connection, begin): (end, ended_by) for symbol, connection, begin, end, ended_by in periods}
    values = [
        (
            feed,
            symbol,
            from_nanoseconds(begin),
            None if end is None else from_nanoseconds(end),
            ended_by,
            epoch,
            connection,
        )
        for (symbol, connection, begin), (end, ended_by) in last.items()
    ]
    insert_by_symbol(cursor, "queries/gaps/record_coverage.sql", values)
    silent = [key for key, (_, ended_by) in last.items() if ended_by == "silent"]
    if silent:
        arguments = {
            "feed": feed,
            "epoch": epoch,
            "symbols": [symbol for symbol, _, _ in silent],
            "begins": [from_nanoseconds(begin) for _, _, begin in silent],
            "in_flight": IN_FLIGHT_INTERVAL,
        }
        cursor.execute(sql_files.read("queries/gaps/extend_silent_coverage.sql"), arguments)


def store_earlier(cursor: Cursor, feed: str, epoch: int, periods: Iterable[_Period]) -> None:
    """Store the coverage of an earlier owner as all its notes tell.

    Nobody may have learned of the commit that stored them, so they are stored again. Then the coverage that they leave
    open is `killed`, and may have been moved or split since, by frames that are not loaded again: it stays as it is. So
    does what has ended since: a copy may lack the last notes, which the database had.
    """
    last = {each[:3]: each for each in periods}
    ended = [each for each in last.values() if each[3] is not None]
    # First, since what has ended is `killed` no longer.
    store_periods(cursor, feed, epoch, ended)
    cursor.execute(sql_files.read("queries/gaps/killed_of_epoch.sql"), {"feed": feed, "epoch": epoch})
    killed = set(cursor.fetchall())
    cursor.execute(sql_files.read("queries/gaps/ended_of_epoch.sql"), {"feed": feed, "epoch": epoch})
    over = set(cursor.fetchall())
    left = [
        each
        for each in last.values()
        if each[3] is None and each[:2] not in killed and (*each[:2], from_nanoseconds(each[2])) not in over
    ]
    store_periods(cursor, feed, epoch, left)


def correct_configured_since(cursor: Cursor, feed: str, symbols: list[str], *, at: int, wrong: Sequence[int]) -> None:
    """The clock was wrong when these symbols were recorded as configured: they are since `at`."""
    moments = [from_nanoseconds(each) for each in wrong]
    parameters = {"feed": feed, "at": from_nanoseconds(at), "symbols": symbols, "wrong": moments}
    cursor.execute(sql_files.read("queries/gaps/correct_configured_since.sql"), parameters)


def date_wanted(cursor: Cursor, feed: str, symbols: list[str], *, ended: int) -> None:
    """Find since when symbols are in feeds.yaml, by the coverage stored; owners up to epoch `ended` are gone."""
    parameters = {"feed": feed, "symbols": symbols, "ended": ended}
    cursor.execute(sql_files.read("queries/gaps/wanted_since.sql"), parameters)
