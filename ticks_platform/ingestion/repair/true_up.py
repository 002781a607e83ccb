"""The true-up of a day: after its end, trades that were cancelled, corrected or missed are found and fetched again.

Providers take trades back without a word on the WebSocket. By `bars`, each symbol's minute bars of the day are fetched,
one request a symbol; candles that differ from them have the trades of their minutes fetched again. By `trades`, all
trades of the day are. Both go through the journal and the loader of repairs, so that known trades are duplicates.

A run may be killed at any moment, and the next one continues: what each symbol waits for is in `feed_true_up`, and what
was fetched in `feed_repair`, where no range is fetched twice.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ticks_platform.feeds.history import History
from ticks_platform.feeds.settings import FeedSettings
from ticks_platform.ingestion.repair import budget as repair_budget
from ticks_platform.ingestion.repair import lease as repair_lease
from ticks_platform.ingestion.repair import ranges as repair_ranges
from ticks_platform.ingestion.repair import true_up_days as days
from ticks_platform.ingestion.repair.fetcher import Fetcher
from ticks_platform.ingestion.repair.ranges import Interval, SymbolInterval
from ticks_platform.timescale import server_clock, sql_files
from ticks_platform.timescale.candles import candles, late_ticks
from ticks_platform.timescale.candles.candles import ONE_DAY
from ticks_platform.timescale.database import Database

if TYPE_CHECKING:
    from psycopg2.extensions import cursor as Cursor  # noqa: N812

_FILLED = 0.8
"""Part of a page that minutes to be fetched together may fill with our ticks: the provider may have more of them."""

_MINUTE = timedelta(minutes=1)


def run(
    *,
    feed: FeedSettings,
    history: History,
    database: Database,
    day: date,
    owner: str,
    seconds: float = 1500.0,
    folder: Path | None = None,
    now: datetime | None = None,
    minute: float = repair_budget.MINUTE,
    backoff: float = 2.0,
) -> days.Report:
    """Make the true-up of a trading day, for up to about `seconds`; the next run continues.

    `day` may be any day in the past of which the database has ticks. `history` is `feed.history()`, or that of
    `local_feeds` for the stand-in; its requests are made over HTTP, within the budget. `now` replaces the time at which
    the day has to be over. The other parameters are those of a Fetcher. Gaps that can be repaired come first: it ends
    with symbols left then, unless the feed's `repair.enabled` is false.

    ```python
    report = true_up.run(feed=feed, history=feed.history(), database=database, day=date(2026, 3, 3), owner="me")
    assert not report.left
    ```

    Raises what `fetch` raises.
    """
    if now is None:
        with database.transaction() as cursor:
            now = server_clock.now(cursor)
    reason = days.obstacle(feed, history) or days.not_yet(feed, history, day, now=now)
    if reason is not None:
        return _report(database, feed, day)._replace(reason=reason)
    ends_at, loaded = time.monotonic() + seconds, 0
    while True:
        fetched = fetch(
            feed=feed,
            history=history,
            database=database,
            day=day,
            owner=owner,
            seconds=ends_at - time.monotonic(),
            folder=folder,
            minute=minute,
            backoff=backoff,
        )
        loaded += fetched.loaded
        if not settle(feed=feed, history=history, database=database, day=day, owner=owner):
            return fetched._replace(loaded=loaded)


def fetch(
    *,
    feed: FeedSettings,
    history: History,
    database: Database,
    day: date,
    owner: str,
    seconds: float,
    folder: Path | None = None,
    minute: float = repair_budget.MINUTE,
    backoff: float = 2.0,
) -> days.Report:
    """Fetch and load what the symbols of a day wait for. It ends early where gaps can be repaired: they come first.

    Raises RepairInUseError, MixedDatabaseError, KeyRefusedError, LeaseLostError, and what a Journal raises.
    """
    bars = history.bars()
    histories = {days.TRADES: history} if bars is None else {days.TRADES: history, days.BARS: bars}
    with Fetcher(
        feed=feed, history=history, database=database, owner=owner, folder=folder, minute=minute, backoff=backoff
    ) as fetcher:

        def gives_way(cursor: Cursor) -> bool:
            return days.gaps_come_first(cursor, feed, history, fetcher.folder) is not None

        with database.transaction() as cursor:
            fetcher.renew(cursor)
            _plan(cursor, feed, history, day)
        fetcher.run(
            histories,
            ends_at=time.monotonic() + seconds,
            within=days.extended_hours(feed, day),
            gives_way=gives_way,
        )
    with database.transaction() as cursor:
        repair_budget.forget_old(cursor)
        requests = repair_budget.count_requests(cursor, owner)
        wait = fetcher.budget.wait(cursor)
    report = _report(database, feed, day)
    return report._replace(requests=requests, loaded=fetcher.metrics.loaded, wait_seconds=wait if report.left else 0.0)


def _plan(cursor: Cursor, feed: FeedSettings, history: History, day: date) -> None:
    """Add the symbols of a day that are not there yet, and what is to be fetched for them."""
    spans = days.spans(feed, history, day)
    cursor.execute(
        sql_files.read("queries/true_up/add_symbols.sql"),
        {
            "feed": feed.name,
            "day": day,
            "mode": feed.true_up,
            "symbols": [span.symbol for span in spans],
            "begins": [span.begin for span in spans],
            "ends": [span.end for span in spans],
        },
    )
    added = [SymbolInterval(*row) for row in cursor.fetchall()]
    repair_ranges.add(cursor, feed.name, days.BARS if feed.true_up == "bars" else days.TRADES, added)


def settle(*, feed: FeedSettings, history: History, database: Database, day: date, owner: str) -> int:
    """Compare the symbols of a day for which all is loaded, after their candles are refreshed; returns how many.

    Those whose candles differ from the bars wait for the trades of these minutes from now on, the others are done.
    Raises RepairInUseError.
    """
    with database.transaction() as cursor:
        ready = days.ready_symbols(cursor, feed, day)
    if not ready:
        return 0
    with database.autocommit() as cursor:
        first, last = min(each.begins_at for each in ready), max(each.ends_at for each in ready)
        late_ticks.refresh_days(
            cursor,
            candles.floor(first, ONE_DAY),
            candles.floor(last + ONE_DAY.bucket - timedelta(microseconds=1), ONE_DAY),
        )
    with database.transaction() as cursor:
        # Ranges are added by the owner of the lease only.
        lease = repair_lease.take(
            cursor,
            feed=feed.name,
            provider=feed.provider,
            synthetic=feed.synthetic,
            candles=feed.candles,
            owner=owner,
        )
        found = _compare(cursor, feed, history, [each for each in ready if each.mode == "bars" and not each.error])
        corrections = _corrections(cursor, feed, (first, last))
        for each in ready:
            _settle(cursor, feed, history, day, each, found.get(each.symbol, _NOTHING), corrections.get(each.symbol, 0))
        repair_lease.release(cursor, lease)
    return len(ready)


class _Compared(NamedTuple):
    """The candles of a symbol beside its bars."""

    minutes: int
    differing: Sequence[datetime]
    problems: Sequence[str]
    ticks_before: Sequence[int]
    """Our ticks of the day before each minute that differs."""
    ticks_through: Sequence[int]


_NOTHING = _Compared(0, [], [], [], [])


def _compare(cursor: Cursor, feed: FeedSettings, history: History, ready: Sequence[days.Ready]) -> dict[str, _Compared]:
    if not ready:
        return {}
    # A stand-in may have forgotten the beginning meanwhile.
    since = days.first_minute(history)
    cursor.execute(
        sql_files.read("queries/true_up/compare.sql"),
        {
            "feed": feed.name,
            "symbols": [each.symbol for each in ready],
            "begins": [max(each.begins_at, since) for each in ready],
            "ends": [each.ends_at for each in ready],
            "begin": min(each.begins_at for each in ready),
            "end": max(each.ends_at for each in ready),
        },
    )
    return {symbol: _Compared(*found) for symbol, *found in cursor.fetchall()}


def _corrections(cursor: Cursor, feed: FeedSettings, within: Interval) -> dict[str, int]:
    parameters = {"feed": feed.name, "begin": within[0], "end": within[1]}
    cursor.execute(sql_files.read("queries/true_up/corrections.sql"), parameters)
    return dict(cursor.fetchall())


def _settle(
    cursor: Cursor,
    feed: FeedSettings,
    history: History,
    day: date,
    ready: days.Ready,
    found: _Compared,
    corrections: int,
) -> None:
    key = {"feed": feed.name, "day": day, "symbol": ready.symbol}
    if ready.state == "wanted" and ready.mode == "bars" and found.differing and ready.error is None:
        cursor.execute(
            sql_files.read("queries/true_up/record_difference.sql"),
            {**key, "compared": found.minutes, "minutes": list(found.differing)},
        )
        repair_ranges.add(cursor, feed.name, days.TRADES, _to_fetch(ready.symbol, found, history.results_per_page))
        return
    compares = ready.mode == "bars" and ready.error is None
    problems = [f"{at:%H:%M} {what}" for at, what in zip(found.differing, found.problems, strict=True)]
    shown = ", ".join(problems[:10]) + (f" and {len(problems) - 10} more" if len(problems) > 10 else "")
    cursor.execute(
        sql_files.read("queries/true_up/record_result.sql"),
        {
            **key,
            "state": "done" if ready.error is None else "failed",
            "compared": found.minutes if compares else None,
            "still_differing": len(problems) if compares else None,
            "detail": ready.error or shown,
            "corrections": corrections,
        },
    )


def _to_fetch(symbol: str, found: _Compared, page: int) -> list[SymbolInterval]:
    """The intervals of minutes that differ, joined where their trades, and those between, are likely to be one page."""
    intervals: list[SymbolInterval] = []
    before = 0
    for at, first, last in zip(found.differing, found.ticks_before, found.ticks_through, strict=True):
        if intervals and last - before <= page * _FILLED:
            intervals[-1] = intervals[-1]._replace(end=at + _MINUTE)
        else:
            intervals.append(SymbolInterval(symbol, at, at + _MINUTE))
            before = first
    return intervals


def _report(database: Database, feed: FeedSettings, day: date) -> days.Report:
    with database.transaction() as cursor:
        return days.report(cursor, feed, day)
