"""Which gaps can be repaired now, which are closed by what was fetched, and which cannot be repaired.

A gap is an interval of arrival, but a provider is asked by event time: the missing events are in an interval that is
wider by a margin, and earlier if the feed is delayed. Known trades in the margin are duplicates. Where a provider has
to be asked in another way outside regular hours, a gap has parts; it is divided once their fates differ.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from psycopg2 import sql

from ticks_platform.feeds.calendars import calendar
from ticks_platform.feeds.history import History
from ticks_platform.feeds.settings import FeedSettings
from ticks_platform.ingestion.journal.file import JournalError
from ticks_platform.ingestion.journal.journal_view import journal_view
from ticks_platform.ingestion.repair.ranges import EXTENDED_BARS, Interval, SymbolInterval, merged, next_range
from ticks_platform.intervals import subtract
from ticks_platform.timescale import server_clock, sql_files
from ticks_platform.timestamps import EPOCH, floor, from_microseconds, to_microseconds

if TYPE_CHECKING:
    from psycopg2.extensions import cursor as Cursor  # noqa: N812

CONNECTION = 0
"""The connection number of repaired frames in the ledger; a feed's own connections are numbered from 1."""

_MINUTE = timedelta(minutes=1)

Failed = tuple[datetime, datetime, str]
"""An interval that could not be fetched, and why."""

_COUNT_ROWS = {
    "trades": "queries/repair/repaired_ticks_in_range.sql",
    "bars": "queries/repair/bars_in_range.sql",
}
"""The query that counts repaired rows, by kind of history."""


class OpenGap(NamedTuple):
    """A row of feed_gap that is open and has ended."""

    gap_id: int
    symbol: str
    begin: datetime
    end: datetime
    calendar: str | None = None
    """The calendar of the sending hours by which it was judged."""


class Part(NamedTuple):
    """A part of a gap that is requested in one way."""

    gap: OpenGap
    """With the part's begin and end."""
    kind: str
    """The kind of its ranges."""
    history: History

    @property
    def interval(self) -> SymbolInterval:
        """What is to be fetched for it."""
        return event_interval(self.gap, self.history)


class AgeLimits(NamedTuple):
    """The ages of events that the provider's history has."""

    youngest: timedelta
    oldest: timedelta


def age_limits(feed: FeedSettings, history: History) -> AgeLimits:
    """The ages of a feed's events that can be requested."""
    settings = feed.repair
    delay = history.delay if settings.delay_seconds is None else settings.delay_seconds
    return AgeLimits(timedelta(seconds=delay), timedelta(days=settings.give_up_after_days or history.reach_days))


class ClosedGaps(NamedTuple):
    """Numbers of gaps that were closed."""

    repaired: int = 0
    unrepairable: int = 0
    rows: int = 0
    """Repaired rows in them."""
    left: int = 0
    """Gaps that are still open."""


# Before the requests: what can be fetched.


def open_gaps(cursor: Cursor, feed: str) -> list[OpenGap]:
    """The gaps of a feed that are open and have ended, oldest first."""
    cursor.execute(sql_files.read("queries/repair/open_gaps.sql"), {"feed": feed})
    return [OpenGap(*row) for row in cursor.fetchall()]


def histories_of_gaps(history: History) -> dict[str, History]:
    """What is asked for gaps, by the kind of range."""
    extended = history.outside_regular_hours()
    return {history.kind: history} if extended is None else {history.kind: history, EXTENDED_BARS: extended}


