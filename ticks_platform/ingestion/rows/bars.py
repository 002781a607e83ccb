"""Stores bars; a later bar of the same window replaces the earlier one."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np
from psycopg2 import sql
from psycopg2.extras import execute_values

from ticks_platform.ingestion.rows.tables import BARS, Rows, Upserted
from ticks_platform.timescale import sql_files
from ticks_platform.timestamps import from_nanoseconds

if TYPE_CHECKING:
    from psycopg2.extensions import cursor as Cursor  # noqa: N812


_KEY = ("symbol", "start_time", "end_time", "feed")

_KEEPING_AVERAGE = sql.SQL(
    "average_price = CASE WHEN excluded.average_price IS NULL AND excluded.volume = stored.volume "
    "THEN stored.average_price ELSE excluded.average_price END"
)
"""Files have no average: that of the same volume stays."""


def store(cursor: Cursor, feed: str, bars: Rows) -> Upserted:
    """Insert or replace. Raises psycopg2.DataError or IntegrityError, or one of UNSTORABLE, if a bar cannot be stored.

    The caller holds the feed's lease, so nobody else inserts bars of the feed concurrently.
    """
    events = bars.as_events()
    windows = [
        (_symbol(bar.symbol), from_nanoseconds(bar.start_time), from_nanoseconds(bar.end_time)) for bar in events
    ]
    symbols, starts, ends = (list(column) for column in zip(*windows, strict=True))
    cursor.execute(
        sql_files.read("queries/rows/known_bars.sql"),
        {
            "feed": feed,
            "first": min(starts),
            "last": max(starts),
            "symbols": symbols,
            "starts": starts,
            "ends": ends,
        },
    )
    known = set(cursor.fetchall())
    # The limit guards against statements that unpack more than was meant, and each bar unpacks the batch of its window.
    cursor.execute("SET LOCAL timescaledb.max_tuples_decompressed_per_dml_transaction = 0")
    new = np.zeros(len(windows), dtype=np.bool_)
    latest = {}
    for place, window in enumerate(windows):
        new[place] = window not in known and window not in latest
        latest[window] = place
    execute_values(
        cursor,
        sql_files.compose(
            "queries/rows/upsert_bars.sql",
            columns=_names(BARS.columns),
            key=_names(_KEY),
            updates=sql.SQL(", ").join(
                _KEEPING_AVERAGE
                if column == "average_price"
                else sql.SQL("{0} = excluded.{0}").format(sql.Identifier(column))
                for column in BARS.columns
                if column not in _KEY
            ),
        ),
        [
            (
                *window,
                _number(bar.open),
                _number(bar.high),
                _number(bar.low),
                _number(bar.close),
                _number(bar.volume),
                _number(bar.average_price),
                feed,
                from_nanoseconds(int(bars.received_at[place])),
            )
            for window, place in latest.items()
            for bar in (events[place],)
        ],
        page_size=1000,
    )
    return Upserted(bars.where(new), bars.where(~new))


def _names(columns: Iterable[str]) -> sql.Composed:
    return sql.SQL(", ").join(map(sql.Identifier, columns))


def _symbol(value: object) -> str:
    # psycopg2 would raise ProgrammingError, which does not count as bad data.
    if not isinstance(value, str):
        raise TypeError(f"the symbol is of type {type(value).__name__}, not text")
    return value


def _number(value: float | None) -> float | None:
    return None if value is None else float(value)
