"""The ingestion job: one long-running run per feed or group of feeds, and the sensor that keeps it alive.

Ingestion is an op, not an asset: as a running asset it would never be materialized, and would hold up everything
downstream of it. Its run reports to the asset `stocks_real_time` instead, once a minute.
"""

import logging
import time
from collections.abc import Sequence
from functools import partial

import dagster as dg

from ticks_platform import env_file
from ticks_platform.defs.common.executor import one_process
from ticks_platform.defs.common.labels import INGESTION
from ticks_platform.defs.common.partitions import runs_of, selected_feed
from ticks_platform.defs.common.project import feed_settings, feeds_file
from ticks_platform.defs.common.resources import IngestionResource
from ticks_platform.defs.common.runs import FEED_TAG, FEEDS_TAG, FOLLOW_TAG, IN_FLIGHT, REFUSED_TAG, listed
from ticks_platform.defs.ingestion.beside import ask_for_successor, attempt, finished_by_somebody_else, say
from ticks_platform.defs.ingestion.decisions import REMEDY
from ticks_platform.defs.ingestion.group import GroupRefusedError, Intervals, stream_group
from ticks_platform.defs.ingestion.progress import Reporter
from ticks_platform.defs.ingestion.supervisor import platform_supervisor
from ticks_platform.errors import ActionRequiredError, RetryableError
from ticks_platform.feeds import groups
from ticks_platform.feeds.settings import FeedSettings, PlatformSettings
from ticks_platform.feeds.settings_watch import only
from ticks_platform.ingestion import lease
from ticks_platform.ingestion.run import Ingestion

REPORT_INTERVAL = 60.0
"""Seconds between reports."""

FIRST_REPORT = 10.0
"""Seconds to the first report, so that a person who has just started sees something."""

FENCE_INTERVAL = 5.0
"""Seconds between looks at whether this run was declared finished, or its settings have changed."""


@dg.definitions
def ingest() -> dg.Definitions:
    """The job `ingest`, and the sensor `platform_supervisor`, which launches it."""
    settings = feed_settings()
    job = _job(settings)
    sensor = platform_supervisor(
        ingest=job,
        settings=settings,
        feeds_file=feeds_file(),
        loaded_at=time.time(),
        corrects=(feeds_file(), env_file.path()),
    )
    return dg.Definitions(jobs=[job], sensors=[sensor])


def _tags(run: str, feeds: Sequence[FeedSettings]) -> dict[str, str]:
    named = {} if feeds[0].group is None else {FEEDS_TAG: ", ".join(feed.name for feed in feeds)}
    return {**feeds[0].run_tags, FEED_TAG: run, **named}


def _job(settings: PlatformSettings) -> dg.JobDefinition:
    members = groups.runs(settings.feeds)

    @dg.job(
        name="ingest",
        description=(
            "Long-running: streams one feed, or the feeds of a group of feeds.yaml, which is its partition. The sensor "
            "platform_supervisor keeps one run of each alive; to stop a feed for good, launch disable_feed, since a "
            "terminated run is replaced."
        ),
        # Whoever launches a run, the supervisor and the limits in dagster.yaml know it by its tag.
        config=dg.PartitionedConfig(
            partitions_def=runs_of(settings),
            run_config_for_partition_key_fn=lambda _run: {},
            tags_for_partition_key_fn=lambda run: _tags(run, members[run]),
        ),
        executor_def=one_process,
        # The supervisor replaces a failed run; a retry beside it would make two.
        tags={"dagster/max_retries": "0", **INGESTION},
    )
    def job() -> None:
        stream_ticks()

    return job


