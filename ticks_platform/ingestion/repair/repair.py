"""The repair of a feed: fetches ranges from the provider's history, within its budget, and loads them.

It may be killed at any moment, and the next run continues: ranges and requests are in the database, and pages that are
not loaded yet are in a journal.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import NamedTuple

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
from ticks_platform.ingestion.lease import Lease
from ticks_platform.ingestion.metrics import Metrics
from ticks_platform.ingestion.repair import budget as repair_budget
from ticks_platform.ingestion.repair import gaps as repair_gaps
from ticks_platform.ingestion.repair import lease as repair_lease
from ticks_platform.ingestion.repair import ranges as repair_ranges
from ticks_platform.ingestion.repair.budget import Budget
from ticks_platform.ingestion.repair.gaps import AgeLimits
from ticks_platform.ingestion.repair.page_journal import PageJournal, repair_journal_folder
from ticks_platform.ingestion.repair.ranges import Range, SymbolInterval
from ticks_platform.paths import state_dir
from ticks_platform.timescale.database import Database
from ticks_platform.timestamps import EPOCH, to_nanoseconds

logger = logging.getLogger(__name__)

LOAD_BYTES = 32 << 20
"""Bytes of pages that are appended to the journal before they are loaded."""

ATTEMPTS = 4
"""How often a page is requested in a row, if requests fail, before its range is postponed."""

_NOT_YET_AVAILABLE_DELAY = 900.0
"""Seconds until a retry if the provider does not have the data yet."""

_FIRST_DELAY, _MAX_DELAY = 60.0, 3600.0
"""Seconds until a retry after a temporary error; doubled with each further one."""

_MAX_INITIAL_WAIT = 60.0
"""Seconds that a run may wait for its first request; if it would take longer, no run is due."""

_HEARTBEAT_INTERVAL = 5.0
"""Seconds between heartbeats while it waits."""


class Report(NamedTuple):
    """Numbers of one run of a repair."""

    requests: int
    loaded: int
    """New rows."""
    replaced: int
    duplicate: int
    """Trades that were stored already."""
    rejected: int
    added: int
    """New ranges to fetch."""
    left: int
    """Ranges that are not completely fetched."""
    wait_seconds: float
    """Seconds until the budget allows the next request; 0 if no range is left."""


class _OutOfTimeError(Exception):
    """The run's time is over; the next run continues."""


class Repair:
    """One run of a feed's repair."""

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
        self._feed = feed
        self._history = history
        self._database = database
        self._owner = owner
        self._folder = folder or state_dir() / "journal"
        self._budget = budget(feed, history, minute=minute)
        self._asked = feed.asked_symbols()
        self._client = HistoryClient()
        self._metrics = Metrics()
        self._first_delay = backoff
        self._stopping = threading.Event()
        self._lease: Lease
        self._ends_at = 0.0

    def stop(self) -> None:
        """Let `run` return soon. Safe from any thread."""
        self._stopping.set()

    def run(self, *, seconds: float, gaps: bool = True, intervals: Sequence[SymbolInterval] = ()) -> Report:
        """Fetch repairable gaps (if `gaps`), these intervals and unfinished ranges, for up to about `seconds`.

        Raises RepairInUseError, MixedDatabaseError, KeyRefusedError, LeaseLostError, and what a Journal raises.
        """
        self._ends_at = time.monotonic() + seconds
        feed = self._feed
        with self._database.transaction() as cursor:
            self._lease = repair_lease.take(
                cursor, feed=feed.name, provider=feed.provider, synthetic=feed.synthetic, owner=self._owner
            )
        try:
            added = self._plan(gaps, intervals)
            self._fetch_and_load()
        finally:
            self._client.close()
            with self._database.transaction() as cursor:
                repair_lease.release(cursor, self._lease)
        with self._database.transaction() as cursor:
            repair_budget.forget_old(cursor)
            left = repair_ranges.count_unfinished(cursor, feed.name)
            metrics = self._metrics
            return Report(
                repair_budget.count_requests(cursor, self._owner),
                metrics.loaded,
                metrics.replaced,
                metrics.duplicate,
                metrics.rejected,
                added,
                left,
                self._budget.wait(cursor) if left else 0.0,
            )

    def _plan(self, gaps: bool, intervals: Sequence[SymbolInterval]) -> int:
        feed, limits = self._feed.name, age_limits(self._feed, self._history)
        with self._database.transaction() as cursor:
            repair_lease.renew(cursor, self._lease)
            intervals = list(intervals)
            if gaps:
                repair_gaps.give_up_old(cursor, feed, limits)
                repair_gaps.give_up_unknown(cursor, feed, self._history)
                repairable = repair_gaps.repairable(cursor, feed, self._history, limits, self._folder)
                intervals += repair_gaps.intervals_to_fetch(repairable, self._history)
            return repair_ranges.add(cursor, feed, self._history.kind, intervals)

    def _fetch_and_load(self) -> None:
        """Fetch and load alternately; pages that a killed run left are loaded first.

        Fetched pages are loaded even if a request fails.
        """
        while True:
            journal = self._open_journal()
            try:
                has_more = self._fetch(journal)
            except HistoryError:
                journal.load()
                raise
            except BaseException:
                journal.close()
                raise
            journal.load()
            if not has_more:
                return

    def _open_journal(self) -> PageJournal:
        return PageJournal(
            feed=self._feed,
            history=self._history,
            database=self._database,
            lease=self._lease,
            metrics=self._metrics,
            folder=repair_journal_folder(self._folder),
        )

    def _fetch(self, journal: PageJournal) -> bool:
        """Fetch until the journal must be loaded; returns whether there is more to fetch in this run."""
        while journal.bytes_waiting < LOAD_BYTES:
            with self._database.transaction() as cursor:
                repair_lease.renew(cursor, self._lease)
                range_ = repair_ranges.next_range(cursor, self._feed.name)
            if range_ is None:
                return False
            try:
                page = self._fetch_page(range_)
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

    def _fetch_page(self, range_: Range) -> Page:
        """Request the next page of a range, up to ATTEMPTS times. Raises HistoryError and _OutOfTimeError."""
        symbol, begin, end = range_.interval
        span = Span(symbol, self._asked.get(symbol, symbol), to_nanoseconds(begin), to_nanoseconds(end))
        cursor = range_.cursor if range_.cursor is not None else self._history.first(span)
        backoff = Backoff(base=self._first_delay, cap=60.0)
        for remaining in reversed(range(ATTEMPTS)):
            while True:
                request_id = self._reserve(range_.repair_id)
                try:
                    answer = self._client.get(self._history.request(span, cursor))
                    page = self._history.page(span, cursor, answer)
                except RateLimitedError as error:
                    # The pause is in the budget, so that other feeds with this key wait too.
                    pause = error.seconds * self._budget.minute / repair_budget.MINUTE
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
                repair_lease.renew(cursor, self._lease)
                request_id = self._budget.reserve(cursor, repair_id=repair_id, owner=self._owner)
                wait = self._budget.wait(cursor) if request_id is None else 0.0
            if request_id is not None:
                return request_id
            self._wait(wait)

    def _record_outcome(self, request_id: int, outcome: str, *, pause: float | None = None) -> None:
        with self._database.transaction() as cursor:
            self._budget.record_outcome(cursor, request_id, outcome, pause=pause)

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
                    repair_lease.renew(cursor, self._lease)


