"""The job that brings candles up to late ticks, its schedule, and the days that a user names."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime, timedelta, timezone

import dagster as dg
import pytest

from ticks_platform.defs.common.partitions import selected_days
from ticks_platform.timescale.database import Database

Run = Callable[..., dg.ExecuteInProcessResult]

DAY = datetime.now(timezone.utc).replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=6)


def insert_tick(database: Database, at: datetime, price: float, *, counted: bool = True) -> None:
    """A tick, counted in its hour as the loader does it."""
    with database.transaction() as cursor:
        cursor.execute(
            """
            INSERT INTO ticks_platform.feed (feed, provider, synthetic) VALUES ('stocks', 'twelve_data', true)
            ON CONFLICT DO NOTHING;
            INSERT INTO stocks_real_time (time, symbol, price, tick_id, feed, received_at)
            VALUES (%(at)s, 'AAPL', %(price)s, gen_random_uuid(), 'stocks', now());
            INSERT INTO ticks_platform.feed_hour AS counted
                (feed, destination, hour, loaded, last_received_at, counted_since, changed_at)
            SELECT 'stocks', 'stocks_real_time', time_bucket('1 hour', %(at)s::timestamptz), 1, now(),
                clock_timestamp(), clock_timestamp()
            WHERE %(counted)s
            ON CONFLICT (feed, destination, hour) DO UPDATE
            SET loaded = counted.loaded + 1, changed_at = clock_timestamp()
            """,
            {"at": at, "price": price, "counted": counted},
        )


def highs(database: Database) -> list[float]:
    """The highest price that each level shows."""
    with database.transaction() as cursor:
        cursor.execute(
            "SELECT max(high) FROM one_minute_candle UNION ALL SELECT max(high) FROM one_hour_candle "
            "UNION ALL SELECT max(high) FROM one_day_candle"
        )
        return [row[0] for row in cursor.fetchall()]


@pytest.fixture
def wanted(platform: dg.Definitions, instance: dg.DagsterInstance) -> Callable[[], bool | str]:
    """Whether the schedule asks for a run, or why it does not."""

    def evaluate() -> bool | str:
        with dg.build_schedule_context(
            instance=instance,
            scheduled_execution_time=datetime(2026, 3, 2, 10, 5, tzinfo=timezone.utc),
            repository_def=platform.get_repository_def(),
            resources=platform.resources,
        ) as context:
            answer = platform.resolve_schedule_def("catch_up").evaluate_tick(context)
        return bool(answer.run_requests) or str(answer.skip_message)

    return evaluate


def test_late_ticks_are_caught_up_with_and_the_hours_are_named(
    fresh: Database, run_job: Run, wanted: Callable[[], bool | str]
) -> None:
    assert "not created yet" in str(wanted())
    assert run_job("bring_up").success
    nothing = "no tick came too late for the refresh policies"
    assert wanted() == nothing
    insert_tick(fresh, DAY + timedelta(hours=5), 10.0)
    assert wanted() is True
    assert run_job("catch_up").success
    assert wanted() == nothing
    insert_tick(fresh, DAY + timedelta(hours=5, minutes=3), 50.0)
    insert_tick(fresh, DAY + timedelta(hours=9), 60.0)
    assert wanted() is True
    result = run_job("catch_up")
    assert result.success
    assert highs(fresh) == [60.0] * 3
    observed = {
        event.asset_key.to_user_string(): event.asset_observation_data.asset_observation.metadata
        for event in result.get_asset_observation_events()
        if event.asset_key
    }
    assert set(observed) == {"one_minute_candle", "one_hour_candle", "one_day_candle"}
    shown = observed["one_hour_candle"]
    assert (shown["hours refreshed"].value, shown["days refreshed"].value) == (2, 1)
    assert [record.data["begin"] for record in shown["hours"].value.records] == [
        f"{DAY:%Y-%m-%d} 05:00Z",
        f"{DAY:%Y-%m-%d} 09:00Z",
    ]
    again = run_job("catch_up")
    assert again.success
    assert again.get_asset_observation_events() == [], "nothing has changed"


@pytest.mark.full
def test_selected_days_are_refreshed_in_one_run(fresh: Database, run_job: Run) -> None:
    assert run_job("bring_up").success
    for day in range(3):
        insert_tick(fresh, DAY + timedelta(days=day, hours=5), 10.0 + day)
    assert run_job("catch_up").success
    for day in range(3):
        insert_tick(fresh, DAY + timedelta(days=day, hours=5), 90.0 + day, counted=False)
    assert highs(fresh) == [12.0] * 3
    first, last = (f"{DAY + timedelta(days=day):%Y-%m-%d}" for day in (0, 1))
    config = {"ops": {"refresh_days_op": {"config": {"first_day": first, "last_day": last}}}}
    result = run_job("refresh_days", run_config=config)
    assert result.success
    assert highs(fresh) == [91.0] * 3, "the third day was not selected"
    (output,) = [event for event in result.all_events if event.is_successful_output]
    shown = {name: value.value for name, value in output.step_output_data.metadata.items()}
    assert (shown["days"], shown["one_minute_candle candles"], shown["one_day_candle candles"]) == (2, 2, 2)


@pytest.mark.parametrize(
    ("days", "words"),
    [
        ({"first_day": "2 March"}, "first_day: '2 March' is no day; write it as 2026-03-02"),
        ({"first_day": "2026-03-02", "last_day": "2026-03-01"}, "last_day 2026-03-01 is before first_day 2026-03-02"),
    ],
)
def test_days_that_are_none_are_told(run_job: Run, days: dict[str, str], words: str) -> None:
    result = run_job("refresh_days", run_config={"ops": {"refresh_days_op": {"config": days}}})
    (failure,) = [event for event in result.all_events if event.is_step_failure]
    assert words in str(failure.step_failure_data.error)


def test_one_day_is_selected_by_its_first() -> None:
    assert selected_days({"first_day": "2026-02-28", "last_day": None}) == [date(2026, 2, 28)]
    assert len(selected_days({"first_day": "2026-02-28", "last_day": "2026-03-01"})) == 2
