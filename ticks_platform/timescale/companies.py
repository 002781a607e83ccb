"""The table of symbols and the names of their companies."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from psycopg2.extras import execute_values

if TYPE_CHECKING:
    from psycopg2.extensions import cursor as Cursor  # noqa: N812


def keep(cursor: Cursor, names: Mapping[str, str]) -> int:
    """Store these names, and return how many the table has. Symbols that are not among them stay."""
    execute_values(
        cursor,
        "INSERT INTO company (symbol, name) VALUES %s ON CONFLICT (symbol) DO UPDATE SET name = excluded.name",
        sorted(names.items()),
    )
    cursor.execute("SELECT count(*) FROM company")
    row = cursor.fetchone()
    return int(row[0]) if row else 0
