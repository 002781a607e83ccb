"""What tables look like and how much is in them, for people to see."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from ticks_platform.timescale import sql_files

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
    cursor.execute(sql_files.read("queries/tables/columns.sql"), {"table": table})
    return [ColumnInfo(*row) for row in cursor.fetchall()]


def missing(cursor: Cursor, tables: Sequence[str]) -> list[str]:
    """Those of the named tables, schema-qualified or not, that do not exist."""
    cursor.execute("SELECT name FROM unnest(%s) AS name WHERE to_regclass(name) IS NULL", (list(tables),))
    return [row[0] for row in cursor.fetchall()]
