"""The check `session_is_complete`: a function, since it needs calendars and what is usual for each symbol."""

import math
from datetime import datetime, timedelta, timezone

import dagster as dg

from ticks_platform.defs.checks.check import Subject, Verdict
from ticks_platform.defs.common.examples import table
from ticks_platform.feeds.settings import PlatformSettings
from ticks_platform.timescale import quality, server_clock
from ticks_platform.timescale.quality import Completeness, Session

WINDOW = timedelta(hours=2)
BASELINE = timedelta(days=7)
"""How far back the share of minutes is measured in which a symbol usually trades."""
TOLERANCE = 0.9
"""The part of its usual share that a symbol has to reach, less three standard deviations where it trades rarely."""
ENOUGH = 60
"""Minutes in session that are needed to know what is usual for a symbol."""
SHOWN = 50
"""Symbols in the table, incomplete ones first."""
NAMED = 10
"""Incomplete symbols in the description."""


def session_is_complete(subject: Subject) -> Verdict:
    """No symbol lacks more candles than usual while its market is open."""
    names = [feed.name for feed in subject.settings.feeds if feed.candles]
    with subject.database.transaction() as cursor:
        feeds = quality.enabled_feeds(cursor, names)
        now = server_clock.now(cursor).timestamp()
        found = quality.completeness(cursor, feeds, _sessions(subject.settings, feeds, now))
    judged = [(row, *_judge(row)) for row in found]
    incomplete = [row.symbol for row, verdict, _ in judged if verdict == "incomplete"]
    rows = [
        {
            "symbol": row.symbol,
            "verdict": verdict,
            "minutes in session": round(row.expected),
            "with a candle": round(row.present),
            "at least": round(needed, 1),
            "usual share": round(row.usually_present / row.usually_expected, 3) if row.usually_expected else None,
        }
        for row, verdict, needed in sorted(judged, key=lambda item: (item[1] != "incomplete", item[0].symbol))
    ]
    return Verdict(
        passed=not incomplete,
        description=(
            f"{len(incomplete)} of {len(found)} symbols lack candles: {', '.join(incomplete[:NAMED])}"
            if incomplete
            else f"none of {len(found)} symbols lacks more candles than usual"
        ),
        metadata={
            "symbols": dg.MetadataValue.int(len(found)),
            "incomplete": dg.MetadataValue.int(len(incomplete)),
            "minutes in session": dg.MetadataValue.int(round(sum(row.expected for row in found))),
            "with a candle": dg.MetadataValue.int(round(sum(row.present for row in found))),
            **({"symbols by name": table(rows[:SHOWN])} if rows else {}),
        },
    )


def _sessions(settings: PlatformSettings, feeds: set[str], now: float) -> list[Session]:
    """What calendars say of the symbols of these feeds: sessions to judge, and those before them."""
    end = (now // 60 - 1) * 60
    judged = end - WINDOW.total_seconds()
    calendars = {
        symbol: calendar
        for feed in settings.feeds
        if feed.name in feeds
        for symbol, calendar in feed.calendars().items()
    }
    spans = ((False, judged - BASELINE.total_seconds(), judged), (True, judged, end))
    return [
        Session(symbol, is_judged, *(datetime.fromtimestamp(moment, timezone.utc) for moment in session))
        for symbol, calendar in calendars.items()
        for is_judged, since, until in spans
        for session in calendar.sessions(since, until)
    ]


def _judge(row: Completeness) -> tuple[str, float]:
    """What to say of a symbol, and how many minutes need a candle."""
    if row.expected < 1:
        return ("closed, or in a gap" if row.usually_expected else "no candle yet"), 0.0
    if row.usually_expected < ENOUGH:
        return "too new to judge", 0.0
    usual = min(row.usually_present / row.usually_expected, 1.0)
    chance = 3 * math.sqrt(usual * (1 - usual) * row.expected)
    needed = max(TOLERANCE * usual * row.expected - chance, 0.0)
    return ("complete" if row.present >= needed else "incomplete"), needed
