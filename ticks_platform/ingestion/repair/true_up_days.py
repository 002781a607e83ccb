"""The days of a feed that have a true-up: which are due, and how each stands. `true_up` makes it."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ticks_platform.feeds.history import History
from ticks_platform.feeds.primary import names_of
from ticks_platform.feeds.settings import FeedSettings
from ticks_platform.ingestion.repair import budget as repair_budget
from ticks_platform.ingestion.repair import gaps as repair_gaps
from ticks_platform.ingestion.repair import lease as repair_lease
from ticks_platform.ingestion.repair import ranges as repair_ranges
from ticks_platform.ingestion.repair.ranges import Interval, SymbolInterval
from ticks_platform.paths import state_dir
from ticks_platform.timescale import server_clock, sql_files
from ticks_platform.timescale.database import Database
from ticks_platform.timestamps import EPOCH

if TYPE_CHECKING:
    from psycopg2.extensions import cursor as Cursor  # noqa: N812

BARS, TRADES = "true_up_bars", "true_up_trades"
"""The kinds of its ranges in `feed_repair`."""

SETTLING = timedelta(hours=1)
"""From the end of the extended hours until a day is asked for: late reports and corrections are in by then."""

REACH = 7
"""Days back for which the true-up is made by itself."""

_MINUTE = timedelta(minutes=1)


class Report(NamedTuple):
    """How the true-up of a day stands, and what this run did."""

    symbols: int
    done: int
    failed: int
    left: int
    """Symbols that were not reached, or whose trades are not all fetched."""
    compared: int
    """Minutes of candles that were compared with the provider's bars."""
    differed: int
    """Those that differed before trades were fetched again."""
    still_differing: int
    corrections: int
    """Trades of the day that are known to be cancelled or corrected."""
    left_since: datetime | None
    left_symbols: tuple[str, ...]
    """Up to ten of the symbols that are left."""
    requests: int = 0
    """Of this run."""
    loaded: int = 0
    """Rows that this run added: ticks, bars and corrections."""
    wait_seconds: float = 0.0
    """Until the budget allows the next request; 0 if nothing is left."""
    reason: str = ""
    """Why there is nothing to do, if so."""


class Due(NamedTuple):
    """The day whose true-up is to be begun or continued now, if any."""

    day: date | None
    reason: str


def obstacle(feed: FeedSettings, history: History | None) -> str | None:
    """Why a feed has no true-up; None if it has one."""
    if feed.true_up == "off":
        return "the true-up is switched off in feeds.yaml (true_up)"
    if history is None or not history.has_corrections:
        return f"provider {feed.provider} does not tell which trades of this feed were cancelled or corrected"
    if feed.true_up == "bars" and not feed.candles:
        return "its ticks make no candles that bars could be compared with; `true_up: trades` reads all of its trades"
    if feed.true_up == "bars" and history.bars() is None:
        return f"provider {feed.provider} has no minute bars to compare with; `true_up: trades` reads all trades"
    return None


class Ready(NamedTuple):
    """A symbol of a day that waits for nothing any more."""

    symbol: str
    mode: str
    state: str
    begins_at: datetime
    ends_at: datetime
    error: str | None
    """Why something could not be fetched."""


def ready_symbols(cursor: Cursor, feed: FeedSettings, day: date) -> list[Ready]:
    """The symbols of a day for which all that was to be fetched is loaded, or has failed."""
    cursor.execute(sql_files.read("queries/true_up/ready_symbols.sql"), {"feed": feed.name, "day": day})
    return [Ready(*row) for row in cursor.fetchall()]


def gaps_come_first(cursor: Cursor, feed: FeedSettings, history: History, folder: Path | None) -> str | None:
    """What has to be requested for gaps first, of the feed or of one that shares its key; None if nothing has."""
    parameters = {
        "feed": feed.name,
        "account": repair_budget.of(feed, history).account,
        "alive": repair_lease.DEAD_AFTER,
    }
    cursor.execute(sql_files.read("queries/repair/other_feed_waits.sql"), parameters)
    other = cursor.fetchone()
    if other is not None:
        return f"feed '{other[0]}', which has the same key, is being repaired"
    if not feed.repair.enabled:
        return None
    return repair_gaps.wanted_requests(cursor, feed, history, folder or state_dir() / "journal")


def spans(feed: FeedSettings, history: History, day: date) -> list[SymbolInterval]:
    """The extended hours of a day by symbol, as far as the history has them; without symbols that have no session, and
    without those that stand for many, which are in no history.
    """
    since = first_minute(history)
    return [
        SymbolInterval(symbol, max(begin, since), end)
        for symbol, begin, end in _hours(feed, day)
        if max(begin, since) < end
    ]


def extended_hours(feed: FeedSettings, day: date) -> Interval:
    """The extended hours of a day, of all symbols together; empty on a day without a session."""
    hours = _hours(feed, day)
    if not hours:
        return EPOCH, EPOCH
    return min(each.begin for each in hours), max(each.end for each in hours)


