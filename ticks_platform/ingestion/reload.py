"""Loads rejected events again, with the code that loads live frames: the bytes that were kept, each event once.

It may run while the feed is ingested, and may be interrupted at any moment: each transaction takes rejected events
away, stores what can be stored now, keeps what is rejected again, and moves the numbers in the ledger.

A large frame is stored once, with the first of its rejected events; when that one is loaded, the next one gets it.
"""

from __future__ import annotations

import logging
from bisect import bisect_right
from collections.abc import Callable, Hashable, Sequence
from datetime import datetime
from itertools import accumulate, groupby
from typing import TYPE_CHECKING, Any, NamedTuple

import psycopg2

from ticks_platform.feeds import file_formats
from ticks_platform.feeds.events import Event, Rejected
from ticks_platform.feeds.settings import FeedSettings
from ticks_platform.feeds.updates import SECONDARY
from ticks_platform.ingestion.journal.file import FrameGroup
from ticks_platform.ingestion.lease import Lease
from ticks_platform.ingestion.provider_clock import ProviderClock, ProviderClocks
from ticks_platform.ingestion.rows import ledger
from ticks_platform.ingestion.rows.asked_symbols import AskedSymbols
from ticks_platform.ingestion.rows.decode import Decode, decode_groups
from ticks_platform.ingestion.rows.duplicate_trades import TradeMemory
from ticks_platform.ingestion.rows.equal_trades import connection
from ticks_platform.ingestion.rows.rejected_events import LARGE, RejectedEvent
from ticks_platform.ingestion.rows.store import Store, prepare
from ticks_platform.ingestion.rows.tables import POSITION_BITS, TICKS
from ticks_platform.timescale import sql_files
from ticks_platform.timescale.database import Database
from ticks_platform.timescale.failures import Meaning, first_line, meaning
from ticks_platform.timestamps import from_nanoseconds, to_nanoseconds

if TYPE_CHECKING:
    from psycopg2.extensions import cursor as Cursor  # noqa: N812

logger = logging.getLogger(__name__)

AT_ONCE = 500
"""Rejected events of one transaction, at the most."""

BYTES_AT_ONCE = 16 << 20
"""Bytes of one transaction, unless one rejected event has more."""

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

    def __str__(self) -> str:
        return (
            f"{self.read} rejected events read; {self.loaded} events loaded, {self.replaced} replaced an earlier one, "
            f"{self.duplicate} already there, {self.rejected} rejected again, {self.control} without market data"
        )

    def plus(self, other: Reloaded) -> Reloaded:
        """The sum of both."""
        return Reloaded(*(mine + theirs for mine, theirs in zip(self, other, strict=True)))


class _Kept(NamedTuple):
    """A row of rejected_event."""

    journal_number: int
    position: int
    received_at: datetime
    raw: bytes
    """Its frame's, if the row has none."""
    size: int
    """Bytes that the row has of it."""
    place: int | None
    reason: str
    epoch: int
    connection: int
    is_old: bool
    """Whether a release rejected it that did not keep its place."""

    @property
    def stand_in(self) -> bytes:
        """Stands for its bytes while it is loaded: else those of a large frame were stored with each event that is
        rejected again. Its own, since a frame that comes again counts equal trades again.
        """
        return b"?%d" % self.position

    @property
    def frame(self) -> int:
        """The position of its frame."""
        return self.position - (self.place or 0)


class _ClockAsKept(ProviderClock):
    """Arrivals were corrected when they were kept. From rejected events alone, nothing can be learned of a clock."""

    def correction(self, stepped: int) -> int:
        return 0


class _ClocksAsKept(ProviderClocks):
    def of(self, epoch: int, connection: int) -> ProviderClock:
        return _ClockAsKept()


