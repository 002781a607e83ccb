"""How large Dagster's home is after a day of schedules, and after the next: a thirtieth, multiplied."""

import math
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import dagster as dg
import pytest
import yaml
from dagster._core.scheduler.instigation import InstigatorType, TickData, TickStatus

from ticks_platform.defs.dagster_history import events
from ticks_platform.timescale.policies.settings import DagsterHistory, load_policies

SCALE = 30
"""Of 30 runs of a job that are kept, one."""
MEGABYTE = 1_000_000

AN_HOUR = {"check_quality": 12, "keep_gaps": 4, "catch_up": 4}
"""Runs between two purges; of `catch_up`, more than there are in most hours."""
RUNS = 3
"""Runs of each of them here: one is kept, the others are purged."""

EVALUATIONS = 3600 // 5 + 5 * 3600 // 30 + 60 + 12
"""Evaluations an hour that launch nothing: supervisor, five slower sensors, refresh_candles, catch_up."""

CHART = dg.MetadataValue.md("x" * 950)


def size(home: Path) -> int:
    return sum(path.stat().st_size for path in home.rglob("*") if path.is_file())


def free_bytes(file: Path) -> int:
    """What is free in a SQLite file."""
    with closing(sqlite3.connect(file)) as connection:
        ((pages,),) = connection.execute("PRAGMA freelist_count")
        ((page_size,),) = connection.execute("PRAGMA page_size")
    return int(pages * page_size)


@pytest.mark.full
@pytest.mark.usefixtures("fresh", "no_scheduler")
def test_a_day_takes_less_than_100_mb_and_the_next_adds_nothing(
    project: Path, load: Callable[[], dg.Definitions], tmp_path: Path
) -> None:
    """What is kept is counted, so with a thirtieth of it a thirtieth of the size is left.

    What is there after the first run of bring_up counts once. So does what becomes free in SQLite's files when an
    hour's runs are purged: the next hour uses it.
    """
    policies = project / "policies.yaml"
    shipped = load_policies(policies).dagster_history
    assert shipped == DagsterHistory(), "what an older file leaves out"
    counts = {name: math.ceil(number / SCALE) for name, number in shipped.model_dump().items() if name != "days"}
    content = yaml.safe_load(policies.read_text(encoding="utf-8"))
    policies.write_text(yaml.safe_dump({**content, "dagster_history": counts}), encoding="utf-8")
    platform = load()
    home = tmp_path / "home"
    home.mkdir()
    with dg.DagsterInstance.local_temp(str(home)) as instance:

        def launch(name: str) -> None:
            assert platform.resolve_job_def(name).execute_in_process(instance=instance, raise_on_error=False)

        def thirtieth() -> tuple[int, int]:
            for name in AN_HOUR:
                for _ in range(RUNS):
                    launch(name)
            # One a minute.
            for _ in range(1440 // SCALE):
                report()
            # The second purges the one before it.
            launch("purge_dagster_history")
            launch("purge_dagster_history")
            free = sum(free_bytes(file) for file in home.rglob("*.db"))
            return size(home) - free, free

        def report() -> None:
            numbers = {f"a number of the feed {number}": number for number in range(20)}
            for key in ("stocks_real_time", "one_minute_candle", "one_hour_candle", "one_day_candle"):
                instance.report_runless_asset_event(dg.AssetObservation(key, metadata=numbers))
            for key in ("stocks_real_time", "one_minute_candle", "one_hour_candle", "one_day_candle")[:2]:
                instance.report_runless_asset_event(dg.AssetMaterialization(key, metadata={**numbers, "chart": CHART}))

        launch("bring_up")
        base = size(home)
        before_ticks = size(home / "schedules")
        for place in range(EVALUATIONS):
            instance.create_tick(tick(time.time() + place))
        # Kept for three hours, and purged once an hour.
        ticks = (size(home / "schedules") - before_ticks) * (events.SKIPPED_HOURS + 1)
        base += size(home / "schedules") - before_ticks
        (first, free), (second, _) = thirtieth(), thirtieth()
    between_purges = free * max(AN_HOUR.values()) // RUNS
    day = base + (first - base) * SCALE + between_purges + ticks
    growth = (second - first) * SCALE
    sizes = {"base": base, "kept": (first - base) * SCALE, "between purges": between_purges, "evaluations": ticks}
    print({name: f"{bytes_ / MEGABYTE:.1f} MB" for name, bytes_ in {**sizes, "a day": day, "the next": growth}.items()})
    assert day <= 100 * MEGABYTE
    assert growth < 0.05 * day


def tick(at: float) -> TickData:
    """An evaluation as the supervisor's."""
    return TickData(
        instigator_origin_id="4f1c" * 10,
        instigator_name="platform_supervisor",
        instigator_type=InstigatorType.SENSOR,
        status=TickStatus.SKIPPED,
        timestamp=at,
        selector_id="9be7" * 10,
        skip_reason="stocks: streaming; crypto: streaming",
        cursor="x" * 200,
        end_timestamp=at + 1,
    )
