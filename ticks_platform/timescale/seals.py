"""Seals of compressed chunks: what was proven need not be read again while the chunk is what it was."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple

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
    """Compressed chunks without a seal, as they were at a time of the database."""

    at: datetime
    chunks: Sequence[Identity]


def check(cursor: Cursor) -> Unsealed:
    """Drop the seals of chunks that are not what they were; what was sealed and is not is for a check to read.

    The cursor must be in no transaction, so that a reading that follows is later.
    """
    cursor.execute("SELECT clock_timestamp()")
    (at,) = cursor.fetchone() or (None,)
    assert at is not None
    cursor.execute(sql_files.read("queries/seals/check.sql"))
    return Unsealed(at, [Identity(*row) for row in cursor.fetchall()])


def stamp(cursor: Cursor, unsealed: Unsealed) -> int:
    """Seal those of these chunks that are still the same, and whose hours were all proven since. Returns how many."""
    parameters = {
        "chunks": [each.chunk for each in unsealed.chunks],
        "relations": [each.relation for each in unsealed.chunks],
        "batches": [each.batches for each in unsealed.chunks],
        "rows": [each.rows for each in unsealed.chunks],
        "identities": [each.identity for each in unsealed.chunks],
        "since": unsealed.at,
    }
    cursor.execute(sql_files.read("queries/seals/stamp.sql"), parameters)
    (number,) = cursor.fetchone() or (0,)
    return int(number)


def count(cursor: Cursor) -> int:
    """How many chunks are sealed."""
    cursor.execute("SELECT count(*) FROM ticks_platform.sealed_chunk")
    (number,) = cursor.fetchone() or (0,)
    return int(number)
