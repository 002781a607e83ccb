"""The true-up in Dagster: the asset, the job and the sensor that launches it."""

import time
from datetime import date
from typing import Any

import dagster as dg

from ticks_platform.defs.common.bring_up import reason_to_skip, unreachable
from ticks_platform.defs.common.executor import one_process
from ticks_platform.defs.common.labels import KINDS, MAX_RUNTIME, OWNERS, REFRESH_POOL, defined_in
from ticks_platform.defs.common.partitions import day_fields, selected_days
from ticks_platform.defs.common.project import feed_settings
from ticks_platform.defs.common.resources import UNREACHABLE, DatabaseResource, IngestionResource
from ticks_platform.defs.common.runs import reason_to_wait
from ticks_platform.defs.gaps.repair_gaps import REPAIR_TAG
from ticks_platform.errors import ActionRequiredError, RetryableError
from ticks_platform.feeds.history import History
from ticks_platform.feeds.settings import FeedSettings, SettingsError
from ticks_platform.ingestion.repair import true_up, true_up_days
from ticks_platform.ingestion.repair.true_up_days import Due, Report
from ticks_platform.timescale import server_clock

RUN_SECONDS = 1500.0
"""How long a run asks a provider; the next one continues."""

INTERVAL = 60
"""Seconds between looks at what there is to do."""

JOB = "true_up_day"


def _feed(ticks_ingestion: IngestionResource, name: str) -> tuple[FeedSettings, History | None]:
    try:
        feed = ticks_ingestion.settings(name).feeds[0]
        return feed, ticks_ingestion.history(feed)
    except SettingsError as error:
        raise dg.Failure(str(error)) from error


def _reason(ticks_database: DatabaseResource, feed: FeedSettings, history: History | None, day: date) -> str | None:
    """Why there is nothing to do."""
    reason = true_up_days.obstacle(feed, history)
    if reason is not None or history is None:
        return reason
    with ticks_database.transaction() as cursor:
        return true_up_days.not_yet(feed, history, day, now=server_clock.now(cursor))


@dg.op(
    ins={"start": dg.In(dg.Nothing)},
    out=dg.Out(dg.Nothing),
    config_schema={"feed": str, **day_fields()},
    description=(
        "Requests from the provider's history what the symbols of the day wait for, within the feed's budget: their "
        "minute bars, or the trades of minutes that differ. Loads the answers: each page once, whatever ends the run "
        "in between. Ends early when gaps can be repaired, which come first."
    ),
)
def fetch_day(
    context: dg.OpExecutionContext, ticks_database: DatabaseResource, ticks_ingestion: IngestionResource
) -> None:
    """What a run does not finish, the next one continues."""
    ends_at = time.monotonic() + RUN_SECONDS
    name = context.op_config["feed"]
    feed, history = _feed(ticks_ingestion, name)
    for day in selected_days(context.op_config):
        reason = _reason(ticks_database, feed, history, day)
        if reason is not None or history is None:
            context.log.info(f"feed '{name}', {day}: {reason}")
            continue
        try:
            report = true_up.fetch(
                feed=feed,
                history=history,
                database=ticks_database.database,
                day=day,
                owner=context.run_id,
                seconds=ends_at - time.monotonic(),
            )
        except (ActionRequiredError, RetryableError) as error:
            raise dg.Failure(f"feed '{name}', {day}: {error}") from error
        context.log.info(
            f"feed '{name}', {day}: {report.requests} requests, {report.loaded} new rows"
            + (f"; the next request in {report.wait_seconds:.0f} s" if report.wait_seconds else "")
        )


@dg.op(
    pool=REFRESH_POOL,
    ins={"start": dg.In(dg.Nothing)},
    out=dg.Out(dg.Nothing),
    config_schema={"feed": str, **day_fields()},
    description=(
        "Refreshes the candles of the day and compares those of the symbols whose data is loaded with the provider's "
        "bars. Trades of the minutes that differ are requested by the next run; the others are done."
    ),
)
def compare_day(
    context: dg.OpExecutionContext, ticks_database: DatabaseResource, ticks_ingestion: IngestionResource
) -> None:
    """Say how the selected days stand."""
    metadata: dict[str, Any] = {}
    name, selected = context.op_config["feed"], selected_days(context.op_config)
    feed, history = _feed(ticks_ingestion, name)
    for day in selected:
        reason = _reason(ticks_database, feed, history, day)
        if reason is None and history is not None:
            try:
                true_up.settle(
                    feed=feed, history=history, database=ticks_database.database, day=day, owner=context.run_id
                )
            except RetryableError as error:
                raise dg.Failure(f"feed '{name}', {day}: {error}") from error
        with ticks_database.transaction() as cursor:
            found = _metadata(true_up_days.report(cursor, feed, day), reason)
        metadata |= found if len(selected) == 1 else {f"{day}: {label}": each for label, each in found.items()}
    days = str(selected[0]) if len(selected) == 1 else f"{selected[0]} to {selected[-1]}"
    context.add_output_metadata({"feed": name, "day": days, **metadata})


