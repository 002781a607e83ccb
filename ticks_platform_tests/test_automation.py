"""Assets of closed hours run by themselves under a real `dagster dev`, and again for an hour that is corrected."""

import json
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from ticks_platform_tests.defs.candles.test_reports import insert_tick, span
from ticks_platform_tests.support.dagster_dev import ENDED, Platform, eventually, running_platform

MINE = '''
import dagster as dg
from ticks_platform import DatabaseResource, changed_buckets, platform_definitions

CLOSED = """
    SELECT bucket, max(high), min(low) FROM one_hour_candle
    WHERE bucket + INTERVAL '1 hour' <= now() AND bucket > now() - INTERVAL '2 days' GROUP BY bucket
"""


@dg.asset(deps=["one_hour_candle"], automation_condition=dg.AutomationCondition.eager())
def ranges(context: dg.AssetExecutionContext, ticks_database: DatabaseResource) -> dg.MaterializeResult:
    hours = changed_buckets(context, "one_hour_candle")
    with ticks_database.transaction() as cursor:
        cursor.execute(CLOSED)
        found = {f"{bucket:%Y-%m-%dT%H:%MZ}": [high, low] for bucket, high, low in cursor.fetchall()}
    told = None if hours is None else [[f"{each:%Y-%m-%dT%H:%MZ}" for each in hour] for hour in hours]
    return dg.MaterializeResult(metadata={"seen": dg.MetadataValue.json({"hours": told, "ranges": found})})


@dg.asset_check(asset=ranges)
def highs_are_above_lows(ticks_database: DatabaseResource) -> dg.AssetCheckResult:
    with ticks_database.transaction() as cursor:
        cursor.execute(CLOSED)
        return dg.AssetCheckResult(passed=all(high >= low for _, high, low in cursor.fetchall()))


automation = dg.AutomationConditionSensorDefinition(
    "automation",
    target=dg.AssetSelection.assets("ranges"),
    default_status=dg.DefaultSensorStatus.RUNNING,
    minimum_interval_seconds=5,
)

defs = dg.Definitions.merge(
    platform_definitions(),
    dg.Definitions(
        assets=[ranges], asset_checks=[highs_are_above_lows], sensors=[automation], executor=dg.in_process_executor
    ),
)
'''

WORKSPACE = """
load_from:
  - python_file:
      relative_path: mine.py
      location_name: ticks_platform
      working_directory: .
"""

ASKED = """
{ assetNodeOrError(assetKey: {path: ["ranges"]}) { ... on AssetNode {
    assetMaterializations(limit: 20) { runId metadataEntries { label ... on JsonMetadataEntry { jsonString } } }
    assetChecksOrError { ... on AssetChecks { checks { executionForLatestMaterialization { status } } } } } } }
"""


@pytest.fixture
def platform(tmp_path: Path, repository_root: Path, server_url: str | None, database_url: str) -> Iterator[Platform]:
    """A user's project: the platform, and an asset and a check of their own."""
    (tmp_path / "mine.py").write_text(MINE, encoding="utf-8")
    (tmp_path / "workspace.yaml").write_text(WORKSPACE, encoding="utf-8")
    with running_platform(tmp_path, repository_root, database_url if server_url else None) as running:
        yield running


@pytest.mark.full
def test_an_eager_asset_runs_by_itself_and_again_for_an_hour_that_a_late_tick_corrects(platform: Platform) -> None:
    def runs() -> list[dict[str, Any]]:
        """What each materialization of the user's asset saw, oldest first, if its check has passed for the last."""
        node = platform.ask(ASKED)["assetNodeOrError"]
        check = node["assetChecksOrError"]["checks"][0]["executionForLatestMaterialization"]
        if check is None or check["status"] != "SUCCEEDED":
            return []
        entries = [entry for made in node["assetMaterializations"] for entry in made["metadataEntries"]]
        return [json.loads(entry["jsonString"]) for entry in reversed(entries) if entry["label"] == "seen"]

    def refresh_late_candles() -> None:
        """As the schedule catch_up does every five minutes."""
        run_id = platform.launch("catch_up")
        eventually("late ticks are in the candles", 300, lambda: platform.status(run_id) in ENDED)

    eventually("the feed streams", 600, platform.streaming_run)
    eventually("the user's asset and its check have run", 600, runs)
    # Older than what the refresh policies reach.
    hour = datetime.now(timezone.utc).replace(minute=0, second=0, microsecond=0) - timedelta(hours=10)
    for price in (10.0, 50.0):
        insert_tick(platform.database, hour + timedelta(minutes=5), "LATE", price)
        refresh_late_candles()

        def saw_it(price: float = price) -> bool:
            return any(
                span(hour) in (seen["hours"] or []) and seen["ranges"].get(span(hour)[0]) == [price, 10.0]
                for seen in runs()
            )

        eventually(f"it has run for the hour with the price {price}", 400, saw_it)
