"""Bars into their table: a bar of a window that is there already replaces it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from psycopg2.extras import execute_values

from ticks_platform.ingestion.rows.tables import BARS, Rows
from ticks_platform.timestamps import from_nanoseconds

if TYPE_CHECKING:
    from psycopg2.extensions import cursor as Cursor  # noqa: N812


_KEY = ("symbol", "start_time", "end_time", "feed")


class StoredBars(NamedTuple):
    """What became of some bars: the first of each window is a new row, later ones have replaced it."""

    inserted: Rows
    replaced: Rows


def store(cursor: Cursor, feed: str, bars: Rows) -> StoredBars:
    """Insert or replace. Raises psycopg2.DataError or IntegrityError, or one of UNSTORABLE, when one cannot be a row.

    Only the owner of the feed's lease calls this, so nobody else inserts its bars in between.
    """
    events = bars.one_by_one()
    windows = [
        (_symbol(bar.symbol), from_nanoseconds(bar.start_time), from_nanoseconds(bar.end_time)) for bar in events
    ]
    cursor.execute(
        """
        SELECT symbol, start_time, end_time FROM stock_aggregates
        WHERE feed = %s AND start_time >= %s AND start_time <= %s
            AND (symbol, start_time, end_time) IN (
                SELECT * FROM unnest(%s::text[], %s::timestamptz[], %s::timestamptz[]))
        """,
        (
            feed,
            min(start for _, start, _ in windows),
            max(start for _, start, _ in windows),
            *(list(column) for column in zip(*windows, strict=True)),
        ),
    )
    known = set(cursor.fetchall())
    new = np.zeros(len(windows), dtype=np.bool_)
    latest = {}
    for place, window in enumerate(windows):
        new[place] = window not in known and window not in latest
        latest[window] = place
    updates = ", ".join(f"{column} = excluded.{column}" for column in BARS.columns if column not in _KEY)
    execute_values(
        cursor,
        f"""
        INSERT INTO stock_aggregates ({", ".join(BARS.columns)}) VALUES %s
        ON CONFLICT ({", ".join(_KEY)}) DO UPDATE SET {updates}
        """,  # noqa: S608  (column names of ours)
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
    return StoredBars(bars.where(new), bars.where(~new))


def _symbol(value: object) -> str:
    # psycopg2 takes what it cannot adapt for the fault of the circumstances.
    if not isinstance(value, str):
        raise TypeError(f"its symbol is a {type(value).__name__}")
    return value


def _number(value: float | None) -> float | None:
    return None if value is None else float(value)
