"""Loads pages of history through a journal of their own and the loader of live frames.

A page is in the journal, and synced, before it is recorded as fetched; it is recorded before it is loaded. Its last
frame identifies it, so nothing is fetched again if the process is killed in between.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from ticks_platform.feeds import history as histories
from ticks_platform.feeds.events import Control, Event, Frame
from ticks_platform.feeds.history import History, Page
from ticks_platform.feeds.settings import FeedSettings
from ticks_platform.ingestion import lease as leases
from ticks_platform.ingestion.journal.journal import Journal
from ticks_platform.ingestion.lease import Lease
from ticks_platform.ingestion.loader import Loader
from ticks_platform.ingestion.metrics import Metrics
from ticks_platform.ingestion.repair import lease as repair_lease
from ticks_platform.ingestion.repair import ranges as repair_ranges
from ticks_platform.ingestion.repair.gaps import CONNECTION
from ticks_platform.ingestion.repair.ranges import PageRecord, Range
from ticks_platform.paths import state_dir
from ticks_platform.timescale.database import Database

if TYPE_CHECKING:
    from psycopg2.extensions import cursor as Cursor  # noqa: N812

_AFTER_EVERY_TIME = 2**63 - 1
_UNLIMITED = 1 << 62
_MARK = b"page of a repair "
"""Begins the last frame of a page, which its PageRecord follows."""

_encode = msgspec.json.Encoder().encode
_decode_record = msgspec.json.Decoder(PageRecord).decode


def repair_journal_folder(folder: Path | None = None) -> Path:
    """The folder of repair journals, one file per feed; `folder` is that of the feeds' journals."""
    return (folder or state_dir() / "journal") / "repair"


class PageJournal:
    """The journal of a feed's repair, open until its pages are loaded."""

    def __init__(
        self, *, feed: FeedSettings, history: History, database: Database, lease: Lease, metrics: Metrics, folder: Path
    ) -> None:
        """Open the journal, and record pages that were appended but not recorded. Raises what Journal raises."""
        self._feed = feed
        self._history = history
        self._database = database
        self._metrics = metrics
        self._path = folder / f"{feed.name}.sqlite3"
        self._journal = Journal(
            self._path, feed=feed.name, synthetic=feed.synthetic, max_bytes=feed.journal.max_megabytes << 20
        )
        try:
            with database.transaction() as cursor:
                repair_lease.renew(cursor, lease)
                number, position, frames = leases.find_checkpoint(
                    cursor,
                    feed.name,
                    journal_id=self._journal.journal_id,
                    journal_start=self._journal.start,
                    journal_frames=self._journal.frames_trimmed,
                )
            self._lease = lease._replace(journal_number=number, position=position, frames=frames)
            self._journal.seek(position, frames=frames)
            waiting = self._journal.take(max_bytes=_UNLIMITED, linger=0, wait=0)
            self._journal.seek(position, frames=frames)
            records = [record for group in waiting if (record := _record(group.frames[-1])) is not None]
            with database.transaction() as cursor:
                for record in records:
                    repair_ranges.record_page(cursor, self._journal.journal_id, record)
                repair_ranges.restart(cursor, feed.name, self._journal.journal_id)
        except BaseException:
            self._journal.close()
            raise

    @property
    def bytes_waiting(self) -> int:
        """Bytes of frames that are not loaded."""
        return self._journal.bytes_waiting

    def append(self, range_: Range, page: Page) -> None:
        """Append and record a page of a range; when this returns, it will be loaded and never be fetched again."""
        record = PageRecord(range_.repair_id, range_.pages + 1, page.results, page.cursor)
        now = time.time_ns()
        frames = [Frame(data, now, CONNECTION) for data in (*page.frames, _MARK + _encode(record))]
        self._journal.append(frames, epoch=self._lease.epoch)
        self._sync()
        with self._database.transaction() as cursor:
            repair_lease.renew(cursor, self._lease)
            repair_ranges.record_page(cursor, self._journal.journal_id, record)

    def _sync(self) -> None:
        # The journal syncs a moment later by itself, but a power loss must not keep the record and lose the page.
        for path in (self._path, self._path.with_name(self._path.name + "-wal")):
            with contextlib.suppress(FileNotFoundError):
                descriptor = os.open(path, os.O_RDWR)
                try:
                    os.fdatasync(descriptor)
                finally:
                    os.close(descriptor)

    def load(self) -> None:
        """Load all pages, and close the journal. Raises LeaseLostError, and what Loader raises."""
        with contextlib.closing(self._journal):
            self._journal.stop_appending()
            _RepairLoader(
                database=self._database,
                lease=self._lease,
                decode=decoder(self._history),
                journal=self._journal,
                metrics=self._metrics,
                secondary=not self._feed.candles,
            ).run()
            with self._database.transaction() as cursor:
                repair_lease.renew(cursor, self._lease)
                repair_ranges.mark_loaded(cursor, self._lease.feed, self._journal.journal_id)

    def close(self) -> None:
        """Close the journal; its pages are loaded by the next repair."""
        self._journal.close()


class _RepairLoader(Loader):
    """Loads a repair's journal under its own lease; the feed's channels, coverage and lease stay as they are."""

    def _begin(self, cursor: Cursor) -> None:
        self._renew_lease(cursor)
        # Looks all trades up in the table: the feed's ingestion stores others concurrently.
        self._memory.horizon = _AFTER_EVERY_TIME

    def _renew_lease(self, cursor: Cursor) -> None:
        # The feed's ingestion locks this row when it commits; so if both load a trade, the second one finds the first.
        cursor.execute("SELECT FROM ticks_platform.feed_lease WHERE feed = %s FOR NO KEY UPDATE", (self._lease.feed,))
        repair_lease.renew(cursor, self._lease)

    def _release(self, cursor: Cursor) -> None:
        repair_lease.renew(cursor, self._lease)

    def _application_name(self) -> str:
        return f"ticks_platform repair {self._lease.feed}"


def decoder(history: History) -> Callable[[bytes], list[Event]]:
    """A function that decodes the frames of a repair's journal."""

    def decode(frame: bytes) -> list[Event]:
        if frame.startswith(_MARK):
            return [Control("page")]
        return histories.decode(history, frame)

    return decode


def _record(frame: bytes) -> PageRecord | None:
    try:
        return _decode_record(frame[len(_MARK) :]) if frame.startswith(_MARK) else None
    except msgspec.MsgspecError:
        return None
