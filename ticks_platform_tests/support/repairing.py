"""For tests of repairs: feeds whose history the stand-in has, live frames, gaps, a process to kill."""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import time
import uuid
from collections.abc import Iterable
from datetime import datetime, timedelta, timezone
from functools import lru_cache
from pathlib import Path
from typing import Any

from ticks_platform.feeds.events import Frame
from ticks_platform.feeds.settings import FeedSettings
from ticks_platform.ingestion import lease as leases
from ticks_platform.ingestion.journal.journal import Journal
from ticks_platform.ingestion.loader import Loader
from ticks_platform.ingestion.metrics import Metrics
from ticks_platform.ingestion.repair import gaps as repair_gaps
from ticks_platform.ingestion.repair import ranges as repair_ranges
from ticks_platform.ingestion.repair.fetcher import Fetcher
from ticks_platform.ingestion.repair.gaps import ClosedGaps
from ticks_platform.ingestion.repair.page_journal import PageJournal
from ticks_platform.ingestion.repair.repair import Repair, Report
from ticks_platform.timescale.database import Database
from ticks_standin import StandIn, StandInSettings
from ticks_standin.account import MadeEvent

KEY = "TICKS_TEST_REPAIR_KEY"
MINUTE = timedelta(minutes=1)
FIELDS = "time, symbol, price, size, exchange, trade_id"


def manual_stand_in(**settings: Any) -> StandIn:
    """A stand-in that makes events on request only, and has them in its history; its trades are plain ones."""
    return StandIn(StandInSettings(**{"rate": 0, "history_events": 50_000, "polygon_tape": "plain", **settings}))


def polygon(stand_in: StandIn, *, symbols: Iterable[str] = ("AAPL",), **repair: Any) -> FeedSettings:
    """A feed of trades, which can be requested from the history at once."""
    return _feed("tape", "polygon", stand_in.url("polygon", key=None), symbols, repair)


def twelve_data(stand_in: StandIn, *, symbols: Iterable[str] = ("AAPL",), **repair: Any) -> FeedSettings:
    """A feed of prices, whose history has bars only."""
    return _feed("stocks", "twelve_data", stand_in.url("twelve_data", key=None), symbols, repair)


def _feed(name: str, provider: str, url: str, symbols: Iterable[str], repair: dict[str, Any]) -> FeedSettings:
    return FeedSettings.model_validate(
        {
            "name": name,
            "provider": provider,
            "endpoint": url,
            "synthetic_endpoint": True,
            "api_key_env": KEY,
            "symbols": list(symbols),
            "repair": {"delay_seconds": 0, "requests_per_minute": 1000, "requests_per_day": 1000, **repair},
        }
    )


def minutes_ago(count: float) -> datetime:
    """The begin of the minute so many minutes ago, seen from when the test first asks: a minute may end meanwhile."""
    return _first_minute(os.environ["PYTEST_CURRENT_TEST"].partition(" ")[0]) - count * MINUTE


@lru_cache(maxsize=1)
def _first_minute(_test: str) -> datetime:
    return repair_gaps.minute(datetime.now(timezone.utc))


def load_live(database: Database, feed: FeedSettings, events: Iterable[MadeEvent], folder: Path) -> Metrics:
    """Load these events as if the feed's ingestion had received them now, one per frame."""
    frames = [event.payload if feed.provider == "twelve_data" else b"[" + event.payload + b"]" for event in events]
    return load_frames(database, feed, folder, *frames)


def load_frames(database: Database, feed: FeedSettings, folder: Path, *frames: bytes) -> Metrics:
    """Load these frames as if the feed's ingestion had received them now."""
    with contextlib.closing(Journal(folder / f"{feed.name}.sqlite3", feed=feed.name, synthetic=True)) as journal:
        loader = live_loader(database, feed, journal)
        if frames:
            now = time.time_ns()
            journal.append([Frame(data, now, 1) for data in frames], epoch=loader._lease.epoch)
        journal.stop_appending()
        loader.run()
        return loader.metrics


def live_loader(database: Database, feed: FeedSettings, journal: Journal) -> Loader:
    """A loader of a feed's own journal, which takes the feed's lease."""
    with database.transaction() as cursor:
        lease = leases.take(
            cursor,
            feed=feed.name,
            provider=feed.provider,
            synthetic=True,
            owner=str(uuid.uuid4()),
            journal_id=journal.journal_id,
            journal_start=journal.start,
            journal_frames=journal.frames_trimmed,
        )
    journal.seek(lease.position, frames=lease.frames)
    return Loader(database=database, lease=lease, decode=feed.decoder(), journal=journal, metrics=Metrics())


def add_gap(database: Database, feed: FeedSettings, symbol: str, begin: datetime, end: datetime | None) -> int:
    """Add an open gap, and its feed if the database does not know it yet; returns its id."""
    with database.transaction() as cursor:
        leases.register_feed(cursor, feed=feed.name, provider=feed.provider, synthetic=True, candles=feed.candles)
        cursor.execute(
            "INSERT INTO ticks_platform.feed_gap (feed, symbol, begins_at, ends_at, cause) "
            "VALUES (%s, %s, %s, %s, 'disconnected') RETURNING gap_id",
            (feed.name, symbol, begin, end),
        )
        (gap_id,) = cursor.fetchone() or (0,)
        return int(gap_id)


def repair(database: Database, feed: FeedSettings, folder: Path, **options: Any) -> Report:
    """Repair everything that can be repaired within 30 s."""
    run = {name: options.pop(name) for name in ("seconds", "gaps", "intervals") if name in options}
    history = feed.history()
    assert history is not None
    options = {"owner": str(uuid.uuid4()), "backoff": 0.05, **options}
    return Repair(feed=feed, history=history, database=database, folder=folder, **options).run(
        **{"seconds": 30.0, **run}
    )


def close_gaps(database: Database, feed: FeedSettings) -> ClosedGaps:
    """Close the gaps, as after a refresh of the candles."""
    history = feed.history()
    assert history is not None
    with database.transaction() as cursor:
        return repair_gaps.close_gaps(cursor, feed.name, history)


PLACES = {
    "appended": (PageJournal, "_sync"),
    "recorded": (Fetcher, "_load"),
    "committed": (repair_ranges, "mark_loaded"),
}
"""Where a repair can kill itself: a page is appended, but not recorded; it is recorded, but not loaded; it is loaded,
but not marked as loaded."""


def die(place: str, *, at: int) -> None:
    """Let this process kill itself when it gets to this place for the `at`-th time."""
    where, name = PLACES[place]
    work, calls = getattr(where, name), itertools.count(1)

    def work_or_die(*arguments: Any) -> Any:
        if next(calls) == at:
            os.kill(os.getpid(), signal.SIGKILL)
        return work(*arguments)

    setattr(where, name, work_or_die)


def main(url: str, folder: Path, feed: dict[str, object], end: tuple[str, int] | None = None) -> None:
    """Repair a feed, in a process that may be killed; `end` is the place and the time at which it kills itself."""
    if end is not None:
        place, at = end
        die(place, at=at)
    repair(Database(url), FeedSettings.model_validate(feed), folder)
