"""Stores trading halts and their ends, each once: both connections of a hand-over may get it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from psycopg2 import sql
from psycopg2.extras import execute_values

from ticks_platform.ingestion.rows.tables import HALTS, Rows
from ticks_platform.timescale import sql_files
from ticks_platform.timestamps import from_nanoseconds

if TYPE_CHECKING:
    from psycopg2.extensions import cursor as Cursor  # noqa: N812


def store(cursor: Cursor, feed: str, halts: Rows) -> tuple[Rows, Rows]:
    """Insert halts; returns those that are new, and those that are stored already.

    Raises psycopg2.DataError or IntegrityError if one cannot be stored.
    """
    events = halts.as_events()
    keys = [(from_nanoseconds(halt.time), halt.symbol, halt.kind) for halt in events]
    first = {key: place for place, key in reversed([*enumerate(keys)])}
    inserted = execute_values(
        cursor,
        sql_files.compose(
            "queries/rows/insert_halts.sql", columns=sql.SQL(", ").join(map(sql.Identifier, HALTS.columns))
        ),
        [(*key, feed, from_nanoseconds(int(halts.received_at[place]))) for key, place in first.items()],
        page_size=1000,
        fetch=True,
    )
    new = np.zeros(len(events), np.bool_)
    new[[first[tuple(key)] for key in inserted]] = True
    return halts.where(new), halts.where(~new)
