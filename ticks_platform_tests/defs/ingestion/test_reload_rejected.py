"""The job that loads rejected events again."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import dagster as dg
import pytest

from ticks_platform.ingestion import lease as leases
from ticks_platform.timescale.database import Database
from ticks_platform_tests.support.ingestion import price, rows

Run = Callable[..., dg.ExecuteInProcessResult]


@pytest.fixture
def run(load: Callable[[], dg.Definitions], instance: dg.DagsterInstance) -> Run:
    """Runs the job for the feed `stocks`."""

    def run_job(**config: Any) -> dg.ExecuteInProcessResult:
        return (
            load()
            .resolve_job_def("reload_rejected")
            .execute_in_process(
                run_config={"ops": {"load_rejected_events": {"config": config}}},
                partition_key="stocks",
                instance=instance,
                raise_on_error=False,
            )
        )

    return run_job


def test_it_is_a_dry_run_until_it_is_told_otherwise(database: Database, run: Run, instance: dg.DagsterInstance) -> None:
    with database.transaction() as cursor:
        lease = leases.take(
            cursor,
            feed="stocks",
            provider="twelve_data",
            synthetic=True,
            owner="test",
            journal_id=str(uuid.uuid4()),
            journal_start=None,
            journal_frames=0,
        )
        cursor.execute(
            "INSERT INTO ticks_platform.feed_ledger (feed, epoch, connection, first_received_at, last_received_at, "
            "frames, events, loaded, replaced, duplicate, rejected, control) "
            "VALUES ('stocks', %s, 1, now(), now(), 1, 1, 0, 0, 0, 1, 0)",
            (lease.epoch,),
        )
        cursor.execute(
            "INSERT INTO ticks_platform.rejected_event (feed, journal_number, position, received_at, reason, raw, "
            "place, epoch, connection) VALUES ('stocks', %s, 0, now(), 'for the test', %s, NULL, %s, 1)",
            (lease.journal_number, price(), lease.epoch),
        )
    dry = run()
    assert dry.success
    assert "1 rejected events read; 1 events loaded" in said(instance, dry)
    assert "a dry run" in said(instance, dry)
    assert rows(database, "SELECT count(*) FROM stocks_real_time") == [(0,)]

    later = run(dry_run=False, since="2100-01-01")
    assert "0 rejected events read" in said(instance, later)
    for loaded in (1, 0):
        done = run(dry_run=False)
        assert done.success
        assert f"{loaded} events loaded" in said(instance, done)
        assert rows(database, "SELECT loaded, rejected FROM ticks_platform.feed_ledger") == [(1, 0)]
    refused = run(since="yesterday")
    assert not refused.success
    assert "'yesterday' is no moment" in said(instance, refused)


def said(instance: dg.DagsterInstance, result: dg.ExecuteInProcessResult) -> str:
    return "\n".join(str(entry) for entry in instance.all_logs(result.run_id))
