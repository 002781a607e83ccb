"""Asset checks of the candles: are they the candles of their ticks, are they plausible, are they up to date?"""

import math
import time
from datetime import datetime, timedelta, timezone

import dagster as dg

from ticks_platform.defs.assets import REFRESH_POOL
from ticks_platform.defs.findings import LAST, examples, table
from ticks_platform.defs.resources import DatabaseResource
from ticks_platform.feeds.settings import PlatformSettings
from ticks_platform.timescale import candle_quality
from ticks_platform.timescale.candle_quality import Completeness, Finding, Session
from ticks_platform.timescale.candles import reconciliation
from ticks_platform.timescale.candles.candles import ONE_MINUTE, Candle
from ticks_platform.timescale.candles.reconciliation import Reconciliation

FUTURE_TOLERANCE = timedelta(minutes=1)
"""Providers' clocks have been seen 16 seconds ahead."""
PRICES_WINDOW = timedelta(hours=1)
DUPLICATES_WINDOW = timedelta(days=7)
VOLUME_WINDOW = timedelta(days=1)
JUMPS_WINDOW = timedelta(days=1)
"""How far back the usual spread of a symbol's returns is measured."""
JUMPS_JUDGED = timedelta(hours=2)
JUMPS_LIMIT = 25.0
"""Robust z-score of a jump. Returns have heavy tails: 10 happens to real prices, a misplaced point is 1,000."""
JUMPS_ENOUGH = 30
"""Returns of a symbol that are needed to know its spread."""
SESSION_WINDOW = timedelta(hours=2)
SESSION_BASELINE = timedelta(days=7)
"""How far back the share of minutes is measured in which a symbol usually trades."""
SESSION_TOLERANCE = 0.9
"""The part of its usual share that a symbol has to reach, less three standard deviations where it trades rarely."""
SHOWN_SYMBOLS = 50
"""Symbols in the table of completeness, incomplete ones first."""
SESSION_ENOUGH = 60
"""Minutes in session that are needed to know what is usual for a symbol."""

_RECONCILED_MINUTES = reconciliation.WINDOW.total_seconds() / 60
_HEALING = (
    "Candles that only wait for late ticks are refreshed, which is no failure. Candles that the database takes for up "
    "to date and that are wrong fail the check as a warning even when a forced refresh of them, in every level, has "
    "healed them: somebody may have read them, and something wrote them. The next run is green again. Those that stay "
    "wrong are an error, and what is made from the candles is not materialized in the same run."
)


def _reconciled(result: Reconciliation, *, right: str) -> dg.AssetCheckResult:
    wrong, left = result.wrong.differing, result.left.differing
    parts = []
    if result.healed:
        parts.append(f"{result.healed} candles were wrong and are healed by a forced refresh")
    if left:
        parts.append(f"{left} candles are wrong and a forced refresh does not heal them")
    if not wrong:
        parts.append(right.format(candles=result.found.candles))
    if result.late:
        parts.append(f"{result.late} had late ticks and were refreshed")
    return dg.AssetCheckResult(
        passed=wrong == 0,
        severity=dg.AssetCheckSeverity.ERROR if left else dg.AssetCheckSeverity.WARN,
        description="; ".join(parts),
        metadata={
            "candles": dg.MetadataValue.int(result.found.candles),
            "differing": dg.MetadataValue.int(result.found.differing),
            "late": dg.MetadataValue.int(result.late),
            "healed": dg.MetadataValue.int(result.healed),
            "not healed": dg.MetadataValue.int(left),
            **examples((*result.left.examples, *result.wrong.examples)[: reconciliation.EXAMPLES]),
        },
    )


@dg.asset_check(
    asset=ONE_MINUTE.name,
    name="candles_equal_ticks",
    blocking=True,
    pool=REFRESH_POOL,
    op_tags=LAST,
    description=(
        f"Prices, volumes and tick count of every closed minute of the last {_RECONCILED_MINUTES:g}, and of every hour "
        f"that late ticks came to in that time, are those of its ticks, as far as the ticks are still there. {_HEALING}"
    ),
)
def candles_equal_ticks(database: DatabaseResource) -> dg.AssetCheckResult:
    with database.autocommit() as cursor:
        result = reconciliation.reconcile(cursor)
    return _reconciled(result, right="all {candles} candles are those of their ticks")


