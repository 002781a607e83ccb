"""The tables that ingestion needs, without candles."""

from __future__ import annotations

from ticks_platform.timescale import readers, sql_files
from ticks_platform.timescale.adoption.relations import require_own_tables
from ticks_platform.timescale.database import Database


def create(database: Database) -> None:
    """Create what is missing, where this user may; a writer alone finds it, or an error of its first statement.

    Raises the error of `require_own_tables` where a table of somebody else's has one of the names, and
    DatabaseUnavailableError.
    """
    # Two transactions: the machinery waits for the leases of loaders, which wait for the locks of the tables.
    with database.transaction() as cursor:
        owns = readers.may_create(cursor)
        if owns:
            require_own_tables(cursor)
            sql_files.apply(cursor, *sql_files.HYPERTABLE)
    if owns:
        with database.transaction() as cursor:
            sql_files.apply(cursor, *sql_files.MACHINERY)
