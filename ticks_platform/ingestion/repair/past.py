"""The hours before a symbol was added to feeds.yaml (`repair.past_hours`), fetched as gaps are, so that they are whole.

Without them, the first hour of a symbol that can be proven is the first that was received from begin to end. The newest
hour of all symbols is fetched first, and gaps come before each. What was fetched, or failed, is in `feed_repair`, so
nothing is asked for twice.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ticks_platform.feeds.calendars import calendar
from ticks_platform.feeds.history import History
from ticks_platform.feeds.settings import FeedSettings
from ticks_platform.ingestion.gaps.gaps import COVERAGE_KEPT, FIRST_SUBSCRIPTION
from ticks_platform.ingestion.repair import gaps as repair_gaps
from ticks_platform.ingestion.repair.ranges import Interval, SymbolInterval
from ticks_platform.intervals import subtract
from ticks_platform.timescale import server_clock, sql_files
from ticks_platform.timestamps import EPOCH, floor

if TYPE_CHECKING:
    from psycopg2.extensions import cursor as Cursor  # noqa: N812

_HOUR = timedelta(hours=1)
_LONGEST_PAUSE = timedelta(days=15)
"""A market that has no session for so long has none before: no holidays are longer."""


class _Added(NamedTuple):
    """A symbol that was added to feeds.yaml."""

    symbol: str
    calendar: str
    """That of its sending hours."""
    at: datetime
    received_from: datetime
    before: datetime | None
    """Until when it was in feeds.yaml before that, if it was: what was not received until then is a gap."""


def next_hour(cursor: Cursor, feed: FeedSettings, history: History, folder: Path) -> list[SymbolInterval]:
    """What is to be fetched next: the newest hour that any symbol lacks, of each that lacks it; empty if none does.

    `folder` is that of the feed's journals. An hour that the provider does not have yet is left out.
    """
    if not feed.repair.past_hours or history.kind != "trades":
        return []
    now = server_clock.now(cursor)
    cursor.execute(
        sql_files.read("queries/repair/added_symbols.sql"), {"feed": feed.name, "since": now - COVERAGE_KEPT}
    )
    added = _one_by_one(feed, [_Added(*row) for row in cursor.fetchall()])
    if not added:
        return []
    limits, lag, margin = (
        repair_gaps.age_limits(feed, history),
        timedelta(seconds=history.lag),
        timedelta(seconds=history.margin),
    )
    oldest = max(EPOCH + timedelta(seconds=history.since), now - limits.oldest)
    missing = _missing(cursor, feed, added, [_hours(each, feed, history, oldest) for each in added])
    candidates = [(each, part) for each, part in missing if part.end + limits.youngest <= now]
    if not candidates:
        return []
    # As for gaps (`repairable`): the loader has stored all trades that were received of what is fetched.
    loaded = repair_gaps.loaded_until(cursor, feed.name, folder, now=now)
    found = [
        part
        for each, part in candidates
        if max(each.received_from, _fetched_until(each, history) + lag + margin) <= loaded
    ]
    newest = max((floor(part.begin, _HOUR) for part in found), default=None)
    return [part for part in found if floor(part.begin, _HOUR) == newest]


def is_loaded(cursor: Cursor, feed: str) -> bool:
    """Whether trades were loaded of a time before their symbols were in feeds.yaml, but not refreshed yet."""
    cursor.execute(sql_files.read("queries/repair/loaded_past.sql"), {"feed": feed})
    return cursor.fetchone() == (True,)


def _one_by_one(feed: FeedSettings, added: Sequence[_Added]) -> list[_Added]:
    """The symbols that are named in feeds.yaml: of `*` there is no history."""
    connector, asked = feed.keyless_connector(), feed.asked_symbols()
    return [each for each in added if each.symbol in asked and connector.many_names(asked[each.symbol]) is None]


def _fetched_until(added: _Added, history: History) -> datetime:
    """Until which event time the past of a symbol is fetched: until all that came later was received."""
    until = min(added.received_from, added.at + timedelta(microseconds=FIRST_SUBSCRIPTION))
    return max(until + timedelta(seconds=history.margin - history.lag), added.at)


def _hours(added: _Added, feed: FeedSettings, history: History, oldest: datetime) -> list[Interval]:
    """The hours before a symbol was added, and the one in which it was, until it was received."""
    begun, until = floor(added.at, _HOUR), _fetched_until(added, history)
    hours = [(hour, hour + _HOUR) for hour in _sending_hours(added.calendar, begun, feed.repair.past_hours)]
    if calendar(added.calendar).sessions(begun.timestamp(), until.timestamp()):
        hours.append((begun, until))
    earliest = EPOCH if added.before is None else added.before - timedelta(seconds=history.lag + history.margin)
    # What the history has only in part makes no hour whole.
    return [(max(begin, earliest), end) for begin, end in hours if begin >= oldest and end > earliest]


@functools.lru_cache(256)
def _sending_hours(name: str, before: datetime, number: int) -> tuple[datetime, ...]:
    """The last hours before a moment in which the provider sends, the newest first."""
    hours, last = calendar(name), before
    found: list[datetime] = []
    hour = before
    while len(found) < number and last - hour < _LONGEST_PAUSE:
        hour -= _HOUR
        if hours.sessions(hour.timestamp(), (hour + _HOUR).timestamp()):
            found.append(hour)
            last = hour
    return tuple(found)


def _missing(
    cursor: Cursor, feed: FeedSettings, added: Sequence[_Added], hours: Sequence[Sequence[Interval]]
) -> list[tuple[_Added, SymbolInterval]]:
    """The parts of these hours that were not asked for yet."""
    times = [interval for each in hours for interval in each]
    if not times:
        return []
    cursor.execute(
        sql_files.read("queries/repair/known_times.sql"),
        {
            "feed": feed.name,
            "symbols": [each.symbol for each in added],
            "begin": min(begin for begin, _ in times),
            "end": max(end for _, end in times),
        },
    )
    known: dict[str, list[Interval]] = {}
    failed = set()
    for symbol, begin, end, has_failed in cursor.fetchall():
        known.setdefault(symbol, []).append((begin, end))
        if has_failed:
            failed.add(symbol)
    return [
        (each, SymbolInterval(each.symbol, *part))
        for each, intervals in zip(added, hours, strict=True)
        # What the provider refused of one hour, as data that the plan does not include, it refuses of all.
        if each.symbol not in failed
        for interval in intervals
        for part in subtract(interval, known.get(each.symbol, []))
    ]
