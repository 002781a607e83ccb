"""Asset checks: is the data right, and is it there?"""

import time
from pathlib import Path

import dagster as dg

from ticks_platform.defs.assets import MAX_RUNTIME
from ticks_platform.defs.findings import examples, table
from ticks_platform.defs.resources import DatabaseResource
from ticks_platform.feeds.settings import PlatformSettings
from ticks_platform.ingestion import audit
from ticks_platform.ingestion.journal.journal_pair import journal_path
from ticks_platform.ingestion.repair.filing import journals_of_repairs
from ticks_platform.timescale import quality
from ticks_platform.timescale.candles.candles import ONE_DAY, ONE_HOUR, ONE_MINUTE, Candle

CHECKED_DAYS = 7
"""Days of candles that a check looks back; with some hundred symbols a scan of them takes tenths of a second."""


def _ohlc_invariants(candle: Candle) -> dg.AssetChecksDefinition:
    @dg.asset_check(
        asset=candle.name,
        name="ohlc_invariants",
        blocking=True,
        description=(
            f"Every candle of the last {CHECKED_DAYS} days can be the candle of some ticks: high is the highest, low "
            "is the lowest, prices are finite and positive, and there is at least one tick in it."
        ),
    )
    def check(database: DatabaseResource) -> dg.AssetCheckResult:
        with database.transaction() as cursor:
            found = quality.broken_candles(cursor, candle, days=CHECKED_DAYS)
        return dg.AssetCheckResult(
            passed=found.broken == 0,
            severity=dg.AssetCheckSeverity.ERROR,
            description=f"{found.broken} of {found.candles} candles are broken",
            metadata={
                "candles": dg.MetadataValue.int(found.candles),
                "broken": dg.MetadataValue.int(found.broken),
                **examples(found.examples),
            },
        )

    return check


ohlc_invariants = [_ohlc_invariants(candle) for candle in (ONE_MINUTE, ONE_HOUR, ONE_DAY)]


def ticks_are_fresh(settings: PlatformSettings) -> dg.AssetChecksDefinition:
    """The check `ticks_are_fresh` over the feeds of feeds.yaml."""
    limits = {feed.name: feed.stale_after_seconds for feed in settings.feeds}
    calendars = {feed.name: set(feed.calendars().values()) for feed in settings.feeds}

    @dg.asset_check(
        asset="stocks_real_time",
        name="ticks_are_fresh",
        description=(
            "The last tick of every feed that is switched on arrived no longer ago than the feed's stale_after_seconds "
            "in feeds.yaml, counted while at least one of its markets is open."
        ),
    )
    def check(database: DatabaseResource) -> dg.AssetCheckResult:
        now = time.time()
        with database.transaction() as cursor:
            seen = {row.feed: row for row in quality.freshness(cursor, list(limits))}
        stale, rows = [], []
        for feed, limit in limits.items():
            row = seen.get(feed)
            age = row.age_seconds if row else None
            off = row is not None and not row.enabled
            opened = [since for calendar in calendars[feed] if (since := calendar.open_since(now)) is not None]
            is_open_for = now - min(opened) if opened else 0.0
            is_stale = not off and min(is_open_for, float("inf") if age is None else age) > limit
            if is_stale:
                stale.append(
                    f"{feed} (last tick {'never' if age is None else f'{age:.0f} s ago'}, limit {limit:.0f} s)"
                )
            verdict = "switched off" if off else "stale" if is_stale else "fresh" if opened else "closed"
            rows.append(
                {
                    "feed": feed,
                    "verdict": verdict,
                    "last tick": (row and row.last_received_at) or "never",
                    "age in seconds": -1.0 if age is None else round(age, 1),
                    "limit in seconds": limit,
                }
            )
        ages = [row.age_seconds for row in seen.values() if row.enabled and row.age_seconds is not None]
        return dg.AssetCheckResult(
            passed=not stale,
            severity=dg.AssetCheckSeverity.ERROR,
            description=f"stale: {', '.join(stale)}" if stale else "every feed that is switched on is fresh",
            metadata={
                "feeds": table(rows),
                **({"oldest in seconds": dg.MetadataValue.float(round(max(ages), 3))} if ages else {}),
            },
        )

    return check


def channels_are_streaming(settings: PlatformSettings) -> dg.AssetChecksDefinition:
    """The check `channels_are_streaming` over the feeds of feeds.yaml."""
    feeds = [feed.name for feed in settings.feeds]

    @dg.asset_check(
        asset="stocks_real_time",
        name="channels_are_streaming",
        description=(
            "The provider streams every channel that a feed has asked for, and no symbol is silent for longer than its "
            "own pace and its calendar explain."
        ),
    )
    def check(database: DatabaseResource) -> dg.AssetCheckResult:
        with database.transaction() as cursor:
            found = quality.channels(cursor, feeds)
        trouble = [
            f"{row.feed}: {count} {what}"
            for row in found
            for count, what in ((row.failed, "not subscribed"), (row.silent, "silent"))
            if count
        ]
        channels = [{"feed": row.feed, **example} for row in found for example in row.examples]
        return dg.AssetCheckResult(
            passed=not trouble,
            severity=dg.AssetCheckSeverity.WARN,
            description="; ".join(trouble) or "every channel streams",
            metadata={
                "subscribed": dg.MetadataValue.int(sum(row.subscribed for row in found)),
                **examples(channels, "channels"),
            },
        )

    return check


