"""The copy of a feed's journals as a run has it: it ships its own, and reads back those of machines that are gone."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from ticks_platform.feeds.settings import FeedSettings
from ticks_platform.feeds.transport.clock import boottime
from ticks_platform.ingestion import heard_journals
from ticks_platform.ingestion import lease as leases
from ticks_platform.ingestion.handover import handover, returned
from ticks_platform.ingestion.handover.handover import Source
from ticks_platform.ingestion.journal.file import JournalError
from ticks_platform.ingestion.journal.journal import Journal, JournalUnavailableError
from ticks_platform.ingestion.journal_copy import restore
from ticks_platform.ingestion.journal_copy.restore import Known, Reading, Restored
from ticks_platform.ingestion.journal_copy.shipper import Shipper
from ticks_platform.ingestion.lease import Lease
from ticks_platform.ingestion.progress import Unshipped
from ticks_platform.paths import make_private
from ticks_platform.timescale import sql_files

if TYPE_CHECKING:
    from psycopg2.extensions import cursor as Cursor  # noqa: N812

T = TypeVar("T")

logger = logging.getLogger(__name__)

FOLDER = "restored"
"""Beside the journals: those that were read back and are not loaded yet."""

KEEP_ALIVE_INTERVAL = 2.0
"""Seconds between heartbeats while a journal is read back."""


class RestoredJournal(Journal):
    """A journal that was read back from the stream. Its file is removed when it is closed: the stream has it."""

    def __init__(self, path: Path, *, on_loaded: Callable[[], None], **options: Any) -> None:
        super().__init__(path, **options)
        self._on_loaded = on_loaded
        self._is_closed = False

    def close(self) -> None:
        if self._is_closed:
            return
        self._is_closed = True
        super().close()
        restore.remove(self.path)
        if not self.bytes_waiting:
            self._on_loaded()


class JournalCopy:
    """The copy of one owner's journals."""

    def __init__(
        self, feed: FeedSettings, lease: Lease, journals: Sequence[Journal], *, stopping: threading.Event
    ) -> None:
        """`journals` are what the owner has to load, in this order; it appends to the last one."""
        assert feed.journal.copy_to is not None
        self._settings = feed.journal.copy_to.jetstream
        self._feed = feed
        self._lease = lease
        self._journals = journals
        self._stopping = stopping
        self._folder = journals[-1].path.parent / FOLDER
        self._restored: list[RestoredJournal] = []
        self._shipper = Shipper(self._settings, feed.name, epoch=lease.epoch, owner=lease.owner, journals=journals)
        self.problems: list[str] = []
        """What could not be read back, in words."""

    def start(self, until_committed: Callable[[Callable[[Cursor], Any]], Any]) -> None:
        """Shut the owner before out of the stream, and copy. Call it before anything is received.

        The database hears of the journal first: else nobody would look for what is copied, if it is away from then on.
        """
        until_committed(lambda cursor: heard_journals.tell(cursor, self._journals[-1], is_open=True))
        self._shipper.start()

    def unshipped(self) -> Unshipped:
        """What is not copied. Safe from any thread."""
        found = self._shipper.unshipped()
        return found._replace(trouble="; ".join(filter(None, [found.trouble, *self.problems])) or None)

    @property
    def files(self) -> list[Path]:
        """The files of the journals that were read back."""
        return [journal.path for journal in self._restored]

    def read_back(self, until_committed: Callable[[Callable[[Cursor], Any]], Any], latest: str | None) -> list[Source]:
        """The rest of this feed's journals on machines that are not this one, as far as it was copied.

        `until_committed` does work in a transaction. `latest` is the journal that was appended to before this run.
        What cannot be read now stays in the account, and is read by a later run.
        """
        if self._folder.is_dir():
            for left in self._folder.glob(f"{self._feed.name}-*.sqlite3"):
                restore.remove(left)
        known = until_committed(self._known)
        if not known:
            return []
        marked = self._wait_marked(until_committed)
        if marked is None:
            self._tell(f"what waits on other machines is not read back: {self._shipper.unshipped().trouble}")
            return []
        sources = []
        for each in known:
            end = marked.get(each.journal_id, 0)
            if end <= each.position:
                continue
            source = self._read_back(each, end, until_committed, latest)
            if source is not None:
                sources.append(source)
        return sources

    def stop(self) -> None:
        """Copy what is left, briefly, and end."""
        self._shipper.stop()
        for journal in self._restored:
            journal.close()

    def _known(self, cursor: Cursor) -> list[Known]:
        """The journals elsewhere in which frames may wait."""
        here = [journal.journal_id for journal in self._journals]
        parameters = {"feed": self._feed.name, "here": here}
        cursor.execute(sql_files.read("queries/checkpoint/waiting_elsewhere.sql"), parameters)
        return [Known(*row) for row in cursor.fetchall()]

    def _wait_marked(self, until_committed: Callable[[Callable[[Cursor], Any]], Any]) -> dict[str, int] | None:
        deadline = boottime() + restore.PATIENCE
        while boottime() < deadline and not self._stopping.is_set():
            marked = self._shipper.wait_marked(KEEP_ALIVE_INTERVAL)
            if marked is not None:
                return marked.ends
            until_committed(lambda cursor: leases.renew(cursor, self._lease))
        return None

    def _read_back(
        self, known: Known, end: int, until_committed: Callable[[Callable[[Cursor], Any]], Any], latest: str | None
    ) -> Source | None:
        alive_at = boottime()

        def keep_alive() -> None:
            nonlocal alive_at
            if boottime() >= alive_at + KEEP_ALIVE_INTERVAL:
                until_committed(lambda cursor: leases.renew(cursor, self._lease))
                alive_at = boottime()

        path = self._folder / f"{self._feed.name}-{known.journal_id}.sqlite3"
        reading = Reading(self._settings, self._feed.name, known, end, stopping=self._stopping)
        try:
            make_private(self._folder)
            found = restore.restore(
                reading, known, path, feed=self._feed.name, synthetic=self._feed.synthetic, keep_alive=keep_alive
            )
            journal = RestoredJournal(
                path,
                on_loaded=lambda: self._was_loaded(found, end),
                feed=self._feed.name,
                synthetic=self._feed.synthetic,
                max_bytes=self._feed.journal.max_megabytes << 20,
            )
        except (*restore.Error, JournalError, JournalUnavailableError) as error:
            restore.remove(path)
            self._tell(f"the copy of journal {known.journal_id} cannot be read back: {error}")
            return None
        self._restored.append(journal)
        journal.stop_appending()
        if found.problem is not None:
            self._tell(
                f"of the copy of journal {known.journal_id}, {found.position - known.position:,} bytes can be read, "
                f"and {end - found.position:,} from position {found.position} on cannot: {found.problem}. They stay in "
                "the account, and the next run tries again"
            )
        source: Source | None = until_committed(lambda cursor: self._source(cursor, journal, found, latest))
        return source

    def _source(self, cursor: Cursor, journal: Journal, found: Restored, latest: str | None) -> Source | None:
        """The journal as a source to load, and in the account how far it went on its machine."""
        parameters = {"journal_id": journal.journal_id, "end": found.extent.end, "frames": found.extent.frames}
        cursor.execute(sql_files.read("queries/checkpoint/copied.sql"), parameters)
        logger.warning(
            "feed %s: read %d bytes of journal %s back from its copy; its machine had %d bytes more",
            self._feed.name,
            found.position - found.known.position,
            journal.journal_id,
            max(0, found.extent.end - found.position),
        )
        number, position, frames = handover.find_checkpoint(cursor, self._feed.name, journal)
        lease = self._lease._replace(journal_number=number, position=position, frames=frames)
        returned.announce(cursor, [(lease, journal)], latest=latest, copy=len(self._restored))
        if journal.journal_id == latest and found.epoch is not None:
            own = self._journals[-1]
            returned.announce_copied(cursor, self._lease, own, predecessor=latest, epoch=found.epoch)
        journal.seek(position, frames=frames)
        return Source(lease, journal)

    def _was_loaded(self, found: Restored, end: int) -> None:
        if found.position >= end:
            self._shipper.was_loaded(found.known.journal_id)

    def _tell(self, problem: str) -> None:
        logger.error("feed %s: %s", self._feed.name, problem)
        self.problems.append(problem)
