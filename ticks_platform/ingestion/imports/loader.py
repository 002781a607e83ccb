"""Loads a file's rows, with the loader of repairs."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING, cast

import numpy as np
import numpy.typing as npt

from ticks_platform.feeds import file_formats
from ticks_platform.feeds.coded import counted
from ticks_platform.feeds.columns import TickColumns
from ticks_platform.feeds.events import Tick
from ticks_platform.feeds.files import RowDecoder
from ticks_platform.ingestion.imports.file_frames import Frames
from ticks_platform.ingestion.imports.quotes import FileStore
from ticks_platform.ingestion.journal.file import FrameGroup
from ticks_platform.ingestion.journal.journal import Journal
from ticks_platform.ingestion.lease import Lease
from ticks_platform.ingestion.loader import Loader
from ticks_platform.ingestion.metrics import Metrics
from ticks_platform.ingestion.repair.loader import UnderRepairLease
from ticks_platform.ingestion.rows.asked_symbols import AskedSymbols
from ticks_platform.ingestion.rows.decode import DecodedBatch, Stored
from ticks_platform.ingestion.rows.duplicate_trades import TradeMemory
from ticks_platform.ingestion.rows.equal_trades import connection
from ticks_platform.ingestion.rows.rejected_events import RejectedEvent
from ticks_platform.ingestion.rows.store import NextBatch, PreparedBatch
from ticks_platform.ingestion.rows.tables import TICKS, Rows
from ticks_platform.timescale import sql_files
from ticks_platform.timescale.failures import UNSTORABLE
from ticks_platform.timestamps import from_nanoseconds

if TYPE_CHECKING:
    from psycopg2.extensions import cursor as Cursor  # noqa: N812

    from ticks_platform.timescale.database import Database


_AFTER_EVERY_TIME = 2**63 - 1

_CHUNK_BYTES = 512 << 10


class OthersLeftOut:
    """Leaves out the events of symbols that the feed does not have; a file of a whole market is mostly of these."""

    def __init__(self, asked: AskedSymbols) -> None:
        self._asked = asked
        self._has: dict[str, bool] = {}

    def has(self, symbol: str) -> bool:
        """Whether the feed has a symbol."""
        known = self._has.get(symbol)
        if known is None:
            known = self._has[symbol] = not self._asked.others({symbol})
        return known

    @property
    def waiting(self) -> bool:
        """As of AskedSymbols."""
        return self._asked.waiting

    def record(self, cursor: Cursor, feed: str) -> None:
        """As of AskedSymbols."""
        self._asked.record(cursor, feed)

    def recorded(self) -> None:
        """As of AskedSymbols."""
        self._asked.recorded()

    def not_recorded(self) -> None:
        """As of AskedSymbols."""
        self._asked.not_recorded()

    def reject_others(self, batch: DecodedBatch) -> DecodedBatch:
        """The batch without their events, which count as events without market data."""
        kept = []
        for rows in batch.rows:
            if all(map(self.has, counted(rows.column("symbol")))):
                kept.append(rows)
                continue
            wanted = np.fromiter(map(self.has, rows.column("symbol")), np.bool_, len(rows.events))
            np.add.at(batch.control_of, batch.groups_of(rows.positions[~wanted]), 1)
            kept.append(rows if wanted.all() else rows.where(wanted))
        return batch.keeping(kept, rejected=batch.rejected)


class _FileBatch(DecodedBatch):
    """A batch of which rejected events say in which file and line they are."""

    __slots__ = ()

    def reject(self, position: int, received_at: int, reason: str) -> RejectedEvent:
        return _with_origin(super().reject(position, received_at, reason))


def _with_origin(event: RejectedEvent) -> RejectedEvent:
    decoder = file_formats.decoder_of(event.raw)
    if decoder is None:
        return event
    return event._replace(reason=f"{decoder.origin(event.raw, event.place or 0)}: {event.reason}")


class _FileMemory(TradeMemory):
    """Rows of a file come in any order of time, so none is late; what is stored, the loader asks for each batch."""

    def _late(self, delays: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        return np.zeros(len(delays), np.bool_)

    def _rotate(self, until: int) -> None:
        horizon = self.horizon
        super()._rotate(until)
        self.horizon = horizon


class FileLoader(UnderRepairLease, Loader):
    """A loader of one file.

    Most files have what the table lacks. So trades are looked up in the table only where it has ticks of their symbols
    in the time of a batch, which is asked in the transaction that stores it.
    """

    _new_store = FileStore

    def __init__(
        self,
        *,
        database: Database,
        lease: Lease,
        decoder: RowDecoder,
        frames: Frames,
        metrics: Metrics,
        others: OthersLeftOut,
        read_whole: AskedSymbols | None,
        secondary: bool,
    ) -> None:
        """`metrics` are added to. `read_whole` are the symbols that were read from the begin of the file; None if all
        were.
        """
        self._frames = frames
        self._read_whole = read_whole
        super().__init__(
            database=database,
            lease=lease,
            decode=decoder.decode,
            decode_many=decoder.decode_many,
            # The file is the journal: what a loader does with one, this does.
            journal=cast(Journal, frames),
            metrics=metrics,
            secondary=secondary,
            asked=cast(AskedSymbols, others),
        )
        # Nothing else waits for the interpreter, and numpy's calls are worth it with some thousand rows.
        self._decoding.chunk_bytes = _CHUNK_BYTES
        self._memory = _FileMemory()
        self._committing: Rows | None = None

    def _begin(self, cursor: Cursor) -> None:
        self._renew_lease(cursor)

    def _commit(self, prepared: PreparedBatch, left_out: Sequence[Rows] = ()) -> None:
        self._committing = prepared.batch.ticks
        super()._commit(prepared, left_out)

    def _renew_lease(self, cursor: Cursor) -> None:
        super()._renew_lease(cursor)
        self._aside.record_symbols(cursor)
        ticks, self._memory.reloaded_until = self._committing, 0
        if ticks is not None and ticks.events and _are_stored(cursor, self._lease.feed, ticks):
            self._memory.reloaded_until = _AFTER_EVERY_TIME

    def _delivery(self, group: FrameGroup) -> Hashable:
        # Of the epoch that began the file, so that equal trades are counted on where a killed run ended.
        return connection(group)

    def _prepared(self, groups: Sequence[FrameGroup]) -> NextBatch:
        found = super()._prepared(groups)
        batch = _FileBatch(*found.batch._replace(rejected=list(map(_with_origin, found.batch.rejected))))
        return found._replace(prepared=found.prepared._replace(batch=batch))

    def _add_stored(self, cursor: Cursor, stored: Stored) -> None:
        super()._add_stored(cursor, stored)
        parts = [rows for table, rows in stored.loaded if table is TICKS]
        loaded = [rows.times("time").max() for rows in parts if rows.events]
        if loaded:
            # The feed's own journal may have the same trades, and its owner does not know that they are stored.
            parameters = {"feed": self._lease.feed, "until": from_nanoseconds(int(max(loaded)))}
            cursor.execute(sql_files.read("queries/lease/tell_owner.sql"), parameters)
        parts += [rows for rows in stored.duplicate if _are_ticks(rows)]
        times = [rows.times("time") for rows in parts if rows.events]
        if times:
            symbols = {name for rows in parts for name in counted(rows.column("symbol"))}
            if self._read_whole is not None:
                symbols -= self._read_whole.others(symbols)
            parameters = {
                "journal_id": self._frames.journal_id,
                "symbols": sorted(symbols),
                "first": from_nanoseconds(int(min(each.min() for each in times))),
                "last": from_nanoseconds(int(max(each.max() for each in times))),
            }
            cursor.execute(sql_files.read("queries/imports/extend.sql"), parameters)


def _are_ticks(rows: Rows) -> bool:
    return isinstance(rows.events, TickColumns) or (bool(rows.events) and isinstance(rows.events[0], Tick))


def _are_stored(cursor: Cursor, feed: str, ticks: Rows) -> bool:
    """Whether the table has ticks of one of these symbols in the time of its ticks here."""
    names, times = list(ticks.column("symbol")), ticks.times("time")
    # Runs of one symbol: files are sorted by symbol, or have few of them.
    column = np.array(names, object)
    begins = [0, *(np.flatnonzero(column[1:] != column[:-1]) + 1).tolist()]
    ranges: dict[str, tuple[int, int]] = {}
    for begin, end in zip(begins, [*begins[1:], len(names)], strict=True):
        first, last = int(times[begin:end].min()), int(times[begin:end].max())
        known = ranges.get(names[begin], (first, last))
        ranges[names[begin]] = min(first, known[0]), max(last, known[1])
    try:
        cursor.execute("SAVEPOINT asked")
        cursor.execute(
            sql_files.read("queries/imports/are_stored.sql"),
            {
                "feed": feed,
                "symbols": list(ranges),
                "firsts": [from_nanoseconds(first) for first, _ in ranges.values()],
                "lasts": [from_nanoseconds(last) for _, last in ranges.values()],
            },
        )
        return cursor.fetchone() == (True,)
    except UNSTORABLE:
        # Some text cannot be stored; `Store` finds it.
        cursor.execute("ROLLBACK TO SAVEPOINT asked")
        return True