def parts_of(gap: OpenGap, history: History) -> list[Part]:
    """A gap as it is requested: the whole, or what is in regular hours and what is outside of them, in order."""
    extended = history.outside_regular_hours()
    if extended is None or gap.calendar is None:
        return [Part(gap, history.kind, history)]
    begin, end = to_microseconds(gap.begin), to_microseconds(gap.end)
    sessions = calendar(gap.calendar).market.sessions(begin / 1e6, end / 1e6)
    inside = [(max(begin, round(opens * 1e6)), min(end, round(closes * 1e6))) for opens, closes in sessions]
    found: list[tuple[int, int, str, History]] = [(*times, history.kind, history) for times in inside]
    found += [(*times, EXTENDED_BARS, extended) for times in subtract((begin, end), inside)]
    return [
        Part(gap._replace(begin=from_microseconds(first), end=from_microseconds(last)), kind, asked)
        for first, last, kind, asked in sorted(found, key=lambda part: part[:2])
    ]


def repairable(cursor: Cursor, feed: FeedSettings, history: History, folder: Path) -> list[Part]:
    """What can be fetched for the open gaps now; `folder` is that of the feed's journals.

    What stands for many, such as `*`, is in no history; a file may fill its gaps.
    A gap of which something waits for its age is left out as far as it is fetched; what can be closed is not.

    For trades, everything that the feed's own connections received until twice the margin after the gap must be loaded.
    A fetched trade happened up to one margin after the gap, and the live feed brings it within another margin. A loader
    that still has it to load does not know that a repair has stored it, and would store it again unless it is so late
    that it is looked up (`duplicate_trades.LATE`).
    """
    many_names = feed.keyless_connector().many_names
    gaps = [gap for gap in open_gaps(cursor, feed.name) if many_names(gap.symbol) is None]
    if not gaps:
        return []
    now = server_clock.now(cursor)
    loaded = now if history.kind == "bars" else loaded_until(cursor, feed.name, folder, now=now)
    margin = timedelta(seconds=history.margin)
    youngest = {kind: age_limits(feed, each).youngest for kind, each in histories_of_gaps(history).items()}
    fetched = {kind: _fetched(cursor, feed.name, kind)[0] for kind in youngest} if len(youngest) > 1 else {}
    found: list[Part] = []
    for gap in gaps:
        parts = parts_of(gap, history)
        if len(parts) > 1:
            missing = [part for part in parts if not _covers(fetched[part.kind], part.interval)]
            parts = missing or parts
        found += [
            part
            for part in parts
            if part.interval.end + youngest[part.kind] <= now and part.gap.end + 2 * margin <= loaded
        ]
    return found


def _covers(ranges: Mapping[str, Sequence[Interval]], interval: SymbolInterval) -> bool:
    return not subtract((interval.begin, interval.end), ranges.get(interval.symbol, ()))


def event_interval(gap: OpenGap, history: History) -> SymbolInterval:
    """The event times of a gap's missing events; for bars, the minutes that it touches."""
    lag, margin = timedelta(seconds=history.lag), timedelta(seconds=history.margin)
    begin, end = gap.begin - lag - margin, gap.end - lag + margin
    if history.kind == "bars":
        begin, end = minute(begin), minute(end + _MINUTE - timedelta(microseconds=1))
    return SymbolInterval(gap.symbol, begin, end)


def minute(at: datetime) -> datetime:
    """The begin of the minute."""
    return floor(at, _MINUTE)


def loaded_until(cursor: Cursor, feed: str, folder: Path, *, now: datetime) -> datetime:
    """Until when everything that the feed's connections received is loaded: `now` if its journals here are drained."""
    journals = [
        path
        for path in folder.glob(f"{feed}*.sqlite3")
        if path.name.partition(".")[0] == feed and ".damaged-" not in path.name
    ]
    if journals and all(_is_loaded(cursor, path) for path in journals):
        return now
    cursor.execute(
        "SELECT max(last_received_at) FROM ticks_platform.feed_ledger WHERE feed = %s AND connection <> %s",
        (feed, CONNECTION),
    )
    (until,) = cursor.fetchone() or (None,)
    return until or EPOCH