def _metadata(report: Report, reason: str | None) -> dict[str, Any]:
    if reason is not None and not report.symbols:
        return {"nothing to do": reason}
    return {
        "symbols": report.symbols,
        "symbols checked": report.done,
        "symbols not reached": report.left,
        "symbols that failed": report.failed,
        "minutes compared": report.compared,
        "minutes that differed": report.differed,
        "minutes that still differ": report.still_differing,
        "corrections": report.corrections,
        **({"left": ", ".join(report.left_symbols)} if report.left_symbols else {}),
        **({"left since": str(report.left_since)} if report.left_since else {}),
        **({"nothing to do": reason} if reason else {}),
    }


def config_of(feed: str, day: date) -> dict[str, Any]:
    """The config of a run that trues up this day."""
    return {"ops": {"true_up": {"config": {"feed": feed, "first_day": day.isoformat()}}}}


@dg.definitions
def true_up_of_days() -> dg.Definitions:
    """The asset `true_up`, the job of its name, and the sensor `true_up_days`."""
    feeds = feed_settings().feeds
    names = ", ".join(feed.name for feed in feeds)

    @dg.config_mapping(config_schema={"feed": dg.Field(str, description=f"One of: {names}."), **day_fields()})
    def config(asked: Any) -> dict[str, Any]:
        return {op.name: {"config": dict(asked)} for op in (fetch_day, compare_day)}

    @dg.graph_asset(
        name="true_up",
        ins={"gaps": dg.AssetIn("feed_gaps", dagster_type=dg.Nothing)},
        config=config,
        group_name="repair",
        owners=OWNERS,
        kinds=KINDS,
        metadata=defined_in("schema/feed_true_up.sql"),
        description=(
            "Trading days of a feed, checked after their end: providers cancel and correct trades without a word on "
            "the WebSocket. The provider's minute bars are fetched, one request a symbol, and the trades of the "
            "minutes whose candles differ are fetched again. The sensor true_up_days does it by itself; materializing "
            "it asks for a feed and its days. The results are in ticks_platform.feed_true_up and tick_correction."
        ),
    )
    def asset(gaps: Any) -> Any:
        return compare_day(start=fetch_day(start=gaps))

    job = dg.define_asset_job(
        JOB,
        selection=dg.AssetSelection.assets("true_up"),
        executor_def=one_process,
        tags=MAX_RUNTIME,
        description="Trues up a day of one feed; launched by the sensor true_up_days.",
    )

    @dg.sensor(
        name="true_up_days",
        job=job,
        minimum_interval_seconds=INTERVAL,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=(
            "Trues up the days of the feeds, one run at a time per feed, once a day's extended hours have been over "
            "for an hour, and continues while symbols are left and the budget allows a request. Gaps come first."
        ),
    )
    def sensor(
        context: dg.SensorEvaluationContext, ticks_database: DatabaseResource, ticks_ingestion: IngestionResource
    ) -> dg.SensorResult | dg.SkipReason:
        skip = reason_to_skip(ticks_database)
        if skip is not None:
            return skip
        try:
            decisions = {feed.name: _decide(context, ticks_database, ticks_ingestion, feed) for feed in feeds}
        except UNREACHABLE as error:
            return unreachable(error)
        # No run key: it would be remembered for ever.
        requests = [
            dg.RunRequest(run_config=config_of(name, due.day), tags={REPAIR_TAG: name})
            for name, due in decisions.items()
            if due.day is not None
        ]
        if requests:
            return dg.SensorResult(run_requests=requests)
        return dg.SkipReason("; ".join(f"{name}: {due.reason}" for name, due in decisions.items()))

    return dg.Definitions(assets=[asset], jobs=[job], sensors=[sensor])


def _decide(
    context: dg.SensorEvaluationContext,
    ticks_database: DatabaseResource,
    ticks_ingestion: IngestionResource,
    feed: FeedSettings,
) -> Due:
    if feed.true_up == "off":
        return Due(None, "switched off")
    reason = reason_to_wait(context.instance, JOB, {REPAIR_TAG: feed.name}, busy="being trued up or repaired")
    if reason is not None:
        return Due(None, reason)
    try:
        history = ticks_ingestion.history(feed)
    except SettingsError as error:
        return Due(None, str(error))
    return true_up_days.due(ticks_database.database, feed, history)
