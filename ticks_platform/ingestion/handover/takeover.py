"""Takes a feed over, at once or in a planned hand-over, together with everything that waits in its journals."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import psycopg2

from ticks_platform.backoff import Backoff
from ticks_platform.feeds.settings import FeedSettings
from ticks_platform.ingestion import heard_journals
from ticks_platform.ingestion import lease as leases
from ticks_platform.ingestion.gaps.insert_by_symbol import IN_FLIGHT
from ticks_platform.ingestion.handover import handover, returned
from ticks_platform.ingestion.handover.handover import Handover, HandoverFailedError, Source, StoppedError
from ticks_platform.ingestion.journal.journal import Journal
from ticks_platform.ingestion.journal.journal_pair import JournalPair
from ticks_platform.ingestion.journal.journal_view import journal_view
from ticks_platform.ingestion.lease import Lease, LeaseStatus
from ticks_platform.timescale.database import Database, DatabaseUnavailableError

if TYPE_CHECKING:
    from psycopg2.extensions import cursor as Cursor  # noqa: N812

T = TypeVar("T")

logger = logging.getLogger(__name__)

OVERLAP = 2.0
"""Seconds that a successor receives everything alongside its predecessor before it takes the feed over."""

QUIET_OVERLAPS = 4
"""How many times as long it does so at most, of a feed that sends nothing: until data has come to both, nothing proves
that the predecessor was receiving when the successor began, and that would be a gap."""

READY_TIMEOUT = 40.0
"""Seconds in which everything must be subscribed to; otherwise the successor ends, and its predecessor continues. The
supervisor presumes a run without a lease dead after a minute, while its predecessor has heartbeats."""

END_TIMEOUT = 15.0
"""Seconds that a predecessor on another machine has to load what it has: a heartbeat, and what waits in its journal."""

CLOSE_TIMEOUT = 8.0
"""Seconds that a predecessor has to close its connection, if the provider allows only one."""

_IN_FLIGHT = 2 * IN_FLIGHT / 1e9
"""Seconds after a moment when what is received was sent after it for certain."""

_POLL_INTERVAL = 0.1
"""Seconds between checks whether everything is subscribed to, or the predecessor has closed its connection."""

_LEASE_POLL_INTERVAL = 0.5
"""Seconds between a successor's checks whether its predecessor still holds the lease."""


class Ownership(NamedTuple):
    """The lease of a feed, the journal to append to, and those to load before it."""

    lease: Lease
    journal: Journal
    before: list[Source]


