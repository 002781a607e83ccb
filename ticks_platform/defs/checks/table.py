"""The table of asset checks: a new check is a new row here. `__init__.py` says how to write one."""

from datetime import timedelta

import dagster as dg

from ticks_platform.defs.checks import (
    bars,
    declared,
    feeds,
    gaps,
    jumps,
    ledger,
    prices,
    reconciliation,
    refreshes,
    sessions,
    true_up,
)
from ticks_platform.defs.checks.check import ERROR, WARN, Check, Query, asset_checks
from ticks_platform.defs.common.project import feed_settings, policies_file
from ticks_platform.timescale.candles import candles
from ticks_platform.timescale.policies.settings import POLICIES, Kind

TICKS = "stocks_real_time"
MINUTE, HOUR, DAY = CANDLES = tuple(candle.name for candle in candles.CANDLES)

_HEALING = (
    "Candles that only wait for late ticks are refreshed, which is no failure. Wrong candles that the database "
    "considers current fail the check as a warning even when a forced refresh, in every level, has healed them: "
    "somebody may have read them, and something wrote them. The next run is green again. Those that stay wrong are an "
    "error, and what is made from the candles is not materialized in the same run."
)

CHECKS = (
    Check(
        "ticks_are_fresh",
        (TICKS,),
        feeds.ticks_are_fresh,
        ERROR,
        "The last tick of every feed that is switched on arrived no longer ago than the feed's stale_after_seconds in "
        "feeds.yaml, counted while at least one of its markets is open.",
    ),
    Check(
        "channels_are_streaming",
        (TICKS,),
        feeds.channels_are_streaming,
        WARN,
        "The provider streams every channel that a feed has asked for, and no symbol is silent for longer than its own "
        "pace and its calendar explain.",
    ),
    Check(
        "clocks_are_right",
        (TICKS,),
        feeds.clocks_are_right,
        WARN,
        "The clock of each machine that ingests agrees with what its providers and its database tell, and was "
        "not set by over a second in the last ten minutes; nor did the machine sleep. A wrong clock is corrected in "
        "received_at, and time in doubt is a gap.",
    ),
    Check(
        "symbols_have_one_primary_feed",
        (TICKS,),
        feeds.symbols_have_one_primary_feed,
        WARN,
        "The candles of a symbol are made of one feed's ticks. Feeds that share a symbol are refused when feeds.yaml "
        "is loaded, unless all but one have `candles: false`; those that were running already are warned of here. So "
        f"are rows by hand of the last {feeds.COPIES_WINDOW.total_seconds() / 3600:g} hours of a symbol that a feed "
        "streams; in its gaps they are welcome.",
    ),
    Check(
        "rows_by_hand_are_no_copies",
        (TICKS,),
        feeds.rows_by_hand_are_no_copies,
        WARN,
        "No row by hand is in the candles of a symbol in an hour in which a feed's ticks make them, except in the "
        "feed's gaps. Reads the whole table once there is such a row; symbols_have_one_primary_feed does the same for "
        "the last hours.",
        daily=True,
    ),
    Check(
        "ledger_balances",
        (TICKS,),
        ledger.ledger_balances,
        ERROR,
        "Every event that was received is accounted for: events = loaded + replaced + duplicate + rejected + control; "
        "as many rows as were loaded are in the tables, in every hour that changed in the last two, and the ticks of "
        "each hour are those that were loaded, by their fingerprint, once it is over and whenever it changes; and "
        "every frame that was appended to a journal on this machine is committed or waits in it; none wait in an "
        "orphaned journal. "
        "Rows that are gone count as such if retention dropped them, or somebody declared it (`ticks declare gone`). A "
        "journal of another machine in which frames wait, as it was last heard of, is named until it is loaded or "
        "declared lost (`ticks declare lost`); one that may hold frames that nobody has heard of is a warning.",
    ),
    Check(
        "every_tick_is_there",
        (TICKS,),
        ledger.every_tick_is_there,
        ERROR,
        "In every hour there are as many ticks of each feed as were loaded, less those that retention dropped or that "
        "were declared gone. Reads the whole table; ledger_balances does the same for the hours that have just "
        "changed, and for all without a chunk. In the hours whose proof is the oldest, the ticks are those that were "
        "loaded, by their fingerprint. Rows by hand are counted and not judged.",
        daily=True,
    ),
    Check(
        "conditions_are_known",
        (TICKS,),
        feeds.conditions_are_known,
        WARN,
        "Every condition of the trades of the last day has a rule in ticks_platform.trade_condition, for feeds of US "
        "stocks. One that has none restricts nothing: its trades set prices and count in the volume. The rules are "
        "part of the release; a newer one may know it.",
        daily=True,
    ),
    Check(
        "rejected_events_are_few",
        (TICKS,),
        Query(
            "queries/checks/rejected_events_are_few.sql",
            good="no reason rejected more than 0.1 % of the events of any of {judged:feed}",
            bad="{offending} events were rejected for reasons with a share of more than 0.1 %",
            labels=("feeds", "events"),
        ),
        WARN,
        "Of the events that each feed received in the last two days, no reason rejected more than 0.1 %. They are "
        "kept with their bytes: once the reason is gone, `ticks reload-rejected FEED` loads them, each once.",
    ),
    Check(
        "optional_fields_are_readable",
        (TICKS,),
        Query(
            "queries/checks/optional_fields_are_readable.sql",
            good="every optional field of {judged:feed} could be read",
            bad="{offending} events are stored without an optional field that could not be read",
            labels=("feeds", "events"),
        ),
        WARN,
        "Every optional field of the ticks, quotes and bars of yesterday and today could be read, such as a size, a "
        "bid or the volume of the day. Events are stored without those that could not; "
        "ticks_platform.malformed_field counts them by feed and field.",
    ),
    Check(
        "split_factors_agree",
        ("corporate_actions",),
        Query(
            "queries/checks/split_factors_agree.sql",
            good="{judged} splits have the provider's cumulative factor",
            bad="{offending} of {judged} splits do not have the provider's cumulative factor",
        ),
        WARN,
        "The cumulative factor of each split, computed from the ratios in corporate_action, is the provider's. Where "
        "it is not, a split is missing or wrong, and so are adjusted candles before it.",
    ),
    Check(
        "journal_has_room",
        (TICKS,),
        ledger.journal_has_room,
        WARN,
        "No feed's journal is more than half full, and no frames wait in an orphaned journal. A journal fills while "
        "the database is away or slower than its feed; when it is full, reading stops.",
    ),
    Check(
        "prices_are_positive_and_finite",
        (TICKS,),
        prices.prices_are_positive_and_finite,
        ERROR,
        "The price of every tick of the last hour is a finite number, and above zero unless the table instrument says "
        "that the symbol's price may be negative. ohlc_invariants says the same of the candles.",
    ),
    Check(
        "ohlc_invariants",
        CANDLES,
        Query(
            "queries/checks/ohlc_invariants.sql",
            good="{offending} of {judged} candles are broken",
            bad="{offending} of {judged} candles are broken",
            # With some hundred symbols, a scan of seven days takes tenths of a second.
            parameters={"days": 7},
            labels=("candles", "broken"),
            follows=timedelta(days=7),
        ),
        ERROR,
        "Every candle of the last 7 days can be the candle of some ticks: it has four prices, or none if no tick may "
        "form one; high is the highest, low is the lowest, prices are finite and positive (or may be negative, as the "
        "table instrument says), and there is at least one tick in it.",
        blocking=True,
    ),
    Check(
        "no_duplicate_bucket",
        CANDLES,
        Query(
            "queries/checks/no_duplicate_bucket.sql",
            good="none of {judged:candle} is there twice",
            bad="{offending} buckets have more than one candle of a symbol",
            parameters={"window": timedelta(days=7)},
            follows=timedelta(days=7),
        ),
        ERROR,
        "In the last 7 days no symbol has two candles of the same bucket.",
        blocking=True,
    ),
    Check(
        "no_ticks_from_the_future",
        (MINUTE,),
        Query(
            "queries/checks/no_ticks_from_the_future.sql",
            good="nothing is ahead of now",
            bad="{offending} ticks, candles or watermarks are ahead of now",
            # Providers' clocks have been seen 16 seconds ahead.
            parameters={"tolerance": timedelta(minutes=1), "candles": list(CANDLES)},
        ),
        ERROR,
        "No tick and no candle is dated more than 60 seconds ahead of now, and no candle is materialized up to a time "
        "ahead of now, such as the end of a bucket that is still open, which would hide later ticks of that bucket.",
        blocking=True,
    ),
    Check(
        "day_volume_is_monotone",
        (MINUTE,),
        Query(
            "queries/checks/day_volume_is_monotone.sql",
            good="the volume of the day falls in none of {judged:candle}",
            bad="the volume of the day falls in {offending} of {judged} candles",
            parameters={"window": timedelta(days=1)},
        ),
        WARN,
        "The volume of the day, which is cumulative, never falls within a UTC day, of yesterday and today, except for "
        "one reset per day.",
    ),
    Check(
        "prices_do_not_jump",
        (MINUTE,),
        jumps.prices_do_not_jump,
        WARN,
        f"No return from close to close of the last {jumps.JUDGED.total_seconds() / 3600:g} hours is more than "
        f"{jumps.LIMIT:g} robust standard deviations from the symbol's median of the last "
        f"{jumps.WINDOW.total_seconds() / 3600:g} hours: a jump is more often a bad tick than a price. Prices that may "
        "be negative are judged by differences. No jump is a step of one tick, or what a split or dividend explains; a "
        "factor of 100 between pounds and pence, or the like, is reported as a changed unit.",
    ),
    Check(
        "session_is_complete",
        (MINUTE,),
        sessions.session_is_complete,
        WARN,
        f"Of the minutes of the last {sessions.WINDOW.total_seconds() / 3600:g} hours in which its market was open, "
        f"every symbol of the feeds that are switched on has a candle in at least {sessions.TOLERANCE:.0%} of the "
        f"share that was usual for it in the {sessions.BASELINE.days} days before; a little less for symbols that "
        "trade rarely, whose share varies by chance. Minutes in gaps do not count: gaps_are_closed tells of them.",
    ),
    Check(
        "candles_equal_bars",
        (MINUTE,),
        bars.candles_equal_bars,
        WARN,
        "If a primary feed has the provider's bars of a minute too, open, high, low, close and volume of our candles "
        f"of the last {bars.WINDOW.total_seconds() / 3600:g} hours equal those of the bars, within the feed's "
        "bar_tolerance; minutes in known gaps are left out, and without prices there need be no bar. Names the minutes "
        "that differ, and states the part of the provider's volume that our ticks have, which is about the share of "
        "ticks that was received. What the market took back is in our candles until the true-up.",
    ),
    Check(
        "candles_equal_ticks",
        (MINUTE,),
        reconciliation.candles_equal_ticks,
        WARN,
        "Prices, volumes and counts of every closed minute of the last "
        f"{reconciliation.TICKS_WINDOW.total_seconds() / 60:g}, and of every hour that received late ticks in that "
        f"time, are those of its ticks, as far as the ticks are still there. {_HEALING}",
        blocking=True,
        heals=True,
    ),
    Check(
        "candles_equal_finer",
        (HOUR, DAY),
        reconciliation.candles_equal_finer,
        WARN,
        f"Every closed candle of the last {reconciliation.FINER_WINDOW.days} days, and of those that received late "
        "ticks in that time, is what the next finer candles make of it, as far as the ticks are still there. So a "
        f"candle that was written by hand is found days later, in either level. {_HEALING}",
        blocking=True,
        heals=True,
    ),
    Check(
        "refreshes_keep_up",
        CANDLES,
        refreshes.refreshes_keep_up,
        WARN,
        "The candle has a refresh policy, which is not stopped, does not fail and is not late, and the candle has "
        "every tick that the policy should have refreshed by now. An error of the policy is shown in the words of the "
        "database. Where the database has no scheduler of its own, lateness is that of the candle alone.",
    ),
    Check(
        "definition_is_as_in_its_file",
        CANDLES,
        declared.definition_is_as_in_its_file,
        ERROR,
        "The database has the candle as sql/candles/{asset}.sql defines it. A changed file changes nothing by itself: "
        "the job rebuild_candle rebuilds the candle, and first says what that would do.",
    ),
    Check(
        "only_its_owner_writes",
        CANDLES,
        declared.only_its_owner_writes,
        ERROR,
        "Nobody but the candle's owner may write to it. A candle that shows only what is materialized is a view that "
        "can be written to, and what is written there stays whatever the ticks say.",
    ),
    Check(
        "policy_is_as_declared",
        tuple(policy.name for policy in POLICIES if policy.kind is Kind.REFRESH),
        declared.policy_is_as_declared,
        WARN,
        "The database has this policy exactly as policies.yaml declares it: it is not missing, not changed by hand and "
        "not there twice. It refreshes no candle whose ticks are gone, which would delete the candle.",
    ),
    Check(
        "policy_is_as_declared",
        tuple(policy.name for policy in POLICIES if policy.kind is not Kind.REFRESH),
        declared.policy_is_as_declared,
        WARN,
        "The database has this policy exactly as policies.yaml declares it: it is not missing, not changed by hand and "
        "not there twice. Its runs do not fail and are not late; an error is shown in the database's own words.",
    ),
    Check(
        "gaps_are_closed",
        ("feed_gaps",),
        gaps.gaps_are_closed,
        WARN,
        "No gap is open: each has been repaired, or somebody has said that it cannot be or need not be. Brings the "
        "table of gaps up to date first.",
    ),
    Check(
        "days_are_trued_up",
        ("true_up",),
        true_up.days_are_trued_up,
        WARN,
        f"Every trading day of the last week is trued up within {true_up.GRACE.days} days, for all symbols of feeds "
        "whose provider tells which trades were taken back, and no candle differs from the provider's bar then.",
    ),
)


@dg.definitions
def checks() -> dg.Definitions:
    """Every check of the table, on each of its assets."""
    settings, policies = feed_settings(), policies_file()
    return dg.Definitions(asset_checks=[made for check in CHECKS for made in asset_checks(check, settings, policies)])
