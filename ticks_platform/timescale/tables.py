"""What tables look like and how much is in them, for people to see."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from psycopg2.extensions import cursor as Cursor  # noqa: N812


class ColumnInfo(NamedTuple):
    """A column as the database describes it."""

    name: str
    type: str
    nullable: bool
    comment: str | None


def columns(cursor: Cursor, table: str) -> list[ColumnInfo]:
    """Columns of a table or candle, in order."""
    cursor.execute(
        """
        SELECT attname, format_type(atttypid, atttypmod), NOT attnotnull, col_description(attrelid, attnum)
        FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum
        """,
        (table,),
    )
    return [ColumnInfo(*row) for row in cursor.fetchall()]


def missing(cursor: Cursor, tables: Sequence[str]) -> list[str]:
    """Those of the named tables, schema-qualified or not, that do not exist."""
    cursor.execute("SELECT name FROM unnest(%s) AS name WHERE to_regclass(name) IS NULL", (list(tables),))
    return [row[0] for row in cursor.fetchall()]
