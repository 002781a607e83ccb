"""Fetches ranges from a provider's history, within its budget, and loads them, as the one that repairs the feed."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Hashable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from ticks_platform.backoff import Backoff
from ticks_platform.feeds.history import (
    History,
    HistoryError,
    KeyRefusedError,
    NotYetAvailableError,
    Page,
    PermanentError,
    RateLimitedError,
    Span,
    TransientError,
)
from ticks_platform.feeds.settings import FeedSettings
from ticks_platform.feeds.transport.history_client import HistoryClient
from ticks_platform.ingestion.journal.file import FrameGroup
from ticks_platform.ingestion.lease import Lease
from ticks_platform.ingestion.loader import Loader
from ticks_platform.ingestion.metrics import Metrics
from ticks_platform.ingestion.repair import budget as repair_budget
from ticks_platform.ingestion.repair import lease as repair_lease
from ticks_platform.ingestion.repair import ranges as repair_ranges
from ticks_platform.ingestion.repair.loader import UnderRepairLease
from ticks_platform.ingestion.repair.page_journal import PageJournal, decoder, page_of, repair_journal_folder
from ticks_platform.ingestion.repair.ranges import EVER, Interval, Range
from ticks_platform.paths import state_dir
from ticks_platform.timescale.database import Database
from ticks_platform.timestamps import to_nanoseconds

if TYPE_CHECKING:
    from types import TracebackType

    from psycopg2.extensions import cursor as Cursor  # noqa: N812

logger = logging.getLogger(__name__)

LOAD_BYTES = 32 << 20
"""Bytes of pages that are appended to the journal before they are loaded."""

ATTEMPTS = 4
"""How often a page is requested in a row, if requests fail, before its range is postponed."""

_NOT_YET_AVAILABLE_DELAY = 900.0
"""Seconds until a retry if the provider does not have the data yet."""

_FIRST_DELAY, _MAX_DELAY = 60.0, 3600.0
"""Seconds until a retry after a temporary error; doubled with each further one."""

_HEARTBEAT_INTERVAL = 5.0
"""Seconds between heartbeats while it waits."""


class _OutOfTimeError(Exception):
    """The run's time is over; the next run continues."""


def _never(_cursor: Cursor) -> bool:
    return False