def _is_loaded(cursor: Cursor, path: Path) -> bool:
    try:
        with journal_view(path) as journal:
            cursor.execute(
                "SELECT position FROM ticks_platform.feed_checkpoint WHERE journal_id = %s", (journal.journal_id,)
            )
            row = cursor.fetchone()
            return not journal.waiting_after(row[0] if row else 0).frames
    except JournalError:
        return False


def intervals_to_fetch(parts: Sequence[Part], history: History) -> dict[str, list[SymbolInterval]]:
    """The intervals to fetch for these parts of gaps, by the kind of range."""
    return {
        kind: merged([part.interval for part in parts if part.kind == kind], timedelta(seconds=asked.joins_within))
        for kind, asked in histories_of_gaps(history).items()
    }


def wanted_requests(cursor: Cursor, feed: FeedSettings, history: History, folder: Path) -> str | None:
    """What has to be requested for gaps now, in words; None if nothing has."""
    found = repairable(cursor, feed, history, folder)
    if found:
        return f"{len({part.gap.gap_id for part in found})} gaps can be repaired"
    return None if next_range(cursor, feed.name, tuple(histories_of_gaps(history))) is None else "unfinished ranges"


# After the pages are loaded and the candles refreshed: which gaps are closed.


def days_to_refresh(cursor: Cursor, feed: str) -> list[Interval]:
    """The UTC days with repaired ticks whose candles may not be up to date."""
    cursor.execute(sql_files.read("queries/repair/days_to_refresh.sql"), {"feed": feed})
    return [(begin, end) for begin, end in cursor.fetchall()]


def close_gaps(cursor: Cursor, feed: str, history: History) -> ClosedGaps:
    """Close the open gaps whose events are loaded, and those that cannot be repaired.

    Call it when the candles are up to date.
    """
    fetched = {kind: _fetched(cursor, feed, kind) for kind in histories_of_gaps(history)}
    closed = ClosedGaps()
    for gap in open_gaps(cursor, feed):
        judged = [(part, _fate(part, *fetched[part.kind])) for part in parts_of(gap, history)]
        for gap_id, parts, fate in _divided(cursor, gap, judged):
            condition, values = "gap_id = %(gap_id)s", {"gap_id": gap_id}
            if fate is _LEFT:
                closed = closed._replace(left=closed.left + 1)
            elif fate is _LOADED:
                rows = sum(_count_rows(cursor, feed, part.history, part.interval) for part in parts)
                what = "trades" if history.kind == "trades" else "minute bars of the provider; the ticks are lost"
                if _close(cursor, "repaired", f"repaired by {rows} {what}", condition, values, rows):
                    closed = closed._replace(repaired=closed.repaired + 1, rows=closed.rows + rows)
            elif _close(cursor, "unrepairable", fate, condition, values):
                closed = closed._replace(unrepairable=closed.unrepairable + 1)
    cursor.execute(sql_files.read("queries/repair/mark_ranges_done.sql"), {"feed": feed})
    return closed


_LEFT, _LOADED = "left", "loaded"


def _fate(part: Part, loaded: Mapping[str, list[Interval]], failed: Mapping[str, list[Failed]]) -> str:
    """_LOADED, why a part cannot be repaired, or _LEFT."""
    interval = part.interval
    if _covers(loaded, interval):
        return _LOADED
    reasons = (
        error for begin, end, error in failed.get(interval.symbol, []) if begin < interval.end and end > interval.begin
    )
    reason = next(reasons, None)
    if reason is None:
        return _LEFT
    return f"outside regular hours: {reason}" if part.kind == EXTENDED_BARS else reason


