"""The assets: what they make in the database, and what they show of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from ticks_platform.timescale.database import Database

Run = Callable[..., dg.ExecuteInProcessResult]

TABLES = ("stocks_real_time", "company", "one_minute_candle", "one_hour_candle", "one_day_candle")
REFRESHES = ("one_minute_candle_refresh_policy", "one_hour_candle_refresh_policy", "one_day_candle_refresh_policy")
POLICIES = (
    *REFRESHES,
    "stocks_real_time_columnstore_policy",
    "stocks_real_time_retention_policy",
    "stock_quotes_retention_policy",
    "stock_aggregates_retention_policy",
    "feed_notes_retention_policy",
)


def rows(database: Database, query: str) -> list[tuple[Any, ...]]:
    with database.transaction() as cursor:
        cursor.execute(query)
        return cursor.fetchall()


def metadata(result: dg.ExecuteInProcessResult, asset: str) -> dict[str, Any]:
    """What the one materialization of an asset shows."""
    (materialization,) = result.asset_materializations_for_node(asset)
    return {name: value.value for name, value in materialization.metadata.items()}


def jobs(database: Database) -> list[tuple[Any, ...]]:
    return rows(
        database,
        "SELECT job_id, config, schedule_interval FROM timescaledb_information.jobs "
        "WHERE proc_name = 'policy_refresh_continuous_aggregate' ORDER BY job_id",
    )


def insert_ticks(database: Database) -> None:
    """One tick a minute of one symbol, for the three hours before the current minute."""
    with database.transaction() as cursor:
        cursor.execute(
            """
            INSERT INTO stocks_real_time (time, symbol, price, tick_id, feed, received_at)
            SELECT at, 'AAPL', 100, gen_random_uuid(), 'stocks', at
            FROM (SELECT date_trunc('minute', now()) - number * INTERVAL '1 minute' AS at
                  FROM generate_series(1, 180) AS number) AS minutes
            """
        )


def test_materializing_everything_makes_and_shows_everything(
    fresh: Database,
    run_job: Run,
    platform: dg.Definitions,
    instance: dg.DagsterInstance,
    server_url: str | None,
) -> None:
    result = run_job("bring_up")
    assert result.success
    for key in platform.get_repository_def().asset_graph.materializable_asset_keys:
        assert instance.get_latest_materialization_event(key) is not None, f"{key}: nothing to do is not missing"
    assert instance.get_materialized_partitions(dg.AssetKey("gap_repair")) == {"stocks", "crypto"}
    first, then = (
        instance.get_latest_materialization_event(dg.AssetKey(asset))
        for asset in ("instrument_reference", "instrument")
    )
    assert first is not None
    assert then is not None
    assert first.timestamp < then.timestamp, "otherwise it would be unsynced"
    made = {event.asset_key.to_user_string() for event in result.get_asset_materialization_events() if event.asset_key}
    others = {"stock_quotes", "stock_aggregates", "market_calendar", "feed_gaps", "instrument"}
    assert made == {*TABLES, *POLICIES, *others}
    missing = rows(
        fresh,
        "SELECT name FROM unnest(ARRAY['stocks_real_time', 'stock_quotes', 'stock_aggregates', 'company', "
        "'one_minute_candle', 'one_hour_candle', 'one_day_candle', 'ticks_platform.feed', 'ticks_platform.feed_lease', "
        "'ticks_platform.feed_checkpoint', 'ticks_platform.feed_ledger', 'ticks_platform.feed_hour', "
        "'ticks_platform.feed_session', 'ticks_platform.feed_channel', 'ticks_platform.rejected_event']) AS name "
        "WHERE to_regclass(name) IS NULL",
    )
    assert missing == []
    assert rows(fresh, "SELECT hypertable_name::text FROM timescaledb_information.hypertables ORDER BY 1") == [
        ("stock_aggregates",),
        ("stock_quotes",),
        ("stocks_real_time",),
    ]
    assert len(jobs(fresh)) == 3
    assert rows(fresh, "SELECT symbol, name FROM company ORDER BY symbol") == [
        ("AAPL", "Apple"),
        ("BTC/USD", "Bitcoin"),
        ("MSFT", "Microsoft"),
    ]

    check_tables_are_shown(result)
    check_policies_are_shown(
        result, "the Dagster schedule refresh_candles" if server_url is None else "the database's own scheduler"
    )


def check_tables_are_shown(result: dg.ExecuteInProcessResult) -> None:
    for table in TABLES:
        shown = metadata(result, table)
        assert shown["dagster/table_name"] == f"public.{table}"
        # A table that changes all the time has no row count: it would be out of date at once.
        assert shown.get("dagster/row_count") == (3 if table == "company" else None)
        assert all(column.description for column in shown["dagster/column_schema"].columns)
    columns = {
        table: {
            column.name: (column.type, column.constraints.nullable)
            for column in metadata(result, table)["dagster/column_schema"].columns
        }
        for table in TABLES
    }
    assert columns["company"] == {"symbol": ("text", False), "name": ("text", False)}
    assert columns["stocks_real_time"]["time"] == ("timestamp with time zone", False)
    assert columns["stocks_real_time"]["price"] == ("double precision", True)
    assert columns["one_minute_candle"]["open"] == ("double precision", True)
    assert {"bucket", "symbol", "open", "high", "low", "close", "tick_count"} <= set(columns["one_hour_candle"])
    assert "@" in metadata(result, "stocks_real_time")["database"] or "embedded" in str(
        metadata(result, "stocks_real_time")["database"]
    )


def check_policies_are_shown(result: dg.ExecuteInProcessResult, run_by: str) -> None:
    shown = {policy: metadata(result, policy) for policy in POLICIES}
    terms = ("start offset", "end offset", "schedule interval")
    assert [shown[REFRESHES[0]][term] for term in terms] == ["4 hours", "1 minute", "1 minute"]
    assert [shown[REFRESHES[1]][term] for term in terms] == ["3 hours", "1 hour", "1 hour"]
    assert [shown[REFRESHES[2]][term] for term in terms] == ["3 days", "1 hour", "1 hour"]
    columnstore = shown["stocks_real_time_columnstore_policy"]
    assert (columnstore["compress after"], columnstore["schedule interval"]) == ("7 days", "12 hours")
    assert [shown[policy]["outcome"] for policy in POLICIES] == ["created"] * 4 + ["off"] * 3 + ["created"]
    assert {shown[policy]["run by"] for policy in REFRESHES} == {run_by}


def test_a_second_time_changes_nothing(fresh: Database, run_job: Run) -> None:
    assert run_job("bring_up").success
    insert_ticks(fresh)
    first = jobs(fresh)
    results = [run_job("bring_up") for _ in range(2)]
    assert all(result.success for result in results)
    assert jobs(fresh) == first
    assert rows(fresh, "SELECT count(*) FROM stocks_real_time") == [(180,)]
    assert rows(fresh, "SELECT count(*) FROM company") == [(3,)]
    assert rows(fresh, "SELECT count(*), sum(tick_count) FROM one_minute_candle") == [(180, 180)]
    shown = [metadata(result, "one_minute_candle") for result in results]
    for each in shown:
        assert each.pop("lag in seconds") >= 0
    assert shown[0] == shown[1]
    assert (shown[0]["candles"], shown[0]["symbols"]) == (180, 1)


@pytest.mark.full
def test_an_old_database_gets_the_candles_of_days_and_keeps_the_others(fresh: Database, run_job: Run) -> None:
    assert run_job("bring_up").success
    insert_ticks(fresh)
    with fresh.transaction() as cursor:
        cursor.execute("DROP MATERIALIZED VIEW one_day_candle CASCADE")
    objects = "SELECT 'one_minute_candle'::regclass::oid, 'one_hour_candle'::regclass::oid"
    before, policies = rows(fresh, objects), jobs(fresh)
    assert len(policies) == 2
    assert run_job("bring_up").success
    assert rows(fresh, objects) == before
    assert jobs(fresh)[:2] == policies
    assert len(jobs(fresh)) == 3
    assert rows(fresh, "SELECT sum(tick_count)::bigint FROM one_day_candle") == [(180,)]


@pytest.mark.usefixtures("fresh", "scheduler")
def test_a_second_time_beside_the_databases_own_scheduler(run_job: Run) -> None:
    """The policies run when they have been made, which is just when the candles may be materialized again."""
    assert [run_job("bring_up").success for _ in range(3)] == [True, True, True]


@pytest.mark.full
def test_candles_are_filled_where_no_policy_reaches(fresh: Database, run_job: Run) -> None:
    """History from before the policies' window is in the materialization, not only in the real-time half."""
    assert run_job("bring_up").success
    with fresh.transaction() as cursor:
        cursor.execute(
            "INSERT INTO stocks_real_time (time, symbol, price, tick_id, feed, received_at) "
            "SELECT at, 'AAPL', 5, gen_random_uuid(), 'stocks', at FROM (SELECT now() - INTERVAL '5 days' AS at) AS t"
        )
    assert run_job("bring_up").success
    with fresh.transaction() as cursor:
        cursor.execute("ALTER MATERIALIZED VIEW one_minute_candle SET (timescaledb.materialized_only = true)")
        cursor.execute("SELECT count(*) FROM one_minute_candle")
        assert cursor.fetchone() == (1,)