def _candles_equal_finer(candle: Candle) -> dg.AssetChecksDefinition:
    @dg.asset_check(
        asset=candle.name,
        name="candles_equal_finer",
        blocking=True,
        pool=REFRESH_POOL,
        op_tags=LAST,
        description=(
            f"Every closed candle of the last {reconciliation.LEVELS_WINDOW.days} days, and of those that late ticks "
            "came to in that time, is what the next finer candles make of it, as far as the ticks are still there. So "
            f"a candle that was written by hand is found days later, in either level. {_HEALING}"
        ),
    )
    def check(database: DatabaseResource) -> dg.AssetCheckResult:
        with database.autocommit() as cursor:
            result = reconciliation.reconcile_levels(cursor, candle)
        return _reconciled(result, right="all {candles} candles are those of the finer ones")

    return check


candles_equal_finer = [_candles_equal_finer(candle) for candle in reconciliation.LEVELS[1:]]


def _result(found: Finding, *, severity: dg.AssetCheckSeverity, good: str, bad: str) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        passed=found.offending == 0,
        severity=severity,
        description=(bad if found.offending else good).format(judged=found.judged, offending=found.offending),
        metadata={
            "judged": dg.MetadataValue.int(found.judged),
            "offending": dg.MetadataValue.int(found.offending),
            **examples(found.examples),
        },
    )


@dg.asset_check(
    asset=ONE_MINUTE.name,
    name="no_ticks_from_the_future",
    blocking=True,
    description=(
        f"No tick and no candle is dated more than {FUTURE_TOLERANCE.total_seconds():g} seconds ahead of now, and no "
        "candle is materialized up to a time ahead of now, be it the end of a bucket that is still open, which would "
        "hide the ticks that come before it."
    ),
)
def no_ticks_from_the_future(database: DatabaseResource) -> dg.AssetCheckResult:
    with database.transaction() as cursor:
        found = candle_quality.from_the_future(cursor, tolerance=FUTURE_TOLERANCE)
    return _result(
        found,
        severity=dg.AssetCheckSeverity.ERROR,
        good="nothing is ahead of now",
        bad="{offending} ticks, candles or watermarks are ahead of now",
    )


@dg.asset_check(
    asset="stocks_real_time",
    name="prices_are_positive_and_finite",
    description=(
        f"The price of every tick of the last {PRICES_WINDOW.total_seconds() / 60:g} minutes is a finite number above "
        "zero. ohlc_invariants says the same of the candles."
    ),
)
def prices_are_positive_and_finite(database: DatabaseResource) -> dg.AssetCheckResult:
    with database.transaction() as cursor:
        found = candle_quality.impossible_prices(cursor, window=PRICES_WINDOW)
    return _result(
        found,
        severity=dg.AssetCheckSeverity.ERROR,
        good="all {judged} ticks have a possible price",
        bad="{offending} of {judged} ticks have an impossible price",
    )


def _no_duplicate_bucket(candle: Candle) -> dg.AssetChecksDefinition:
    @dg.asset_check(
        asset=candle.name,
        name="no_duplicate_bucket",
        blocking=True,
        description=f"In the last {DUPLICATES_WINDOW.days} days no symbol has two candles of the same bucket.",
    )
    def check(database: DatabaseResource) -> dg.AssetCheckResult:
        with database.transaction() as cursor:
            found = candle_quality.duplicate_buckets(cursor, candle, window=DUPLICATES_WINDOW)
        return _result(
            found,
            severity=dg.AssetCheckSeverity.ERROR,
            good="none of {judged} candles is there twice",
            bad="{offending} buckets have more than one candle of a symbol",
        )

    return check


no_duplicate_bucket = [_no_duplicate_bucket(candle) for candle in reconciliation.LEVELS]


@dg.asset_check(
    asset=ONE_MINUTE.name,
    name="day_volume_is_monotone",
    description=(
        "The volume of the day, which is cumulative, never falls within a UTC day, of yesterday and today; but that it "
        "may once begin anew."
    ),
)
def day_volume_is_monotone(database: DatabaseResource) -> dg.AssetCheckResult:
    with database.transaction() as cursor:
        found = candle_quality.falling_volumes(cursor, window=VOLUME_WINDOW)
    return _result(
        found,
        severity=dg.AssetCheckSeverity.WARN,
        good="the volume of the day falls in none of {judged} candles",
        bad="the volume of the day falls in {offending} of {judged} candles",
    )


@dg.asset_check(
    asset=ONE_MINUTE.name,
    name="prices_do_not_jump",
    description=(
        f"No return from close to close of the last {JUMPS_JUDGED.total_seconds() / 3600:g} hours is further than "
        f"{JUMPS_LIMIT:g} robust standard deviations from the symbol's median of the last "
        f"{JUMPS_WINDOW.total_seconds() / 3600:g} hours: a jump is more often a bad tick than a price."
    ),
)
def prices_do_not_jump(database: DatabaseResource) -> dg.AssetCheckResult:
    with database.transaction() as cursor:
        found = candle_quality.jumps(
            cursor, judged=JUMPS_JUDGED, window=JUMPS_WINDOW, limit=JUMPS_LIMIT, enough=JUMPS_ENOUGH
        )
    return _result(
        found,
        severity=dg.AssetCheckSeverity.WARN,
        good="none of {judged} returns is a jump",
        bad="{offending} of {judged} returns are jumps",
    )