def _hours(feed: FeedSettings, day: date) -> list[SymbolInterval]:
    calendars, listed = feed.sending_calendars(), names_of(feed).single
    found = ((symbol, calendars[symbol].extended_hours(day)) for symbol in calendars if symbol in listed)
    return [
        SymbolInterval(symbol, *(datetime.fromtimestamp(at, timezone.utc) for at in hours))
        for symbol, hours in found
        if hours is not None
    ]


def first_minute(history: History) -> datetime:
    """The begin of the first whole minute of a history."""
    return EPOCH + _MINUTE * -(-history.since // _MINUTE.total_seconds())


def due_at(feed: FeedSettings, history: History, day: date) -> datetime:
    """When a day can be asked for."""
    return extended_hours(feed, day)[1] + SETTLING + repair_gaps.age_limits(feed, history).youngest


def not_yet(feed: FeedSettings, history: History, day: date, *, now: datetime) -> str | None:
    """Why the true-up of a day cannot be made at this time; None if it can."""
    if not spans(feed, history, day):
        if not names_of(feed).single:
            return "no symbol is listed by its name: of all symbols of a market as one, there is no history"
        return "no symbol has a session on this day, or the provider's history begins later"
    at = due_at(feed, history, day)
    if now < at:
        return f"the day is not over; due at {at:%Y-%m-%d %H:%M} UTC"
    return None


class Day(NamedTuple):
    """A day of a feed that has ticks, and how its true-up stands."""

    day: date
    due_at: datetime
    report: Report

    @property
    def unfinished(self) -> bool:
        """Whether symbols are left, or it was never begun."""
        return bool(self.report.left) or not self.report.symbols


def due_days(cursor: Cursor, feed: FeedSettings, history: History, *, now: datetime | None = None) -> list[Day]:
    """The days of the last REACH days that are due and have ticks of the feed, oldest first."""
    now = now or server_clock.now(cursor)
    found = []
    for age in reversed(range(REACH + 1)):
        day = now.date() - timedelta(days=age)
        if not_yet(feed, history, day, now=now) is None:
            begin, end = extended_hours(feed, day)
            parameters = {"feed": feed.name, "begin": begin, "end": end}
            cursor.execute(sql_files.read("queries/true_up/has_ticks.sql"), parameters)
            (has_ticks,) = cursor.fetchone() or (False,)
            if has_ticks:
                found.append(Day(day, due_at(feed, history, day), report(cursor, feed, day)))
    return found


def due(
    database: Database,
    feed: FeedSettings,
    history: History | None,
    *,
    folder: Path | None = None,
    now: datetime | None = None,
) -> Due:
    """The oldest day that can be begun or continued now, within the budget; gaps come first."""
    reason = obstacle(feed, history)
    if reason is not None or history is None:
        return Due(None, reason or "")
    with database.transaction() as cursor:
        unfinished = [each for each in due_days(cursor, feed, history, now=now) if each.unfinished]
        for each in unfinished:
            if ready_symbols(cursor, feed, each.day):
                return Due(each.day, f"{each.day}: candles are to be compared")
        startable = [each for each in unfinished if _has_requests(cursor, feed, each)]
        if not startable:
            return Due(None, "waiting for the provider" if unfinished else "nothing to true up")
        gaps = gaps_come_first(cursor, feed, history, folder)
        if gaps is not None:
            return Due(None, f"gaps come first: {gaps}")
        wait = repair_budget.of(feed, history).wait(cursor)
    if wait > repair_budget.MAX_INITIAL_WAIT:
        return Due(None, f"the budget allows the next request in {wait:.0f} s")
    first = startable[0]
    return Due(first.day, f"{first.day}: {first.report.left or len(feed.symbols)} symbols left")


def _has_requests(cursor: Cursor, feed: FeedSettings, each: Day) -> bool:
    """Whether something can be requested for an unfinished day now, or is in the journal."""
    if not each.report.symbols:
        return True
    hours = extended_hours(feed, each.day)
    if repair_ranges.next_range(cursor, feed.name, (TRADES, BARS), hours) is not None:
        return True
    return repair_ranges.count_fetched(cursor, feed.name, (TRADES, BARS)) > 0


def report(cursor: Cursor, feed: FeedSettings, day: date) -> Report:
    """How the true-up of a day stands."""
    cursor.execute(sql_files.read("queries/true_up/day_totals.sql"), {"feed": feed.name, "day": day})
    row = cursor.fetchone()
    assert row is not None
    symbols, done, failed, compared, differed, still_differing, corrections, since, left = row
    return Report(
        symbols,
        done,
        failed,
        symbols - done - failed,
        compared,
        differed,
        still_differing,
        corrections,
        since,
        tuple(left),
    )