def reload_rejected(
    feed: FeedSettings, database: Database, *, since: datetime | None = None, dry_run: bool = False
) -> Reloaded:
    """Load the rejected events of a feed again that arrived since a moment, or all.

    With `dry_run` nothing is changed, and the result says what would become of them; what is twice among them may count
    as loaded twice. Raises DatabaseUnavailableError, and psycopg2.Error if the database is away; what is committed
    stays.
    """
    decode, asked = _decoder(feed), AskedSymbols.of(feed)
    total, after, limit = Reloaded(), (0, -1), AT_ONCE
    with database.transaction() as cursor:
        error = asked.try_earlier(cursor, feed.name)
    if error is not None:
        logger.warning("feed %s: not all symbols that it had earlier can be read: %s", feed.name, first_line(error))
    while True:
        try:
            with database.transaction() as cursor:
                kept = _next(cursor, feed.name, since, after, limit)
                if not kept:
                    return total
                done, end = _reload(cursor, feed, kept, decode, asked)
                if dry_run:
                    cursor.connection.rollback()
        except psycopg2.Error as error:
            if meaning(error) is Meaning.AWAY:
                raise
            if limit == 1:
                logger.warning("feed %s: a rejected event stays: %s", feed.name, first_line(error))
                done, end = Reloaded(read=1, rejected=1), kept[0].position
            else:
                limit = 1  # one of them is at fault
                continue
        total = total.plus(done)
        after = kept[-1].journal_number, end


def _decoder(feed: FeedSettings) -> Decode:
    """Decodes what the feed received, and rows of files that were imported."""
    decode = feed.decoder()

    def decode_any(raw: bytes) -> list[Event]:
        of_file = file_formats.decoder_of(raw)
        return decode(raw) if of_file is None else of_file.decode(raw)

    return decode_any


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
    found = [_Kept(*row) for row in cursor.fetchall()]
    sizes = list(accumulate(row.size for row in found))
    found = found[: max(bisect_right(sizes, BYTES_AT_ONCE), 1)]
    frames: dict[tuple[int, int], bytes] = {}
    kept: list[_Kept] = []
    for row in found:
        key = row.journal_number, row.frame
        if row.size == 0 and row.place is not None:
            if key not in frames:
                frames[key] = _frame(cursor, row)
            raw = frames[key]
        else:
            # A database may have stored one frame with each of its events.
            raw = bytes(row.raw) if row.raw is not None else _bytes(cursor, row)
            if row.place is not None:
                raw = frames.setdefault(key, raw)
        kept.append(row._replace(raw=raw))
    return kept


def _bytes(cursor: Cursor, row: _Kept) -> bytes:
    parameters = {"journal": row.journal_number, "position": row.position}
    cursor.execute(sql_files.read("queries/rejected/bytes.sql"), parameters)
    return bytes(cursor.fetchall()[0][0])


def _frame(cursor: Cursor, row: _Kept) -> bytes:
    """The bytes of a row's frame, which another row has; empty if somebody has deleted that one."""
    parameters = {"journal": row.journal_number, "frame": row.frame, "until": row.position}
    cursor.execute(sql_files.read("queries/rejected/frame.sql"), parameters)
    return next((bytes(raw) for (raw,) in cursor.fetchall()), b"")


def _reload(
    cursor: Cursor, feed: FeedSettings, kept: Sequence[_Kept], decode: Decode, asked: AskedSymbols
) -> tuple[Reloaded, int]:
    """What became of rejected events, and the position of the last event that they are."""
    total, end = Reloaded(), 0
    for number, rows in groupby(kept, key=lambda row: row.journal_number):
        done, end = _reload_journal(cursor, feed, number, list(rows), decode, asked)
        total = total.plus(done)
    return total, end


