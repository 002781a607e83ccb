"""TimescaleDB's background workers, kept out of the way of a test."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from psycopg2.extensions import cursor as Cursor  # noqa: N812

_TIMEOUT = 10.0


@contextmanager
def stopped_workers(cursor: Cursor, *, native: bool) -> Iterator[None]:
    """Nobody is at work on policies in this database while the context lasts; the embedded one never has anybody.

    TimescaleDB 2.29.2 crashes the whole server when a candle is dropped just as its policy begins. The cursor has to be
    one of a connection outside of any transaction, and the extension has to be there.
    """
    if not native:
        yield
        return
    cursor.execute("SELECT _timescaledb_functions.stop_background_workers()")
    try:
        deadline = time.monotonic() + _TIMEOUT
        while _at_work(cursor):
            assert time.monotonic() < deadline, "the database's background workers do not stop"
            cursor.execute("SELECT pg_sleep(0.05)")
        yield
    finally:
        cursor.execute("SELECT _timescaledb_functions.start_background_workers()")


def _at_work(cursor: Cursor) -> int:
    cursor.execute(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() "
        "AND backend_type NOT IN ('client backend', 'autovacuum worker')"
    )
    row = cursor.fetchone()
    assert row is not None
    return int(row[0])
