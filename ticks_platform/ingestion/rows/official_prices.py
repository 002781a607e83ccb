"""Stores official prices; a later one of the same session, kind and exchange replaces the earlier one.

Later is what the exchange sent later: a repair may bring the earlier one afterwards.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from psycopg2 import sql
from psycopg2.extras import execute_values

from ticks_platform.ingestion.rows.tables import OFFICIAL_PRICES, Rows, Upserted
from ticks_platform.timescale import sql_files
from ticks_platform.timestamps import from_nanoseconds

if TYPE_CHECKING:
    from psycopg2.extensions import cursor as Cursor  # noqa: N812


def store(cursor: Cursor, feed: str, prices: Rows) -> Upserted:
    """Insert or replace. Raises psycopg2.DataError or IntegrityError if a price cannot be stored.

    The caller holds the feed's lease, so nobody else inserts prices of the feed concurrently.
    """
    events = prices.as_events()
    keys = [(price.symbol, price.session, price.kind, price.exchange or "") for price in events]
    latest: dict[tuple[Any, ...], int] = {}
    for place, key in enumerate(keys):
        if key not in latest or events[place].time >= events[latest[key]].time:
            latest[key] = place
    query = sql_files.compose(
        "queries/rows/upsert_official_prices.sql",
        columns=sql.SQL(", ").join(map(sql.Identifier, OFFICIAL_PRICES.columns)),
    )
    written = execute_values(
        cursor,
        query,
        [
            (
                from_nanoseconds(events[place].time),
                key[0],
                key[1],
                key[2],
                events[place].price,
                events[place].size,
                key[3],
                events[place].is_primary,
                feed,
                from_nanoseconds(int(prices.received_at[place])),
            )
            for key, place in latest.items()
        ],
        page_size=1000,
        fetch=True,
    )
    inserted = {tuple(key) for *key, is_new in written if is_new}
    new = np.zeros(len(events), dtype=np.bool_)
    for place, key in enumerate(keys):
        # The first of a key in these rows is the new row, the others have replaced it.
        new[place] = key in inserted
        inserted.discard(key)
    return Upserted(prices.where(new), prices.where(~new))
