"""Stores a batch: rows go to their tables, refused events to rejected_event; stored trades are left out."""

from __future__ import annotations

import contextlib
import io
import logging
from collections.abc import Callable, Hashable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import psycopg2
from psycopg2 import sql

from ticks_platform.feeds.coded import counted
from ticks_platform.ingestion.journal.file import FrameGroup
from ticks_platform.ingestion.lease import Lease
from ticks_platform.ingestion.rows import (
    bars,
    corrections,
    duplicate_trades,
    equal_trades,
    halts,
    malformed_fields,
    official_prices,
    rejected_events,
    stored_trades,
)
from ticks_platform.ingestion.rows.decode import DecodedBatch, Stored
from ticks_platform.ingestion.rows.duplicate_trades import TradeMemory
from ticks_platform.ingestion.rows.equal_trades import Counted, Origin, connection
from ticks_platform.ingestion.rows.rejected_events import RejectedEvent
from ticks_platform.ingestion.rows.stored_trades import JournalBefore, Suspect, Suspects
from ticks_platform.ingestion.rows.tables import (
    BARS,
    CORRECTIONS,
    HALTS,
    OFFICIAL_PRICES,
    QUOTES,
    TICKS,
    Rows,
    Table,
)
from ticks_platform.timescale import sql_files
from ticks_platform.timescale.columnstore import DirectCompress
from ticks_platform.timescale.failures import UNSTORABLE, Meaning, first_line, is_of_state, meaning
from ticks_platform.timescale.splitting import Splitter, attempt, store_items

if TYPE_CHECKING:
    from psycopg2.extensions import cursor as Cursor  # noqa: N812

logger = logging.getLogger(__name__)

LAST_ATTEMPT = 3
"""The attempt at which an event that fails alone is rejected, if nothing tells whether the table takes others."""

_UPSERT = {BARS: bars.store, OFFICIAL_PRICES: official_prices.store}
"""How to store rows of which a later one replaces an earlier one."""


class PreparedBatch(NamedTuple):
    """A batch that is ready to be stored."""

    batch: DecodedBatch
    encoded: dict[str, bytes]
    """COPY data by table name, without tables whose rows cannot all be encoded, or may replace others."""
    repeats: list[int]
    """Indexes of ticks that repeat an earlier tick of the batch."""
    suspects: Sequence[Suspect]
    """Ticks that may be stored already."""
    memory: TradeMemory
    """What found them."""
    numbers: dict[int, Counted]
    """Numbers among equals of trades that are identified by what they are, by position."""
    reloaded_until: int
    """Trades that were loaded again are looked up until this event time, in nanoseconds."""

    def looked_up_until(self, reloaded_until: int) -> PreparedBatch:
        """The same batch, if trades were loaded again since it was prepared: those until this time are looked up."""
        if reloaded_until <= self.reloaded_until:
            return self
        memory = self.memory.of_parts(self.numbers)
        memory.reloaded_until = reloaded_until
        found: Sequence[Suspect] = []
        with contextlib.suppress(*UNSTORABLE):
            found = memory.suspects(self.batch.ticks, corrected=bool(self.batch.corrections.events))[1]
        known = {suspect.place for suspect in self.suspects}
        suspects = [*self.suspects, *(suspect for suspect in found if suspect.place not in known)]
        return self._replace(suspects=suspects, reloaded_until=reloaded_until)


def prepare(
    batch: DecodedBatch, memory: TradeMemory, lease: Lease, delivery: Callable[[FrameGroup], Hashable] = connection
) -> PreparedBatch:
    """Do all that needs no database: find suspects, encode rows. `delivery` tells which groups belong together."""

    def origins(rows: Rows) -> list[Origin]:
        return equal_trades.origins(batch.groups, batch.groups_of(rows.positions), rows.positions, delivery)

    reloaded_until = memory.reloaded_until
    try:
        repeats, suspects = memory.suspects(batch.ticks, corrected=bool(batch.corrections.events), origins=origins)
    except UNSTORABLE:
        repeats, suspects = [], Suspects()  # some text cannot be stored; `store` finds it by splitting the batch
    numbers = memory.numbers
    encoded = {}
    for table, rows in batch.tables:
        if table.encode is not None:
            try:
                encoded[table.name] = _encode(table, rows, repeats, lease)
            except MemoryError:
                continue
            except UNSTORABLE:
                if table not in (TICKS, QUOTES):
                    continue
                # An optional field may be at fault; otherwise `store` finds what is, by splitting the batch.
                rows = rows._replace(events=malformed_fields.clear(rows.as_events()))
                batch = batch._replace(ticks=rows) if table is TICKS else batch._replace(quotes=rows)
                with contextlib.suppress(MemoryError, *UNSTORABLE):
                    encoded[table.name] = _encode(table, rows, repeats, lease)
    return PreparedBatch(batch, encoded, repeats, suspects, memory, numbers, reloaded_until)


