"""The job apply_condition_rules, and the check of conditions without a rule."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import dagster as dg
import pytest

from ticks_platform.timescale.database import Database
from ticks_platform_tests.support.candles import WARN, refresh
from ticks_platform_tests.support.ingestion import rows

FEEDS = """
feeds:
  tape:
    provider: polygon
    endpoint: stand-in
    symbols: [AAPL]
  options:
    provider: polygon
    endpoint: stand-in
    options: {market: options}
    symbols: ["O:AAPL261218C00250000"]
"""


@pytest.fixture
def polygon(project: Path, load: Callable[[], dg.Definitions]) -> dg.Definitions:
    """The definitions with a feed of US stocks, whose conditions have rules, and one of options."""
    (project / "feeds.yaml").write_text(FEEDS, encoding="utf-8")
    return load()


def store(database: Database, feed: str, conditions: list[int], updates: int | None, ago: str, number: int = 0) -> None:
    with database.transaction() as cursor:
        cursor.execute(
            """
            INSERT INTO stocks_real_time (time, symbol, price, tick_id, feed, received_at, updates, conditions)
            VALUES (now() - %(ago)s::interval, 'AAPL', %(price)s, gen_random_uuid(), %(feed)s, now(), %(updates)s,
                %(conditions)s)
            """,
            {"ago": ago, "price": 250 + number, "feed": feed, "updates": updates, "conditions": conditions},
        )


def test_the_ticks_of_a_day(database: Database, polygon: dg.Definitions, instance: dg.DagsterInstance) -> None:
    store(database, "tape", [37], None, "5 days")
    store(database, "tape", [14, 41], 12, "5 days", 1)
    store(database, "options", [37], None, "5 days", 2)
    refresh(database)
    ((day,),) = rows(database, "SELECT DISTINCT to_char(time AT TIME ZONE 'UTC', 'YYYY-MM-DD') FROM stocks_real_time")
    result = polygon.resolve_job_def("apply_condition_rules").execute_in_process(
        instance=instance, run_config={"ops": {"apply_condition_rules_op": {"config": {"first_day": day}}}}
    )
    (output,) = [event for event in result.all_events if event.is_successful_output]
    metadata = output.step_output_data.metadata
    numbers = {name: value.value for name, value in metadata.items() if name != "changes"}
    assert numbers == {"feeds": "tape", "rules_version": 1, "ticks changed": 2}
    changes = metadata["changes"]
    assert isinstance(changes, dg.TableMetadataValue)
    assert sorted((row.data for row in changes.records), key=str) == [
        {"conditions": "14, 41", "before": 4, "after": 7, "ticks": 1},
        {"conditions": "37", "before": 7, "after": 4, "ticks": 1},
    ]
    assert rows(database, "SELECT updates FROM stocks_real_time ORDER BY price") == [(4,), (15,), (None,)]
    assert rows(database, "SELECT high FROM one_day_candle") == [(252.0,)]
    observed = {event.asset_key.to_user_string() for event in result.get_asset_observation_events() if event.asset_key}
    assert "one_minute_candle" in observed


def test_conditions_without_a_rule(database: Database, polygon: dg.Definitions, instance: dg.DagsterInstance) -> None:
    def check() -> dg.AssetCheckEvaluation:
        result = polygon.resolve_job_def("check_every_tick").execute_in_process(instance=instance)
        return next(each for each in result.get_asset_check_evaluations() if each.check_name == "conditions_are_known")

    store(database, "tape", [14, 37, 57], 4, "1 hour")
    store(database, "tape", [99], None, "25 hours")
    store(database, "options", [227], None, "1 hour")
    assert (check().passed, check().description) == (True, "every condition has a rule")
    for number, conditions in enumerate(([98], [14, 98, 98], [14, 97, 37])):
        store(database, "tape", conditions, None, f"{number + 1} hours", number)
    found = check()
    assert (found.passed, found.severity) == (False, WARN)
    assert found.description is not None
    assert "feed tape: condition 97 of 1 ticks, first at " in found.description
    assert "feed tape: condition 98 of 2 ticks, first at " in found.description
    assert found.metadata["unknown"].value == 2
