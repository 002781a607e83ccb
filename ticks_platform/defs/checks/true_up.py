"""The check `days_are_trued_up`: a function, since calendars tell which days are due."""

from datetime import datetime, timedelta

import dagster as dg

from ticks_platform import local_feeds
from ticks_platform.defs.checks.check import Subject, Verdict
from ticks_platform.defs.common.examples import examples
from ticks_platform.feeds.settings import FeedSettings, SettingsError
from ticks_platform.ingestion.repair import true_up_days
from ticks_platform.quantities import counted
from ticks_platform.timescale import server_clock

GRACE = timedelta(days=2)
"""How long after it is due a day may take."""


def days_are_trued_up(subject: Subject) -> Verdict:
    """Every day of the feeds is trued up, and its candles are the provider's bars."""
    with subject.database.transaction() as cursor:
        now = server_clock.now(cursor)
    judged, problems, rows = 0, [], []
    for feed in subject.settings.feeds:
        for day in _days(subject, feed, now):
            report = day.report
            judged += 1
            found = []
            if day.unfinished and now - day.due_at > GRACE:
                left = report.left or len(feed.symbols)
                found.append(f"{left} of {report.symbols or left} symbols left")
            if report.failed:
                found.append(f"{report.failed} symbols failed")
            if report.still_differing:
                found.append(f"{report.still_differing} minutes still differ")
            if found:
                problems.append(f"{feed.name} {day.day}: {', '.join(found)}")
            if found or day.unfinished:
                left_symbols = ", ".join(report.left_symbols)
                rows.append({"feed": feed.name, "day": day.day, **_numbers(report), "not reached": left_symbols})
    return Verdict(
        passed=not problems,
        description="; ".join(problems) or f"none of {counted(judged, 'day')} is overdue, and no minute differs",
        metadata={"days": dg.MetadataValue.int(judged), **examples(rows, "days that are not done")},
    )


def _days(subject: Subject, feed: FeedSettings, now: datetime) -> list[true_up_days.Day]:
    try:
        history = local_feeds.history(feed)
    except SettingsError:
        # A stand-in that has ended has forgotten its days. A key that is missing is told by the feed's own run.
        return []
    if history is None or true_up_days.obstacle(feed, history) is not None:
        return []
    with subject.database.transaction() as cursor:
        return true_up_days.due_days(cursor, feed, history, now=now)


def _numbers(report: true_up_days.Report) -> dict[str, int]:
    return {
        "symbols": report.symbols,
        "checked": report.done,
        "failed": report.failed,
        "minutes compared": report.compared,
        "differed": report.differed,
        "still differ": report.still_differing,
        "corrections": report.corrections,
    }