class Fetcher:
    """Holds the repair lease of a feed while it is entered."""

    def __init__(
        self,
        *,
        feed: FeedSettings,
        history: History,
        database: Database,
        owner: str,
        folder: Path | None = None,
        minute: float = repair_budget.MINUTE,
        backoff: float = 2.0,
    ) -> None:
        """`folder` is that of the feed's journals. `minute` is the length of the provider's minute, and `backoff` the
        first delay after an error, both in seconds.
        """
        self.folder = folder or state_dir() / "journal"
        self.budget = repair_budget.of(feed, history, minute=minute)
        self.metrics = Metrics()
        self._feed = feed
        self._history = history
        self._database = database
        self._owner = owner
        self._asked = feed.asked_symbols()
        self._client = HistoryClient()
        self._first_delay = backoff
        self._stopping = threading.Event()
        self._lease: Lease
        self._ends_at = 0.0

    def __enter__(self) -> Fetcher:
        """Take the lease. Raises RepairInUseError and MixedDatabaseError."""
        feed = self._feed
        with self._database.transaction() as cursor:
            self._lease = repair_lease.take(
                cursor,
                feed=feed.name,
                provider=feed.provider,
                synthetic=feed.synthetic,
                candles=feed.candles,
                owner=self._owner,
            )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.close()
        with self._database.transaction() as cursor:
            repair_lease.release(cursor, self._lease)

    def stop(self) -> None:
        """Let `run` return soon. Safe from any thread."""
        self._stopping.set()

    @property
    def is_stopping(self) -> bool:
        """Whether it was told to stop."""
        return self._stopping.is_set()

    def renew(self, cursor: Cursor) -> None:
        """Send a heartbeat, and lock the lease until the end of the transaction. Raises LeaseLostError."""
        repair_lease.renew(cursor, self._lease)

    def run(
        self,
        histories: Mapping[str, History],
        *,
        ends_at: float,
        within: Interval = EVER,
        gives_way: Callable[[Cursor], bool] = _never,
    ) -> None:
        """Fetch and load the ranges of these kinds, in their order, `within` a time; each kind has its history.

        It ends when no range is left, at `ends_at` (monotonic), or as soon as `gives_way`. Pages that a killed run left
        are loaded first. Fetched pages are loaded even if a request fails. Raises KeyRefusedError, LeaseLostError, and
        what a Journal raises.
        """
        self._ends_at = ends_at
        while True:
            journal = self._open_journal()
            try:
                has_more = self._fetch(journal, histories, within, gives_way)
            except HistoryError:
                self._load(journal)
                raise
            except BaseException:
                journal.close()
                raise
            self._load(journal)
            if not has_more:
                return

    def _open_journal(self) -> PageJournal:
        return PageJournal(
            feed=self._feed,
            database=self._database,
            lease=self._lease,
            folder=repair_journal_folder(self.folder),
        )

    def _load(self, pages: PageJournal) -> None:
        """Load all pages, and close their journal. Raises LeaseLostError, and what Loader raises."""
        with contextlib.closing(pages):
            pages.journal.stop_appending()
            _PageLoader(
                database=self._database,
                lease=pages.lease,
                decode=decoder(self._history),
                journal=pages.journal,
                metrics=self.metrics,
                secondary=not self._feed.candles,
            ).run()
            with self._database.transaction() as cursor:
                self.renew(cursor)
                repair_ranges.mark_loaded(cursor, self._feed.name, pages.journal.journal_id)

    def _fetch(
        self,
        journal: PageJournal,
        histories: Mapping[str, History],
        within: Interval,
        gives_way: Callable[[Cursor], bool],
    ) -> bool:
        """Fetch until the journal must be loaded; returns whether there is more to fetch in this run."""
        while journal.bytes_waiting < LOAD_BYTES:
            with self._database.transaction() as cursor:
                self.renew(cursor)
                if gives_way(cursor):
                    return False
                range_ = repair_ranges.next_range(cursor, self._feed.name, tuple(histories), within)
            if range_ is None:
                return False
            if time.monotonic() >= self._ends_at:
                return False
            try:
                page = self._fetch_page(histories[range_.kind], range_)
            except _OutOfTimeError:
                return False
            except NotYetAvailableError as error:
                self._postpone(range_, _NOT_YET_AVAILABLE_DELAY, error)
            except TransientError as error:
                self._postpone(range_, min(_FIRST_DELAY * 2**range_.failures, _MAX_DELAY), error)
            except PermanentError as error:
                logger.warning("feed %s: %s", self._feed.name, error)
                with self._database.transaction() as cursor:
                    repair_ranges.fail(cursor, range_.repair_id, str(error))
            else:
                journal.append(range_, page)
        return True

    def _postpone(self, range_: Range, seconds: float, error: Exception) -> None:
        logger.warning("feed %s: retrying in %.0f s: %s", self._feed.name, seconds, error)
        with self._database.transaction() as cursor:
            repair_ranges.postpone(cursor, range_.repair_id, seconds=seconds, reason=str(error))

    def _fetch_page(self, history: History, range_: Range) -> Page:
        """Request the next page of a range, up to ATTEMPTS times. Raises HistoryError and _OutOfTimeError."""
        symbol, begin, end = range_.interval
        span = Span(symbol, self._asked.get(symbol, symbol), to_nanoseconds(begin), to_nanoseconds(end))
        cursor = range_.cursor if range_.cursor is not None else history.first(span)
        backoff = Backoff(base=self._first_delay, cap=60.0)
        for remaining in reversed(range(ATTEMPTS)):
            while True:
                request_id = self._reserve(range_.repair_id)
                try:
                    answer = self._client.get(history.request(span, cursor))
                    page = history.page(span, cursor, answer)
                except RateLimitedError as error:
                    # The pause is in the budget, so that other feeds with this key wait too.
                    pause = error.seconds * self.budget.minute / repair_budget.MINUTE
                    self._record_outcome(request_id, str(error), pause=pause)
                except TransientError as error:
                    self._record_outcome(request_id, str(error))
                    if not remaining:
                        raise
                    self._wait(backoff.next_delay())
                    break
                except (KeyRefusedError, HistoryError) as error:
                    self._record_outcome(request_id, str(error))
                    raise
                else:
                    self._record_outcome(request_id, f"{page.results} results")
                    return page
        raise AssertionError("the last attempt returns or raises")

    def _reserve(self, repair_id: int) -> int:
        """Wait until the budget allows a request, count it, and return its number. Raises _OutOfTimeError."""
        while True:
            with self._database.transaction() as cursor:
                self.renew(cursor)
                request_id = self.budget.reserve(cursor, repair_id=repair_id, owner=self._owner)
                wait = self.budget.wait(cursor) if request_id is None else 0.0
            if request_id is not None:
                return request_id
            self._wait(wait)

    def _record_outcome(self, request_id: int, outcome: str, *, pause: float | None = None) -> None:
        with self._database.transaction() as cursor:
            self.budget.record_outcome(cursor, request_id, outcome, pause=pause)

    def _wait(self, seconds: float) -> None:
        """Wait, sending heartbeats. Raises _OutOfTimeError if the run has less time left, or was stopped."""
        until = time.monotonic() + seconds
        if until > self._ends_at:
            raise _OutOfTimeError
        while (remaining := until - time.monotonic()) > 0:
            if self._stopping.wait(min(remaining, _HEARTBEAT_INTERVAL)):
                raise _OutOfTimeError
            if remaining > _HEARTBEAT_INTERVAL:
                with self._database.transaction() as cursor:
                    self.renew(cursor)


class _PageLoader(UnderRepairLease, Loader):
    """Loads the journal of a repair's pages."""

    _fetches = 0

    def _delivery(self, group: FrameGroup) -> Hashable:
        # Pages of a range continue each other: equal trades of a moment may be on two of them.
        repair_id, is_first = page_of(group)
        self._fetches += is_first
        return repair_id, self._fetches