class _CommonData:
    """Tells whether data has come to a successor that its predecessor received too, and has had the time to keep."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._before: int | None = None
        self._came_at: float | None = None

    def has_come(self, now: float, *, since: float | None) -> bool:
        """Whether it has, since everything was subscribed to at `since`; None if it is not."""
        if since is None or now < since + _IN_FLIGHT:
            self._before = self._came_at = None
        elif self._before is None:
            self._before = self._journal.end
        elif self._came_at is None and self._journal.end > self._before:
            self._came_at = now
        return self._came_at is not None and now >= self._came_at + _IN_FLIGHT


class Takeover:
    """Takes a feed over, retrying while the database is unavailable. All methods raise StoppedError."""

    def __init__(
        self, *, feed: FeedSettings, owner: str, database: Database, journals: JournalPair, stopping: threading.Event
    ) -> None:
        self._feed = feed
        self._owner = owner
        self._database = database
        self._journals = journals
        self._stopping = stopping
        self.trouble: str | None = None
        """Why the database cannot be used now, or None."""
        self.latest: str | None = None
        """The journal that was appended to before the feed was taken over; None if that is not known."""

    def take(self) -> Ownership:
        """Take the feed over at once, whoever owns it. Frames that wait in its journals are loaded before new ones.

        Raises MixedDatabaseError, and what Journal raises.
        """
        journals = self._journals.open_all()

        def work(cursor: Cursor) -> tuple[Lease, Journal, list[Source]]:
            latest = self.latest = leases.latest_journal(cursor, self._feed.name)
            own = next((journal for journal in journals if journal.journal_id == latest), journals[0])
            lease = leases.take(
                cursor,
                feed=self._feed.name,
                provider=self._feed.provider,
                synthetic=self._feed.synthetic,
                candles=self._feed.candles,
                owner=self._owner,
                journal_id=own.journal_id,
                journal_start=own.start,
                journal_frames=own.frames_trimmed,
            )
            before = self._sources(cursor, lease, [journal for journal in journals if journal is not own])
            returned.announce(cursor, [*before, Source(lease, own)], latest=latest)
            return lease, own, before

        return self._seek(*self.until_committed(work))

    def announce(self) -> tuple[Handover, Journal] | None:
        """Announce a planned hand-over, and open the journal to receive into.

        Returns None if nobody owns the feed, or the owner is presumed dead; if its journal is not on this machine, also
        if the feed does not overlap, or frames wait in both journals here. Raises
        HandoverFailedError if the owner has not loaded yet what it found in the feed's journals, MixedDatabaseError,
        LeaseLostError, JournalError, and what Journal raises.
        """
        status = self.until_committed(lambda cursor: leases.status(cursor, self._feed.name))
        if status is None or not status.is_alive:
            return None
        self.latest = status.journal_id
        theirs = self._journals.first if status.journal_id is None else self._journals.find(status.journal_id)
        journal = self._open_own() if theirs is None else self._journals.open_other(theirs)
        if journal is None:
            logger.warning(
                "feed %s: taken over from %s without an overlap: its journal is not on this machine",
                self._feed.name,
                status.owner,
            )
            return None
        self._skip_predecessors_positions(journal, theirs, status)

        def work(cursor: Cursor) -> Handover:
            leases.register_feed(
                cursor,
                feed=self._feed.name,
                provider=self._feed.provider,
                synthetic=self._feed.synthetic,
                candles=self._feed.candles,
            )
            return handover.announce(
                cursor, owner=self._owner, feed=self._feed.name, predecessor=status, journal=journal
            )

        return self.until_committed(work)._replace(is_elsewhere=theirs is None), journal

    def _open_own(self) -> Journal | None:
        """The journal to receive into beside an owner on another machine; None if that is not possible.

        The other one may have frames that wait, of a machine that has come back: they are loaded before.
        """
        if not self._feed.overlaps:
            return None
        journals = self._journals.open_all()
        for journal in journals:
            _, position, frames = self.until_committed(
                lambda cursor: handover.find_checkpoint(cursor, self._feed.name, journal)  # noqa: B023
            )
            journal.seek(position, frames=frames)
        if len(journals) == 1 and journals[0].bytes_waiting:
            return self._journals.open_other(self._journals.first)
        return next((journal for journal in journals if not journal.bytes_waiting), None)

    def follow_when_ready(self, planned: Handover, journal: Journal, is_ready: Callable[[], bool]) -> Ownership:
        """Take the feed over as planned when everything has been subscribed to for OVERLAP seconds, and data has come.

        If the predecessor ends before, takes the feed over at once. Raises HandoverFailedError, LeaseLostError if
        another owner holds the lease, what `is_ready` raises, and what Journal raises.
        """
        # Not CLOCK_BOOTTIME: while this machine sleeps, it receives nothing alongside the predecessor.
        started_at = check_lease_at = time.monotonic()
        ready_at: float | None = None
        common = _CommonData(journal)
        while not self._stopping.wait(_POLL_INTERVAL):
            now = time.monotonic()
            ready_at = (ready_at or now) if is_ready() else None
            has_come = common.has_come(now, since=ready_at)
            if ready_at is not None and now >= ready_at + OVERLAP * (1 if has_come else QUIET_OVERLAPS):
                if planned.is_elsewhere:
                    self._await_end(planned)
                return self.follow(planned, journal)
            if now >= check_lease_at:
                check_lease_at = now + _LEASE_POLL_INTERVAL
                if self._has_ended(planned):
                    return self.follow(planned, journal)
            if ready_at is None and now >= started_at + READY_TIMEOUT:
                raise HandoverFailedError(
                    f"feed '{planned.feed}' cannot be handed over from {planned.predecessor}, which continues: not all "
                    f"subscriptions were answered within {READY_TIMEOUT:g} s. If the provider allows one connection "
                    "only, set `overlap: false` for the feed in feeds.yaml"
                )
        raise StoppedError

    def _await_end(self, planned: Handover) -> None:
        """Wait until the predecessor on another machine has loaded what it has, for END_TIMEOUT seconds at most.

        It goes on receiving until it learns of the hand-over, and nothing is missed meanwhile.
        """
        self.until_committed(lambda cursor: handover.ask_to_close(cursor, planned))
        deadline = time.monotonic() + END_TIMEOUT
        while not self._has_ended(planned):
            if time.monotonic() >= deadline:
                logger.warning(
                    "feed %s: taken over from %s, which has not loaded its journal within %g s: the rest waits there",
                    planned.feed,
                    planned.predecessor,
                    END_TIMEOUT,
                )
                return
            if self._stopping.wait(_POLL_INTERVAL):
                raise StoppedError

    def follow(self, planned: Handover, journal: Journal, *, closed_within: float = 0.0) -> Ownership:
        """Take the feed over as planned. The predecessor can no longer append; its journal is loaded before this one.

        Waits up to `closed_within` seconds for the predecessor to close its connection. Raises LeaseLostError if
        another owner holds the lease, and what Journal raises.
        """
        # Those of a machine that has come back with frames are open already; the predecessor's must not be, before.
        returning = [each for each in self._journals.open_all() if each is not journal] if planned.is_elsewhere else []

        def work(cursor: Cursor) -> Lease:
            lease = handover.take(cursor, planned, journal)
            returned.announce(cursor, self._sources(cursor, lease, returning), latest=self.latest)
            return lease

        lease = self.until_committed(work)
        logger.info("feed %s: taken over from %s as planned", planned.feed, planned.predecessor)
        for _ in range(round(closed_within / _POLL_INTERVAL)):
            if self.until_committed(lambda cursor: handover.is_closed(cursor, planned)):
                break
            if self._stopping.wait(_POLL_INTERVAL):
                break
        others = [other for other in self._journals.open_all() if other is not journal]
        before = self.until_committed(lambda cursor: self._sources(cursor, lease, others))
        return self._seek(lease, journal, before)

    def _skip_predecessors_positions(self, journal: Journal, theirs: Path | None, predecessor: LeaseStatus) -> None:
        """Skip positions in a journal, so that its ticks sort after those of the predecessor's."""

        def work(cursor: Cursor) -> tuple[int, int, int]:
            _, position, frames = handover.find_checkpoint(cursor, self._feed.name, journal)
            return position, frames, leases.last_position(cursor, self._feed.name)

        position, frames, end = self.until_committed(work)
        journal.seek(position, frames=frames)
        if theirs is not None:
            with journal_view(theirs) as predecessors:
                end = max(end, predecessors.end)
        journal.skip_to(end + handover.RESERVED_POSITIONS)
        if journal.bytes_waiting and journal.end < end:
            raise HandoverFailedError(
                f"feed '{self._feed.name}' cannot be handed over yet from {predecessor.owner}, which continues: it is "
                f"still loading {journal.path}"
            )

    def _has_ended(self, planned: Handover) -> bool:
        """Whether the predecessor has released the feed. Raises LeaseLostError if another owner has taken it."""
        status = self.until_committed(lambda cursor: leases.status(cursor, planned.feed))
        if status is None or status.epoch != planned.predecessor_epoch:
            raise handover.overtaken(planned.feed)
        return status.released

    def _sources(self, cursor: Cursor, lease: Lease, journals: Sequence[Journal]) -> list[Source]:
        sources = []
        for journal in journals:
            if journal.start is not None:
                number, position, frames = handover.find_checkpoint(cursor, lease.feed, journal)
                sources.append(Source(lease._replace(journal_number=number, position=position, frames=frames), journal))
            # Nobody appends to it any more, and this is its end.
            heard_journals.tell(cursor, journal, is_open=False)
        return sources

    def _seek(self, lease: Lease, journal: Journal, before: list[Source]) -> Ownership:
        """Set all journals to their checkpoints, and close the earlier ones that have no frames left."""
        journal.seek(lease.position, frames=lease.frames)
        waiting = []
        for source in before:
            source.journal.seek(source.lease.position, frames=source.lease.frames)
            source.journal.stop_appending()
            if source.journal.bytes_waiting:
                waiting.append(source)
            else:
                source.journal.close()
        return Ownership(lease, journal, waiting)

    def until_committed(self, work: Callable[[Cursor], T]) -> T:
        """Do the work in one transaction; retry while the database is unavailable or the old owner holds a lock."""
        backoff = Backoff(base=0.2, cap=5.0)
        while True:
            if self._stopping.is_set():
                raise StoppedError
            try:
                with self._database.transaction() as cursor:
                    result = work(cursor)
            except psycopg2.errors.LockNotAvailable:
                logger.warning("feed %s: terminating its owner's transaction, which holds the lease", self._feed.name)
                self._terminate_loader()
            except (psycopg2.Error, DatabaseUnavailableError) as error:
                self.trouble = f"{self._database.description}: {str(error).strip()}"
                logger.warning("feed %s: cannot take the lease, retrying: %s", self._feed.name, self.trouble)
                self._stopping.wait(backoff.next_delay())
            else:
                self.trouble = None
                return result

    def _terminate_loader(self) -> None:
        # If this fails, the next attempt fails too, and tells why.
        with contextlib.suppress(psycopg2.Error, DatabaseUnavailableError), self._database.transaction() as cursor:
            leases.terminate_loader(cursor, self._feed.name)
