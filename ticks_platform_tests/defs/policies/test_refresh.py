"""The schedule refresh_candles: which policies are due, and when nothing is to be done."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from pathlib import Path

import dagster as dg
import pytest

from ticks_platform.defs.common.labels import REFRESH_POOL
from ticks_platform.defs.common.pools import place
from ticks_platform.defs.common.resources import DatabaseResource
from ticks_platform.defs.policies import refresh, without_a_run
from ticks_platform.timescale.database import Database
from ticks_platform.timescale.policies import jobs
from ticks_platform.timescale.policies.settings import Kind, Policy

MINUTE_POLICY = dg.AssetKey("one_minute_candle_refresh_policy")
COLUMNSTORE_POLICY = dg.AssetKey("stocks_real_time_columnstore_policy")
TICK = """
    INSERT INTO stocks_real_time (time, symbol, price, tick_id, feed, received_at)
    SELECT at, 'AAPL', 100, gen_random_uuid(), 'stocks', at FROM (SELECT now() - INTERVAL '10 minutes') AS arrival (at)
"""

MANY_TICKS = """
    INSERT INTO stocks_real_time (time, symbol, price, tick_id, feed, received_at)
    SELECT at, 'S' || number % 500, 100, gen_random_uuid(), 'stocks', at
    FROM generate_series(1, 100000) AS number, (SELECT now() - INTERVAL '10 minutes') AS arrival (at)