@dg.op(
    description=(
        "Streams one feed, or those of a group, into stocks_real_time until it is terminated, switched off, refused, "
        "or handed over to another run. Whatever ends it, every tick that was received is committed, or waits in the "
        "journal for the next run."
    ),
)
def stream_ticks(context: dg.OpExecutionContext, ticks_ingestion: IngestionResource) -> None:
    run = selected_feed(context)
    feeds = listed(context.run.tags.get(FEEDS_TAG))
    try:
        if feeds:
            intervals = Intervals(FIRST_REPORT, REPORT_INTERVAL, FENCE_INTERVAL)
            stream_group(context, ticks_ingestion, run, feeds, intervals=intervals)
        else:
            _stream(context, ticks_ingestion, run)
    except ActionRequiredError as refused:
        told = {REFUSED_TAG: ", ".join(refused.feeds) if isinstance(refused, GroupRefusedError) else "true"}
        attempt(context, "mark itself as refused", context.instance.add_run_tags, context.run_id, told)
        raise dg.Failure(f"{refused}. The feed rests: {REMEDY}") from refused
    except RetryableError as lost:
        raise dg.Failure(str(lost)) from lost


def _stream(context: dg.OpExecutionContext, ticks_ingestion: IngestionResource, feed: str) -> None:
    settings = ticks_ingestion.settings(feed)
    stream: Ingestion | None = None
    began = time.monotonic()
    reporter = Reporter(context, feed)
    report_at, fence_at = began + FIRST_REPORT, began + FENCE_INTERVAL
    asked_for: PlatformSettings | None = None
    watch = ticks_ingestion.watch(
        partial(say, context), meanwhile=f"Feed '{feed}' continues with the settings that it has."
    )
    try:
        # This thread only waits: Dagster interrupts it, which has no effect in the middle of a database call.
        moved = attempt(context, "see who ingests the feed now", _was_moved, context, ticks_ingestion, feed)
        follow = FOLLOW_TAG in context.run.tags or bool(moved)
        with ticks_ingestion.stream(settings, owner=context.run_id, follow=follow) as stream:
            # Else the checks judge prices by what feeds.yaml said before, until the daily run of `instrument`.
            attempt(context, "bring the table instrument up to date", ticks_ingestion.keep_instruments)
            while not stream.wait(0.25):
                now = time.monotonic()
                if now >= report_at:
                    report_at = now + REPORT_INTERVAL
                    attempt(context, "report its progress", reporter.report, stream.progress(), stream.metrics)
                if now >= fence_at:
                    fence_at = now + FENCE_INTERVAL
                    if attempt(context, "see whether it was declared finished", finished_by_somebody_else, context):
                        say(context, logging.WARNING, "this run was declared finished from outside; it stops now")
                        break
                    read = watch.read()
                    current = settings if read is None else only(read, [feed])
                    if not current.feeds:
                        say(context, logging.INFO, f"feed '{feed}' is no longer in feeds.yaml; this run ends")
                        break
                    if not _can_continue(settings, current):
                        if current != asked_for and ask_for_successor(context, f"feed '{feed}'"):
                            asked_for = current
                    elif current.feeds != settings.feeds:
                        say(context, logging.INFO, f"the symbols of feed '{feed}' have changed in feeds.yaml")
                        stream.apply_settings(current.feeds[0])
                        attempt(context, "bring the table instrument up to date", ticks_ingestion.keep_instruments)
                        settings = current
            else:
                say(context, logging.INFO, _why_it_ended(stream, feed))
    finally:
        if stream is not None:
            attempt(context, "report its progress", reporter.report, stream.progress(), stream.metrics)


def _was_moved(context: dg.OpExecutionContext, ticks_ingestion: IngestionResource, feed: str) -> bool:
    """Whether the feed's owner is the run of a group that it was in, which goes on until this one has taken over."""
    with ticks_ingestion.database.transaction() as cursor:
        status = lease.status(cursor, feed)
    run = None if status is None or status.released else context.instance.get_run_by_id(status.owner)
    return run is not None and run.status in IN_FLIGHT and run.tags.get(FEED_TAG) != feed


def _why_it_ended(stream: Ingestion, feed: str) -> str:
    if stream.successor is not None:
        return f"feed '{feed}' is handed over: run {stream.successor} has taken over, and this one ends"
    return f"feed '{feed}' is switched off; the job enable_feed switches it on"


def _can_continue(settings: PlatformSettings, current: PlatformSettings) -> bool:
    """Whether a run that began with these settings can stream what feeds.yaml says now: at most other symbols."""
    return settings.stand_in == current.stand_in and settings.feeds[0].only_symbols_differ(current.feeds[0])