def _reload_journal(
    cursor: Cursor, feed: FeedSettings, number: int, kept: list[_Kept], decode: Decode, asked: AskedSymbols
) -> tuple[Reloaded, int]:
    positions = [row.position for row in kept]
    cursor.execute(sql_files.read("queries/rejected/delete.sql"), {"journal": number, "positions": positions})
    groups = [
        FrameGroup(
            row.position,
            row.position + len(row.stand_in) + 1,
            row.epoch,
            row.connection,
            [to_nanoseconds(row.received_at)],
            [row.stand_in],
        )
        for row in kept
    ]
    found = _events_of(kept, decode)
    events = iter(found)
    batch = asked.reject_others(decode_groups(groups, lambda _frame: next(events), clocks=_ClocksAsKept()))
    if not feed.candles:
        batch = batch._replace(ticks=batch.ticks.marked(SECONDARY))
    memory = TradeMemory()
    memory.horizon = _AFTER_EVERY_TIME  # looks all trades up in the table
    # Equal trades of its connection that are stored precede these, wherever they came in it: each is another one.
    lease = Lease(feed.name, 0, "reload", number, 1 << POSITION_BITS, 0)
    prepared = prepare(batch, memory, lease, _deliveries(kept))
    # Another connection may have brought the same trade since, with another time: look through its whole day.
    prepared = prepared._replace(suspects=[each._replace(seen=True) for each in prepared.suspects])
    asked.record(cursor, feed.name)
    stored = Store(lease).store(cursor, prepared)
    _keep_bytes(cursor, number, kept, found, [*batch.rejected, *stored.refused])
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
    ledger.add_stored(cursor, lease, stored)
    latest = [part.times("time").max() for each, part in stored.loaded if each is TICKS and part.events]
    if latest:
        # It does not remember them, and may have prepared the same for its next commit: the provider sends them again.
        parameters = {"feed": feed.name, "until": from_nanoseconds(int(max(latest)))}
        cursor.execute(sql_files.read("queries/lease/tell_owner.sql"), parameters)
    fates = ("loaded", "replaced", "duplicate", "rejected", "control")
    done = Reloaded(len(kept), *(sum(getattr(entry, fate) for entry in entries) for fate in fates))
    return done, kept[-1].position + max(len(found[-1]) - 1, 0)


def _deliveries(kept: Sequence[_Kept]) -> Callable[[FrameGroup], Hashable]:
    """What each row belongs to: a frame that came twice on one connection, byte for byte, is counted by itself."""
    first: dict[tuple[int, int, bytes], int] = {}
    again = {
        row.position for row in kept if first.setdefault((row.epoch, row.connection, row.raw), row.frame) != row.frame
    }
    frames = {row.position: row.frame for row in kept}
    return lambda group: ("again", frames[group.position]) if group.position in again else connection(group)


def _keep_bytes(
    cursor: Cursor,
    number: int,
    kept: Sequence[_Kept],
    events: Sequence[Sequence[Event]],
    rejected: Sequence[RejectedEvent],
) -> None:
    """Give events that were rejected again their bytes and places, and large frames to events that are left.

    `events` are those of each row.
    """
    frames = {row.frame: row.raw for row in kept if row.place is not None and len(row.raw) > LARGE}
    starts = [row.position for row in kept]
    again: list[tuple[int, bytes, int | None]] = []
    for event in rejected:
        index = bisect_right(starts, event.position) - 1
        row, raw = kept[index], kept[index].raw
        if event.raw != row.stand_in:
            continue  # it has bytes of its own
        place = row.place if len(events[index]) == 1 else event.position - row.position
        if place is not None and len(raw) > LARGE:
            frames[row.frame], raw = raw, b""
        again.append((event.position, raw, place))
    if again:
        positions, raws, places = map(list, zip(*again, strict=True))
        parameters = {"journal": number, "positions": positions, "raws": raws, "places": places}
        cursor.execute(sql_files.read("queries/rejected/keep_bytes.sql"), parameters)
    for frame, raw in frames.items():
        cursor.execute(
            sql_files.read("queries/rejected/keep_frame.sql"),
            {"journal": number, "frame": frame, "raw": raw, "size": len(raw)},
        )


def _events_of(kept: Sequence[_Kept], decode: Decode) -> list[list[Event]]:
    """The events of each row, decoded again."""
    found: list[list[Event]] = []
    frame, events = b"", list[Event]()
    for row in kept:
        if row.raw is not frame:
            frame, events = row.raw, _decode(row.raw, decode)
        if row.place is not None and row.place < len(events):
            of_row = [events[row.place]]
        elif row.place is not None or (row.is_old and len(events) > 1):
            # A frame of which other events may be stored.
            of_row = [Rejected(row.reason, b"")]
        else:
            of_row = events
        found.append([_without(event, row.raw) for event in of_row])
    return found


def _without(event: Event, raw: bytes) -> Event:
    """An event, without these bytes."""
    return Rejected(event.reason, b"") if isinstance(event, Rejected) and event.raw is raw else event


def _decode(raw: bytes, decode: Decode) -> list[Event]:
    events = decode(raw)
    if len(events) == 1 and isinstance(events[0], Rejected) and raw.lstrip().startswith(b"{"):
        # One event of a frame that was a list.
        wrapped = decode(b"[" + raw + b"]")
        events = wrapped if len(wrapped) == 1 else events
    return events
