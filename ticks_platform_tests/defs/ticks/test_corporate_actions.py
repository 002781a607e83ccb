"""The asset corporate_actions: what it shows, also of a provider that does not answer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from ticks_platform.timescale.database import Database
from ticks_platform_tests.support.ingestion import rows
from ticks_standin import StandIn, StandInSettings

KEY = "TICKS_TEST_ACTIONS_KEY"

FEEDS = """
feeds:
  tape:
    provider: polygon
    endpoint: {url}
    synthetic_endpoint: true
    api_key_env: {key}
    symbols: [AAPL]
  away:
    provider: polygon
    endpoint: stand-in
    symbols: [KO]
  coins:
    provider: coinbase
    symbols: [BTC-USD]
  backup:
    provider: polygon
    endpoint: {url}
    synthetic_endpoint: true
    api_key_env: {key}
    candles: false
    symbols: [AAPL]
"""


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> Iterator[StandIn]:
    monkeypatch.setenv(KEY, "demo")
    with StandIn(StandInSettings(rate=0)) as server:
        server.announce_split("AAPL", date(2024, 1, 2), 1, 4)
        server.announce_split("AAPL", date(2024, 3, 4), 2, 3)
        yield server


@pytest.fixture
def follow(
    project: Path, load: Callable[[], dg.Definitions], instance: dg.DagsterInstance, stand_in: StandIn
) -> Callable[[], tuple[dict[str, Any], bool]]:
    """Materialize the asset: what it shows, and whether its check passed."""
    url = stand_in.url("polygon", key=None, market="stocks")
    (project / "feeds.yaml").write_text(FEEDS.format(url=url, key=KEY), encoding="utf-8")
    definitions = load()

    def run() -> tuple[dict[str, Any], bool]:
        key = dg.AssetKey("corporate_actions")
        job = definitions.resolve_implicit_global_asset_job_def().get_subset(asset_selection={key})
        result = job.execute_in_process(instance=instance)
        (event,) = result.asset_materializations_for_node("corporate_actions")
        (check,) = result.get_asset_check_evaluations()
        shown = {name: getattr(value, "records", value.value) for name, value in event.metadata.items()}
        return shown, check.passed

    return run


def test_what_it_shows(database: Database, follow: Callable[[], tuple[dict[str, Any], bool]]) -> None:
    shown, passed = follow()
    assert passed
    assert (shown["splits"], shown["dividends"], shown["dagster/row_count"]) == (2, 0, 2)
    feeds = {record.data["feed"]: record.data for record in shown["feeds"]}
    assert set(feeds) == {"tape", "away", "coins"}, "a secondary feed's provider is not asked"
    assert (feeds["tape"]["symbols told"], feeds["tape"]["new versions"], feeds["tape"]["problems"]) == (1, 2, "")
    assert "has not been started" in feeds["away"]["problems"]
    assert feeds["coins"]["requests"] == 0
    assert [record.data["symbol"] for record in shown["newest"]] == ["AAPL", "AAPL"]


def test_a_split_that_is_missing_is_found(
    database: Database, follow: Callable[[], tuple[dict[str, Any], bool]]
) -> None:
    follow()
    with database.transaction() as cursor:
        cursor.execute("UPDATE corporate_action SET superseded_at = now() WHERE execution_date = '2024-03-04'")
    shown, passed = follow()
    assert not passed
    assert shown["splits"] == 1
    assert rows(database, "SELECT factor FROM ticks_platform.price_adjustment") == [(0.25,)]


def test_a_project_without_actions(
    database: Database, load: Callable[[], dg.Definitions], instance: dg.DagsterInstance
) -> None:
    definitions = load()
    job = definitions.resolve_job_def("follow_corporate_actions")
    result = job.execute_in_process(instance=instance)
    (event,) = result.asset_materializations_for_node("corporate_actions")
    assert event.metadata["dagster/row_count"].value == 0
