"""What a loader stores and reads beside the events: changes of its connections, coverage, the symbols of earlier.

It never holds up the events. Coverage that the database will not take is tried again, later and later, and told, and
so is the reading of symbols; a change that it will not take is logged and left out.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from ticks_platform.backoff import Backoff
from ticks_platform.feeds.transport.clock import boottime
from ticks_platform.ingestion import channels
from ticks_platform.ingestion.arrival_clock import ArrivalClock
from ticks_platform.ingestion.changes import Changes
from ticks_platform.ingestion.gaps import killed_coverage
from ticks_platform.ingestion.gaps.coverage import Coverage
from ticks_platform.ingestion.gaps.killed_coverage import RefusedTime
from ticks_platform.ingestion.heard_journals import Reporter
from ticks_platform.ingestion.journal.file import FrameGroup
from ticks_platform.ingestion.lease import Lease, set_clock_trouble
from ticks_platform.timescale.failures import first_line
from ticks_platform.timescale.splitting import attempt

if TYPE_CHECKING:
    from psycopg2.extensions import cursor as Cursor  # noqa: N812

logger = logging.getLogger(__name__)


class Asked(Protocol):
    """The symbols that a feed may store."""

    @property
    def waiting(self) -> bool: ...

    def try_earlier(self, cursor: Cursor, *feeds: str) -> Exception | None: ...
    def record(self, cursor: Cursor, feed: str) -> None: ...
    def recorded(self) -> None: ...
    def not_recorded(self) -> None: ...


class Account(Protocol):
    """What a batch adds to the account of one connection."""

    @property
    def epoch(self) -> int: ...

    @property
    def connection(self) -> int: ...

    @property
    def last_data_at(self) -> datetime | None: ...


class _Retries:
    """When something that failed is tried again, and why it failed."""

    def __init__(self) -> None:
        self._backoff = Backoff(base=2.0, cap=60.0)
        self._due_at = 0.0
        self.trouble: str | None = None
        """What is to be told of it, or None."""

    @property
    def due(self) -> bool:
        """Whether it may be tried now."""
        return boottime() >= self._due_at

    def failed(self, trouble: str) -> None:
        """It failed."""
        delay = self._backoff.next_delay()
        self._due_at = boottime() + delay
        self.trouble = trouble
        logger.warning("%s; retrying in %.0f s", trouble, delay)

    def succeeded(self) -> None:
        """It is done."""
        self._backoff.reset()
        self.trouble = None


class Aside:
    """The changes and the coverage of one loader."""

    def __init__(
        self,
        feed: str,
        of_feed: Coverage | None,
        clock: ArrivalClock | None = None,
        asked: Asked | None = None,
        reporter: Reporter | None = None,
    ) -> None:
        """`of_feed` is the feed's coverage, if the loader keeps any. What is wrong with the `clock` is told.

        The symbols of earlier are added to those that are `asked` for. `reporter` tells of the journal.
        """
        self._reporter = reporter
        self._clock = clock
        self.changes = Changes()
        self._feed = feed
        self._coverage = of_feed
        self._storing = _Retries()
        self._asked = self._unread = asked
        self._reading = _Retries()
        self._recording = _Retries()
        self._earlier_owners = True
        self._earlier_owners_done = False
        self._reopen = False
        self._has_stored = False
        self.changed = False
        """Whether coverage was stored that gaps do not follow yet."""

    @property
    def trouble(self) -> str | None:
        """Why coverage cannot be stored, or symbols cannot be read or recorded; or None. Safe from any thread."""
        return self._storing.trouble or self._reading.trouble or self._recording.trouble

    @property
    def waiting(self) -> bool:
        """Whether there is coverage to store now."""
        return self._is_waiting() and self._storing.due

    def begin(self, cursor: Cursor, lease: Lease) -> None:
        """Close what earlier owners left open, and read what they asked for and the clock of the database's server.

        Call `committed` after the commit of each transaction.
        """
        attempt(cursor, lambda: channels.clear(cursor, lease.feed))
        self._tell_of_journal(cursor, is_open=True)
        if self._clock is not None:
            # Before the first events are decoded.
            self._clock.ask_database(cursor)
        self._store_coverage(cursor, lease)
        self._read_symbols(cursor)

    def add_notes(self, journal: Path) -> None:
        """Store the notes of earlier owners in this journal too, with the next `store`."""
        if self._coverage is not None:
            self._coverage.add_notes(journal)
            self._earlier_owners = self.changed = True

    def reopen(self) -> None:
        """Reopen this owner's coverage with the next `store`: others may have closed it."""
        self._reopen = True

    def store(self, cursor: Cursor, lease: Lease, *, with_channels: bool = True) -> None:
        """Store what has changed; `with_channels` is false if the feed, with its channels, belongs to a successor."""
        self.changes.store(cursor, lease, with_channels=with_channels)
        self._tell_of_journal(cursor, is_open=with_channels)
        if self._clock is not None:
            self._clock.ask_database(cursor)
            if self._clock.has_news():
                self._tell_of_clock(cursor, lease, self._clock.telling)
        if (self._earlier_owners or self._reopen or self._is_waiting()) and self._storing.due:
            self._store_coverage(cursor, lease)
        if self._reading.due:
            self._read_symbols(cursor)
        self.record_symbols(cursor)

    def record_symbols(self, cursor: Cursor) -> None:
        """Record the names that came by symbols which stand for many."""
        asked = self._asked
        if asked is None or not asked.waiting or not self._recording.due:
            return
        error = attempt(cursor, lambda: asked.record(cursor, self._feed))
        if error is None:
            self._recording.succeeded()
            return
        asked.not_recorded()
        self._recording.failed(
            f"the symbols that feed '{self._feed}' has as a part of a market cannot be recorded, and their candles are "
            f"not proven: {first_line(error)}"
        )

    def extend_killed(
        self,
        cursor: Cursor,
        lease: Lease,
        groups: Sequence[FrameGroup],
        entries: Iterable[Account],
        refused: Sequence[RefusedTime],
    ) -> None:
        """Extend the coverage of killed owners by what a batch brought of them; without it, a gap is too long."""
        last_data = [(each.epoch, each.connection, each.last_data_at) for each in entries if each.epoch != lease.epoch]
        if not last_data:
            return
        begins = killed_coverage.wrong_begins(groups, epoch=lease.epoch)
        error = attempt(cursor, lambda: killed_coverage.extend_killed(cursor, self._feed, last_data, refused, begins))
        if error is not None:
            logger.warning("feed %s: cannot extend coverage by earlier data: %s", self._feed, first_line(error))

    def end(self, cursor: Cursor, lease: Lease) -> None:
        """Close coverage that is still open because a connection ended without a change of state, and the journal."""
        self._tell_of_journal(cursor, is_open=False)
        error = attempt(
            cursor,
            lambda: killed_coverage.close_abandoned(cursor, lease.feed, until_epoch=lease.epoch, ended_by="stopped"),
        )
        if error is not None:
            logger.warning("feed %s: its next owner closes the coverage: %s", self._feed, first_line(error))

    def committed(self) -> None:
        """Drop what was stored: it is committed."""
        self.changes.committed()
        if self._asked is not None:
            self._asked.recorded()
        if self._clock is not None:
            self._clock.told = self._clock.telling
        if self._earlier_owners_done:
            self._earlier_owners = self._earlier_owners_done = False
            if self._coverage is not None:
                self._coverage.forget_earlier_notes()
        if self._coverage is not None:
            self._coverage.committed()
        if self._has_stored:
            self._reopen = self._has_stored = False

    def _is_waiting(self) -> bool:
        return self._coverage is not None and self._coverage.waiting

    def _store_coverage(self, cursor: Cursor, lease: Lease) -> None:
        self._earlier_owners_done = self._has_stored = False

        def work() -> None:
            if self._earlier_owners:
                if self._coverage is not None:
                    self._coverage.store_earlier_notes(cursor, lease)
                killed_coverage.close_abandoned(cursor, lease.feed, until_epoch=lease.epoch - 1)
            if self._reopen:
                killed_coverage.reopen(cursor, lease)
            if self._coverage is not None and self._coverage.waiting:
                self._coverage.store(cursor, lease)
                self.changed = True

        error = attempt(cursor, work)
        if error is None:
            self._earlier_owners_done, self._has_stored = self._earlier_owners, True
            self._storing.succeeded()
            return
        if self._coverage is not None:
            self._coverage.not_stored()
        self._storing.failed(
            f"the coverage of feed '{self._feed}' cannot be stored, its ticks are: {first_line(error)}"
        )

    def _read_symbols(self, cursor: Cursor) -> None:
        """Read the symbols of earlier, until that is done once: later ones are of this loader's own feeds.yaml."""
        if self._unread is None:
            return
        error = self._unread.try_earlier(cursor, self._feed)
        if error is None:
            self._unread = None
            self._reading.succeeded()
            return
        self._reading.failed(
            f"not all symbols that feed '{self._feed}' had earlier can be read, and ticks of the others are rejected: "
            f"{first_line(error)}"
        )

    def _tell_of_journal(self, cursor: Cursor, *, is_open: bool) -> None:
        if self._reporter is not None:
            self._reporter.tell(cursor, is_open=is_open)

    def _tell_of_clock(self, cursor: Cursor, lease: Lease, trouble: str | None) -> None:
        error = attempt(cursor, lambda: set_clock_trouble(cursor, lease, trouble))
        if error is not None:
            logger.warning("feed %s: cannot store what is wrong with the clock: %s", self._feed, first_line(error))
