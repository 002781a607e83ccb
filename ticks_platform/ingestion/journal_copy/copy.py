"""The copy of a feed's journals as a run has it: it ships its own, and reads back those of machines that are gone."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeVar

from ticks_platform.backoff import Backoff
from ticks_platform.feeds.settings import FeedSettings
from ticks_platform.feeds.transport.clock import boottime
from ticks_platform.ingestion import heard_journals
from ticks_platform.ingestion import lease as leases
from ticks_platform.ingestion.handover import handover, returned
from ticks_platform.ingestion.handover.handover import Source, StoppedError
from ticks_platform.ingestion.journal.file import JournalError
from ticks_platform.ingestion.journal.journal import Journal, JournalUnavailableError
from ticks_platform.ingestion.journal_copy import restore
from ticks_platform.ingestion.journal_copy.restore import Known, Reading, Restored
from ticks_platform.ingestion.journal_copy.shipper import Shipper
from ticks_platform.ingestion.journal_copy.stream import Marked
from ticks_platform.ingestion.lease import Lease, LeaseLostError
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


MARKED_SOON = 3.0
"""Seconds that a run which waits for nothing of others waits for the servers, to see whether its disk is an old one."""

_OLDER = "older"
"""Part of the names of files that have what this machine's disk has no more."""

_RETRY_BASE, _RETRY_CAP = 5.0, 120.0
"""Seconds between attempts to read what could not be read."""


class UntilCommitted(Protocol):
    """Does work in a transaction, retried until it is committed. Raises StoppedError."""

    def __call__(self, work: Callable[[Cursor], T], /) -> T: ...


class RestoredJournal(Journal):
    """A journal that was read back from the stream. Its file is removed when it is closed and loaded, or is read again.

    `is_kept` tells that the file is kept until it is loaded.
    """

    def __init__(self, path: Path, *, on_loaded: Callable[[], None], is_kept: bool, **options: Any) -> None:
        super().__init__(path, **options)
        self._on_loaded = on_loaded
        self._is_kept = is_kept
        self.is_closed = False

    def close(self) -> None:
        if self.is_closed:
            return
        self.is_closed = True
        super().close()
        if not (self._is_kept and self.bytes_waiting):
            restore.remove(self.path)
        if not self.bytes_waiting:
            self._on_loaded()


class _Wanted(NamedTuple):
    """What is to be read of a journal's copy."""

    copied: Known
    """The journal in the stream."""
    known: Known
    """As which journal it is loaded."""
    end: int
    """Up to where it is copied."""
    is_older: bool
    """Whether the journal is here, on a disk that was restored from an older state."""


