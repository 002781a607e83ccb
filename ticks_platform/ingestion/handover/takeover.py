"""How an owner comes to have a feed: at once, or in a planned hand-over; with all that waits in the feed's journals."""

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
from ticks_platform.ingestion import lease as leases
from ticks_platform.ingestion.handover import handover
from ticks_platform.ingestion.handover.handover import Handover, HandoverFailedError, Source
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
"""Seconds that a successor receives everything beside its predecessor before it takes the feed over."""

READY_TIMEOUT = 40.0
"""Seconds in which a successor has to be ready; if it is not, it ends, and its predecessor goes on. The supervisor
takes a run for dead that has no lease for a minute."""

CLOSE_TIMEOUT = 8.0
"""Seconds that a predecessor has to close its connection where the provider allows no second one beside it."""

ALIVE_WITHIN = 30.0
"""Seconds since its heartbeat within which the owner of a feed can be followed as planned."""


_LOOK = 0.1
"""Seconds between looks at whether the predecessor has closed its connection, or everything is subscribed to."""

_LOOK_AT_LEASE = 0.5
"""Seconds between looks of a successor at whether its predecessor still has the feed."""


class Ownership(NamedTuple):
    """A feed that is this owner's, the journal to append to, and those to load before it."""

    lease: Lease
    journal: Journal
    before: list[Source]


class StoppedError(Exception):
    """The ingestion was told to stop before it had its feed."""


