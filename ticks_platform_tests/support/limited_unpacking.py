"""A server that limits what one transaction may unpack of compressed chunks."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from ticks_platform.timescale.database import Database
from ticks_platform_tests.support.ingestion import rows


@contextlib.contextmanager
def limited_unpacking(database: Database) -> Iterator[None]:
    """New sessions may unpack ten rows in a transaction. Other tests use the same database."""
    setting = "timescaledb.max_tuples_decompressed_per_dml_transaction"
    name = rows(database, "SELECT quote_ident(current_database())")[0][0]
    with database.autocommit() as cursor:
        cursor.execute(f"ALTER DATABASE {name} SET {setting} = 10")
    try:
        yield
    finally:
        with database.autocommit() as cursor:
            cursor.execute(f"ALTER DATABASE {name} RESET {setting}")
