"""The candles. Materializing one makes the database agree with its SQL file, and refreshes what policies do not."""

from datetime import timedelta

import dagster as dg

from ticks_platform.defs.candles import chart
from ticks_platform.defs.common.labels import KINDS, LIVE, OWNERS, REFRESH_POOL, defined_in, live_page
from ticks_platform.defs.common.project import feed_settings
from ticks_platform.defs.common.resources import DatabaseResource
from ticks_platform.defs.common.schema import table_metadata
from ticks_platform.defs.reading import candle_frames
from ticks_platform.feeds.calendars import ALWAYS
from ticks_platform.timescale import sql_files
from ticks_platform.timescale.adoption.relations import require_own_tables
from ticks_platform.timescale.candles import candles, definitions
from ticks_platform.timescale.candles.candles import ONE_DAY, ONE_HOUR, ONE_MINUTE, Candle
from ticks_platform.timescale.candles.explanation import WIDTHS

FRESHNESS = dg.FreshnessPolicy.time_window(warn_window=timedelta(minutes=15), fail_window=timedelta(minutes=30))
"""Of minutes that never end: report_newest reports a new one every few minutes."""


def _candle(candle: Candle, *, description: str, freshness: dg.FreshnessPolicy | None = None) -> dg.Definitions:
    interval = next(name for name, other in WIDTHS.items() if other is candle)
    description, link = live_page(description, interval=interval)

    @dg.asset(
        name=candle.name,
        deps=[candle.source],
        group_name="candles",
        owners=OWNERS,
        kinds=KINDS,
        pool=REFRESH_POOL,
        # For assets downstream: a parameter with the name of a candle is its DataFrame.
        io_manager_key=candle_frames.KEY,
        metadata={**defined_in(candle.file), **link},
        freshness_policy=freshness,
        description=description,
    )
    def asset(ticks_database: DatabaseResource) -> dg.MaterializeResult[None]:
        with ticks_database.transaction() as cursor:
            require_own_tables(cursor)
            drift = definitions.drift(cursor, candle)
            # A changed file changes nothing by itself: the history has to come along, by the job rebuild_candle.
            if drift is None:
                sql_files.apply(cursor, *candle.files)
        with ticks_database.autocommit() as cursor:
            candles.refresh_history(cursor, candle)
            summary = candles.summarize(cursor, candle)
            metadata = {**table_metadata(cursor, candle.name), **chart.chart(cursor, candle, summary)}
        definition = "as in its file" if drift is None else f"{drift.words}: see the job rebuild_candle"
        return dg.MaterializeResult(
            data_version=LIVE,
            metadata={**metadata, **chart.contents(candle, summary), "definition in the database": definition},
        )

    return dg.Definitions(assets=[asset])


def _never_closes() -> bool:
    """Whether some feed that makes candles has a symbol whose market is always open."""
    feeds = [feed for feed in feed_settings().feeds if feed.candles]
    return any(calendar.name == ALWAYS for feed in feeds for calendar in feed.calendars().values())


@dg.definitions
def one_minute_candle() -> dg.Definitions:
    """The asset `one_minute_candle`."""
    return _candle(
        ONE_MINUTE,
        description=(
            "OHLCV candles of one minute, a continuous aggregate over the ticks; buckets are UTC. Materializing it "
            "creates the aggregate where it is missing and refreshes every closed minute that the ticks still cover. "
            "The view one_minute_candle_volume derives volume where a feed has no trade sizes, and "
            "one_minute_candle_filled has the provider's bars in the minutes of gaps, with a column that says so."
        ),
        # Where markets close, nothing new is no trouble: ticks_are_fresh knows their hours.
        freshness=FRESHNESS if _never_closes() else None,
    )


@dg.definitions
def one_hour_candle() -> dg.Definitions:
    """The asset `one_hour_candle`."""
    return _candle(
        ONE_HOUR,
        description=(
            "OHLCV candles of one hour, a continuous aggregate over the candles of one minute; buckets are UTC. "
            "Materializing it creates the aggregate where it is missing and refreshes every closed hour that the ticks "
            "still cover."
        ),
    )


@dg.definitions
def one_day_candle() -> dg.Definitions:
    """The asset `one_day_candle`."""
    return _candle(
        ONE_DAY,
        description=(
            "OHLCV candles of one day, a continuous aggregate over the candles of one hour; days are UTC. "
            "Materializing it creates the aggregate where it is missing and refreshes every closed day that the ticks "
            "still cover. The view session_day_candle has the trading days of each symbol's exchange instead."
        ),
    )