def ledger_balances(settings: PlatformSettings) -> dg.AssetChecksDefinition:
    """The check `ledger_balances` over all feeds, and over the journals on this machine."""
    feeds = [feed.name for feed in settings.feeds]

    @dg.asset_check(
        asset="stocks_real_time",
        name="ledger_balances",
        description=(
            "Every event that was received is accounted for: events = loaded + replaced + duplicate + rejected + "
            "control; as many rows as were loaded are in the tables, in every hour that changed in the last two; and "
            "every frame that a journal on this machine took in is committed or waits in it, for a feed that goes on "
            "with it."
        ),
    )
    def check(database: DatabaseResource) -> dg.AssetCheckResult:
        with database.autocommit() as cursor:
            accounts = audit.accounts(cursor)
            hours = audit.hours(cursor)
            journals = audit.journal_folder(cursor, _journals(), feeds)
            journals = journals.joined(audit.journal_folder(cursor, journals_of_repairs(), feeds))
        problems = [problem for account in accounts for problem in account.problems()]
        problems += hours.problems()
        problems += [problem for account in journals.accounts for problem in account.problems()]
        problems += [problem for orphan in journals.orphans for problem in orphan.problems()]
        problems += journals.unreadable
        metadata: dict[str, dg.MetadataValue] = {
            "events": dg.MetadataValue.int(sum(account.events for account in accounts)),
            "loaded": dg.MetadataValue.int(sum(account.loaded for account in accounts)),
            "rejected": dg.MetadataValue.int(sum(account.rejected for account in accounts)),
            **_hours_metadata(hours),
            **examples((account._asdict() for account in accounts), "ledger"),
            **examples((account._asdict() for account in journals.accounts), "journals"),
        }
        return dg.AssetCheckResult(
            passed=not problems and not journals.damaged,
            severity=dg.AssetCheckSeverity.ERROR if problems else dg.AssetCheckSeverity.WARN,
            description="; ".join([*problems, *journals.notices()]) or "every event is accounted for",
            metadata=metadata,
        )

    return check


@dg.asset_check(
    asset="stocks_real_time",
    name="every_tick_is_there",
    description=(
        "In every hour that retention has not dropped there are as many ticks of each feed as were loaded. Reads the "
        "whole table; ledger_balances does the same for the hours that have just changed."
    ),
)
def every_tick_is_there(database: DatabaseResource) -> dg.AssetCheckResult:
    with database.autocommit() as cursor:
        hours = audit.hours(cursor, everything=True)
    return dg.AssetCheckResult(
        passed=not hours.differing,
        severity=dg.AssetCheckSeverity.ERROR,
        description="; ".join(hours.problems()) or f"all {hours.stored:,} ticks of {hours.compared:,} hours are there",
        metadata=_hours_metadata(hours),
    )


def _journals() -> Path:
    return journal_path("any").parent


def _hours_metadata(hours: audit.Hours) -> dict[str, dg.MetadataValue]:
    return {
        "hours compared": dg.MetadataValue.int(hours.compared),
        "rows in those hours": dg.MetadataValue.int(hours.stored),
        "hours that differ": dg.MetadataValue.int(hours.differing),
        **examples(hours.examples),
    }


def journal_has_room(settings: PlatformSettings) -> dg.AssetChecksDefinition:
    """The check `journal_has_room` over the journals on this machine."""
    budgets = {feed.name: feed.journal.max_megabytes << 20 for feed in settings.feeds}

    @dg.asset_check(
        asset="stocks_real_time",
        name="journal_has_room",
        description=(
            "No feed's journal is more than half full, and nothing waits in a journal that no feed goes on with. A "
            "journal fills while the database is away or slower than its feed; when it is full, reading stops."
        ),
    )
    def check(database: DatabaseResource) -> dg.AssetCheckResult:
        with database.autocommit() as cursor:
            journals = audit.journal_folder(cursor, _journals(), budgets)
        shares: dict[str, float] = {}
        for account in journals.accounts:
            # While a feed is handed over it has two.
            share = account.waiting_bytes / budgets[account.feed]
            shares[account.feed] = max(share, shares.get(account.feed, 0.0))
        filling = [f"{feed}: {share:.0%}" for feed, share in shares.items() if share > 0.5]
        problems = []
        if filling:
            problems.append(
                f"{', '.join(filling)} of its budget waits: see whether the database keeps up (its log, its disk, its "
                "load), or raise the feed's journal.max_megabytes"
            )
        problems += [problem for orphan in journals.orphans for problem in orphan.problems()]
        problems += journals.unreadable
        full = any(share >= 1 for share in shares.values())
        metadata: dict[str, dg.MetadataValue] = {
            feed: dg.MetadataValue.float(round(share, 4)) for feed, share in shares.items()
        }
        for orphan in journals.orphans:
            metadata[f"bytes in {orphan.path.name}"] = dg.MetadataValue.int(orphan.waiting_bytes)
        return dg.AssetCheckResult(
            passed=not problems,
            severity=dg.AssetCheckSeverity.ERROR if full else dg.AssetCheckSeverity.WARN,
            description="; ".join(problems) or "journals have room",
            metadata=metadata,
        )

    return check


_WHOLE_TABLE = dg.AssetSelection.checks(dg.AssetCheckKey(dg.AssetKey("stocks_real_time"), "every_tick_is_there"))

check_quality = dg.define_asset_job(
    "check_quality",
    selection=dg.AssetSelection.all_asset_checks() - _WHOLE_TABLE,
    tags=MAX_RUNTIME,
    description="Runs every asset check on the ticks and the candles, but the one that reads the whole table.",
)

check_every_tick = dg.define_asset_job(
    "check_every_tick",
    selection=_WHOLE_TABLE,
    tags=MAX_RUNTIME,
    description="Runs the check every_tick_is_there, which reads the whole table of ticks.",
)