def _encode(table: Table, rows: Rows, repeats: list[int], lease: Lease) -> bytes:
    assert table.encode is not None
    kept = duplicate_trades.split(rows, repeats)[0] if table is TICKS else rows
    return table.encode(kept, lease.feed, lease.journal_number)


class NextBatch(NamedTuple):
    """A prepared batch, and the events that were removed from it because the predecessor has stored them."""

    prepared: PreparedBatch
    left_out: list[Rows]
    memory: TradeMemory | None = None
    """Of a half: a memory of the whole batch."""

    @property
    def batch(self) -> DecodedBatch:
        """Its events."""
        return self.prepared.batch

    def halves(self, lease: Lease) -> tuple[NextBatch, NextBatch]:
        """The first half of its groups and the second, each to be committed by itself."""
        memory = self.memory
        if memory is None:
            # Knows all of their trades, so all are looked up in the table: the first half may have stored them.
            memory = self.prepared.memory.of_parts(self.prepared.numbers)
            with contextlib.suppress(*UNSTORABLE):
                memory.suspects(self.batch.ticks)
        first, second = self.batch.halves()
        boundary = second.groups[0].position
        before = [rows.between(-1, boundary) for rows in self.left_out]
        after = [rows.between(boundary, second.end) for rows in self.left_out]
        return (
            NextBatch(prepare(first, memory, lease), before, memory),
            NextBatch(prepare(second, memory, lease), after, memory),
        )


