"""Frames to load and rows to look at."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from ticks_platform.ingestion.batch import Decode
from ticks_platform.ingestion.lease import Lease
from ticks_platform.ingestion.loader import Loader
from ticks_platform.timescale.database import Database

TakeLease = Callable[[str], Lease]


class LoaderOf(Protocol):
    """Makes a loader of frames under a lease."""

    def __call__(self, lease: Lease, frames: Sequence[bytes], decode: Decode | None = None) -> Loader: ...


def price(symbol: str = "AAPL", **fields: Any) -> bytes:
    """A Twelve Data price event as bytes; fields given replace those of a usual one."""
    event = {"event": "price", "symbol": symbol, "timestamp": int(time.time()), "price": 100.5, "day_volume": 7}
    return json.dumps({**event, **fields}).encode()


def rows(database: Database, query: str) -> list[tuple[Any, ...]]:
    """The rows of a query."""
    with database.transaction() as cursor:
        cursor.execute(query)
        return cursor.fetchall()
