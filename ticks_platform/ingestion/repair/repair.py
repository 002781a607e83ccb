"""The repair of a feed: asks the provider's history for what is wanted, within its budget, and loads the answers.

It may be ended at any moment, and goes on where it was: what is wanted, what was fetched and what was spent is in the
database, and what was fetched and not loaded in a journal.
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
from ticks_platform.ingestion.repair.filing import Filing, journals_of_repairs
from ticks_platform.ingestion.repair.gaps import Limits
from ticks_platform.ingestion.repair.ranges import Range, Stretch
from ticks_platform.paths import state_dir
from ticks_platform.timescale.database import Database
from ticks_platform.timestamps import EPOCH, to_nanoseconds

logger = logging.getLogger(__name__)

LOADED_AT_ONCE = 32 << 20
"""Bytes of pages that may wait in the journal before they are loaded."""

ATTEMPTS = 4
"""Times that a page is asked for in a row while the provider is in trouble, before its range is left for later."""

_LATER = 900.0
"""Seconds until something is asked for again that the provider did not have yet."""
_LONGEST_LATER = 3600.0
_SOON = 60.0
"""Seconds that a run may begin with waiting."""
_BEAT = 5.0
"""Seconds between heartbeats while it waits."""


class Report(NamedTuple):
    """What one run of a repair did."""

    requests: int
    loaded: int
    """New rows."""
    replaced: int
    duplicate: int
    """Trades that were there already."""
    rejected: int
    wanted: int
    """Ranges that were added to what is wanted."""
    left: int
    """Ranges that are not fetched to their end."""
    waits: float
    """Seconds until the budget allows the next request, if something is left."""


class _OutOfTimeError(Exception):
    """The next run has to go on."""


class Repair:
    """One owner's repair of one feed."""

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
        """`folder` is that of the feed's journals; `minute` how long the provider's minute is, `backoff` the first wait
        after trouble, both in seconds."""
        self._feed = feed
        self._history = history
        self._database = database
        self._owner = owner
        self._folder = folder or state_dir() / "journal"
        self._budget = budget(feed, history, minute=minute)
        self._asked = feed.asked_symbols()
        self._client = HistoryClient()
        self._metrics = Metrics()
        self._first_wait = backoff
        self._stopping = threading.Event()
        self._lease: Lease
        self._ends_at = 0.0

    def stop(self) -> None:
        """End soon. Safe from any thread."""
        self._stopping.set()

    def run(self, *, seconds: float, gaps: bool = True, stretches: Sequence[Stretch] = ()) -> Report:
        """Work for about so many seconds at the most on the `gaps` that are ripe, these stretches, and what is left.

        Raises RepairInUseError, MixedDatabaseError, KeyRefusedError, LeaseLostError, and what a Journal raises.
        """
        self._ends_at = time.monotonic() + seconds
        feed = self._feed
        with self._database.transaction() as cursor:
            self._lease = repair_lease.take(
                cursor, feed=feed.name, provider=feed.provider, synthetic=feed.synthetic, owner=self._owner
            )
        try:
            added = self._plan(gaps, stretches)
            self._work()
        finally:
            self._client.close()
            with self._database.transaction() as cursor:
                repair_lease.release(cursor, self._lease)
        with self._database.transaction() as cursor:
            repair_budget.forget_old(cursor)
            left = repair_ranges.left(cursor, feed.name)
            metrics = self._metrics
            return Report(
                repair_budget.spent(cursor, self._owner),
                metrics.loaded,
                metrics.replaced,
                metrics.duplicate,
                metrics.rejected,
                added,
                left,
                self._budget.wait(cursor) if left else 0.0,
            )

    def _plan(self, gaps: bool, stretches: Sequence[Stretch]) -> int:
        feed, limits = self._feed.name, limits_of(self._feed, self._history)
        with self._database.transaction() as cursor:
            repair_lease.hold(cursor, self._lease)
            wanted = list(stretches)
            if gaps:
                repair_gaps.give_up_old(cursor, feed, limits)
                repair_gaps.give_up_unknown(cursor, feed, self._history)
                ripe = repair_gaps.ripe(cursor, feed, self._history, limits, self._folder)
                wanted += repair_gaps.wanted(ripe, self._history)
            return repair_ranges.want(cursor, feed, self._history.kind, wanted)

    def _work(self) -> None:
        """Fetch and load in turns. What was fetched before a kill is loaded first, and whatever ends this as well."""
        while True:
            filing = self._open()
            try:
                goes_on = self._fetch(filing)
            except HistoryError:
                filing.load()
                raise
            except BaseException:
                filing.close()
                raise
            filing.load()
            if not goes_on:
                return

    def _open(self) -> Filing:
        return Filing(
            feed=self._feed,
            history=self._history,
            database=self._database,
            lease=self._lease,
            metrics=self._metrics,
            folder=journals_of_repairs(self._folder),
        )

    def _fetch(self, filing: Filing) -> bool:
        """Fetch until the journal should be loaded; returns whether there is more to fetch in this run."""
        while filing.bytes_waiting < LOADED_AT_ONCE:
            with self._database.transaction() as cursor:
                repair_lease.hold(cursor, self._lease)
                wanted = repair_ranges.due(cursor, self._feed.name)
            if wanted is None:
                return False
            try:
                page = self._page(wanted)
            except _OutOfTimeError:
                return False
            except NotYetAvailableError as error:
                self._postpone(wanted, _LATER, error)
            except TransientError as error:
                self._postpone(wanted, min(60.0 * 2**wanted.failures, _LONGEST_LATER), error)
            except PermanentError as error:
                logger.warning("feed %s: %s", self._feed.name, error)
                with self._database.transaction() as cursor:
                    repair_ranges.fail(cursor, wanted.repair_id, str(error))
            else:
                filing.file(wanted, page)
        return True

    def _postpone(self, wanted: Range, seconds: float, error: Exception) -> None:
        logger.warning("feed %s: not now, but in %.0f s: %s", self._feed.name, seconds, error)
        with self._database.transaction() as cursor:
            repair_ranges.postpone(cursor, wanted.repair_id, seconds=seconds, reason=str(error))

    def _page(self, wanted: Range) -> Page:
        """The next page of a range, after as many attempts as that takes. Raises HistoryError and _OutOfTimeError."""
        symbol, begin, end = wanted.stretch
        span = Span(symbol, self._asked.get(symbol, symbol), to_nanoseconds(begin), to_nanoseconds(end))
        cursor = wanted.cursor if wanted.cursor is not None else self._history.first(span)
        backoff = Backoff(base=self._first_wait, cap=60.0)
        for remaining in reversed(range(ATTEMPTS)):
            while True:
                request_id = self._reserve(wanted.repair_id)
                try:
                    answer = self._client.get(self._history.request(span, cursor))
                    page = self._history.page(span, cursor, answer)
                except RateLimitedError as error:
                    # It is the budget that waits: nobody else is to ask meanwhile either.
                    self._note(request_id, str(error), pause=error.seconds * self._budget.minute / repair_budget.MINUTE)
                except TransientError as error:
                    self._note(request_id, str(error))
                    if not remaining:
                        raise
                    self._wait(backoff.next_delay())
                    break
                except (KeyRefusedError, HistoryError) as error:
                    self._note(request_id, str(error))
                    raise
                else:
                    self._note(request_id, f"{page.results} results")
                    return page
        raise AssertionError("the last attempt returns or raises")

    def _reserve(self, repair_id: int) -> int:
        """Wait until the budget allows a request, and count it."""
        while True:
            with self._database.transaction() as cursor:
                repair_lease.hold(cursor, self._lease)
                request_id = self._budget.reserve(cursor, repair_id=repair_id, owner=self._owner)
                wait = self._budget.wait(cursor) if request_id is None else 0.0
            if request_id is not None:
                return request_id
            self._wait(wait)

    def _note(self, request_id: int, outcome: str, *, pause: float | None = None) -> None:
        with self._database.transaction() as cursor:
            self._budget.note(cursor, request_id, outcome, pause=pause)

    def _wait(self, seconds: float) -> None:
        """Wait, and stay alive meanwhile. Raises _OutOfTimeError when that would take longer than this run has."""
        until = time.monotonic() + seconds
        if until > self._ends_at:
            raise _OutOfTimeError
        while (remaining := until - time.monotonic()) > 0:
            if self._stopping.wait(min(remaining, _BEAT)):
                raise _OutOfTimeError
            if remaining > _BEAT:
                with self._database.transaction() as cursor:
                    repair_lease.hold(cursor, self._lease)