class Store:
    """Stores batches on one connection, within the caller's transactions."""

    def __init__(self, lease: Lease) -> None:
        self._lease = lease
        self._journal = JournalBefore(lease.epoch, lease.journal_number, lease.position)
        self.attempt = 1
        """Which attempt at a batch the next one is."""
        self._direct_compress = DirectCompress()
        self._ticks_have_trigger = True
        """Or may get one: this changes once, to False."""

    def store(self, cursor: Cursor, prepared: PreparedBatch) -> Stored:
        """Store a batch; events that the database refuses go to rejected_event.

        Raises an error if the rows are not at fault, or if that is not clear and the batch can be halved: it has more
        than one group. Only ticks raise such an error; events of other tables are rejected.
        """
        stored = Stored([], [], [], [], [])
        batch = prepared.batch
        if self.attempt > 1:
            # A constraint that is checked at the commit would not tell whose fault it is.
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        # Before the ticks: one of them may be the corrected trade, a duplicate as long as the other one stands.
        for_new_ticks = self._take_back(cursor, batch, batch.corrections, stored)
        for table, rows in batch.tables:
            if table is TICKS:
                self._store_ticks(cursor, prepared, stored)
            elif table in _UPSERT:
                self._upsert(cursor, batch, table, rows, stored)
            elif table is CORRECTIONS:
                for part in for_new_ticks:
                    self._take_back_or_wait(cursor, batch, part, stored)
            elif table is HALTS:
                self._store_halts(cursor, batch, rows, stored)
            else:
                loaded = self._copy(cursor, batch, table, rows, prepared.encoded.get(table.name), stored.refused)
                stored.loaded.extend((table, part) for part in loaded)
        rejected, lease = batch.rejected + stored.refused, self._lease
        connections = batch.connections_of(rejected)
        rejected_events.add(cursor, lease.feed, lease.journal_number, rejected, connections)
        error = attempt(cursor, lambda: malformed_fields.add(cursor, self._lease.feed, batch.malformed))
        if error is not None:
            logger.warning(
                "feed %s: fields that cannot be read are not counted: %s", self._lease.feed, first_line(error)
            )
        return stored

    def _store_ticks(self, cursor: Cursor, prepared: PreparedBatch, stored: Stored) -> None:
        batch, ticks = prepared.batch, prepared.batch.ticks
        found = stored_trades.stored_before(cursor, self._lease.feed, self._journal, prepared.suspects)
        known = found.stored
        if found.constants:
            prepared.memory.learn(found.constants, int(ticks.times("time").max()))
        upcoming, _ = duplicate_trades.split(ticks, sorted({*prepared.repeats, *known}))
        _, already_stored = duplicate_trades.split(ticks, known)
        _, repeats = duplicate_trades.split(ticks, sorted({*prepared.repeats}.difference(known)))
        encoded = None if known else prepared.encoded.get(TICKS.name)
        self._direct_compress.prepare(cursor, rows=len(upcoming.events), symbols=_symbols(ticks))
        while upcoming.events:
            before = len(stored.refused)
            loaded = self._copy(cursor, batch, TICKS, upcoming, encoded, stored.refused)
            stored.loaded.extend((TICKS, part) for part in loaded)
            # If a trade was refused, its first repeat is no duplicate: store that one instead.
            refused = {event.position for event in stored.refused[before:]}
            upcoming, repeats = duplicate_trades.replacements(refused, upcoming, repeats)
            encoded = None
        stored.duplicate.extend(part for part in (already_stored, repeats) if part.events)

        # New ticks whose correction came before them.
        new = [rows for table, rows in stored.loaded if table is TICKS and rows.texts("trade_id") is not None]

        def apply_waiting(parts: Sequence[Rows]) -> None:
            stored.changed.extend(corrections.apply_waiting(cursor, self._lease, parts))

        for _, error in store_items(cursor, new, apply_waiting):
            logger.error(
                "feed %s: corrections that wait for their ticks cannot be applied: %s",
                self._lease.feed,
                first_line(error),
            )

    def _upsert(self, cursor: Cursor, batch: DecodedBatch, table: Table, rows: Rows, stored: Stored) -> None:
        def store(part: Rows) -> None:
            result = _UPSERT[table](cursor, self._lease.feed, part)
            stored.loaded.append((table, result.inserted))
            stored.replaced.append(result.replaced)

        self._store_or_split(cursor, batch, table, rows, store, stored.refused)

    def _store_halts(self, cursor: Cursor, batch: DecodedBatch, rows: Rows, stored: Stored) -> None:
        def store(part: Rows) -> None:
            new, known = halts.store(cursor, self._lease.feed, part)
            stored.loaded.append((HALTS, new))
            stored.duplicate.append(known)

        self._store_or_split(cursor, batch, HALTS, rows, store, stored.refused)

    def _take_back(self, cursor: Cursor, batch: DecodedBatch, rows: Rows, stored: Stored) -> list[Rows]:
        """Take stored ticks back; returns the corrections for which there was none, in parts."""
        others: list[Rows] = []

        def store(part: Rows) -> None:
            done, left, changed = corrections.take_back(cursor, self._lease, part)
            stored.loaded.append((CORRECTIONS, done))
            stored.changed.extend(changed)
            others.append(left)

        if rows.events:
            self._store_or_split(cursor, batch, CORRECTIONS, rows, store, stored.refused)
        return [part for part in others if part.events]

    def _take_back_or_wait(self, cursor: Cursor, batch: DecodedBatch, rows: Rows, stored: Stored) -> None:
        """Take ticks back that this batch brought; the other corrections wait for their tick, or change nothing."""

        def wait(part: Rows) -> None:
            waiting, without_effect = corrections.wait(cursor, self._lease, part)
            stored.loaded.append((CORRECTIONS, waiting))
            stored.duplicate.append(without_effect)

        for part in self._take_back(cursor, batch, rows, stored):
            self._store_or_split(cursor, batch, CORRECTIONS, part, wait, stored.refused)

    def _copy(
        self,
        cursor: Cursor,
        batch: DecodedBatch,
        table: Table,
        rows: Rows,
        encoded: bytes | None,
        refused: list[RejectedEvent],
    ) -> list[Rows]:
        """COPY rows and return them, without those that cannot be stored, which are added to `refused`.

        `encoded` is the COPY data of all of them, if that is known.
        """
        loaded: list[Rows] = []
        encode = table.encode
        assert encode is not None
        first = encoded

        def store(part: Rows) -> None:
            nonlocal first
            data, first = first or encode(part, self._lease.feed, self._lease.journal_number), None
            if table is TICKS and self._has_trigger(cursor):
                _insert_ticks(cursor, data, part)
            else:
                _copy_in(cursor, table.name, data, table.columns_of(part), len(part.events))
            loaded.append(part)

        self._store_or_split(cursor, batch, table, rows, store, refused)
        return loaded

    def _has_trigger(self, cursor: Cursor) -> bool:
        if self._ticks_have_trigger:
            cursor.execute(sql_files.read("queries/rows/ticks_have_trigger.sql"))
            self._ticks_have_trigger = cursor.fetchone() == (True,)
        return self._ticks_have_trigger

    def _store_or_split(
        self,
        cursor: Cursor,
        batch: DecodedBatch,
        table: Table,
        rows: Rows,
        store: Callable[[Rows], None],
        refused: list[RejectedEvent],
    ) -> None:
        """Store rows of one table; those that cannot be stored are found by halving, and added to `refused`.

        A table that takes no ticks is an error; one that takes nothing else holds up no ticks.
        """
        is_ticks = table is TICKS
        splitter = Splitter(
            cursor,
            store,
            Rows.part,
            lambda part: len(part.events),
            only_data=is_ticks and len(batch.groups) > 1,
            accepts=(lambda error: self._takes_ticks(cursor, error)) if is_ticks else None,
        )
        for part, error in splitter.run(rows):
            reason = first_line(error)
            for position, received_at in zip(part.positions.tolist(), part.received_at.tolist(), strict=True):
                refused.append(batch.reject(position, received_at, reason))
            if meaning(error) is not Meaning.DATA:
                logger.warning(
                    "feed %s: %d events for %s cannot be stored and are rejected: %s",
                    self._lease.feed,
                    len(part.events),
                    table.name,
                    reason,
                )

    def _takes_ticks(self, cursor: Cursor, error: Exception) -> bool:
        """Whether the table takes ticks, after it took none of those that it was given because of `error`.

        Its newest row is inserted again, and taken away. If there is none, attempts are counted, unless the error is
        one of the schema's or the server's state.
        """
        cursor.execute("SAVEPOINT probe")
        columns = sql.SQL(", ").join(map(sql.Identifier, TICKS.columns))
        try:
            cursor.execute(sql_files.compose("queries/rows/insert_newest_tick_again.sql", columns=columns))
            inserted = cursor.rowcount
        except psycopg2.Error as other:
            if meaning(other, cursor.connection) is Meaning.AWAY:
                raise
            inserted = -1
        cursor.execute("ROLLBACK TO SAVEPOINT probe")
        if inserted:
            return inserted > 0
        return self.attempt >= LAST_ATTEMPT and not is_of_state(error)