"""

Evaluate = Callable[..., dg.RunRequest | dg.SkipReason]


def at(hour: int, minute: int) -> datetime:
    return datetime(2026, 3, 2, hour, minute, tzinfo=timezone.utc)


@pytest.fixture
def history(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    """An instance on a disk: a schedule opens it again."""
    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        yield instance


@pytest.fixture
def evaluate(platform: dg.Definitions, history: dg.DagsterInstance) -> Evaluate:
    """Evaluates the schedule refresh_candles at a time: its one request, or why it skips."""

    def evaluate(when: datetime, on: dg.DagsterInstance = history) -> dg.RunRequest | dg.SkipReason:
        with dg.build_schedule_context(
            instance=on,
            scheduled_execution_time=when,
            repository_def=platform.get_repository_def(),
            resources=platform.resources,
        ) as context:
            answer = platform.resolve_schedule_def("refresh_candles").evaluate_tick(context)
        if not answer.run_requests:
            return dg.SkipReason(answer.skip_message)
        (request,) = answer.run_requests
        return request

    return evaluate


def asked(answer: dg.RunRequest | dg.SkipReason) -> set[dg.AssetKey]:
    assert isinstance(answer, dg.RunRequest), answer
    return set(answer.asset_selection or [])


def said(answer: dg.RunRequest | dg.SkipReason) -> str:
    assert isinstance(answer, dg.SkipReason), answer
    return answer.skip_message or ""


@pytest.mark.usefixtures("no_scheduler")
def test_refreshes_that_are_due_run_without_a_run(
    fresh: Database, run_job: Callable[..., dg.ExecuteInProcessResult], evaluate: Evaluate
) -> None:
    assert run_job("bring_up").success
    with fresh.transaction() as cursor:
        cursor.execute("ALTER MATERIALIZED VIEW one_minute_candle SET (timescaledb.materialized_only = true)")
        cursor.execute(TICK)
    assert said(evaluate(at(10, 1))) == "ran without a run: one_minute_candle_refresh_policy"
    with fresh.transaction() as cursor:
        cursor.execute("SELECT count(*) FROM one_minute_candle")
        assert cursor.fetchone() == (1,)
    names = [f"{candle}_refresh_policy" for candle in ("one_minute_candle", "one_hour_candle", "one_day_candle")]
    assert said(evaluate(at(11, 0))) == f"ran without a run: {', '.join(names)}"


@pytest.mark.full
@pytest.mark.usefixtures("fresh", "no_scheduler")
def test_what_is_rare_and_may_take_long_has_a_run(
    run_job: Callable[..., dg.ExecuteInProcessResult], evaluate: Evaluate
) -> None:
    assert run_job("bring_up").success
    assert asked(evaluate(at(12, 0))) == {COLUMNSTORE_POLICY}


@pytest.mark.usefixtures("no_scheduler")
def test_a_refresh_that_fails_is_repeated_in_a_run_which_shows_why(
    fresh: Database,
    run_job: Callable[..., dg.ExecuteInProcessResult],
    evaluate: Evaluate,
    platform: dg.Definitions,
    tmp_path: Path,
) -> None:
    assert run_job("bring_up").success
    with fresh.transaction() as cursor:
        cursor.execute(TICK)
        cursor.execute(
            'UPDATE _timescaledb_config.bgw_job SET config = config || \'{"end_offset": "9 hours"}\' '
            "WHERE proc_name = 'policy_refresh_continuous_aggregate' AND schedule_interval = '1 minute'"
        )
    with dg.DagsterInstance.local_temp(str(tmp_path)) as kept:
        answer = evaluate(at(11, 0), on=kept)
        assert asked(answer) == {MINUTE_POLICY}, "the other two were run"
        assert isinstance(answer, dg.RunRequest)
        job = platform.resolve_job_def("refresh_candles")
        for _ in range(3):
            result = job.execute_in_process(
                instance=kept, asset_selection=[MINUTE_POLICY], tags=answer.tags, raise_on_error=False
            )
            assert not result.success
        answer = evaluate(at(11, 1), on=kept)
    assert "one_minute_candle_refresh_policy failed: " in said(answer)
    assert "(crash loop; retrying in " in said(answer)


@pytest.mark.usefixtures("database", "no_scheduler")
def test_policies_that_are_not_there_are_not_asked_for(evaluate: Evaluate) -> None:
    answer = evaluate(at(11, 0))
    assert isinstance(answer, dg.SkipReason)
    assert answer.skip_message == "no policy is due"


@pytest.mark.usefixtures("database", "scheduler")
def test_what_the_database_does_itself_is_left_to_it(evaluate: Evaluate) -> None:
    answer = evaluate(at(11, 0))
    assert isinstance(answer, dg.SkipReason)
    assert answer.skip_message == "the database runs its policies itself"


def test_unreachable_database_is_a_reason_to_skip(evaluate: Evaluate, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TICKS_DATABASE_URL", "postgresql://someone:s3cr3t-word@127.0.0.1:1/ticks")
    answer = evaluate(at(11, 0))
    assert isinstance(answer, dg.SkipReason)
    assert "cannot be reached" in (answer.skip_message or "")
    assert "s3cr3t-word" not in (answer.skip_message or "")


@pytest.mark.usefixtures("fresh", "no_scheduler")
def test_refreshes_take_turns_with_runs(
    run_job: Callable[..., dg.ExecuteInProcessResult],
    evaluate: Evaluate,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert run_job("bring_up").success
    monkeypatch.setattr(refresh, "WAIT_SECONDS", 0.1)
    limited = {"concurrency": {"pools": {"default_limit": 1}}}
    with dg.instance_for_test(temp_dir=str(tmp_path), overrides=limited) as kept:
        pools = kept.event_log_storage
        assert said(evaluate(at(11, 1), on=kept)).startswith("ran without a run")
        assert pools.get_concurrency_info(REFRESH_POOL).active_slot_count == 0, "it was given back"
        assert pools.claim_concurrency_slot(REFRESH_POOL, "a run", "a step").is_claimed
        assert "candles are being refreshed by a run" in said(evaluate(at(11, 1), on=kept)), "due again in a minute"
        # An hour's policy is not due again soon: a run of it waits for its turn.
        seldom = {dg.AssetKey(f"{candle}_refresh_policy") for candle in ("one_hour_candle", "one_day_candle")}
        assert asked(evaluate(at(11, 0), on=kept)) == seldom
        assert pools.get_concurrency_info(REFRESH_POOL).pending_step_count == 0, "nothing waits that no longer runs"
        pools.free_concurrency_slots_for_run("a run")
        assert said(evaluate(at(11, 1), on=kept)).startswith("ran without a run")


def test_a_place_that_a_killed_process_held_is_given_back(tmp_path: Path) -> None:
    limited = {"concurrency": {"pools": {"default_limit": 1}}}
    with dg.instance_for_test(temp_dir=str(tmp_path), overrides=limited) as instance:
        killed = place(instance, "pool", "schedule", wait_seconds=0)
        assert killed.__enter__()
        with place(instance, "pool", "somebody else", wait_seconds=0) as is_held:
            assert not is_held
        with place(instance, "pool", "schedule", wait_seconds=0) as is_held:
            assert is_held


def test_without_pools_there_is_always_a_place(history: dg.DagsterInstance) -> None:
    with place(history, "pool", "one", wait_seconds=0) as one, place(history, "pool", "two", wait_seconds=0) as two:
        assert one
        assert two


@pytest.mark.usefixtures("fresh", "no_scheduler")
def test_refreshes_for_which_there_is_no_time_have_a_run(
    run_job: Callable[..., dg.ExecuteInProcessResult], evaluate: Evaluate, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run_job("bring_up").success
    monkeypatch.setattr(refresh, "SECONDS", 0.0)
    assert asked(evaluate(at(11, 1))) == {MINUTE_POLICY}


@pytest.mark.full
def test_a_refresh_that_takes_too_long_is_cancelled_and_can_be_repeated(
    fresh: Database, run_job: Callable[..., dg.ExecuteInProcessResult]
) -> None:
    assert run_job("bring_up").success
    policy = Policy(Kind.REFRESH, "one_minute_candle")
    with fresh.transaction() as cursor:
        cursor.execute("ALTER MATERIALIZED VIEW one_minute_candle SET (timescaledb.materialized_only = true)")
        cursor.execute(MANY_TICKS)
        due = {policy: jobs.find(cursor, policy)}
    database = DatabaseResource(url=fresh.url())
    began = time.monotonic()
    found = without_a_run.refresh(database, due, seconds=0.12)
    assert time.monotonic() - began < 5
    assert found == ([], {}, [policy], False)
    found = without_a_run.refresh(database, due, seconds=60)
    assert found == ([policy], {}, [], False)
    with fresh.transaction() as cursor:
        cursor.execute("SELECT sum(tick_count) FROM one_minute_candle")
        assert cursor.fetchone() == (100_000,)
