"""Asset checks: is the data right, and is it there?"""

import dagster as dg

from ticks_platform.defs.assets import MAX_RUNTIME
from ticks_platform.defs.resources import DatabaseResource
from ticks_platform.feeds.settings import PlatformSettings
from ticks_platform.ingestion import audit
from ticks_platform.ingestion.stream import journal_path
from ticks_platform.timescale import quality
from ticks_platform.timescale.candles import ONE_HOUR, ONE_MINUTE, Candle

CHECKED_DAYS = 7
"""Days of candles that a check looks back; with some hundred symbols a scan of them takes tenths of a second."""


def _ohlc_invariants(candle: Candle) -> dg.AssetChecksDefinition:
    @dg.asset_check(
        asset=candle.name,
        name="ohlc_invariants",
        description=(
            f"Every candle of the last {CHECKED_DAYS} days can be the candle of some ticks: high is the highest, low "
            "is the lowest, prices are finite and positive, and there is at least one tick in it."
        ),
    )
    def check(database: DatabaseResource) -> dg.AssetCheckResult:
        with database.transaction() as cursor:
            found = quality.broken_candles(cursor, candle, days=CHECKED_DAYS)
        metadata: dict[str, dg.MetadataValue] = {
            "candles": dg.MetadataValue.int(found.candles),
            "broken": dg.MetadataValue.int(found.broken),
        }
        if found.examples:
            metadata["examples"] = dg.MetadataValue.table(
                [dg.TableRecord({key: str(value) for key, value in row.items()}) for row in found.examples]
            )
        return dg.AssetCheckResult(
            passed=found.broken == 0,
            severity=dg.AssetCheckSeverity.ERROR,
            description=f"{found.broken} of {found.candles} candles are broken",
            metadata=metadata,
        )

    return check


ohlc_invariants = [_ohlc_invariants(ONE_MINUTE), _ohlc_invariants(ONE_HOUR)]


def ticks_are_fresh(settings: PlatformSettings) -> dg.AssetChecksDefinition:
    """The check `ticks_are_fresh` over the feeds of feeds.yaml."""
    limits = {feed.name: feed.stale_after_seconds for feed in settings.feeds}

    @dg.asset_check(
        asset="stocks_real_time",
        name="ticks_are_fresh",
        description=(
            "The last tick of every feed that is switched on arrived no longer ago than the feed's stale_after_seconds "
            "in feeds.yaml."
        ),
    )
    def check(database: DatabaseResource) -> dg.AssetCheckResult:
        with database.transaction() as cursor:
            seen = {row.feed: row for row in quality.freshness(cursor, list(limits))}
        stale, rows = [], []
        for feed, limit in limits.items():
            row = seen.get(feed)
            age = row.age_seconds if row else None
            off = row is not None and not row.enabled
            is_stale = not off and (age is None or age > limit)
            if is_stale:
                stale.append(
                    f"{feed} (last tick {'never' if age is None else f'{age:.0f} s ago'}, limit {limit:.0f} s)"
                )
            verdict = "switched off" if off else "stale" if is_stale else "fresh"
            rows.append(
                dg.TableRecord(
                    {
                        "feed": feed,
                        "verdict": verdict,
                        "last tick": str((row and row.last_received_at) or "never"),
                        "age in seconds": -1.0 if age is None else round(age, 1),
                        "limit in seconds": limit,
                    }
                )
            )
        ages = [row.age_seconds for row in seen.values() if row.enabled and row.age_seconds is not None]
        return dg.AssetCheckResult(
            passed=not stale,
            severity=dg.AssetCheckSeverity.ERROR,
            description=f"stale: {', '.join(stale)}" if stale else "every feed that is switched on is fresh",
            metadata={
                "feeds": dg.MetadataValue.table(rows),
                **({"oldest in seconds": dg.MetadataValue.float(round(max(ages), 3))} if ages else {}),
            },
        )

    return check


def ledger_balances(settings: PlatformSettings) -> dg.AssetChecksDefinition:
    """The check `ledger_balances` over all feeds, and over the journals on this machine."""

    @dg.asset_check(
        asset="stocks_real_time",
        name="ledger_balances",
        description=(
            "Every event that was received is accounted for: events = loaded + duplicate + rejected + control; as many "
            "ticks as were loaded are in the table; and every frame that a journal took in is committed or waits in it."
        ),
    )
    def check(database: DatabaseResource) -> dg.AssetCheckResult:
        with database.autocommit() as cursor:
            accounts = audit.accounts(cursor)
            journals = [
                account
                for feed in settings.feeds
                if (account := audit.journal_account(cursor, feed.name, journal_path(feed.name))) is not None
            ]
        problems = [problem for account in accounts for problem in account.problems()]
        problems += [problem for account in journals for problem in account.problems()]
        metadata: dict[str, dg.MetadataValue] = {
            "events": dg.MetadataValue.int(sum(account.events for account in accounts)),
            "loaded": dg.MetadataValue.int(sum(account.loaded for account in accounts)),
            "rejected": dg.MetadataValue.int(sum(account.rejected for account in accounts)),
        }
        if accounts:
            metadata["ledger"] = dg.MetadataValue.table([dg.TableRecord(account._asdict()) for account in accounts])
        if journals:
            metadata["journals"] = dg.MetadataValue.table([dg.TableRecord(account._asdict()) for account in journals])
        return dg.AssetCheckResult(
            passed=not problems,
            severity=dg.AssetCheckSeverity.ERROR,
            description="; ".join(problems) or "every event is accounted for",
            metadata=metadata,
        )

    return check


def journal_has_room(settings: PlatformSettings) -> dg.AssetChecksDefinition:
    """The check `journal_has_room` over the journals on this machine."""
    budgets = {feed.name: feed.journal.max_megabytes << 20 for feed in settings.feeds}

    @dg.asset_check(
        asset="stocks_real_time",
        name="journal_has_room",
        description=(
            "No feed's journal is more than half full. A journal fills while the database is away or slower than its "
            "feed; when it is full, reading stops."
        ),
    )
    def check(database: DatabaseResource) -> dg.AssetCheckResult:
        shares, full = {}, False
        with database.autocommit() as cursor:
            for feed, budget in budgets.items():
                account = audit.journal_account(cursor, feed, journal_path(feed))
                if account is not None:
                    shares[feed] = account.waiting_bytes / budget
                    full = full or account.waiting_bytes >= budget
        filling = [f"{feed}: {share:.0%}" for feed, share in shares.items() if share > 0.5]
        advice = (
            "see whether the database keeps up (its log, its disk, its load), or raise the feed's journal.max_megabytes"
        )
        return dg.AssetCheckResult(
            passed=not filling,
            severity=dg.AssetCheckSeverity.ERROR if full else dg.AssetCheckSeverity.WARN,
            description=f"{', '.join(filling)} of its budget waits: {advice}" if filling else "journals have room",
            metadata={feed: dg.MetadataValue.float(round(share, 4)) for feed, share in shares.items()},
        )

    return check


check_quality = dg.define_asset_job(
    "check_quality",
    selection=dg.AssetSelection.all_asset_checks(),
    tags=MAX_RUNTIME,
    description="Runs every asset check on the ticks and the candles.",
)
