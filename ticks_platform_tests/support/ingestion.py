"""Frames to load, rows to read, journals to damage."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

from ticks_platform.ingestion import audit
from ticks_platform.ingestion.lease import Lease
from ticks_platform.ingestion.loader import Loader
from ticks_platform.ingestion.rows.asked_symbols import AskedSymbols
from ticks_platform.ingestion.rows.decode import Decode
from ticks_platform.timescale.database import Database

TakeLease = Callable[[str], Lease]


class LoaderOf(Protocol):
    """Creates a loader of frames under a lease."""

    def __call__(
        self, lease: Lease, frames: Sequence[bytes], decode: Decode | None = None, asked: AskedSymbols | None = None
    ) -> Loader: ...


def price(symbol: str = "AAPL", **fields: Any) -> bytes:
    """A Twelve Data price event as bytes; `fields` replace the defaults."""
    event = {"event": "price", "symbol": symbol, "timestamp": int(time.time()), "price": 100.5, "day_volume": 7}
    return json.dumps({**event, **fields}).encode()


def trade(trade_id: str | int | None = "1", *, at: float, symbol: str = "AAPL", **fields: Any) -> dict[str, Any]:
    """A trade as Polygon sends it; `at` is its time in seconds since the Unix epoch."""
    event = {"ev": "T", "sym": symbol, "p": 100.5, "s": 10, "t": round(at * 1000), "x": 4, "i": trade_id}
    return {**event, **fields}


def frame(*events: dict[str, Any]) -> bytes:
    """A Polygon frame with these events."""
    return json.dumps(events).encode()


def unbalanced(database: Database) -> list[str]:
    """The problems of all accounts: in total, in recent hours and in all; and hours whose ticks are not as loaded."""
    with database.autocommit() as cursor:
        found = [problem for account in audit.accounts(cursor) for problem in account.problems()]
        found += audit.hours(cursor).problems()
        found += audit.hours(cursor, everything=True).problems()
        return found + audit.hours(cursor, oldest=True).problems()


def rows(database: Database, query: str) -> list[tuple[Any, ...]]:
    """The rows of a query."""
    with database.transaction() as cursor:
        cursor.execute(query)
        return cursor.fetchall()


def count_by_hour(database: Database) -> None:
    """Count the ticks that are stored by hour, as their loader would have."""
    with database.transaction() as cursor:
        cursor.execute(
            "INSERT INTO ticks_platform.feed SELECT DISTINCT feed, 'polygon', true FROM stocks_real_time "
            "ON CONFLICT DO NOTHING"
        )
        cursor.execute(
            """
            INSERT INTO ticks_platform.feed_hour
                (feed, destination, hour, loaded, last_received_at, counted_since, changed_at, fingerprint,
                fingerprint_version)
            SELECT feed, 'stocks_real_time', time_bucket('1 hour', time), count(*), max(received_at), now(), now(),
                sum(ticks_platform.tick_hash(tick_id, price, size, updates)), ticks_platform.fingerprint_version()
            FROM stocks_real_time
            GROUP BY feed, time_bucket('1 hour', time)
            """
        )


def changed_hours(database: Database) -> int:
    """Hours whose ticks are not those that were counted."""
    with database.autocommit() as cursor:
        found = audit.hours(cursor)
    assert found.compared
    return found.differing


def damage_group(path: Path, number: int) -> list[int]:
    """Make a journal's n-th group undecodable; returns the positions of all groups."""
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        positions = [row[0] for row in connection.execute("SELECT position FROM frame_group ORDER BY position")]
        connection.execute("UPDATE frame_group SET data = x'c1c1' WHERE position = ?", (positions[number],))
    return positions


def wreck_middle_page(path: Path) -> None:
    """Overwrite one of the pages of a journal's groups, like a disk that lost a sector.

    First moves SQLite's log into the file.
    """
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        assert connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0, "another connection reads it"
        (page_size,) = connection.execute("PRAGMA page_size").fetchone()
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
    with path.open("r+b") as file:
        file.seek(pages // 2 * page_size)
        assert file.read(1) == b"\x0d", "a leaf page of the table"
        file.seek(pages // 2 * page_size)
        file.write(b"\xa5" * page_size)
