"""The whole platform on one page: what `dagster dev` loads."""

from __future__ import annotations

import time

import dagster as dg

from ticks_platform.defs import (
    alerts,
    assets,
    bar_checks,
    candle_checks,
    catching_up,
    checks,
    ingestion,
    market_calendar,
    refresh_checks,
    repair,
    schedules,
    sensors,
)
from ticks_platform.defs.resources import DatabaseResource, IngestionResource
from ticks_platform.feeds.settings import load_settings
from ticks_platform.paths import project_root


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
        repair.gap_repair(settings),
        repair.history_backfill(settings),
    ]
    policies = [
        assets.one_minute_candle_refresh_policy(),
        assets.one_hour_candle_refresh_policy(),
        assets.one_day_candle_refresh_policy(),
    ]
    ingest = ingestion.ingest_job(feeds)
    database = DatabaseResource.from_environment()
    return dg.Definitions(
        assets=[*tables, *policies],
        asset_checks=[
            *checks.ohlc_invariants,
            *candle_checks.every_check(settings),
            *refresh_checks.refreshes_keep_up,
            bar_checks.candles_equal_bars(settings),
            checks.ticks_are_fresh(settings),
            checks.channels_are_streaming(settings),
            checks.ledger_balances(settings),
            checks.every_tick_is_there,
            checks.journal_has_room(settings),
        ],
        jobs=[
            ingest,
            ingestion.switch_job(settings, enabled=True),
            ingestion.switch_job(settings, enabled=False),
            assets.bring_up,
            assets.refresh_candles,
            catching_up.catch_up,
            repair.repair_job,
            market_calendar.keep_market_calendar,
            checks.check_quality,
            checks.check_every_tick,
        ],
        sensors=[
            sensors.platform_supervisor(ingest=ingest, feeds=feeds, loaded_at=time.time()),
            repair.repair_gaps_sensor(settings),
            *alerts.sensors(),
        ],
        schedules=[
            schedules.refresh_candles,
            schedules.catch_up,
            schedules.keep_market_calendar,
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