class JournalCopy:
    """The copy of one owner's journals."""

    def __init__(
        self,
        feed: FeedSettings,
        lease: Lease,
        journals: Sequence[Journal],
        until_committed: UntilCommitted,
        stopping: threading.Event,
    ) -> None:
        """`journals` are what the owner has to load, in this order; it appends to the last one.

        `until_committed` is safe from any thread.
        """
        assert feed.journal.copy_to is not None
        self._settings = feed.journal.copy_to.jetstream
        self._feed = feed
        self._lease = lease
        self._journals = journals
        self._ends = {journal.journal_id: journal.end for journal in self._journals}
        self._until_committed = until_committed
        self._stopping = stopping
        self._folder = self._journals[-1].path.parent / FOLDER
        self._restored: list[RestoredJournal] = []
        self._done: set[str] = set()
        self._is_unread = False
        self._thread: threading.Thread | None = None
        self._shipper = Shipper(self._settings, feed.name, epoch=lease.epoch, owner=lease.owner, journals=journals)
        self.problems: list[str] = []
        """What could not be read back, in words."""

    def start(self) -> None:
        """Shut the owner before out of the stream, and copy. Call it before anything is received.

        The database hears of the journal first: else nobody would look for what is copied, if it is away from then on.
        """
        self._until_committed(lambda cursor: heard_journals.tell(cursor, self._journals[-1], is_open=True))
        self._shipper.start()

    def unshipped(self) -> Unshipped:
        """What is not copied. Safe from any thread."""
        found = self._shipper.unshipped()
        return found._replace(trouble="; ".join(filter(None, [found.trouble, *self.problems])) or None)

    def read_back(self, latest: str | None) -> list[Source]:
        """The rest of this feed's journals on machines that are not this one, as far as it was copied.

        And of its own ones, if the disk was restored from an older state. `latest` is the journal that was appended to
        before this run. What cannot be read now stays in the account, and is read by `read_later`.
        """
        sources = self._left_from_before()
        known = self._until_committed(self._known)
        marked = self._wait_marked() if known else self._shipper.wait_marked(MARKED_SOON)
        if marked is not None:
            return [*sources, *self._read(known, marked.ends, latest=latest)]
        self._is_unread = True
        if known:
            self._tell(f"what waits on other machines is not read back yet: {self._shipper.unshipped().trouble}")
        return sources

    def read_later(self, load: Callable[[Source], None]) -> None:
        """Read what `read_back` could not read, in a thread, until all is read; `load` is safe from any thread."""
        if self._is_unread:
            self._thread = threading.Thread(
                target=self._keep_reading, args=(load,), name=f"read-copy-{self._feed.name}", daemon=True
            )
            self._thread.start()

    def stop(self) -> None:
        """Copy what is left, briefly, and end."""
        self._shipper.stop()
        if self._thread is not None:
            self._thread.join(5.0)
        for journal in self._restored:
            journal.close()

    def _keep_reading(self, load: Callable[[Source], None]) -> None:
        backoff = Backoff(base=_RETRY_BASE, cap=_RETRY_CAP)
        try:
            while self._is_unread and not self._stopping.is_set():
                marked = self._shipper.wait_marked(KEEP_ALIVE_INTERVAL)
                if marked is None:
                    self._stopping.wait(KEEP_ALIVE_INTERVAL)
                    continue
                known = self._until_committed(self._known)
                self.problems = []
                # Frames of this owner are stored by now: all that is read is compared with them.
                for source in self._read(known, marked.ends, latest=self._journals[-1].journal_id):
                    load(source)
                if self._is_unread:
                    self._stopping.wait(1.0 + backoff.next_delay())
        except (StoppedError, LeaseLostError):
            pass
        except Exception as error:
            logger.exception("feed %s: the copies of other journals are not read any more", self._feed.name)
            self.problems = [f"copies of other journals are not read any more, until the next start: {error}"]

    def _known(self, cursor: Cursor) -> list[Known]:
        """The journals elsewhere in which frames may wait."""
        here = [journal.journal_id for journal in self._journals]
        parameters = {"feed": self._feed.name, "here": here}
        cursor.execute(sql_files.read("queries/checkpoint/waiting_elsewhere.sql"), parameters)
        return [Known(*row) for row in cursor.fetchall()]

    def _wait_marked(self) -> Marked | None:
        deadline = boottime() + restore.PATIENCE
        while boottime() < deadline and not self._stopping.is_set():
            marked = self._shipper.wait_marked(KEEP_ALIVE_INTERVAL)
            if marked is not None:
                return marked
            self._renew()
        return None

    def _renew(self) -> None:
        self._until_committed(lambda cursor: leases.renew(cursor, self._lease))

    def _wanted(self, known: list[Known], ends: Mapping[str, int]) -> list[_Wanted]:
        """What is to be read. Those of this machine come first: their frames are older than what it receives."""
        found = []
        for journal_id, begin in self._ends.items():
            end = ends.get(journal_id, 0)
            if end > begin:
                copied = Known(journal_id, begin, 0)
                found.append(_Wanted(copied, copied.since(begin), end, is_older=True))
        found += [_Wanted(each, each, ends.get(each.journal_id, 0), is_older=False) for each in known]
        return [each for each in found if each.end > each.known.position and each.known.journal_id not in self._done]

    def _read(self, known: list[Known], ends: Mapping[str, int], *, latest: str | None) -> list[Source]:
        """Read what is wanted, each up to where it can be read; `_is_unread` tells whether that is not all."""
        self._is_unread = False
        sources = []
        for wanted in self._wanted(known, ends):
            if any(each.journal_id == wanted.known.journal_id and not each.is_closed for each in self._restored):
                # A part of it is still being loaded.
                self._is_unread = True
                continue
            source = self._read_back(wanted, latest)
            if source is not None:
                sources.append(source)
        return sources

    def _read_back(self, wanted: _Wanted, latest: str | None) -> Source | None:
        alive_at = boottime()

        def keep_alive() -> None:
            nonlocal alive_at
            if boottime() >= alive_at + KEEP_ALIVE_INTERVAL:
                self._renew()
                alive_at = boottime()

        known, name = wanted.known, wanted.copied.journal_id
        # A feed's name has no dot.
        parts = [self._feed.name, name, *([_OLDER, known.journal_id] if wanted.is_older else []), "sqlite3"]
        path = self._folder / ".".join(parts)
        new = path.with_suffix(".new")
        reading = Reading(self._settings, self._feed.name, wanted.copied, wanted.end, stopping=self._stopping)
        feed = self._feed
        try:
            make_private(self._folder)
            restore.remove(new)
            found = restore.restore(
                reading, known, new, feed=feed.name, synthetic=feed.synthetic, keep_alive=keep_alive
            )
            is_whole = found.problem is None
            if wanted.is_older and not is_whole:
                # Its id is that of all that follows its first position.
                self._not_read(new, name, found.problem)
                return None
            new.replace(path)
            journal = self._open(path, wanted, is_whole=is_whole)
        except (*restore.Error, JournalError, JournalUnavailableError) as error:
            self._not_read(new, name, error)
            return None
        if is_whole:
            self._done.add(known.journal_id)
        else:
            self._is_unread = True
            self._tell(
                f"of the copy of journal {name}, {found.position - known.position:,} bytes can be read, and "
                f"{wanted.end - found.position:,} from position {found.position} on cannot: {found.problem}. They stay "
                "in the account, and are tried again"
            )
        if wanted.is_older:
            logger.warning(
                "feed %s: the disk of this machine was restored from an older state: read %d bytes of journal %s back "
                "that it has no more",
                feed.name,
                found.position - known.position,
                name,
            )
        return self._until_committed(lambda cursor: self._source(cursor, journal, found, wanted, latest))

    def _not_read(self, file: Path, journal_id: str, problem: object) -> None:
        self._is_unread = True
        restore.remove(file)
        self._tell(f"the copy of journal {journal_id} cannot be read back: {problem}. It is tried again")

    def _open(self, path: Path, wanted: _Wanted, *, is_whole: bool) -> RestoredJournal:
        journal_id = wanted.copied.journal_id
        if wanted.is_older:
            return self._opened(path, lambda: self._shipper.begin_again(journal_id), is_kept=True)
        return self._opened(path, lambda: self._shipper.was_loaded(journal_id) if is_whole else None, is_kept=False)

    def _opened(self, path: Path, on_loaded: Callable[[], None], *, is_kept: bool) -> RestoredJournal:
        journal = RestoredJournal(
            path,
            on_loaded=on_loaded,
            is_kept=is_kept,
            feed=self._feed.name,
            synthetic=self._feed.synthetic,
            max_bytes=self._feed.journal.max_megabytes << 20,
        )
        journal.stop_appending()
        self._restored.append(journal)
        return journal

    def _left_from_before(self) -> list[Source]:
        """What an earlier run has read of its own journals and not loaded; all else is read again."""
        sources = []
        for file in sorted(self._folder.glob(f"{self._feed.name}.*")) if self._folder.is_dir() else ():
            _, journal_id, *rest = file.name.split(".")
            if rest[:1] != [_OLDER] or rest[-1] == "new":
                restore.remove(file)
            elif file.suffix == ".sqlite3":
                source = self._left(file, journal_id)
                sources += [] if source is None else [source]
        return sources

    def _left(self, file: Path, journal_id: str) -> Source | None:
        try:
            journal = self._opened(file, lambda: self._shipper.begin_again(journal_id), is_kept=True)
        except (JournalError, JournalUnavailableError) as error:
            self._tell(f"{file} cannot be loaded: {error}")
            return None
        self._done.add(journal.journal_id)
        source = self._until_committed(lambda cursor: self._announced(cursor, journal, self._journals[-1].journal_id))
        if journal.bytes_waiting:
            return source
        journal.close()
        return None

    def _source(self, cursor: Cursor, journal: Journal, found: Restored, wanted: _Wanted, latest: str | None) -> Source:
        """The journal as a source to load, and in the account how far it went on its machine."""
        if not wanted.is_older:
            parameters = {"journal_id": journal.journal_id, "end": found.extent.end, "frames": found.extent.frames}
            cursor.execute(sql_files.read("queries/checkpoint/copied.sql"), parameters)
            logger.warning(
                "feed %s: read %d bytes of journal %s back from its copy; its machine had %d bytes more",
                self._feed.name,
                found.position - found.known.position,
                journal.journal_id,
                max(0, found.extent.end - found.position),
            )
        own = self._journals[-1]
        source = self._announced(cursor, journal, own.journal_id if wanted.is_older else latest)
        if journal.journal_id == latest and found.epoch is not None:
            returned.announce_copied(cursor, self._lease, own, predecessor=latest, epoch=found.epoch)
        # This owner may have stored the same trades, and does not remember what others load.
        cursor.execute(
            sql_files.read("queries/lease/tell_owner.sql"),
            {"feed": self._feed.name, "until": datetime.now(timezone.utc)},
        )
        return source

    def _announced(self, cursor: Cursor, journal: Journal, latest: str | None) -> Source:
        number, position, frames = handover.find_checkpoint(cursor, self._feed.name, journal)
        lease = self._lease._replace(journal_number=number, position=position, frames=frames)
        returned.announce(cursor, [(lease, journal)], latest=latest, copy=len(self._restored))
        journal.seek(position, frames=frames)
        return Source(lease, journal)

    def _tell(self, problem: str) -> None:
        logger.error("feed %s: %s", self._feed.name, problem)
        self.problems = [*self.problems, problem]
