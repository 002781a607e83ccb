"""The assets of instruments and their schedule: a provider that is away is no failure."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from ticks_platform.timescale.database import Database
from ticks_platform_tests.support.ingestion import rows
from ticks_platform_tests.support.repairing import KEY, manual_stand_in

FEEDS = """
feeds:
  tape:
    provider: polygon
    endpoint: {url}
    api_key_env: {key}
    symbols:
      AAPL: {{name: Apple, tick_size: 0.01}}
      SPY: {{round_lot: {{2025-11-03: 40}}}}
  spot:
    provider: coinbase
    symbols: [SOL-USD]
"""

Run = Callable[[], dg.ExecuteInProcessResult]


@pytest.fixture
def keep(load: Callable[[], dg.Definitions], instance: dg.DagsterInstance) -> Run:
    """Runs the job keep_instruments."""
    return lambda: load().resolve_job_def("keep_instruments").execute_in_process(instance=instance)


def due(load: Callable[[], dg.Definitions], instance: dg.DagsterInstance, *, hour: int) -> bool:
    """Whether the schedule launches a run at this hour."""
    repository = load().get_repository_def()
    schedule = repository.get_schedule_def("keep_instruments")
    with dg.build_schedule_context(
        instance=instance,
        scheduled_execution_time=datetime(2026, 3, 2, hour, 40, tzinfo=timezone.utc),
        resources=repository.get_top_level_resources(),
    ) as context:
        return bool(schedule.evaluate_tick(context).run_requests)


def told(result: dg.ExecuteInProcessResult) -> list[dict[str, Any]]:
    (made,) = result.asset_materializations_for_node("instrument_reference")
    feeds = made.metadata.get("feeds")
    assert feeds is None or isinstance(feeds, dg.TableMetadataValue)
    return [] if feeds is None else [dict(record.data) for record in feeds.records]


def write(project: Path, url: str) -> None:
    (project / "feeds.yaml").write_text(FEEDS.format(url=url, key=KEY), encoding="utf-8")


def test_what_providers_tell_is_in_the_table(
    database: Database,
    project: Path,
    keep: Run,
    load: Callable[[], dg.Definitions],
    instance: dg.DagsterInstance,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    known = "SELECT symbol, asset_class, mic, currency, tick_size, source FROM instrument ORDER BY symbol"
    with manual_stand_in() as stand_in:
        write(project, stand_in.url("polygon", key=None))
        # Without a key, no provider is asked.
        monkeypatch.delenv(KEY, raising=False)
        assert keep().success
        assert rows(database, known) == [
            ("AAPL", "stock", None, "USD", 0.01, "feeds.yaml, default"),
            ("SOL-USD", "crypto", None, "USD", None, "default"),
            ("SPY", "stock", None, "USD", None, "default"),
        ]
        assert (due(load, instance, hour=0), due(load, instance, hour=1)) == (True, False)
        monkeypatch.setenv(KEY, "demo")
        assert due(load, instance, hour=1)
        (row,) = told(keep())
        assert row == {"feed": "tape", "requests": 2, "symbols told": 2, "symbols left": 0, "problems": ""}
        assert not due(load, instance, hour=1)
    assert rows(database, known) == [
        ("AAPL", "stock", "XNAS", "USD", 0.01, "feeds.yaml, polygon"),
        ("SOL-USD", "crypto", None, "USD", None, "default"),
        ("SPY", "etf", "ARCX", "USD", None, "polygon"),
    ]
    assert rows(database, "SELECT symbol, round_lot, source FROM round_lot ORDER BY symbol") == [
        ("AAPL", 100, "polygon"),
        ("SPY", 40, "feeds.yaml"),
    ]


def test_a_provider_that_is_away_is_no_failure(
    database: Database, project: Path, keep: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(KEY, "demo")
    with manual_stand_in() as stand_in:
        write(project, stand_in.url("polygon", key=None))
    result = keep()
    assert result.success
    (row,) = told(result)
    assert (row["symbols told"], row["symbols left"]) == (0, 2)
    assert row["problems"].startswith("no response from http")
    assert [symbol for (symbol,) in rows(database, "SELECT symbol FROM instrument ORDER BY 1")] == [
        "AAPL",
        "SOL-USD",
        "SPY",
    ]
