"""Seals of compressed chunks: what was proven need not be read again while the chunk is what it was."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from ticks_platform.timescale import sql_files

if TYPE_CHECKING:
    from psycopg2.extensions import cursor as Cursor  # noqa: N812


class Identity(NamedTuple):
    """What tells a compressed chunk from what it was."""

    chunk: str
    relation: str
    batches: int
    rows: int
    identity: int


class Unsealed(NamedTuple):
    """Compressed chunks without a seal, as they were before a time of the database."""

    at: datetime
    chunks: Sequence[Identity]


def check(cursor: Cursor) -> Unsealed:
    """Drop the seals of chunks that are not what they were; what was sealed and is not is for a check to read.

    The cursor must be in no transaction, so that a reading that follows is later.
    """
    cursor.execute(sql_files.read("queries/seals/check.sql"))
    chunks = [Identity(*row) for row in cursor.fetchall()]
    # After them: what was read earlier may have been read before the chunk became what it is.
    cursor.execute("SELECT clock_timestamp()")
    (at,) = cursor.fetchone() or (None,)
    assert at is not None
    return Unsealed(at, chunks)


def stamp(cursor: Cursor, unsealed: Unsealed) -> int:
    """Seal those of these chunks that are still the same, and whose hours were all proven since. Returns how many."""
    return _stamp(cursor, unsealed.chunks, [unsealed.at] * len(unsealed.chunks))


def follow(cursor: Cursor) -> int:
    """Seal what was compressed, as soon as its hours were proven since by whoever proves them. Returns how many.

    Reads no tick: it is for the schedule, between two checks of everything.
    """
    cursor.execute(sql_files.read("queries/seals/can_be_sealed.sql"))
    chunks = [Identity(*row) for row in cursor.fetchall()]
    cursor.execute(sql_files.read("queries/seals/note.sql"), _columns(chunks))
    same = cursor.fetchall()
    if not same:
        return 0
    return _stamp(cursor, [Identity(*row) for *row, _ in same], [since for *_, since in same])


def _stamp(cursor: Cursor, chunks: Sequence[Identity], since: Sequence[datetime]) -> int:
    cursor.execute(sql_files.read("queries/seals/stamp.sql"), {**_columns(chunks), "since": list(since)})
    (number,) = cursor.fetchone() or (0,)
    return int(number)


def _columns(chunks: Sequence[Identity]) -> dict[str, list[Any]]:
    return {
        "chunks": [each.chunk for each in chunks],
        "relations": [each.relation for each in chunks],
        "batches": [each.batches for each in chunks],
        "rows": [each.rows for each in chunks],
        "identities": [each.identity for each in chunks],
    }


def count(cursor: Cursor) -> int:
    """How many chunks are sealed."""
    cursor.execute("SELECT count(*) FROM ticks_platform.sealed_chunk")
    (number,) = cursor.fetchone() or (0,)
    return int(number)
