"""Repair of gaps out of the providers' histories: by itself after a reconnect, and for any days that a user selects."""

import time
from datetime import datetime, timedelta, timezone
from typing import Any

import dagster as dg

from ticks_platform.defs.assets import KINDS, OWNERS, REFRESH_POOL, definition_metadata
from ticks_platform.defs.catching_up import FIRST_DAY
from ticks_platform.defs.resources import UNREACHABLE, DatabaseResource, IngestionResource
from ticks_platform.defs.sensors import FINISHED, IN_FLIGHT, OBJECTS
from ticks_platform.defs.supervision import RunView, crash_delay
from ticks_platform.feeds.history import History, KeyRefusedError
from ticks_platform.feeds.settings import FeedSettings, PlatformSettings, SettingsError
from ticks_platform.ingestion.journal.journal import (
    JournalDamagedError,
    JournalError,
    JournalFencedError,
    JournalUnavailableError,
)
from ticks_platform.ingestion.lease import LeaseLostError, MixedDatabaseError
from ticks_platform.ingestion.loader import CheckpointError
from ticks_platform.ingestion.repair import gaps as repair_gaps
from ticks_platform.ingestion.repair import repair
from ticks_platform.ingestion.repair.lease import RepairInUseError
from ticks_platform.ingestion.repair.ranges import Stretch
from ticks_platform.timescale import tables
from ticks_platform.timescale.candles import late_ticks, reconciliation
from ticks_platform.timescale.candles.candles import ONE_DAY, ONE_HOUR

REPAIR_TAG = "ticks/repair"
"""On runs that repair a feed: its name."""

RUN_SECONDS = 1500.0
"""How long a run asks a provider; the next one goes on."""

INTERVAL = 30
"""Seconds between looks at what there is to repair."""

COMPARED = timedelta(hours=2)
"""Of what time the candles are compared with their ticks after a repair; older hours are because they have changed."""

MAX_RUNTIME = {"dagster/max_runtime": "3600"}


_GIVEN_UP = (
    KeyRefusedError,
    SettingsError,
    MixedDatabaseError,
    RepairInUseError,
    LeaseLostError,
    CheckpointError,
    JournalError,
    JournalDamagedError,
    JournalFencedError,
    JournalUnavailableError,
)


def _no_history(feed: FeedSettings) -> str:
    return f"provider {feed.provider} offers no history of what this feed streams"


def _fetch(
    context: dg.OpExecutionContext,
    database: DatabaseResource,
    feed: FeedSettings,
    history: History | None,
    stretches: list[Stretch],
) -> None:
    if history is None:
        reason = _no_history(feed)
        with database.transaction() as cursor:
            given_up = repair_gaps.give_up_all(cursor, feed.name, reason)
        context.log.info(f"feed '{feed.name}': {reason}; {given_up} gaps are unrepairable")
        return
    if not feed.repair.enabled:
        context.log.info(f"feed '{feed.name}': repair is switched off in feeds.yaml (repair.enabled)")
        return
    try:
        report = repair.Repair(feed=feed, history=history, database=database.database, owner=context.run_id).run(
            seconds=RUN_SECONDS, stretches=stretches
        )
    except _GIVEN_UP as error:
        raise dg.Failure(f"feed '{feed.name}': {error}") from error
    context.log.info(
        f"feed '{feed.name}': {report.requests} requests; {report.loaded} rows are new, {report.replaced} replaced, "
        f"{report.duplicate} were known, {report.rejected} rejected; {report.left} ranges are left"
        + (f", the next request in {report.waits:.0f} s" if report.waits else "")
    )


def _history(ingestion: IngestionResource, feed: FeedSettings) -> History | None:
    try:
        return ingestion.history(feed)
    except SettingsError as error:
        raise dg.Failure(str(error)) from error


@dg.op(
    ins={"start": dg.In(dg.Nothing)},
    out=dg.Out(dg.Nothing),
    description=(
        "Asks the provider's history for the open gaps of a feed that are old enough, within its budget, and loads the "
        "answers: each page once, whatever ends the run in between."
    ),
)
def fetch_gaps(context: dg.OpExecutionContext, database: DatabaseResource, ingestion: IngestionResource) -> None:
    """What is not done within the run is left to the next one."""
    feed = ingestion.settings(context.partition_key).feeds[0]
    _fetch(context, database, feed, _history(ingestion, feed), [])


