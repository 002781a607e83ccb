"""The whole platform on one page: what `dagster dev` loads."""

from __future__ import annotations

import time

import dagster as dg

from ticks_platform.defs import (
    alerts,
    assets,
    bar_checks,
    candle_checks,
    candle_definitions,
    catching_up,
    checks,
    gaps,
    ingestion,
    market_calendar,
    policies,
    readers,
    refresh_checks,
    repair,
    schedules,
    sensors,
)
from ticks_platform.defs.resources import DatabaseResource, IngestionResource
from ticks_platform.feeds.settings import load_settings
from ticks_platform.paths import project_root
from ticks_platform.timescale.policies.settings import FILE


@dg.definitions
def defs() -> dg.Definitions:
    """Everything that Dagster runs. Reads feeds.yaml, since each feed is a partition of the ingestion job."""
    feeds_file = project_root() / "feeds.yaml"
    settings = load_settings(feeds_file)
    feeds = [feed.name for feed in settings.feeds]

    tables = [
        assets.stocks_real_time(),
        assets.stock_quotes(),
        assets.stock_aggregates(),
        assets.company(settings),
        market_calendar.market_calendar(settings),
        assets.one_minute_candle(),
        assets.one_hour_candle(),
        assets.one_day_candle(),
        catching_up.candle_refresh(),
        gaps.feed_gaps(settings),
        repair.gap_repair(settings),
        repair.history_backfill(settings),
    ]
    ingest = ingestion.ingest_job(feeds)
    database = DatabaseResource.from_environment()
    return dg.Definitions(
        assets=[
            *tables,
            *policies.policy_assets(project_root() / FILE),
            *readers.reader_assets([key.to_user_string() for table in tables for key in table.keys]),
        ],
        asset_checks=[
            *checks.ohlc_invariants,
            *candle_checks.every_check(settings),
            *refresh_checks.refreshes_keep_up,
            *candle_definitions.definition_is_as_in_its_file,
            *readers.only_its_owner_writes,
            *policies.policy_checks(project_root() / FILE),
            bar_checks.candles_equal_bars(settings),
            checks.ticks_are_fresh(settings),
            checks.channels_are_streaming(settings),
            checks.ledger_balances(settings),
            checks.every_tick_is_there,
            checks.journal_has_room(settings),
            gaps.gaps_are_closed(settings),
        ],
        jobs=[
            ingest,
            ingestion.switch_job(settings, enabled=True),
            ingestion.switch_job(settings, enabled=False),
            ingestion.hand_over_job(feeds),
            assets.bring_up,
            assets.refresh_candles,
            catching_up.catch_up,
            repair.repair_job,
            market_calendar.keep_market_calendar,
            gaps.keep_gaps,
            candle_definitions.rebuild_candle,
            checks.check_quality,
            checks.check_every_tick,
        ],
        sensors=[
            sensors.platform_supervisor(
                ingest=ingest,
                feeds=feeds,
                loaded_at=time.time(),
                follow_reloads=[feed.name for feed in settings.feeds if feed.follows_reloads],
            ),
            repair.repair_gaps_sensor(settings),
            *alerts.sensors(),
        ],
        schedules=[
            schedules.refresh_candles,
            schedules.catch_up,
            schedules.keep_market_calendar,
            schedules.keep_gaps,
            schedules.check_quality,
            schedules.check_every_tick,
        ],
        resources={
            "database": database,
            "ingestion": IngestionResource(database=database, feeds_file=str(feeds_file)),
            **alerts.resources(),
        },
        executor=dg.in_process_executor,
    )
