"""Purging what belongs to no finished run: reports of runs that last for months or have no run, results of checks."""

from __future__ import annotations

import shutil
import sqlite3
import time
from collections.abc import Collection, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import dagster as dg
import sqlalchemy as sa
from dagster._core.scheduler.instigation import TickStatus
from dagster._core.storage.event_log import SqlEventLogStorage, SqliteEventLogStorage
from dagster._core.storage.event_log.schema import (
    AssetCheckExecutionsTable,
    AssetEventTagsTable,
    SqlEventLogStorageTable,
)

from ticks_platform.defs.common.runs import IN_FLIGHT
from ticks_platform.timescale.policies.settings import DagsterHistory

REPORTS = (dg.DagsterEventType.ASSET_MATERIALIZATION.value, dg.DagsterEventType.ASSET_OBSERVATION.value)
CHECK_RESULT = dg.DagsterEventType.ASSET_CHECK_EVALUATION.value
RUNLESS = ""
"""The run id of what was reported without a run."""
SKIPPED_HOURS = 3
"""Hours for which evaluations that launched nothing are kept."""
FREE_SHARE = 0.25
"""Share of a SQLite file that has to be free before it is made smaller; less is used again soon."""
FREE_BYTES = 1_000_000
"""How much has to be free at least."""
ROOM_BYTES = 256 << 20
"""Bytes of the disk that stay free while a file is made smaller."""

_events = SqlEventLogStorageTable.c
_results = AssetCheckExecutionsTable.c


def purge(instance: dg.DagsterInstance, keep: DagsterHistory, *, assets: Collection[dg.AssetKey]) -> int:
    """Delete all but the newest reports and check results of these assets. Returns the number of rows."""
    storage = instance.event_log_storage
    if not isinstance(storage, SqlEventLogStorage):
        return 0
    keys = [key.to_string() for key in assets]
    ours = sa.and_(_events.asset_key.in_(keys), _events.partition.is_(None), _events.dagster_event_type.in_(REPORTS))
    reports = _beyond(_events, keep.reports, [_events.asset_key, _events.dagster_event_type], ours)
    results = _beyond(
        _results,
        keep.check_results,
        [_results.asset_key, _results.check_name, _results.partition],
        _results.asset_key.in_(keys),
    )
    # A result that was reported without a run is not deleted with one.
    unused = sa.and_(
        _events.run_id == RUNLESS,
        _events.dagster_event_type == CHECK_RESULT,
        _events.id.not_in(
            sa.select(_results.evaluation_event_storage_id).where(_results.evaluation_event_storage_id.is_not(None))
        ),
    )
    with storage.index_connection() as connection:
        tagged = AssetEventTagsTable.c
        connection.execute(AssetEventTagsTable.delete().where(tagged.event_id.in_(reports)))
        number = connection.execute(SqlEventLogStorageTable.delete().where(_events.id.in_(reports))).rowcount
        number += connection.execute(AssetCheckExecutionsTable.delete().where(_results.id.in_(results))).rowcount
        number += connection.execute(SqlEventLogStorageTable.delete().where(unused)).rowcount
    return number + sum(_purge_shard(storage, run_id, keep) for run_id in _going_on(instance))


def purge_skipped_ticks(instance: dg.DagsterInstance, *, names: Collection[str]) -> None:
    """Delete the older evaluations of these sensors and schedules that launched nothing: some 25,000 a day.

    Others, and those of a project's own, stay as long as dagster.yaml says.
    """
    before = time.time() - SKIPPED_HOURS * 3600
    for state in instance.all_instigator_state():
        if state.instigator_name in names:
            instance.purge_ticks(state.instigator_origin_id, state.selector_id, before, [TickStatus.SKIPPED])


def _going_on(instance: dg.DagsterInstance) -> Iterator[str]:
    """Runs that go on, such as those of `ingest`, and what has no run."""
    yield RUNLESS
    for run in instance.get_runs(dg.RunsFilter(statuses=IN_FLIGHT)):
        yield run.run_id


def _purge_shard(storage: SqlEventLogStorage, run_id: str, keep: DagsterHistory) -> int:
    """Delete the older log lines of a run that goes on, and copies of its reports where it has a file of its own."""
    kinds: sa.ColumnElement[bool] = _events.dagster_event_type.is_(None)
    if isinstance(storage, SqliteEventLogStorage):
        if not Path(storage.path_for_shard(run_id)).exists():
            return 0
        kinds = sa.or_(kinds, _events.dagster_event_type.in_([*REPORTS, CHECK_RESULT]))
    elif run_id == RUNLESS:
        return 0
    older = _beyond(_events, keep.reports, [_events.dagster_event_type], sa.and_(_events.run_id == run_id, kinds))
    with storage.run_connection(run_id) as connection:
        number: int = connection.execute(SqlEventLogStorageTable.delete().where(_events.id.in_(older))).rowcount
    return number


def _beyond(table: Any, number: int, groups: list[Any], condition: Any) -> Any:
    """The ids of a table's rows that meet a condition, without the newest `number` of each group."""
    rank = sa.func.row_number().over(partition_by=groups, order_by=table.id.desc())
    ranked = sa.select(table.id, rank.label("place")).where(condition).subquery()
    return sa.select(ranked.c.id).where(ranked.c.place > number)


def compact(instance: dg.DagsterInstance) -> int:
    """Make SQLite files smaller that are free for a good part. Returns the number of bytes."""
    freed = 0
    for path in _sqlite_files(instance):
        # Another process may be writing: then the next run does it.
        with suppress(sqlite3.OperationalError), closing(sqlite3.connect(path, timeout=10.0)) as connection:
            ((pages,),) = connection.execute("PRAGMA page_count")
            ((free,),) = connection.execute("PRAGMA freelist_count")
            ((size,),) = connection.execute("PRAGMA page_size")
            # It is rewritten next to itself: journals on a disk that is nearly full need the room more.
            has_room = shutil.disk_usage(path.parent).free > 3 * pages * size + ROOM_BYTES
            if has_room and free > FREE_SHARE * pages and free * size > FREE_BYTES:
                connection.execute("VACUUM")
                freed += free * size
    return freed


def _sqlite_files(instance: dg.DagsterInstance) -> Iterator[Path]:
    events = instance.event_log_storage
    if isinstance(events, SqliteEventLogStorage):
        yield Path(events.path_for_shard("index"))
    for storage in (instance.run_storage, instance.schedule_storage):
        connect = getattr(storage, "connect", None)
        if connect is None:
            continue
        with connect() as connection:
            url = connection.engine.url
        if url.get_backend_name() == "sqlite" and url.database and Path(url.database).is_file():
            yield Path(url.database)
