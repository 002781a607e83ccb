"""Loads rejected events again, with the code that loads live frames: the bytes that were kept, each event once.

It may run while the feed is ingested, and may be interrupted at any moment: each transaction takes rejected events
away, stores what can be stored now, keeps what is rejected again, and moves the numbers in the ledger.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime
from itertools import groupby
from typing import TYPE_CHECKING, Any, NamedTuple

import psycopg2

from ticks_platform.feeds.events import Event, Rejected
from ticks_platform.feeds.settings import FeedSettings
from ticks_platform.feeds.updates import SECONDARY
from ticks_platform.ingestion.journal.file import FrameGroup
from ticks_platform.ingestion.lease import Lease
from ticks_platform.ingestion.provider_clock import ProviderClock, ProviderClocks
from ticks_platform.ingestion.rows import ledger
from ticks_platform.ingestion.rows.decode import Decode, decode_groups
from ticks_platform.ingestion.rows.duplicate_trades import TradeMemory
from ticks_platform.ingestion.rows.store import Store, prepare
from ticks_platform.ingestion.rows.tables import TABLES
from ticks_platform.timescale import sql_files
from ticks_platform.timescale.database import Database
from ticks_platform.timescale.failures import Meaning, first_line, meaning
from ticks_platform.timestamps import to_nanoseconds

if TYPE_CHECKING:
    from psycopg2.extensions import cursor as Cursor  # noqa: N812

logger = logging.getLogger(__name__)

AT_ONCE = 500
"""Rejected events of one transaction."""

_AFTER_EVERY_TIME = 2**63 - 1


class Reloaded(NamedTuple):
    """What became of rejected events."""

    read: int = 0
    """Rejected events that were tried."""
    loaded: int = 0
    replaced: int = 0
    duplicate: int = 0
    """Events that were stored already."""
    rejected: int = 0
    """Events that are rejected again."""
    control: int = 0

    def plus(self, other: Reloaded) -> Reloaded:
        """The sum of both."""
        return Reloaded(*(mine + theirs for mine, theirs in zip(self, other, strict=True)))


class _Kept(NamedTuple):
    """A row of rejected_event."""

    journal_number: int
    position: int
    received_at: datetime
    raw: bytes
    place: int | None
    reason: str
    epoch: int
    connection: int
    is_old: bool
    """Whether a release rejected it that did not keep its place."""


class _ClockAsKept(ProviderClock):
    """Arrivals were corrected when they were kept. From rejected events alone, nothing can be learned of a clock."""

    def correction(self, stepped: int) -> int:
        return 0


class _ClocksAsKept(ProviderClocks):
    def of(self, epoch: int, connection: int) -> ProviderClock:
        return _ClockAsKept()


def reload_rejected(feed: FeedSettings, database: Database, *, since: datetime | None = None) -> Reloaded:
    """Load the rejected events of a feed again that arrived since a moment, or all.

    Raises DatabaseUnavailableError, and psycopg2.Error if the database is away; what is committed stays.
    """
    decode, total, after, limit = feed.decoder(), Reloaded(), (0, -1), AT_ONCE
    while True:
        try:
            with database.transaction() as cursor:
                kept = _next(cursor, feed.name, since, after, limit)
                if not kept:
                    return total
                done = _reload(cursor, feed, kept, decode)
        except psycopg2.Error as error:
            if meaning(error) is Meaning.AWAY:
                raise
            if limit == 1:
                logger.warning("feed %s: a rejected event stays: %s", feed.name, first_line(error))
                done = Reloaded(read=1, rejected=1)
            else:
                limit = 1  # one of them is at fault
                continue
        total = total.plus(done)
        after = kept[-1].journal_number, kept[-1].position


def _next(cursor: Cursor, feed: str, since: datetime | None, after: tuple[int, int], limit: int) -> list[_Kept]:
    # The feed's ingestion locks this row when it commits; so if both load a trade, the second one finds the first.
    cursor.execute("SELECT FROM ticks_platform.feed_lease WHERE feed = %s FOR NO KEY UPDATE", (feed,))
    parameters = {
        "feed": feed,
        "since": since or "-infinity",
        "limit": limit,
        "journal": after[0],
        "position": after[1],
    }
    cursor.execute(sql_files.read("queries/rejected/next.sql"), parameters)
    return [_Kept(*row)._replace(raw=bytes(row[3])) for row in cursor.fetchall()]


def _reload(cursor: Cursor, feed: FeedSettings, kept: Sequence[_Kept], decode: Decode) -> Reloaded:
    total = Reloaded()
    for number, rows in groupby(kept, key=lambda row: row.journal_number):
        total = total.plus(_reload_journal(cursor, feed, number, list(rows), decode))
    return total


def _reload_journal(cursor: Cursor, feed: FeedSettings, number: int, kept: list[_Kept], decode: Decode) -> Reloaded:
    positions = [row.position for row in kept]
    cursor.execute(sql_files.read("queries/rejected/delete.sql"), {"journal": number, "positions": positions})
    groups = [
        FrameGroup(
            row.position,
            row.position + len(row.raw) + 1,
            row.epoch,
            row.connection,
            [to_nanoseconds(row.received_at)],
            [row.raw],
        )
        for row in kept
    ]
    events = iter([_events(row, decode) for row in kept])
    batch = decode_groups(groups, lambda _frame: next(events), clocks=_ClocksAsKept())
    if not feed.candles:
        batch = batch._replace(ticks=batch.ticks.marked(SECONDARY))
    memory = TradeMemory()
    memory.horizon = _AFTER_EVERY_TIME  # looks all trades up in the table
    lease = Lease(feed.name, 0, "reload", number, 0, 0)
    stored = Store(lease).store(cursor, prepare(batch, memory, lease))
    placed = [row for row in kept if row.place is not None]
    places = {"journal": number, "positions": [row.position for row in placed], "places": [row.place for row in placed]}
    cursor.execute(sql_files.read("queries/rejected/keep_place.sql"), places)
    entries = ledger.entries(
        batch,
        loaded=stored.loaded_rows,
        replaced=stored.replaced,
        duplicate=stored.duplicate,
        rejected=batch.rejected + stored.refused,
    )
    for entry in entries:
        parameters: dict[str, Any] = {**entry._asdict(), "feed": feed.name, "before": entry.frames}
        cursor.execute(sql_files.read("queries/rejected/account.sql"), parameters)
    for table in TABLES:
        parts = [rows for each, rows in stored.loaded if each is table]
        ledger.add_hours(cursor, feed.name, table.name, ledger.hours(parts, time=table.time))
    fates = ("loaded", "replaced", "duplicate", "rejected", "control")
    return Reloaded(len(kept), *(sum(getattr(entry, fate) for entry in entries) for fate in fates))


def _events(row: _Kept, decode: Decode) -> list[Event]:
    """The events that were rejected, decoded again."""
    events = decode(row.raw)
    if len(events) == 1 and isinstance(events[0], Rejected) and row.raw.lstrip().startswith(b"{"):
        # One event of a frame that was a list.
        wrapped = decode(b"[" + row.raw + b"]")
        events = wrapped if len(wrapped) == 1 else events
    if row.place is not None:
        return [events[row.place]] if row.place < len(events) else [Rejected(row.reason, row.raw)]
    if row.is_old and len(events) > 1:
        # A frame of which other events may be stored.
        return [Rejected(row.reason, row.raw)]
    return events