def budget(feed: FeedSettings, history: History, *, minute: float = repair_budget.MINUTE) -> Budget:
    """What a feed's repair may ask: as feeds.yaml says, or as the provider's smallest plan allows."""
    settings = feed.repair
    return Budget(
        f"{feed.provider} {feed.api_key_env or feed.name}",
        settings.requests_per_minute or history.requests_per_minute,
        settings.requests_per_day or history.requests_per_day,
        minute,
    )


def limits_of(feed: FeedSettings, history: History) -> Limits:
    """Of what age a feed's events can be asked for."""
    settings = feed.repair
    delay = history.delay if settings.delay_seconds is None else settings.delay_seconds
    return Limits(timedelta(seconds=delay), timedelta(days=settings.give_up_after_days or history.reach_days))


def whole_minutes(feed: FeedSettings, history: History) -> tuple[datetime, datetime]:
    """From when to when all minutes can be asked for by now."""
    since = repair_gaps.minute(EPOCH + timedelta(seconds=history.since, minutes=1, microseconds=-1))
    return since, repair_gaps.minute(datetime.now(timezone.utc) - limits_of(feed, history).youngest)


class Due(NamedTuple):
    """Whether a repair of a feed has something to do now."""

    is_due: bool
    reason: str


def due(database: Database, feed: FeedSettings, history: History | None, folder: Path | None = None) -> Due:
    """Whether there are gaps to settle or ranges to go on with, and the budget allows the next request soon."""
    with database.transaction() as cursor:
        if history is None:
            gaps = repair_gaps.open_gaps(cursor, feed.name)
            return Due(bool(gaps), f"{len(gaps)} open gaps of which there is no history" if gaps else "no open gap")
        limits = limits_of(feed, history)
        ripe = repair_gaps.ripe(cursor, feed.name, history, limits, folder or state_dir() / "journal")
        wanted = repair_ranges.due(cursor, feed.name)
        if repair_ranges.unsettled(cursor, feed.name):
            return Due(True, "what was fetched is to be settled")
        if not ripe and wanted is None:
            return Due(False, "nothing to repair")
        wait = budget(feed, history).wait(cursor)
    if wait > _SOON:
        return Due(False, f"its budget allows the next request in {wait:.0f} s")
    return Due(True, f"{len(ripe)} gaps can be repaired" if ripe else "what was begun goes on")