@dg.op(
    ins={"start": dg.In(dg.Nothing)},
    out=dg.Out(dg.Nothing),
    description="Asks the provider's history for the selected days of the selected feeds, and loads the answers.",
)
def fetch_days(context: dg.OpExecutionContext, database: DatabaseResource, ingestion: IngestionResource) -> None:
    """What is not done within the run is left to the repair of gaps, which goes on by itself."""
    for name, days in _selected(context).items():
        feed = ingestion.settings(name).feeds[0]
        history = _history(ingestion, feed)
        if history is None:
            raise dg.Failure(f"feed '{name}': {_no_history(feed)}")
        first, last = repair.whole_minutes(feed, history)
        spans = [(max(day, first), min(day + timedelta(days=1), last)) for day in days]
        stretches = [Stretch(symbol, *span) for span in spans for symbol in feed.asked_symbols() if span[0] < span[1]]
        _fetch(context, database, feed, history, stretches)


def _selected(context: dg.OpExecutionContext) -> dict[str, list[datetime]]:
    days: dict[str, list[datetime]] = {}
    for key in context.partition_keys:
        assert isinstance(key, dg.MultiPartitionKey)
        day = datetime.strptime(key.keys_by_dimension["day"], "%Y-%m-%d").replace(tzinfo=timezone.utc)
        days.setdefault(key.keys_by_dimension["feed"], []).append(day)
    return days


@dg.op(
    pool=REFRESH_POOL,
    ins={"start": dg.In(dg.Nothing)},
    out=dg.Out(dg.Nothing),
    description=(
        "Refreshes the candles of the days of which trades were fetched, in every level, compares those of the changed "
        "hours with their ticks, and closes the gaps that are repaired, or cannot be."
    ),
)
def settle_gaps(context: dg.OpExecutionContext, database: DatabaseResource, ingestion: IngestionResource) -> None:
    """Close the gaps once the candles are those of their ticks."""
    names = [context.partition_key] if not _is_of_days(context) else list(_selected(context))
    metadata: dict[str, Any] = {}
    for name in names:
        feed = ingestion.settings(name).feeds[0]
        history = _history(ingestion, feed)
        if history is not None:
            found = _settle(database, feed, history)
            metadata |= found if len(names) == 1 else {f"{name}: {label}": value for label, value in found.items()}
    context.add_output_metadata(metadata)


def _is_of_days(context: dg.OpExecutionContext) -> bool:
    return isinstance(context.partition_keys[0], dg.MultiPartitionKey)


def _settle(database: DatabaseResource, feed: FeedSettings, history: History) -> dict[str, Any]:
    compared = differing = 0
    with database.autocommit() as cursor:
        days = repair_gaps.touched(cursor, feed.name)
        for begin, end in days:
            late_ticks.refresh_days(cursor, begin, end)
        if days:
            results = [reconciliation.reconcile(cursor, window=COMPARED)]
            results += [reconciliation.reconcile_levels(cursor, candle) for candle in (ONE_HOUR, ONE_DAY)]
            compared = sum(result.found.candles for result in results)
            differing = sum(result.left.differing for result in results)
    with database.transaction() as cursor:
        settled = repair_gaps.settle(cursor, feed.name, history)
        totals = repair_gaps.totals(cursor, feed.name)
    return {
        "gaps repaired": settled.repaired,
        "gaps unrepairable": settled.unrepairable,
        "gaps left open": settled.left,
        "rows in repaired gaps": settled.rows,
        "days refreshed": len(days),
        "candles compared": compared,
        "candles that differ from their ticks": differing,
        "requests in the last 24 hours": totals.requests,
        "ranges left": totals.left,
        **({"last trouble": totals.trouble} if totals.trouble else {}),
    }


def gap_repair(settings: PlatformSettings) -> dg.AssetsDefinition:
    """The asset `gap_repair`, a partition for each feed."""

    @dg.graph_asset(
        name="gap_repair",
        ins={"gaps": dg.AssetIn("feed_gaps", dagster_type=dg.Nothing)},
        partitions_def=dg.StaticPartitionsDefinition([feed.name for feed in settings.feeds]),
        group_name="repair",
        owners=OWNERS,
        kinds=KINDS,
        metadata=definition_metadata("schema/feed_repair.sql"),
        description=(
            "The gaps of a feed, fetched from its provider by REST: trades become ticks, as if they had been received; "
            "where a provider has no ticks, its bars of a minute go to stock_aggregates. The sensor repair_gaps does "
            "it by itself. What is wanted, fetched and spent is in ticks_platform.feed_repair and feed_repair_request."
        ),
    )
    def asset(gaps: Any) -> Any:
        return settle_gaps(start=fetch_gaps(start=gaps))

    return asset