def _divided(cursor: Cursor, gap: OpenGap, judged: Sequence[tuple[Part, str]]) -> Iterator[tuple[int, list[Part], str]]:
    """Divide a gap where the fates of its parts differ; number, parts and fate of each gap that it becomes."""
    gap_id = gap.gap_id
    runs = [(fate, [part for part, _ in run]) for fate, run in groupby(judged, key=lambda each: each[1])]
    for place, (fate, parts) in enumerate(runs, start=1):
        rest = None
        if place < len(runs):
            at = runs[place][1][0].gap.begin
            parameters = {"gap_id": gap_id, "begin": parts[0].gap.begin, "at": at, "end": gap.end}
            cursor.execute(sql_files.read("queries/repair/split_gap.sql"), parameters)
            row = cursor.fetchone()
            if row is None:
                return
            (rest,) = row
        yield gap_id, parts, fate
        gap_id = rest or 0


def _fetched(cursor: Cursor, feed: str, kind: str) -> tuple[dict[str, list[Interval]], dict[str, list[Failed]]]:
    """By symbol, the loaded intervals, and those that failed and were not added again, with the reason."""
    cursor.execute(sql_files.read("queries/repair/fetched_and_failed_ranges.sql"), {"feed": feed, "kind": kind})
    loaded: dict[str, list[Interval]] = {}
    failed: dict[str, list[Failed]] = {}
    for symbol, begin, end, state, error in cursor.fetchall():
        if state in ("loaded", "done"):
            loaded.setdefault(symbol, []).append((begin, end))
        elif state == "failed":
            failed.setdefault(symbol, []).append((begin, end, error))
    return loaded, failed


def _count_rows(cursor: Cursor, feed: str, history: History, interval: SymbolInterval) -> int:
    """Number of repaired rows in an interval: ticks by the number of their journal, or all bars."""
    cursor.execute(sql_files.read(_COUNT_ROWS[history.kind]), {"feed": feed, **interval._asdict()})
    (count,) = cursor.fetchone() or (0,)
    return int(count)


# Gaps that cannot be repaired.


def give_up_old(cursor: Cursor, feed: str, limits: AgeLimits) -> int:
    """Close the open gaps that are older than the provider's history; returns how many."""
    days = limits.oldest / timedelta(days=1)
    return _close(
        cursor,
        "unrepairable",
        f"older than {days:g} days, which the provider's history does not reach (give_up_after_days)",
        "feed = %(feed)s AND ends_at < now() - %(oldest)s::interval",
        {"feed": feed, "oldest": limits.oldest},
    )


def give_up_unknown(cursor: Cursor, feed: str, history: History) -> int:
    """Close the open gaps that began before the provider's history; returns how many."""
    since = EPOCH + timedelta(seconds=history.since)
    return _close(
        cursor,
        "unrepairable",
        f"the provider's history begins at {since:%Y-%m-%d %H:%M:%S} UTC (a stand-in's begins when it starts)",
        "feed = %(feed)s AND ends_at IS NOT NULL AND begins_at < %(since)s",
        {"feed": feed, "since": since},
    )


def give_up_all(cursor: Cursor, feed: str, reason: str) -> int:
    """Close all open gaps of a feed without a history; returns how many."""
    return _close(cursor, "unrepairable", reason, "feed = %(feed)s AND ends_at IS NOT NULL", {"feed": feed})


def _close(cursor: Cursor, state: str, detail: str, condition: str, values: Mapping[str, object], rows: int = 0) -> int:
    """Close the open gaps that meet a condition; returns how many."""
    query = sql_files.compose("queries/repair/close_gaps.sql", condition=sql.SQL(condition))
    cursor.execute(query, {"state": state, "detail": detail, "rows": rows, **values})
    return cursor.rowcount


class Totals(NamedTuple):
    """The state of a feed's repair."""

    requests: int
    """In the last 24 hours."""
    left: int
    """Ranges that are not completely fetched."""
    trouble: str
    """The latest error of a range that is not done; empty if there is none."""


def totals(cursor: Cursor, feed: str) -> Totals:
    """The state of a feed's repair."""
    cursor.execute(sql_files.read("queries/repair/totals.sql"), {"feed": feed})
    return Totals(*(cursor.fetchone() or (0, 0, "")))
