"""The schedule refresh_candles: which policies are due, and when nothing is to be done."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timezone

import dagster as dg
import pytest

MINUTE_POLICY = dg.AssetKey("one_minute_candle_refresh_policy")
HOUR_POLICY = dg.AssetKey("one_hour_candle_refresh_policy")
COLUMNSTORE_POLICY = dg.AssetKey("stocks_real_time_columnstore_policy")
DAY_POLICY = dg.AssetKey("one_day_candle_refresh_policy")

Evaluate = Callable[[datetime], dg.RunRequest | dg.SkipReason]


def at(hour: int, minute: int) -> datetime:
    return datetime(2026, 3, 2, hour, minute, tzinfo=timezone.utc)


@pytest.fixture
def evaluate(platform: dg.Definitions, instance: dg.DagsterInstance) -> Evaluate:
    """Evaluates the schedule refresh_candles at a time: its one request, or why it skips."""

    def evaluate(when: datetime) -> dg.RunRequest | dg.SkipReason:
        with dg.build_schedule_context(
            instance=instance,
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


@pytest.mark.usefixtures("fresh", "no_scheduler")
def test_policies_are_asked_for_when_due(run_job: Callable[..., dg.ExecuteInProcessResult], evaluate: Evaluate) -> None:
    assert run_job("bring_up").success
    assert asked(evaluate(at(10, 1))) == {MINUTE_POLICY}
    assert asked(evaluate(at(10, 59))) == {MINUTE_POLICY}
    assert asked(evaluate(at(11, 0))) == {MINUTE_POLICY, HOUR_POLICY, DAY_POLICY}
    assert asked(evaluate(at(12, 0))) == {MINUTE_POLICY, HOUR_POLICY, DAY_POLICY, COLUMNSTORE_POLICY}


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
