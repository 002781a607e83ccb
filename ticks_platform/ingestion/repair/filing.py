"""Pages of history on their way into the database: by a journal of their own, through the loader of live frames.

A page is in the journal, and on the disk, before it is noted that it was fetched, and it is noted before it is loaded.
Its last frame tells which page it is; so whatever kills the process in between, nothing has to be fetched again.
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
from ticks_platform.ingestion.repair.ranges import Range, Turned
from ticks_platform.paths import state_dir
from ticks_platform.timescale.database import Database

if TYPE_CHECKING:
    from psycopg2.extensions import cursor as Cursor  # noqa: N812

_BEYOND = 2**63 - 1
_EVERYTHING = 1 << 62
_MARK = b"page of a repair "

_encode = msgspec.json.Encoder().encode
_decode_mark = msgspec.json.Decoder(Turned).decode


def journals_of_repairs(folder: Path | None = None) -> Path:
    """The folder of the journals of repairs, one file a feed; by default in the state folder."""
    return (folder or state_dir() / "journal") / "repair"


class _RepairLoader(Loader):
    """Loads a repair's journal under its own lease; channels, coverage and lease of the feed are its ingestion's."""

    def _begin(self, cursor: Cursor) -> None:
        self._hold(cursor)
        # All trades are looked up: the feed's ingestion goes on storing others meanwhile.
        self._memory.horizon = _BEYOND

    def _hold(self, cursor: Cursor) -> None:
        # The feed's ingestion holds this lock when it commits: so of a trade that both bring, one sees the other's.
        cursor.execute("SELECT FROM ticks_platform.feed_lease WHERE feed = %s FOR NO KEY UPDATE", (self._lease.feed,))
        repair_lease.hold(cursor, self._lease)

    def _release(self, cursor: Cursor) -> None:
        repair_lease.hold(cursor, self._lease)

    def _application_name(self) -> str:
        return f"ticks_platform repair {self._lease.feed}"


class Filing:
    """The journal of a feed's repair, open until what is in it has been loaded."""

    def __init__(
        self, *, feed: FeedSettings, history: History, database: Database, lease: Lease, metrics: Metrics, folder: Path
    ) -> None:
        """Open the journal, and take note of pages that were appended and not noted. Raises what Journal raises."""
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
                repair_lease.hold(cursor, lease)
                number, position, frames = leases.locate(
                    cursor,
                    feed.name,
                    journal_id=self._journal.journal_id,
                    journal_start=self._journal.start,
                    journal_frames=self._journal.frames_trimmed,
                )
            self._lease = lease._replace(journal_number=number, position=position, frames=frames)
            self._journal.seek(position, frames=frames)
            waiting = self._journal.take(max_bytes=_EVERYTHING, linger=0, wait=0)
            self._journal.seek(position, frames=frames)
            marks = [mark for group in waiting if (mark := _mark(group.frames[-1])) is not None]
            with database.transaction() as cursor:
                for mark in marks:
                    repair_ranges.turn(cursor, self._journal.journal_id, mark)
                repair_ranges.begin_again(cursor, feed.name, self._journal.journal_id)
        except BaseException:
            self._journal.close()
            raise

    @property
    def bytes_waiting(self) -> int:
        """Bytes of frames that are not loaded."""
        return self._journal.bytes_waiting

    def file(self, wanted: Range, page: Page) -> None:
        """Append a page of a range, and note it: when this returns, it will be loaded and never be fetched again."""
        turned = Turned(wanted.repair_id, wanted.pages + 1, page.results, page.cursor)
        now = time.time_ns()
        frames = [Frame(data, now, CONNECTION) for data in (*page.frames, _MARK + _encode(turned))]
        self._journal.append(frames, epoch=self._lease.epoch)
        self._sync()
        with self._database.transaction() as cursor:
            repair_lease.hold(cursor, self._lease)
            repair_ranges.turn(cursor, self._journal.journal_id, turned)

    def _sync(self) -> None:
        # The journal syncs a moment later by itself; but the note of the page must not survive a power cut alone.
        for path in (self._path, self._path.with_name(self._path.name + "-wal")):
            with contextlib.suppress(FileNotFoundError):
                descriptor = os.open(path, os.O_RDWR)
                try:
                    os.fdatasync(descriptor)
                finally:
                    os.close(descriptor)

    def load(self) -> None:
        """Load all that waits, and close the journal. Raises LeaseLostError and what a Loader raises."""
        with contextlib.closing(self._journal):
            self._journal.stop_appending()
            _RepairLoader(
                database=self._database,
                lease=self._lease,
                decode=decoder(self._history),
                journal=self._journal,
                metrics=self._metrics,
            ).run()
            with self._database.transaction() as cursor:
                repair_lease.hold(cursor, self._lease)
                repair_ranges.loaded(cursor, self._lease.feed, self._journal.journal_id)

    def close(self) -> None:
        """Close the journal; what is in it is loaded by the next one that opens it."""
        self._journal.close()


def decoder(history: History) -> Callable[[bytes], list[Event]]:
    """What decodes the frames of a repair's journal."""

    def decode(frame: bytes) -> list[Event]:
        if frame.startswith(_MARK):
            return [Control("page")]
        return histories.decode(history, frame)

    return decode


def _mark(frame: bytes) -> Turned | None:
    try:
        return _decode_mark(frame[len(_MARK) :]) if frame.startswith(_MARK) else None
    except msgspec.MsgspecError:
        return None