def _sessions(settings: PlatformSettings, feeds: set[str], now: float) -> list[Session]:
    """What calendars say of the symbols of these feeds: sessions to judge, and those before them."""
    end = (now // 60 - 1) * 60
    judged = end - SESSION_WINDOW.total_seconds()
    calendars = {
        symbol: calendar
        for feed in settings.feeds
        if feed.name in feeds
        for symbol, calendar in feed.calendars().items()
    }
    spans = ((False, judged - SESSION_BASELINE.total_seconds(), judged), (True, judged, end))
    return [
        Session(symbol, is_judged, *(datetime.fromtimestamp(moment, timezone.utc) for moment in session))
        for symbol, calendar in calendars.items()
        for is_judged, since, until in spans
        for session in calendar.sessions(since, until)
    ]


def _verdict(row: Completeness) -> tuple[str, float]:
    """What to say of a symbol, and how many minutes it had to have."""
    if row.expected < 1:
        return ("closed, or in a gap" if row.usually_expected else "no candle yet"), 0.0
    if row.usually_expected < SESSION_ENOUGH:
        return "too new to judge", 0.0
    usual = min(row.usually_present / row.usually_expected, 1.0)
    chance = 3 * math.sqrt(usual * (1 - usual) * row.expected)
    wanted = max(SESSION_TOLERANCE * usual * row.expected - chance, 0.0)
    return ("complete" if row.present >= wanted else "incomplete"), wanted


def session_is_complete(settings: PlatformSettings) -> dg.AssetChecksDefinition:
    """The check `session_is_complete` over the symbols of feeds.yaml, by their calendars."""
    names = [feed.name for feed in settings.feeds]

    @dg.asset_check(
        asset=ONE_MINUTE.name,
        name="session_is_complete",
        description=(
            f"Of the minutes of the last {SESSION_WINDOW.total_seconds() / 3600:g} hours in which its market was open, "
            f"every symbol of the feeds that are switched on has a candle in at least {SESSION_TOLERANCE:.0%} of the "
            f"share that was usual for it in the {SESSION_BASELINE.days} days before; a little less for symbols that "
            "trade rarely, whose share varies by chance. Minutes in gaps do not count: gaps_are_closed tells of them."
        ),
    )
    def check(database: DatabaseResource) -> dg.AssetCheckResult:
        with database.transaction() as cursor:
            feeds = candle_quality.enabled_feeds(cursor, names)
            found = candle_quality.completeness(cursor, feeds, _sessions(settings, feeds, time.time()))
        judged = [(row, *_verdict(row)) for row in found]
        incomplete = [row.symbol for row, verdict, _ in judged if verdict == "incomplete"]
        rows = [
            {
                "symbol": row.symbol,
                "verdict": verdict,
                "minutes in session": round(row.expected),
                "with a candle": round(row.present),
                "at least": round(wanted, 1),
                "usual share": round(row.usually_present / row.usually_expected, 3) if row.usually_expected else None,
            }
            for row, verdict, wanted in sorted(judged, key=lambda item: (item[1] != "incomplete", item[0].symbol))
        ]
        return dg.AssetCheckResult(
            passed=not incomplete,
            severity=dg.AssetCheckSeverity.WARN,
            description=(
                f"{len(incomplete)} of {len(found)} symbols lack candles: "
                f"{', '.join(incomplete[: reconciliation.EXAMPLES])}"
                if incomplete
                else f"none of {len(found)} symbols lacks more candles than usual"
            ),
            metadata={
                "symbols": dg.MetadataValue.int(len(found)),
                "incomplete": dg.MetadataValue.int(len(incomplete)),
                "minutes in session": dg.MetadataValue.int(round(sum(row.expected for row in found))),
                "with a candle": dg.MetadataValue.int(round(sum(row.present for row in found))),
                **({"symbols by name": table(rows[:SHOWN_SYMBOLS])} if rows else {}),
            },
        )

    return check


def every_check(settings: PlatformSettings) -> list[dg.AssetChecksDefinition]:
    """All of this module."""
    return [
        candles_equal_ticks,
        *candles_equal_finer,
        no_ticks_from_the_future,
        prices_are_positive_and_finite,
        *no_duplicate_bucket,
        day_volume_is_monotone,
        prices_do_not_jump,
        session_is_complete(settings),
    ]
