"""Purging finished runs. Dagster's own `delete_run` leaves their files, and takes the state of partitions with them."""

from __future__ import annotations

import shutil
import time
import uuid
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path

import dagster as dg
import sqlalchemy as sa
from dagster._core.storage.event_log import SqlEventLogStorage, SqliteEventLogStorage
from dagster._core.storage.event_log.schema import AssetEventTagsTable, SqlEventLogStorageTable
from dagster._core.storage.local_compute_log_manager import LocalComputeLogManager

from ticks_platform.defs.common.runs import FINISHED, is_in_location
from ticks_platform.timescale.policies.settings import DagsterHistory

PARTITION_TAG = "dagster/partition"
PAGE = 200
"""Runs that are read or deleted at once."""
SQLITE_SUFFIXES = (".db", ".db-wal", ".db-shm", ".db-journal")
ORPHAN_AGE = 3600.0
"""Seconds since the last change of a file whose run is not known, after which it is deleted: a new run's files may come
before the run."""

_events = SqlEventLogStorageTable.c


def surplus(
    instance: dg.DagsterInstance,
    keep: DagsterHistory,
    *,
    jobs: Collection[str],
    assets: Collection[dg.AssetKey],
    location: str | None = None,
) -> Iterator[str]:
    """The ids of finished runs that are not kept, newest first.

    Of runs of these jobs in this code location (another one may have jobs of the same names), and of runs that were
    launched for some of these assets alone, such as by automation. Each job and partition has its own newest runs.
    """
    cutoff = time.time() - keep.days * 86400
    seen: Counter[tuple[str, str | None, bool]] = Counter()
    cursor = None
    while records := instance.get_run_records(dg.RunsFilter(statuses=FINISHED), limit=PAGE, cursor=cursor):
        cursor = records[-1].dagster_run.run_id
        for record in records:
            run = record.dagster_run
            is_ours = run.job_name in jobs and is_in_location(run, location)
            if not is_ours and not _is_of(run, assets):
                continue
            succeeded = run.status is dg.DagsterRunStatus.SUCCESS
            key = (run.job_name, run.tags.get(PARTITION_TAG), succeeded)
            seen[key] += 1
            ended_at = record.end_time or record.create_timestamp.timestamp()
            if seen[key] > (keep.runs if succeeded else keep.failed_runs) or ended_at < cutoff:
                yield run.run_id


def _is_of(run: dg.DagsterRun, assets: Collection[dg.AssetKey]) -> bool:
    """Whether a run without a job of its own is about these assets and their checks alone."""
    selected = {*(run.asset_selection or ()), *(key.asset_key for key in run.asset_check_selection or ())}
    return run.job_name.startswith("__ASSET_JOB") and bool(selected) and selected.issubset(assets)


def purge(instance: dg.DagsterInstance, run_ids: Iterator[str]) -> int:
    """Delete these runs, all of which have finished, with everything that was kept of them. Returns how many."""
    # All of them first: the page that is read next begins at a run of this one.
    left = iter(list(run_ids))
    number = 0
    while batch := list(islice(left, PAGE)):
        for run_id in batch:
            instance.run_storage.delete_run(run_id)
        _delete_events(instance, batch)
        for run_id in batch:
            delete_files(instance, run_id)
        number += len(batch)
    return number


def _delete_events(instance: dg.DagsterInstance, run_ids: Sequence[str]) -> None:
    storage = instance.event_log_storage
    if not isinstance(storage, SqlEventLogStorage):
        for run_id in run_ids:
            storage.delete_events(run_id)
        return
    materialized = _events.dagster_event_type == dg.DagsterEventType.ASSET_MATERIALIZATION.value
    # Which partitions are materialized is known by these events alone. Of an asset without partitions, the latest
    # materialization is also in the table of assets; but `changed_buckets` has to see that a run made one, which may
    # have changed all, among the reports that have no run.
    latest = (
        sa.select(sa.func.max(_events.id))
        .where(materialized, _events.run_id != "")
        .group_by(_events.asset_key, _events.partition)
    )
    of_these = sa.and_(_events.run_id.in_(run_ids), _events.id.not_in(latest))
    with storage.index_connection() as connection:
        tagged = [
            row[0] for row in connection.execute(sa.select(_events.id).where(of_these, _events.asset_key.is_not(None)))
        ]
        connection.execute(SqlEventLogStorageTable.delete().where(of_these))
        for begin in range(0, len(tagged), PAGE):
            ids = tagged[begin : begin + PAGE]
            connection.execute(AssetEventTagsTable.delete().where(AssetEventTagsTable.c.event_id.in_(ids)))
    if storage.supports_global_concurrency_limits:
        for run_id in run_ids:
            storage.free_concurrency_slots_for_run(run_id)


def delete_files(instance: dg.DagsterInstance, run_id: str) -> None:
    """Delete a run's compute logs, what its ops have stored on this machine, and its shard of the event log."""
    with suppress(NotImplementedError):
        instance.compute_log_manager.delete_logs(prefix=[run_id])
    shutil.rmtree(Path(instance.storage_directory()) / run_id, ignore_errors=True)
    storage = instance.event_log_storage
    if isinstance(storage, SqliteEventLogStorage):
        shard = Path(storage.path_for_shard(run_id))
        for suffix in SQLITE_SUFFIXES:
            shard.with_suffix(suffix).unlink(missing_ok=True)


def _is_run_id(name: str) -> bool:
    try:
        return str(uuid.UUID(name)) == name
    except ValueError:
        return False


def delete_orphans(instance: dg.DagsterInstance) -> int:
    """Delete the files of runs that this instance does not know any more. Returns of how many runs.

    A purge that was killed leaves such files, and so does «Delete» in the UI.
    """
    folders = [Path(instance.storage_directory())]
    if isinstance(instance.compute_log_manager, LocalComputeLogManager):
        folders.append(Path(instance.compute_log_manager.get_captured_local_path(["any"], "out")).parent)
    if isinstance(instance.event_log_storage, SqliteEventLogStorage):
        folders.append(Path(instance.event_log_storage.path_for_shard("any")).parent)
    before = time.time() - ORPHAN_AGE
    found = set()
    for path in (path for folder in folders if folder.is_dir() for path in folder.iterdir()):
        name = path.name.partition(".")[0]
        # Run ids are UUIDs; `index` and whatever else is there is not ours to delete.
        if _is_run_id(name):
            with suppress(FileNotFoundError):
                if path.stat().st_mtime < before:
                    found.add(name)
    candidates, orphans = iter(sorted(found)), 0
    while batch := list(islice(candidates, PAGE)):
        known = {run.run_id for run in instance.get_runs(dg.RunsFilter(run_ids=batch))}
        for run_id in batch:
            if run_id not in known:
                delete_files(instance, run_id)
                orphans += 1
    return orphans
