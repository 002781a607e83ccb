"""Keeps fetched pages of history in a journal of their own, until the loader of live frames loads them.

A page is in the journal, and synced, before it is recorded as fetched; it is recorded before it is loaded. Its last
frame identifies it, so nothing is fetched again if the process is killed in between.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from pathlib import Path

import msgspec

from ticks_platform.feeds import history as histories
from ticks_platform.feeds.events import Control, Event, Frame
from ticks_platform.feeds.history import History, Page
from ticks_platform.feeds.settings import FeedSettings
from ticks_platform.feeds.transport.clock import steady_ns
from ticks_platform.ingestion import lease as leases
from ticks_platform.ingestion.journal.file import FrameGroup
from ticks_platform.ingestion.journal.journal import Journal, JournalUnavailableError
from ticks_platform.ingestion.lease import Lease
from ticks_platform.ingestion.repair import lease as repair_lease
from ticks_platform.ingestion.repair import ranges as repair_ranges
from ticks_platform.ingestion.repair.gaps import CONNECTION
from ticks_platform.ingestion.repair.ranges import PageRecord, Range
from ticks_platform.paths import state_dir
from ticks_platform.timescale import server_clock
from ticks_platform.timescale.database import Database
from ticks_platform.timestamps import to_nanoseconds

_UNLIMITED = 1 << 62
_MARK = b"page of a repair "
"""Begins the last frame of a page, which its PageRecord follows."""

_encode = msgspec.json.Encoder().encode
_decode_record = msgspec.json.Decoder(PageRecord).decode


def repair_journal_folder(folder: Path | None = None) -> Path:
    """The folder of repair journals, one file per feed; `folder` is that of the feeds' journals."""
    return (folder or state_dir() / "journal") / "repair"


class PageJournal:
    """The journal of a feed's repair, open until its pages are loaded.

    `journal` has the frames that are not loaded. `lease` is the repair lease with the checkpoint of this journal.
    """

    def __init__(self, *, feed: FeedSettings, database: Database, lease: Lease, folder: Path) -> None:
        """Open the journal, and record pages that were appended but not recorded. Raises what Journal raises."""
        self._database = database
        self._path = folder / f"{feed.name}.sqlite3"
        self.journal = Journal(
            self._path, feed=feed.name, synthetic=feed.synthetic, max_bytes=feed.journal.max_megabytes << 20
        )
        try:
            with database.transaction() as cursor:
                repair_lease.renew(cursor, lease)
                # This machine's clock may be wrong, and no event times tell.
                self._server_ahead = to_nanoseconds(server_clock.now(cursor)) - steady_ns()
                number, position, frames = leases.find_checkpoint(
                    cursor,
                    feed.name,
                    journal_id=self.journal.journal_id,
                    journal_start=self.journal.start,
                    journal_frames=self.journal.frames_trimmed,
                )
            self.lease = lease._replace(journal_number=number, position=position, frames=frames)
            self.journal.seek(position, frames=frames)
            waiting = self.journal.take(max_bytes=_UNLIMITED, linger=0, wait=0)
            self.journal.seek(position, frames=frames)
            records = [record for group in waiting if (record := _record(group.frames[-1])) is not None]
            with database.transaction() as cursor:
                for record in records:
                    repair_ranges.record_page(cursor, self.journal.journal_id, record)
                repair_ranges.restart(cursor, feed.name, self.journal.journal_id)
        except BaseException:
            self.journal.close()
            raise

    @property
    def bytes_waiting(self) -> int:
        """Bytes of frames that are not loaded."""
        return self.journal.bytes_waiting

    def append(self, range_: Range, page: Page) -> None:
        """Append and record a page of a range; when this returns, it will be loaded and never be fetched again.

        Raises JournalUnavailableError if the disk is full. A page that was appended by then is recorded when the
        journal is opened again.
        """
        record = PageRecord(range_.repair_id, range_.pages + 1, page.results, page.cursor)
        now = steady_ns() + self._server_ahead
        frames = [Frame(data, now, CONNECTION) for data in (*page.frames, _MARK + _encode(record))]
        self.journal.append(frames, epoch=self.lease.epoch)
        self._sync()
        with self._database.transaction() as cursor:
            repair_lease.renew(cursor, self.lease)
            repair_ranges.record_page(cursor, self.journal.journal_id, record)

    def _sync(self) -> None:
        # The journal syncs a moment later by itself, but a power loss must not keep the record and lose the page.
        for path in (self._path, self._path.with_name(self._path.name + "-wal")):
            with contextlib.suppress(FileNotFoundError):
                descriptor = os.open(path, os.O_RDWR)
                try:
                    os.fdatasync(descriptor)
                except OSError as error:
                    raise JournalUnavailableError(f"{path} cannot be synced: {error}") from error
                finally:
                    os.close(descriptor)

    def close(self) -> None:
        """Close the journal; its pages are loaded by the next repair."""
        self.journal.close()


def decoder(history: History) -> Callable[[bytes], list[Event]]:
    """A function that decodes the frames of a repair's journal."""

    def decode(frame: bytes) -> list[Event]:
        if frame.startswith(_MARK):
            return [Control("page")]
        return histories.decode(history, frame)

    return decode


def page_of(group: FrameGroup) -> tuple[int, bool]:
    """The number of the range of a page, and whether it is the range's first one."""
    record = _record(group.frames[-1])
    return (0, True) if record is None else (record.repair_id, record.page == 1)


def _record(frame: bytes) -> PageRecord | None:
    try:
        return _decode_record(frame[len(_MARK) :]) if frame.startswith(_MARK) else None
    except msgspec.MsgspecError:
        return None
