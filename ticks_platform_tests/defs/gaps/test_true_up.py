"""The true-up in Dagster: the sensor launches it until a day is done, and a check says what is left."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml

from ticks_platform.defs.gaps.repair_gaps import REPAIR_TAG
from ticks_platform.feeds.settings import FeedSettings
from ticks_platform.timescale.database import Database
from ticks_platform_tests.support.candles import WARN, CheckOne, number
from ticks_platform_tests.support.ingestion import rows
from ticks_platform_tests.support.polygon_rest import PolygonRest, Trouble, bar, frame, trade
from ticks_platform_tests.support.repairing import KEY, load_frames


@pytest.fixture
def rest() -> Iterator[PolygonRest]:
    """A provider's API."""
    with PolygonRest() as api:
        yield api


@pytest.fixture
def feed(project: Path, rest: PolygonRest, monkeypatch: pytest.MonkeyPatch) -> FeedSettings:
    """The feed `tape` of a project, beside one without a true-up."""
    monkeypatch.setenv(KEY, "demo")
    tape: dict[str, Any] = {
        "provider": "polygon",
        "endpoint": rest.url,
        "synthetic_endpoint": True,
        "api_key_env": KEY,
        "symbols": ["AAPL", "MSFT"],
        "repair": {"delay_seconds": 0},
    }
    demo = {"provider": "twelve_data", "endpoint": "stand-in", "true_up": "off", "symbols": ["IBM"]}
    (project / "feeds.yaml").write_text(yaml.safe_dump({"feeds": {"tape": tape, "demo": demo}}), encoding="utf-8")
    return FeedSettings.model_validate({**tape, "name": "tape"})


def test_a_day_is_trued_up(
    database: Database,
    rest: PolygonRest,
    feed: FeedSettings,
    project: Path,
    run_job: Callable[..., dg.ExecuteInProcessResult],
    check_one: CheckOne,
    platform: dg.Definitions,
    instance: dg.DagsterInstance,
) -> None:
    noon = datetime.now(timezone.utc).replace(hour=12, minute=0, second=0, microsecond=0) - timedelta(days=4)
    asked = {"feed": "tape", "first_day": f"{noon:%Y-%m-%d}"}

    def tick() -> Any:
        with dg.build_sensor_context(
            instance=instance, repository_def=platform.get_repository_def(), resources=platform.resources
        ) as context:
            return platform.resolve_sensor_def("true_up_days").evaluate_tick(context)

    def run() -> dict[str, Any]:
        (request,) = tick().run_requests
        assert (request.run_config, request.tags[REPAIR_TAG]) == ({"ops": {"true_up": {"config": asked}}}, "tape")
        result = run_job("true_up_day", run_config=request.run_config)
        assert result.success
        (event,) = result.asset_materializations_for_node("true_up")
        return {name: value.value for name, value in event.metadata.items()}

    for symbol in ("AAPL", "MSFT"):
        made = [trade(str(each), (int(noon.timestamp()) + 20 * each) * 10**9, 100 + each, 10) for each in range(6)]
        rest.trades[symbol], rest.bars[symbol] = made, [bar(*made[:3]), bar(*made[3:])]
        load_frames(database, feed, project / "state" / "journal", frame(symbol, *made[:4], *made[5:]))
    rest.troubles["MSFT"] = Trouble(403, {"message": "Your plan doesn't include this data timeframe."})

    evaluation = check_one("days_are_trued_up", "true_up")
    assert (evaluation.passed, evaluation.severity) == (False, WARN)
    assert f"tape {noon:%Y-%m-%d}: 2 of 2 symbols left" in (evaluation.description or "")
    found = run()
    assert (found["symbols checked"], found["symbols not reached"], found["minutes that differed"]) == (0, 2, 1)
    assert (found["left"], len(rest.paths)) == ("AAPL, MSFT", 2)
    found = run()
    assert (found["symbols checked"], found["minutes compared"], found["minutes that still differ"]) == (1, 2, 0)
    assert rows(database, "SELECT count(*) FROM stocks_real_time WHERE symbol = 'AAPL'") == [(6,)]
    assert "demo: switched off; tape: waiting for the provider" in tick().skip_message
    evaluation = check_one("days_are_trued_up", "true_up")
    assert f"tape {noon:%Y-%m-%d}: 1 of 2 symbols left" in (evaluation.description or "")

    rest.troubles.clear()
    with database.transaction() as cursor:
        cursor.execute("UPDATE ticks_platform.feed_repair SET retry_at = NULL")
    run()
    assert run()["symbols checked"] == 2
    assert "tape: nothing to true up" in tick().skip_message
    evaluation = check_one("days_are_trued_up", "true_up")
    assert (evaluation.passed, number(evaluation, "days")) == (True, 1)