class Takeover:
    """One owner's way to a feed, for which it waits for the database as long as it takes. Raises StoppedError."""

    def __init__(
        self, *, feed: FeedSettings, owner: str, database: Database, journals: JournalPair, stopping: threading.Event
    ) -> None:
        self._feed = feed
        self._owner = owner
        self._database = database
        self._journals = journals
        self._stopping = stopping
        self.trouble: str | None = None
        """What keeps it from the database, or None."""

    def take(self) -> Ownership:
        """Take the feed, whoever has it. What nobody has loaded yet of its journals comes before what is received.

        Raises MixedDatabaseError, and what opening a Journal raises.
        """
        journals = self._journals.open_all()

        def work(cursor: Cursor) -> tuple[Lease, Journal, list[Source]]:
            latest = leases.latest_journal(cursor, self._feed.name)
            own = next((journal for journal in journals if journal.journal_id == latest), journals[0])
            lease = leases.take(
                cursor,
                feed=self._feed.name,
                provider=self._feed.provider,
                synthetic=self._feed.synthetic,
                owner=self._owner,
                journal_id=own.journal_id,
                journal_start=own.start,
                journal_frames=own.frames_trimmed,
            )
            return lease, own, self._locate(cursor, lease, [journal for journal in journals if journal is not own])

        return self._go_on(*self._until_done(work))

    def begin(self) -> tuple[Handover, Journal] | None:
        """Announce a planned hand-over, with the journal to receive into; None when there is nobody to follow.

        Nor can an owner be followed whose journal is not on this machine. Raises HandoverFailedError when the owner has
        not loaded yet what it found in the feed's journals, MixedDatabaseError, LeaseLostError, JournalError, and what
        opening a Journal raises.
        """
        status = self._until_done(lambda cursor: leases.status(cursor, self._feed.name))
        if status is None or status.released or status.age > ALIVE_WITHIN:
            return None
        theirs = self._journals.first if status.journal_id is None else self._journals.find(status.journal_id)
        if theirs is None:
            logger.warning(
                "feed %s is taken over from %s at once, without an overlap: its journal is not on this machine",
                self._feed.name,
                status.owner,
            )
            return None
        journal = self._journals.open_other(theirs)
        self._begin_behind(journal, theirs, status)

        def work(cursor: Cursor) -> Handover:
            leases.enter(cursor, feed=self._feed.name, provider=self._feed.provider, synthetic=self._feed.synthetic)
            return handover.begin(cursor, owner=self._owner, feed=self._feed.name, predecessor=status, journal=journal)

        return self._until_done(work), journal

    def _begin_behind(self, journal: Journal, theirs: Path, predecessor: LeaseStatus) -> None:
        """Have the ticks of a journal sort after those of the predecessor's."""

        def work(cursor: Cursor) -> tuple[int, int, int]:
            _, position, frames = handover.place(cursor, self._feed.name, journal)
            return position, frames, leases.last_position(cursor, self._feed.name)

        position, frames, end = self._until_done(work)
        journal.seek(position, frames=frames)
        with journal_view(theirs) as predecessors:
            end = max(end, predecessors.end)
        journal.skip_to(end + handover.ROOM)
        if journal.bytes_waiting and journal.end < end:
            raise HandoverFailedError(
                f"feed '{self._feed.name}' cannot be handed over yet from {predecessor.owner}, which goes on: it is "
                f"still loading what was left in {journal.path}"
            )

    def follow_when_ready(self, begun: Handover, journal: Journal, is_ready: Callable[[], bool]) -> Ownership:
        """Take the feed over as planned after an overlap, which begins when everything is subscribed to.

        The predecessor goes on until then. When it ends by itself, the feed is taken at once. Raises
        HandoverFailedError, LeaseLostError when somebody else has the feed, whatever `is_ready` raises, and what
        opening a Journal raises.
        """
        began = look_at = time.monotonic()
        ready_at: float | None = None
        while not self._stopping.wait(_LOOK):
            now = time.monotonic()
            ready_at = (ready_at or now) if is_ready() else None
            if ready_at is not None and now >= ready_at + OVERLAP:
                return self.follow(begun, journal)
            if now >= look_at:
                look_at = now + _LOOK_AT_LEASE
                if self._has_ended(begun):
                    return self.follow(begun, journal)
            if now >= began + READY_TIMEOUT:
                raise HandoverFailedError(
                    f"feed '{begun.feed}' cannot be handed over from {begun.predecessor}, which goes on: not "
                    f"everything was subscribed to beside it within {READY_TIMEOUT:g} s. If the provider allows one "
                    "connection only, set `overlap: false` for it in feeds.yaml"
                )
        raise StoppedError

    def _has_ended(self, begun: Handover) -> bool:
        """Whether the predecessor has given the feed up by itself. Raises LeaseLostError when somebody took it."""
        status = self._until_done(lambda cursor: leases.status(cursor, begun.feed))
        if status is None or status.epoch != begun.predecessor_epoch:
            raise handover.overtaken(begun.feed)
        return status.released

    def follow(self, begun: Handover, journal: Journal, *, closed_within: float = 0.0) -> Ownership:
        """Take the feed over as planned. Its predecessor's journal is fenced off, and loaded before this one.

        Waits up to `closed_within` seconds for the predecessor to close its connection before that. Raises
        LeaseLostError when somebody else has the feed, and what opening a Journal raises.
        """
        lease = self._until_done(lambda cursor: handover.take(cursor, begun, journal))
        logger.info("feed %s was taken over from %s as planned", begun.feed, begun.predecessor)
        for _ in range(round(closed_within / _LOOK)):
            if self._until_done(lambda cursor: handover.is_closed(cursor, begun)) or self._stopping.wait(_LOOK):
                break
        others = [other for other in self._journals.open_all() if other is not journal]
        before = self._until_done(lambda cursor: self._locate(cursor, lease, others))
        return self._go_on(lease, journal, before)

    def _locate(self, cursor: Cursor, lease: Lease, journals: Sequence[Journal]) -> list[Source]:
        sources = []
        for journal in journals:
            if journal.start is not None:
                number, position, frames = handover.place(cursor, lease.feed, journal)
                located = lease._replace(journal_number=number, position=position, frames=frames)
                sources.append(Source(located, journal))
        return sources

    def _go_on(self, lease: Lease, journal: Journal, before: list[Source]) -> Ownership:
        """Turn to what is not loaded yet."""
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

    def _until_done(self, work: Callable[[Cursor], T]) -> T:
        """Do the work in one transaction, and again while the database is away or the owner before is in the way."""
        backoff = Backoff(base=0.2, cap=5.0)
        while True:
            if self._stopping.is_set():
                raise StoppedError
            try:
                with self._database.transaction() as cursor:
                    result = work(cursor)
            except psycopg2.errors.LockNotAvailable:
                logger.warning("feed %s: its owner is stuck in a transaction, which is ended now", self._feed.name)
                self._evict()
            except (psycopg2.Error, DatabaseUnavailableError) as error:
                self.trouble = f"{self._database.description}: {str(error).strip()}"
                logger.warning("feed %s cannot take its lease: %s", self._feed.name, self.trouble)
                self._stopping.wait(backoff.next_delay())
            else:
                self.trouble = None
                return result

    def _evict(self) -> None:
        # Should this fail, the next attempt does so too, and tells why.
        with contextlib.suppress(psycopg2.Error, DatabaseUnavailableError), self._database.transaction() as cursor:
            leases.evict(cursor, self._feed.name)