def budget(feed: FeedSettings, history: History, *, minute: float = repair_budget.MINUTE) -> Budget:
    """The limits of a feed's requests: those of feeds.yaml, or of the provider's smallest plan."""
    settings = feed.repair
    return Budget(
        f"{feed.provider} {feed.api_key_env or feed.name}",
        settings.requests_per_minute or history.requests_per_minute,
        settings.requests_per_day or history.requests_per_day,
        minute,
    )


def age_limits(feed: FeedSettings, history: History) -> AgeLimits:
    """The ages of a feed's events that can be requested."""
    settings = feed.repair
    delay = history.delay if settings.delay_seconds is None else settings.delay_seconds
    return AgeLimits(timedelta(seconds=delay), timedelta(days=settings.give_up_after_days or history.reach_days))


def whole_minutes(feed: FeedSettings, history: History) -> tuple[datetime, datetime]:
    """The first and the last moment between which all minutes can be requested now."""
    since = repair_gaps.minute(EPOCH + timedelta(seconds=history.since, minutes=1, microseconds=-1))
    return since, repair_gaps.minute(datetime.now(timezone.utc) - age_limits(feed, history).youngest)


class Due(NamedTuple):
    """Whether a repair of a feed has anything to do now."""

    is_due: bool
    reason: str


def due(database: Database, feed: FeedSettings, history: History | None, folder: Path | None = None) -> Due:
    """Whether there are gaps to close or ranges to fetch, and the budget allows a request soon."""
    with database.transaction() as cursor:
        if history is None:
            gaps = repair_gaps.open_gaps(cursor, feed.name)
            return Due(bool(gaps), f"{len(gaps)} open gaps without a history" if gaps else "no open gaps")
        limits = age_limits(feed, history)
        repairable = repair_gaps.repairable(cursor, feed.name, history, limits, folder or state_dir() / "journal")
        range_ = repair_ranges.next_range(cursor, feed.name)
        if repair_ranges.count_fetched(cursor, feed.name):
            return Due(True, "fetched ranges must be loaded, and their gaps closed")
        if not repairable and range_ is None:
            return Due(False, "nothing to repair")
        wait = budget(feed, history).wait(cursor)
    if wait > _MAX_INITIAL_WAIT:
        return Due(False, f"the budget allows the next request in {wait:.0f} s")
    return Due(True, f"{len(repairable)} gaps can be repaired" if repairable else "unfinished ranges")
