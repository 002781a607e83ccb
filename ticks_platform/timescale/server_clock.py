"""The clock of the database's server, which all processes share: by it they decide what is over, due or old enough."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from psycopg2.extensions import cursor as Cursor  # noqa: N812


def now(cursor: Cursor) -> datetime:
    """The time by the database's server; not that of the transaction's begin."""
    cursor.execute("SELECT clock_timestamp()")
    row = cursor.fetchone()
    assert row is not None
    found: datetime = row[0]
    return found
