"""What the tests of the Dagster layer share."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import dagster as dg

from ticks_platform.ingestion import lease as leases

if TYPE_CHECKING:
    from psycopg2.extensions import cursor as Cursor  # noqa: N812


def take_over(cursor: Cursor, feed: str, *, synthetic: bool, owner: str) -> leases.Lease:
    """Take a feed over for an owner with a journal of its own, which is empty."""
    return leases.take(
        cursor,
        feed=feed,
        provider="twelve_data",
        synthetic=synthetic,
        owner=owner,
        journal_id=str(uuid.uuid4()),
        journal_start=None,
        journal_frames=0,
    )


def checked(
    platform: dg.Definitions, instance: dg.DagsterInstance, name: str, *assets: str
) -> list[dg.AssetCheckEvaluation]:
    """Runs the check of this name on each of the assets, alone, as from the UI.

    Where it is a blocking one and an error, its run fails, as it should.
    """
    keys = {dg.AssetCheckKey(dg.AssetKey(asset), name) for asset in assets}
    job = platform.resolve_job_def("check_quality").get_subset(asset_check_selection=keys, asset_selection=set())
    result = job.execute_in_process(instance=instance, raise_on_error=False)
    evaluations = {evaluation.asset_check_key: evaluation for evaluation in result.get_asset_check_evaluations()}
    assert set(evaluations) == keys, [event.step_failure_data for event in result.all_events if event.is_step_failure]
    return [evaluations[dg.AssetCheckKey(dg.AssetKey(asset), name)] for asset in assets]