@pytest.mark.usefixtures("no_scheduler")
def test_refresh_candles_runs_the_policies(fresh: Database, run_job: Run) -> None:
    assert run_job("bring_up").success
    insert_ticks(fresh)
    with fresh.transaction() as cursor:
        cursor.execute("ALTER MATERIALIZED VIEW one_minute_candle SET (timescaledb.materialized_only = true)")
    assert rows(fresh, "SELECT count(*) FROM one_minute_candle") == [(0,)]
    result = run_job("refresh_candles")
    assert result.success
    ((candles,),) = rows(fresh, "SELECT count(*) FROM one_minute_candle")
    assert 178 <= candles <= 180
    observed = {
        event.asset_key.to_user_string(): event for event in result.get_asset_observation_events() if event.asset_key
    }
    observation = observed["one_minute_candle"].asset_observation_data.asset_observation
    assert observation.metadata["candles"].value == candles


def test_company_follows_feeds_yaml(
    fresh: Database, project: Path, load: Callable[[], dg.Definitions], instance: dg.DagsterInstance
) -> None:
    """Names change, symbols come; one that has left keeps its name, since its ticks are still there."""
    file = project / "feeds.yaml"
    for text in (None, file.read_text(encoding="utf-8").replace("AAPL: Apple,", "AAPL: Apple Inc., NVDA: NVIDIA,")):
        if text is not None:
            file.write_text(text.replace("MSFT: Microsoft", "TSLA: Tesla"), encoding="utf-8")
        company = load().resolve_job_def("bring_up").get_subset(asset_selection={dg.AssetKey("company")})
        result = company.execute_in_process(instance=instance)
    assert dict(rows(fresh, "SELECT symbol, name FROM company")) == {
        "AAPL": "Apple Inc.",
        "BTC/USD": "Bitcoin",
        "MSFT": "Microsoft",
        "NVDA": "NVIDIA",
        "TSLA": "Tesla",
    }
    assert metadata(result, "company")["dagster/row_count"] == 5
