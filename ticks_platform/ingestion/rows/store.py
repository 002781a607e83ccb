"""A batch into its tables: rows that the database takes, events that it refuses, trades that it has already."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import psycopg2
from psycopg2.extras import execute_values

from ticks_platform.ingestion.lease import Lease
from ticks_platform.ingestion.rows import bars, duplicate_trades
from ticks_platform.ingestion.rows.decode import DecodedBatch, RejectedEvent, Stored
from ticks_platform.ingestion.rows.duplicate_trades import Suspect, TradeMemory
from ticks_platform.ingestion.rows.tables import BARS, TICKS, UNSTORABLE, Rows, Table
from ticks_platform.timescale import sql_files
from ticks_platform.timescale.columnstore import DirectCompress
from ticks_platform.timescale.database import storable
from ticks_platform.timestamps import from_nanoseconds

if TYPE_CHECKING:
    from psycopg2.extensions import cursor as Cursor  # noqa: N812

# Data exceptions and integrity violations are the fault of the rows; everything else is the fault of the circumstances.
_BAD_DATA_CLASSES = ("22", "23")


class Prepared(NamedTuple):
    """A batch on its way to the database."""

    batch: DecodedBatch
    encoded: dict[str, bytes]
    """By table; a table is missing where something in its rows cannot be encoded, or where rows may replace others."""
    twice: list[int]
    """Places of ticks that stand in the batch for the second time."""
    suspects: list[Suspect]


def prepare(batch: DecodedBatch, memory: TradeMemory, lease: Lease) -> Prepared:
    """All that can be done without the database."""
    try:
        twice, suspects = memory.suspects(batch.ticks)
    except UNSTORABLE:
        twice, suspects = [], []  # something in it is no text, which is found when the batch is split
    encoded = {}
    for table, rows in batch.tables:
        if table.encode is not None:
            kept = duplicate_trades.without(rows, twice)[0] if table is TICKS else rows
            try:
                encoded[table.name] = table.encode(kept, lease.feed, lease.journal_number)
            except UNSTORABLE:
                continue
    return Prepared(batch, encoded, twice, suspects)


class Store:
    """Stores batches on one connection, within the caller's transactions."""

    def __init__(self, lease: Lease) -> None:
        self._lease = lease
        self._direct_compress = DirectCompress()

    def store(self, cursor: Cursor, prepared: Prepared) -> Stored:
        """Store a batch. What the database refuses is found and set aside; raises whatever is not the rows' fault."""
        stored = Stored([], [], [], [])
        batch = prepared.batch
        for table, rows in batch.tables:
            if table is TICKS:
                self._store_ticks(cursor, prepared, stored)
            elif table is BARS:
                self._store_bars(cursor, batch, rows, stored)
            else:
                loaded = self._copy(cursor, batch, table, rows, prepared.encoded.get(table.name), stored.refused)
                stored.loaded.extend((table, part) for part in loaded)
        self._store_rejected(cursor, batch.rejected + stored.refused)
        return stored

    def _store_ticks(self, cursor: Cursor, prepared: Prepared, stored: Stored) -> None:
        batch, ticks = prepared.batch, prepared.batch.ticks
        known = duplicate_trades.stored_before(cursor, self._lease.feed, prepared.suspects)
        upcoming, _ = duplicate_trades.without(ticks, sorted({*prepared.twice, *known}))
        _, again = duplicate_trades.without(ticks, known)
        _, copies = duplicate_trades.without(ticks, sorted({*prepared.twice}.difference(known)))
        encoded = None if known else prepared.encoded.get(TICKS.name)
        self._direct_compress.prepare(cursor, rows=len(upcoming.events), symbols=batch.symbols)
        while upcoming.events:
            before = len(stored.refused)
            loaded = self._copy(cursor, batch, TICKS, upcoming, encoded, stored.refused)
            stored.loaded.extend((TICKS, part) for part in loaded)
            # Nothing is a duplicate of a trade that was refused: the next one of its kind takes its turn.
            refused = {event.position for event in stored.refused[before:]}
            upcoming, copies = duplicate_trades.instead_of(refused, upcoming, copies)
            encoded = None
        stored.duplicate.extend(part for part in (again, copies) if part.events)

    def _store_bars(self, cursor: Cursor, batch: DecodedBatch, rows: Rows, stored: Stored) -> None:
        def store(part: Rows) -> None:
            done = bars.store(cursor, self._lease.feed, part)
            stored.loaded.append((BARS, done.inserted))
            stored.replaced.append(done.replaced)

        self._store_parts(cursor, batch, rows, store, stored.refused)

    def _copy(
        self,
        cursor: Cursor,
        batch: DecodedBatch,
        table: Table,
        rows: Rows,
        encoded: bytes | None,
        refused: list[RejectedEvent],
    ) -> list[Rows]:
        """Copy rows in; those that cannot be rows are found and put to `refused`, the others are returned."""
        loaded: list[Rows] = []
        encode = table.encode
        assert encode is not None
        first = encoded

        def store(part: Rows) -> None:
            nonlocal first
            data, first = first or encode(part, self._lease.feed, self._lease.journal_number), None
            _copy_in(cursor, table, data, len(part.events))
            loaded.append(part)

        self._store_parts(cursor, batch, rows, store, refused)
        return loaded

    def _store_parts(
        self,
        cursor: Cursor,
        batch: DecodedBatch,
        part: Rows,
        store: Callable[[Rows], None],
        refused: list[RejectedEvent],
    ) -> None:
        """Store a part of the batch that may hold a bad event, halving it until the bad ones are found."""
        cursor.execute("SAVEPOINT part")
        try:
            # numpy refuses what its columns cannot hold, as the database refuses what its own cannot.
            store(part)
        except (psycopg2.Error, *UNSTORABLE) as error:
            if isinstance(error, psycopg2.Error) and not _is_bad_data(error):
                raise
            cursor.execute("ROLLBACK TO SAVEPOINT part")
            if len(part.events) == 1:
                reason = str(error).strip().partition("\n")[0]
                refused.append(batch.reject(int(part.positions[0]), int(part.received_at[0]), reason))
                return
            middle = len(part.events) // 2
            self._store_parts(cursor, batch, part.part(0, middle), store, refused)
            self._store_parts(cursor, batch, part.part(middle, len(part.events)), store, refused)
            return
        cursor.execute("RELEASE SAVEPOINT part")

    def _store_rejected(self, cursor: Cursor, rejected: Sequence[RejectedEvent]) -> None:
        if rejected:
            execute_values(
                cursor,
                sql_files.read("queries/ledger/record_rejected_events.sql"),
                [
                    (
                        self._lease.feed,
                        self._lease.journal_number,
                        event.position,
                        from_nanoseconds(event.received_at),
                        storable(event.reason),
                        event.raw,
                    )
                    for event in rejected
                ],
            )


def _copy_in(cursor: Cursor, table: Table, encoded: bytes, rows: int) -> None:
    statement = f"COPY {table.name} ({', '.join(table.columns)}) FROM STDIN (FORMAT binary)"
    cursor.copy_expert(statement, io.BytesIO(encoded), size=1 << 20)
    if cursor.rowcount != rows:
        raise psycopg2.InternalError(f"the database took {cursor.rowcount} of {rows} rows of a COPY")


def _is_bad_data(error: psycopg2.Error) -> bool:
    return (error.pgcode or "")[:2] in _BAD_DATA_CLASSES