def history_backfill(settings: PlatformSettings) -> dg.AssetsDefinition:
    """The asset `history_backfill`, a partition for each feed and day."""

    @dg.graph_asset(
        name="history_backfill",
        ins={"ticks": dg.AssetIn("stocks_real_time", dagster_type=dg.Nothing)},
        partitions_def=dg.MultiPartitionsDefinition(
            {
                "feed": dg.StaticPartitionsDefinition([feed.name for feed in settings.feeds]),
                "day": dg.DailyPartitionsDefinition(start_date=FIRST_DAY, end_offset=1),
            }
        ),
        backfill_policy=dg.BackfillPolicy.single_run(),
        group_name="repair",
        owners=OWNERS,
        kinds=KINDS,
        metadata=definition_metadata("schema/feed_repair.sql"),
        description=(
            "Days of a feed's history, UTC, that are selected here, for all of its symbols: fetched as gaps are, "
            "within the same budget, and nothing that was fetched before. What a run does not come to is gone on with "
            "by gap_repair."
        ),
    )
    def asset(ticks: Any) -> Any:
        return settle_gaps(start=fetch_days(start=ticks))

    return asset


repair_job = dg.define_asset_job(
    "repair",
    selection=dg.AssetSelection.assets("gap_repair"),
    tags=MAX_RUNTIME,
    description="Repairs the gaps of one feed; launched by the sensor repair_gaps.",
)


def repair_gaps_sensor(settings: PlatformSettings) -> dg.SensorDefinition:
    """The sensor `repair_gaps` over the feeds of feeds.yaml."""

    @dg.sensor(
        name="repair_gaps",
        job=repair_job,
        minimum_interval_seconds=INTERVAL,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=(
            "Repairs gaps by itself: for each feed one run at a time, once its gaps are old enough for the provider to "
            "have what they lack, and its budget allows a request. Failing runs are followed at growing distances."
        ),
    )
    def repair_gaps(
        context: dg.SensorEvaluationContext, database: DatabaseResource, ingestion: IngestionResource
    ) -> dg.SensorResult:
        try:
            with database.transaction() as cursor:
                missing = tables.missing(cursor, OBJECTS)
            if missing:
                return dg.SensorResult(skip_reason=f"missing in the database: {', '.join(missing)}")
            decisions = {feed.name: _decide(context, database, ingestion, feed) for feed in settings.feeds}
        except UNREACHABLE as error:
            return dg.SensorResult(skip_reason=f"the database cannot be reached: {str(error).strip()}")
        # No run key: it would be remembered for ever.
        requests = [
            dg.RunRequest(partition_key=name, tags={REPAIR_TAG: name})
            for name, (launch, _) in decisions.items()
            if launch
        ]
        if requests:
            return dg.SensorResult(run_requests=requests)
        return dg.SensorResult(skip_reason="; ".join(f"{name}: {reason}" for name, (_, reason) in decisions.items()))

    return repair_gaps


def _decide(
    context: dg.SensorEvaluationContext, database: DatabaseResource, ingestion: IngestionResource, feed: FeedSettings
) -> tuple[bool, str]:
    if not feed.repair.enabled:
        return False, "repair is switched off"
    if context.instance.get_run_records(dg.RunsFilter(statuses=IN_FLIGHT, tags={REPAIR_TAG: feed.name}), limit=1):
        return False, "being repaired"
    finished = _finished(context, feed.name)
    wait = (finished[0].ended_at or 0.0) + crash_delay(finished) - time.time() if finished else 0.0
    if wait > 0:
        return False, f"failing again and again; next try in {wait:.0f} s"
    try:
        history = ingestion.history(feed)
    except SettingsError as error:
        return False, str(error)
    found = repair.due(database.database, feed, history)
    return found.is_due, found.reason


def _finished(context: dg.SensorEvaluationContext, feed: str) -> list[RunView]:
    """The latest runs that ended, newest first; one that worked for long before it failed counts as failed at once."""
    records = context.instance.get_run_records(dg.RunsFilter(statuses=FINISHED, tags={REPAIR_TAG: feed}), limit=12)
    return [
        RunView(
            run_id=record.dagster_run.run_id,
            started=False,
            failed=record.dagster_run.status is dg.DagsterRunStatus.FAILURE,
            refused=False,
            created_at=record.create_timestamp.timestamp(),
            started_at=record.end_time,
            ended_at=record.end_time,
        )
        for record in records
    ]
