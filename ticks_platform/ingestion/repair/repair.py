"""The repair of a feed: plans the ranges that its gaps miss, fetches them and loads them.

It may be killed at any moment, and the next run continues: ranges and requests are in the database, and pages that are
not loaded yet are in a journal.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from ticks_platform.feeds.history import History
from ticks_platform.feeds.settings import FeedSettings
from ticks_platform.ingestion.repair import budget as repair_budget
from ticks_platform.ingestion.repair import gaps as repair_gaps
from ticks_platform.ingestion.repair import past
from ticks_platform.ingestion.repair import ranges as repair_ranges
from ticks_platform.ingestion.repair.fetcher import Fetcher
from ticks_platform.ingestion.repair.ranges import SymbolInterval
from ticks_platform.paths import state_dir
from ticks_platform.timescale.database import Database
from ticks_platform.timestamps import EPOCH

PAST_SECONDS = 60.0
"""From then on a run begins with no further hour of the past, so that what it has is refreshed and proven soon."""


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
    given_up: int = 0
    """Gaps that the provider's history does not reach."""


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
        """The parameters are those of a Fetcher."""
        self._feed = feed
        self._history = history
        self._database = database
        self._owner = owner
        self._gaps: set[int] = set()
        # Those that were planned.
        self._given_up = 0
        self._fetcher = Fetcher(
            feed=feed,
            history=history,
            database=database,
            owner=owner,
            folder=folder,
            minute=minute,
            backoff=backoff,
        )

    def stop(self) -> None:
        """Let `run` return soon. Safe from any thread."""
        self._fetcher.stop()

    def run(self, *, seconds: float, gaps: bool = True, intervals: Sequence[SymbolInterval] = ()) -> Report:
        """Fetch repairable gaps (if `gaps`), these intervals and unfinished ranges, for up to about `seconds`.

        With `gaps` also the hours before symbols were added, one after the other, for a minute or until gaps come up.
        Raises RepairInUseError, MixedDatabaseError, KeyRefusedError, LeaseLostError, and what a Journal raises.
        """
        began = time.monotonic()
        with self._fetcher as fetcher:
            added = self._plan(gaps, intervals)
            while True:
                fetcher.run(repair_gaps.histories_of_gaps(self._history), ends_at=began + seconds)
                in_time = time.monotonic() < began + min(seconds, PAST_SECONDS)
                more = self._plan_past() if gaps and in_time and not fetcher.is_stopping else 0
                if not more:
                    break
                added += more
        with self._database.transaction() as cursor:
            repair_budget.forget_old(cursor)
            left = repair_ranges.count_unfinished(cursor, self._feed.name)
            metrics = fetcher.metrics
            return Report(
                repair_budget.count_requests(cursor, self._owner),
                metrics.loaded,
                metrics.replaced,
                metrics.duplicate,
                metrics.rejected,
                added,
                left,
                fetcher.budget.wait(cursor) if left else 0.0,
                self._given_up,
            )

    def _plan(self, gaps: bool, intervals: Sequence[SymbolInterval]) -> int:
        feed, limits = self._feed.name, repair_gaps.age_limits(self._feed, self._history)
        with self._database.transaction() as cursor:
            self._fetcher.renew(cursor)
            added = repair_ranges.add(cursor, feed, self._history.kind, intervals)
            if gaps:
                self._given_up += repair_gaps.give_up_old(cursor, feed, limits)
                self._given_up += repair_gaps.give_up_unknown(cursor, feed, self._history)
                folder = self._fetcher.folder
                repairable = repair_gaps.repairable(cursor, self._feed, self._history, folder)
                self._gaps = {part.gap.gap_id for part in repairable}
                for kind, missing in repair_gaps.intervals_to_fetch(repairable, self._history).items():
                    added += repair_ranges.add(cursor, feed, kind, missing)
            return added

    def _plan_past(self) -> int:
        with self._database.transaction() as cursor:
            self._fetcher.renew(cursor)
            folder = self._fetcher.folder
            hour = past.next_hour(cursor, self._feed, self._history, folder)
            if hour:
                found = repair_gaps.repairable(cursor, self._feed, self._history, folder)
                if not self._gaps.issuperset(part.gap.gap_id for part in found):
                    return 0  # the next run plans them first
            return repair_ranges.add(cursor, self._feed.name, self._history.kind, hour)


def whole_minutes(feed: FeedSettings, history: History, *, now: datetime) -> tuple[datetime, datetime]:
    """The first and the last moment between which all minutes can be requested at a time."""
    since = repair_gaps.minute(EPOCH + timedelta(seconds=history.since, minutes=1, microseconds=-1))
    return since, repair_gaps.minute(now - repair_gaps.age_limits(feed, history).youngest)


class Due(NamedTuple):
    """Whether a repair of a feed has anything to do now."""

    is_due: bool
    reason: str


def due(database: Database, feed: FeedSettings, history: History | None, folder: Path | None = None) -> Due:
    """Whether there are gaps to close, or ranges or hours to fetch, and the budget allows a request soon."""
    with database.transaction() as cursor:
        if history is None:
            gaps = repair_gaps.open_gaps(cursor, feed.name)
            return Due(bool(gaps), f"{len(gaps)} open gaps without a history" if gaps else "no open gaps")
        if repair_ranges.count_fetched(cursor, feed.name):
            return Due(True, "fetched ranges must be loaded, and their gaps closed")
        wanted = repair_gaps.wanted_requests(cursor, feed, history, folder or state_dir() / "journal")
        if wanted is None:
            hour = past.next_hour(cursor, feed, history, folder or state_dir() / "journal")
            if not hour:
                return Due(False, "nothing to repair")
            wanted = f"{hour[0].begin:%Y-%m-%d %H:%M} UTC, before {len(hour)} symbols were added, can be fetched"
        wait = repair_budget.of(feed, history).wait(cursor)
    if wait > repair_budget.MAX_INITIAL_WAIT:
        return Due(False, f"the budget allows the next request in {wait:.0f} s")
    return Due(True, wanted)
