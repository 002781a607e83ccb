"""Loads a file's rows, with the loader of repairs."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING, cast

import numpy as np

from ticks_platform.feeds import file_formats
from ticks_platform.feeds.columns import TickColumns
from ticks_platform.feeds.events import Tick
from ticks_platform.feeds.files import RowDecoder
from ticks_platform.ingestion.imports.file_frames import FileFrames
from ticks_platform.ingestion.journal.file import FrameGroup
from ticks_platform.ingestion.journal.journal import Journal
from ticks_platform.ingestion.lease import Lease
from ticks_platform.ingestion.loader import Loader
from ticks_platform.ingestion.metrics import Metrics
from ticks_platform.ingestion.repair.loader import UnderRepairLease
from ticks_platform.ingestion.rows.asked_symbols import AskedSymbols
from ticks_platform.ingestion.rows.decode import DecodedBatch, Stored
from ticks_platform.ingestion.rows.equal_trades import connection
from ticks_platform.ingestion.rows.rejected_events import RejectedEvent
from ticks_platform.ingestion.rows.store import NextBatch
from ticks_platform.ingestion.rows.tables import TICKS, Rows
from ticks_platform.timescale import sql_files
from ticks_platform.timestamps import from_nanoseconds

if TYPE_CHECKING:
    from psycopg2.extensions import cursor as Cursor  # noqa: N812

    from ticks_platform.timescale.database import Database


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

    def reject_others(self, batch: DecodedBatch) -> DecodedBatch:
        """The batch without their events, which count as events without market data."""
        kept = []
        for rows in batch.rows:
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


class FileLoader(UnderRepairLease, Loader):
    """A loader of one file."""

    def __init__(
        self,
        *,
        database: Database,
        lease: Lease,
        decoder: RowDecoder,
        frames: FileFrames,
        metrics: Metrics,
        others: OthersLeftOut,
        secondary: bool,
    ) -> None:
        """`metrics` are added to."""
        self._frames = frames
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
        parts += [rows for rows in stored.duplicate if _are_ticks(rows)]
        times = [rows.times("time") for rows in parts if rows.events]
        if times:
            parameters = {
                "journal_id": self._frames.journal_id,
                "first": from_nanoseconds(int(min(each.min() for each in times))),
                "last": from_nanoseconds(int(max(each.max() for each in times))),
            }
            cursor.execute(sql_files.read("queries/imports/extend.sql"), parameters)


def _are_ticks(rows: Rows) -> bool:
    return isinstance(rows.events, TickColumns) or (bool(rows.events) and isinstance(rows.events[0], Tick))
