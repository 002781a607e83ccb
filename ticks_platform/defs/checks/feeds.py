"""Checks of what the feeds deliver: they weigh the database's state against calendars and the limits of feeds.yaml."""

from collections.abc import Sequence
from datetime import timedelta

import dagster as dg

from ticks_platform import timestamps
from ticks_platform.defs.checks.check import Subject, Verdict
from ticks_platform.defs.common.examples import examples, table
from ticks_platform.feeds import primary
from ticks_platform.ingestion import eligibility
from ticks_platform.timescale import quality, server_clock
from ticks_platform.timescale.candles import primary_feeds
from ticks_platform.timescale.candles.primary_feeds import Copies

COPIES_WINDOW = timedelta(hours=2)
"""How far back rows by hand are compared with what feeds stream; rows_by_hand_are_no_copies reads the whole table."""
COPIES_REMEDY = (
    "Insert only symbols by hand that no feed of feeds.yaml streams, or remove them from feeds.yaml. Then run the job "
    "apply_primary_feeds, which marks the copies as secondary: they stay stored, and are in no candle. To let the rows "
    "by hand make the candles instead, set `candles: false` on the feed before that."
)

CONDITIONS_WINDOW = timedelta(days=1)
"""How far back the conditions of trades are looked at: the check runs once a day."""


def ticks_are_fresh(subject: Subject) -> Verdict:
    """No feed that is switched on is stale; a function, since only time in which a market is open counts."""
    feeds = subject.settings.feeds
    with subject.database.transaction() as cursor:
        now = server_clock.now(cursor).timestamp()
        seen = {row.feed: row for row in quality.freshness(cursor, [feed.name for feed in feeds])}
    stale, rows = [], []
    for feed in feeds:
        limit, row = feed.stale_after_seconds, seen.get(feed.name)
        age = row.age_seconds if row else None
        off = row is not None and not row.enabled
        calendars = set(feed.calendars().values())
        opened = [since for calendar in calendars if (since := calendar.open_since(now)) is not None]
        is_open_for = now - min(opened) if opened else 0.0
        # A feed that was just added has the same time for its first tick.
        waits = (row.received_for_seconds if row else None) if age is None else age
        is_stale = not off and min(is_open_for, float("inf") if waits is None else waits) > limit
        if is_stale:
            last = "last tick never" if age is None else f"last tick {age:.0f} s ago"
            stale.append(f"{feed.name} ({last}, limit {limit:.0f} s)")
        rows.append(
            {
                "feed": feed.name,
                "verdict": "switched off"
                if off
                else "stale"
                if is_stale
                else "closed"
                if not opened
                else "no tick yet"
                if age is None
                else "fresh",
                "last tick": (row and row.last_received_at) or "never",
                "age in seconds": "never received" if age is None else round(age, 1),
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
    text = [f"{pair}: their ticks are in the same candles, and volumes count twice" for pair in found]
    remedies = [pair.remedy for pair in found]
    with subject.database.transaction() as cursor:
        now = timestamps.floor(server_clock.now(cursor), timedelta(hours=1))
        copies = primary_feeds.copies_by_hand(cursor, now - COPIES_WINDOW, now + timedelta(hours=1))
    text += _copies(copies)
    remedies += [COPIES_REMEDY] if any(each.are_copies for each in copies) else []
    return Verdict(
        passed=not text,
        description="; ".join(text) or "every symbol has one primary feed",
        metadata={"to mend it": dg.MetadataValue.text("\n".join(remedies))} if remedies else {},
    )


def rows_by_hand_are_no_copies(subject: Subject) -> Verdict:
    """No row by hand doubles a feed's ticks, whatever its time; a function, since it says what to do."""
    with subject.database.transaction() as cursor:
        text = _copies(primary_feeds.all_copies_by_hand(cursor))
    return Verdict(
        passed=not text,
        description="; ".join(text) or "no row by hand is in the candles of a feed's symbol",
        metadata={"to mend it": dg.MetadataValue.text(COPIES_REMEDY)} if text else {},
    )


def _copies(found: Sequence[Copies]) -> list[str]:
    """A message if there are copies by hand in the candles."""
    by_feeds: dict[tuple[str, ...], list[Copies]] = {}
    for copies in found:
        if copies.are_copies:
            by_feeds.setdefault(tuple(copies.feeds), []).append(copies)
    messages = []
    for feeds, each in by_feeds.items():
        more = len(each) - primary.NAMED
        symbols = ", ".join(copies.symbol for copies in each[: primary.NAMED]) + (
            f" and {more} more" if more > 0 else ""
        )
        messages.append(
            f"{sum(copies.rows for copies in each):,} rows by hand are in the candles of {symbols}, which feed "
            f"{', '.join(feeds)} makes"
        )
    return messages


def channels_are_streaming(subject: Subject) -> Verdict:
    """Every channel streams; a function, since it says what is wrong feed by feed."""
    with subject.database.transaction() as cursor:
        found = quality.channels(cursor, [feed.name for feed in subject.settings.feeds])
    trouble = []
    for row in found:
        if row.refused is not None:
            trouble.append(
                f"{row.feed}: refused, and not tried again until .env or feeds.yaml is changed: {row.refused}"
            )
        elif row.away is not None:
            trouble.append(f"{row.feed}: not connected: {row.away}")
    trouble += [
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


def clocks_are_right(subject: Subject) -> Verdict:
    """No machine that ingests has a wrong clock; a function, since the runs say what is wrong."""
    with subject.database.transaction() as cursor:
        found = quality.clock_troubles(cursor, [feed.name for feed in subject.settings.feeds])
    return Verdict(
        passed=not found,
        description=" ".join(found.values()) or "the clocks agree with the providers'",
        metadata={"feeds": dg.MetadataValue.int(len(found))},
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
