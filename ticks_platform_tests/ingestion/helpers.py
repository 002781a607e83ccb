"""Frames to load and rows to look at."""

from __future__ import annotations

import json
import time
from typing import Any

from ticks_platform.timescale.database import Database


def price(symbol: str = "AAPL", **fields: Any) -> bytes:
    """A Twelve Data price event as bytes; fields given replace those of a usual one."""
    event = {"event": "price", "symbol": symbol, "timestamp": int(time.time()), "price": 100.5, "day_volume": 7}
    return json.dumps({**event, **fields}).encode()


def rows(database: Database, query: str) -> list[tuple[Any, ...]]:
    """The rows of a query."""
    with database.transaction() as cursor:
        cursor.execute(query)
        return cursor.fetchall()
