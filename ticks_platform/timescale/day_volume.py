"""Converts day_volume in a table of ticks of an older release, in which it was a whole number.

sql/schema/stocks_real_time.sql gives the old column another name, adds the new one, and lets both be written. The old
rows are converted here: the newest chunk first, each in transactions of its own, so that an interrupted conversion
continues where it was. The old column goes when nothing reads it any more.

A compressed chunk becomes rows, is converted, and is compressed again. In one transaction, its readers would wait for
all of that (10 s for a million ticks); an update of the compressed chunk would leave as much again as it had as rows.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple

import psycopg2
import psycopg2.errors
from psycopg2 import sql

from ticks_platform.timescale import sql_files

if TYPE_CHECKING:
    from psycopg2.extensions import cursor as Cursor  # noqa: N812

    from ticks_platform.timescale.database import Database

LOCK_SECONDS = 10
"""Most seconds that the drop of the old column waits for readers and writers, which wait for it meanwhile."""


class Chunk(NamedTuple):
    """A chunk of the ticks."""

    name: str
    """With its schema, quoted."""
    begin: datetime


def has_whole_column(cursor: Cursor) -> bool:
    """Whether the table of ticks still has the old column."""
    cursor.execute(sql_files.read("queries/day_volume/whole_column.sql"))
    return cursor.fetchone() == (1,)


def unconverted(cursor: Cursor) -> list[Chunk]:
    """The chunks with ticks that are not converted, the newest first."""
    if not has_whole_column(cursor):
        return []
    cursor.execute(sql_files.read("queries/day_volume/chunks.sql"))
    chunks = [Chunk(*row) for row in cursor.fetchall()]
    return [chunk for chunk in chunks if _has_unconverted(cursor, chunk)]


def convert(database: Database, say: Callable[[str], None]) -> None:
    """Convert all ticks. Raises psycopg2.Error; what is converted by then stays so."""
    with database.transaction() as cursor:
        chunks = unconverted(cursor)
    for number, chunk in enumerate(chunks, start=1):
        try:
            ticks = _convert(database, chunk)
        except psycopg2.errors.UndefinedTable:
            continue  # retention has dropped it
        say(f"day_volume of {ticks} ticks since {chunk.begin} is converted: chunk {number} of {len(chunks)}")


def drop_whole_column(database: Database) -> str | None:
    """Drop the old column if nothing reads it and all ticks are converted; otherwise, returns why it stays."""
    try:
        with database.transaction() as cursor:
            if not has_whole_column(cursor):
                return None
            left = unconverted(cursor)
            if left:
                return f"day_volume_whole stays: {len(left)} chunks are not converted"
            cursor.execute(f"SET LOCAL lock_timeout = '{LOCK_SECONDS}s'")
            cursor.execute(sql_files.read("queries/day_volume/drop_whole.sql"))
    except (psycopg2.errors.DependentObjectsStillExist, psycopg2.errors.LockNotAvailable) as error:
        return f"day_volume_whole stays: {str(error).strip()}"
    return None


def _has_unconverted(cursor: Cursor, chunk: Chunk) -> bool:
    cursor.execute(sql_files.compose("queries/day_volume/has_unconverted.sql", chunk=sql.SQL(chunk.name)))
    return cursor.fetchone() == (True,)


def _convert(database: Database, chunk: Chunk) -> int:
    name = sql.SQL(chunk.name)
    with database.transaction() as cursor:
        cursor.execute(sql_files.read("queries/day_volume/is_compressed.sql"), {"chunk": chunk.name})
        compressed = cursor.fetchone() == (True,)
        if compressed:
            cursor.execute("SELECT decompress_chunk(%s)", (chunk.name,))
    try:
        with database.transaction() as cursor:
            cursor.execute(sql_files.compose("queries/day_volume/convert.sql", chunk=name))
            return cursor.rowcount
    finally:
        # If this process is killed before, the policy of the columnstore does it.
        if compressed:
            with database.transaction() as cursor:
                cursor.execute("SELECT compress_chunk(%s, if_not_compressed => true)", (chunk.name,))
