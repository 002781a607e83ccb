"""Stops TimescaleDB's background workers during a test."""

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
    """Run no policies in this database during the context; the embedded database has no background workers.

    TimescaleDB 2.29.2 crashes the server if a candle is dropped at the moment when its policy starts. The cursor's
    connection must not be in a transaction, and the extension must be installed.
    """
    if not native:
        yield
        return
    cursor.execute("SELECT _timescaledb_functions.stop_background_workers()")
    try:
        deadline = time.monotonic() + _TIMEOUT
        while _count_workers(cursor):
            assert time.monotonic() < deadline, f"the background workers did not stop within {_TIMEOUT:g} s"
            cursor.execute("SELECT pg_sleep(0.05)")
        yield
    finally:
        cursor.execute("SELECT _timescaledb_functions.start_background_workers()")


def _count_workers(cursor: Cursor) -> int:
    cursor.execute(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() "
        "AND backend_type NOT IN ('client backend', 'autovacuum worker')"
    )
    row = cursor.fetchone()
    assert row is not None
    return int(row[0])
