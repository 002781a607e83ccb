"""Jobs by which a user acts on a feed: switch it on or off, or replace its run by a new one."""

import dagster as dg

from ticks_platform.defs.common.executor import one_process
from ticks_platform.defs.common.labels import URGENT
from ticks_platform.defs.common.partitions import feed_config, feed_field
from ticks_platform.defs.common.project import feed_settings
from ticks_platform.defs.common.resources import DatabaseResource
from ticks_platform.defs.common.runs import FEED_TAG, SUCCESSOR_TAG
from ticks_platform.feeds.settings import PlatformSettings
from ticks_platform.ingestion import switch


@dg.definitions
def switches() -> dg.Definitions:
    """The jobs `enable_feed` and `disable_feed`."""
    settings = feed_settings()
    return dg.Definitions(jobs=[_switch(settings, enabled=True), _switch(settings, enabled=False)])


def _switch(settings: PlatformSettings, *, enabled: bool) -> dg.JobDefinition:
    verb = "enable" if enabled else "disable"
    effect = "the supervisor starts its ingestion" if enabled else "its ingestion commits what it has and ends"

    name = f"{verb}_feed_op"

    @dg.op(
        name=name,
        config_schema={"feed": feed_field(settings)},
        description=f"Records in the database that the feed is {verb}d.",
    )
    def op(context: dg.OpExecutionContext, ticks_database: DatabaseResource) -> None:
        feed = settings.feed(context.op_config["feed"])
        with ticks_database.transaction() as cursor:
            switch.set_enabled(
                cursor, feed=feed.name, provider=feed.provider, synthetic=feed.synthetic, enabled=enabled
            )
        context.log.info(f"feed '{feed.name}' is {verb}d: {effect} within seconds")

    @dg.job(
        name=f"{verb}_feed",
        description=f"Switches one feed, which is its partition, {'on' if enabled else 'off'}: {effect}.",
        config=feed_config(settings, name),
        tags=URGENT,
        executor_def=one_process,
    )
    def job() -> None:
        op()

    return job


@dg.definitions
def hand_over() -> dg.Definitions:
    """The job `hand_over`."""
    settings = feed_settings()

    @dg.op(
        name="hand_over_op",
        config_schema={"feed": feed_field(settings)},
        description="Marks the feed's run as one to be followed by another; the supervisor launches that one.",
    )
    def op(context: dg.OpExecutionContext) -> None:
        feed = context.op_config["feed"]
        run_name = settings.feed(feed).run
        wanted = dg.RunsFilter(job_name="ingest", tags={FEED_TAG: run_name}, statuses=[dg.DagsterRunStatus.STARTED])
        runs = context.instance.get_runs(wanted)
        for run in runs:
            context.instance.add_run_tags(run.run_id, {SUCCESSOR_TAG: f"asked for by run {context.run_id}"})
            whole = "" if run_name == feed else f", and with it all feeds of group '{run_name}'"
            context.log.info(
                f"run {run.run_id} of feed '{feed}' continues until a new one takes over, within seconds{whole}"
            )
        if not runs:
            context.log.info(f"no run of feed '{feed}' is streaming; the supervisor launches one if it is switched on")

    @dg.job(
        name="hand_over",
        description=(
            "Replaces the run of one feed, which is its partition, by a new one, with the present code and feeds.yaml. "
            "If the feed's `overlap` is enabled, nothing is missed, and what both runs receive is stored once. "
            "The feeds of a group are handed over together."
        ),
        config=feed_config(settings, "hand_over_op"),
        tags=URGENT,
        executor_def=one_process,
    )
    def job() -> None:
        op()

    return dg.Definitions(jobs=[job])