def _symbols(ticks: Rows) -> int:
    """Number of distinct symbols."""
    try:
        return len(counted(ticks.column("symbol")))
    except TypeError:
        return len(ticks.events)  # one of them is no text; it cannot be stored


def _insert_ticks(cursor: Cursor, encoded: bytes, ticks: Rows) -> None:
    """Store ticks where a trigger is fired by each: TimescaleDB 2.29.2 does not invalidate candles if COPY fires it."""
    cursor.execute(sql_files.read("queries/rows/create_arriving_ticks.sql"))
    rows, names = len(ticks.events), TICKS.columns_of(ticks)
    _copy_in(cursor, "arriving_ticks", encoded, names, rows)
    columns = sql.SQL(", ").join(map(sql.Identifier, names))
    cursor.execute(sql_files.compose("queries/rows/insert_arriving_ticks.sql", columns=columns))
    if cursor.rowcount != rows:
        raise psycopg2.InternalError(f"INSERT into {TICKS.name} stored {cursor.rowcount} of {rows} rows")
    cursor.execute("TRUNCATE arriving_ticks")


def _copy_in(cursor: Cursor, table: str, encoded: bytes, columns: Sequence[str], rows: int) -> None:
    statement = f"COPY {table} ({', '.join(columns)}) FROM STDIN (FORMAT binary)"
    cursor.copy_expert(statement, io.BytesIO(encoded), size=1 << 20)
    if cursor.rowcount != rows:
        raise psycopg2.InternalError(f"COPY into {table} stored {cursor.rowcount} of {rows} rows")
