"""Checks of what the feeds deliver: they weigh the database's state against calendars and the limits of feeds.yaml."""

import time
from datetime import timedelta

import dagster as dg

from ticks_platform.defs.checks.check import Subject, Verdict
from ticks_platform.defs.common.examples import examples, table
from ticks_platform.feeds import primary
from ticks_platform.ingestion import eligibility
from ticks_platform.timescale import quality

CONDITIONS_WINDOW = timedelta(days=1)
"""How far back the conditions of trades are looked at: the check runs once a day."""


def ticks_are_fresh(subject: Subject) -> Verdict:
    """No feed that is switched on is stale; a function, since only time in which a market is open counts."""
    feeds = subject.settings.feeds
    now = time.time()
    with subject.database.transaction() as cursor:
        seen = {row.feed: row for row in quality.freshness(cursor, [feed.name for feed in feeds])}
    stale, rows = [], []
    for feed in feeds:
        limit, row = feed.stale_after_seconds, seen.get(feed.name)
        age = row.age_seconds if row else None
        off = row is not None and not row.enabled
        calendars = set(feed.calendars().values())
        opened = [since for calendar in calendars if (since := calendar.open_since(now)) is not None]
        is_open_for = now - min(opened) if opened else 0.0
        is_stale = not off and min(is_open_for, float("inf") if age is None else age) > limit
        if is_stale:
            last = "last tick never" if age is None else f"last tick {age:.0f} s ago"
            stale.append(f"{feed.name} ({last}, limit {limit:.0f} s)")
        rows.append(
            {
                "feed": feed.name,
                "verdict": "switched off" if off else "stale" if is_stale else "fresh" if opened else "closed",
                "last tick": (row and row.last_received_at) or "never",
                "age in seconds": -1.0 if age is None else round(age, 1),
                "limit in seconds": limit,
            }
        )
    ages = [row.age_seconds for row in seen.values() if row.enabled and row.age_seconds is not None]
    return Verdict(
        passed=not stale,
        description=f"stale: {', '.join(stale)}" if stale else "every feed that is switched on is fresh",
        metadata={
            "feeds": table(rows),
            **({"oldest in seconds": dg.MetadataValue.float(round(max(ages), 3))} if ages else {}),
        },
    )


def symbols_have_one_primary_feed(subject: Subject) -> Verdict:
    """No two primary feeds carry the same symbol; a function, since feeds.yaml says so and not the database."""
    found = primary.shared(subject.settings.feeds)
    text = "; ".join(f"{pair}: their ticks are in the same candles, and volumes count twice" for pair in found)
    return Verdict(
        passed=not found,
        description=text or "every symbol has one primary feed",
        metadata={"to mend it": dg.MetadataValue.text("\n".join(pair.remedy for pair in found))} if found else {},
    )


def channels_are_streaming(subject: Subject) -> Verdict:
    """Every channel streams; a function, since it says what is wrong feed by feed."""
    with subject.database.transaction() as cursor:
        found = quality.channels(cursor, [feed.name for feed in subject.settings.feeds])
    trouble = [
        f"{row.feed}: {count} {what}"
        for row in found
        for count, what in ((row.failed, "not subscribed"), (row.silent, "silent"))
        if count
    ]
    channels = [{"feed": row.feed, **example} for row in found for example in row.examples]
    return Verdict(
        passed=not trouble,
        description="; ".join(trouble) or "every channel streams",
        metadata={
            "subscribed": dg.MetadataValue.int(sum(row.subscribed for row in found)),
            **examples(channels, "channels"),
        },
    )


def conditions_are_known(subject: Subject) -> Verdict:
    """No tick has a condition without a rule; a function, since feeds.yaml says which feeds have rules."""
    feeds = eligibility.feeds_with_rules(subject.settings.feeds)
    with subject.database.transaction() as cursor:
        unknown = quality.unknown_conditions(cursor, feeds, window=CONDITIONS_WINDOW)
    found = "; ".join(
        f"feed {each.feed}: condition {each.condition} of {each.ticks} ticks, first at {each.first_seen:%Y-%m-%d %H:%M}"
        for each in unknown
    )
    return Verdict(
        passed=not unknown,
        description=f"no rule, so they restrict nothing: {found}" if found else "every condition has a rule",
        metadata={
            "unknown": dg.MetadataValue.int(len(unknown)),
            **examples(each._asdict() for each in unknown),
        },
    )
