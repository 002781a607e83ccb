"""Runs whose process is told to end: by the stop of `ticks dev`, of a deployment, of a machine."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import dagster as dg
import pytest

from ticks_platform.defs.common.executor import one_process


@dg.op
def ends() -> None:
    """The main thread of a run's process is interrupted, which is this one here."""
    signal.raise_signal(signal.SIGINT)


@dg.op
def fails() -> None:
    raise ZeroDivisionError


@dg.job(executor_def=one_process)
def told_to_end() -> None:
    ends()


@dg.job(executor_def=one_process)
def failing() -> None:
    fails()


@pytest.fixture
def instance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dg.DagsterInstance]:
    with dg.instance_for_test(temp_dir=str(tmp_path_factory.mktemp("dagster"))) as instance:
        yield instance


def status(instance: dg.DagsterInstance, job: dg.JobDefinition) -> dg.DagsterRunStatus:
    with dg.execute_job(dg.reconstructable(job), instance, raise_on_error=False) as result:
        run = instance.get_run_by_id(result.run_id)
    assert run is not None
    return run.status


def test_a_run_that_is_told_to_end_is_canceled(instance: dg.DagsterInstance) -> None:
    assert status(instance, told_to_end) is dg.DagsterRunStatus.CANCELED


def test_a_run_that_fails_has_failed(instance: dg.DagsterInstance) -> None:
    assert status(instance, failing) is dg.DagsterRunStatus.FAILURE


def test_a_storage_that_is_away_does_not_keep_it_from_ending(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object) -> None:
        raise OSError("the storage is away")

    monkeypatch.setattr(dg.DagsterInstance, "report_run_canceling", away)
    assert status(instance, told_to_end) is dg.DagsterRunStatus.FAILURE
