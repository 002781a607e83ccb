"""The ingestion job: one long-running run per feed, and the sensor that keeps it alive.

Ingestion is an op, not an asset: as a running asset it would never be materialized, and would hold up everything
downstream of it. Its run reports to the asset `stocks_real_time` instead, once a minute.
"""

import logging
import time
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

import dagster as dg

from ticks_platform import env_file
from ticks_platform.defs.common.executor import one_process
from ticks_platform.defs.common.labels import INGESTION
from ticks_platform.defs.common.partitions import feeds_of, selected_feed
from ticks_platform.defs.common.project import feed_settings, feeds_file
from ticks_platform.defs.common.resources import IngestionResource
from ticks_platform.defs.common.runs import FEED_TAG, FOLLOW_TAG, REFUSED_TAG, SUCCESSOR_TAG
from ticks_platform.defs.ingestion.decisions import REMEDY
from ticks_platform.defs.ingestion.progress import Reporter
from ticks_platform.defs.ingestion.supervisor import platform_supervisor
from ticks_platform.errors import ActionRequiredError, RetryableError
from ticks_platform.feeds.settings import PlatformSettings
from ticks_platform.ingestion.run import Ingestion

T = TypeVar("T")

logger = logging.getLogger(__name__)

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
        ingest=job, settings=settings, loaded_at=time.time(), corrects=(feeds_file(), env_file.path())
    )
    return dg.Definitions(jobs=[job], sensors=[sensor])


def _job(settings: PlatformSettings) -> dg.JobDefinition:
    @dg.job(
        name="ingest",
        description=(
            "Long-running: streams one feed, which is its partition. The sensor platform_supervisor keeps one run "
            "alive per feed; to stop a feed for good, launch disable_feed, since a terminated run is replaced."
        ),
        # Whoever launches a run, the supervisor and the limits in dagster.yaml know it by its tag.
        config=dg.PartitionedConfig(
            partitions_def=feeds_of(settings),
            run_config_for_partition_key_fn=lambda _feed: {},
            tags_for_partition_key_fn=lambda feed: {**settings.feed(feed).run_tags, FEED_TAG: feed},
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
        "Streams one feed into stocks_real_time until it is terminated, switched off, refused, or handed over to "
        "another run. Whatever ends it, every tick that was received is committed, or waits in the journal for the "
        "next run."
    ),
)
def stream_ticks(context: dg.OpExecutionContext, ticks_ingestion: IngestionResource) -> None:
    feed = selected_feed(context)
    try:
        _stream(context, ticks_ingestion, feed)
    except ActionRequiredError as refused:
        _try(context, "mark itself as refused", context.instance.add_run_tags, context.run_id, {REFUSED_TAG: "true"})
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
        partial(_say, context), meanwhile=f"Feed '{feed}' continues with the settings that it has."
    )
    try:
        # This thread only waits: Dagster interrupts it, which has no effect in the middle of a database call.
        follow = FOLLOW_TAG in context.run.tags
        with ticks_ingestion.stream(settings, owner=context.run_id, follow=follow) as stream:
            # Else the checks judge prices by what feeds.yaml said before, until the daily run of `instrument`.
            _try(context, "bring the table instrument up to date", ticks_ingestion.keep_instruments)
            while not stream.wait(0.25):
                now = time.monotonic()
                if now >= report_at:
                    report_at = now + REPORT_INTERVAL
                    _try(context, "report its progress", reporter.report, stream.progress(), stream.metrics)
                if now >= fence_at:
                    fence_at = now + FENCE_INTERVAL
                    if _try(context, "see whether it was declared finished", _finished_by_somebody_else, context):
                        _say(context, logging.WARNING, "this run was declared finished from outside; it stops now")
                        break
                    read = watch.read()
                    current = settings if read is None else read.only(feed)
                    if current is None:
                        _say(context, logging.INFO, f"feed '{feed}' is no longer in feeds.yaml; this run ends")
                        break
                    if not _can_continue(settings, current):
                        if current != asked_for and _ask_for_successor(context, feed):
                            asked_for = current
                    elif current.feeds != settings.feeds:
                        _say(context, logging.INFO, f"the symbols of feed '{feed}' have changed in feeds.yaml")
                        stream.apply_settings(current.feeds[0])
                        _try(context, "bring the table instrument up to date", ticks_ingestion.keep_instruments)
                        settings = current
            else:
                _say(context, logging.INFO, _why_it_ended(stream, feed))
    finally:
        if stream is not None:
            _try(context, "report its progress", reporter.report, stream.progress(), stream.metrics)


def _try(context: dg.OpExecutionContext, what: str, work: Callable[..., T], *arguments: Any) -> T | None:
    """Do something beside the stream; its failure is a warning, since the feed must go on."""
    try:
        return work(*arguments)
    except Exception as error:  # noqa: BLE001  (whatever Dagster's storage or the database raises)
        _say(context, logging.WARNING, f"this run could not {what}: {type(error).__name__}: {error}")
        return None


def _say(context: dg.OpExecutionContext, level: int, message: str) -> None:
    """Log in Dagster; where its storage is away too, only in this process's log, since the feed must go on."""
    try:
        context.log.log(level, message)
    except Exception:  # noqa: BLE001  (whatever the storage raises)
        logger.log(level, message)


def _why_it_ended(stream: Ingestion, feed: str) -> str:
    if stream.successor is not None:
        return f"feed '{feed}' is handed over: run {stream.successor} has taken over, and this one ends"
    return f"feed '{feed}' is switched off; the job enable_feed switches it on"


def _ask_for_successor(context: dg.OpExecutionContext, feed: str) -> bool:
    """Ask the supervisor to launch a run that follows this one, which continues until then. Whether it is asked."""
    reason = f"feeds.yaml has changed, as seen at {time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())}"

    def ask() -> bool:
        context.instance.add_run_tags(context.run_id, {SUCCESSOR_TAG: reason})
        _say(
            context,
            logging.INFO,
            f"{reason}; this run of feed '{feed}' continues until another one takes over",
        )
        return True

    return bool(_try(context, "ask for its successor", ask))


def _can_continue(settings: PlatformSettings, current: PlatformSettings) -> bool:
    """Whether a run that began with these settings can stream what feeds.yaml says now: at most other symbols."""
    return settings.stand_in == current.stand_in and settings.feeds[0].only_symbols_differ(current.feeds[0])


def _finished_by_somebody_else(context: dg.OpExecutionContext) -> bool:
    run = context.instance.get_run_by_id(context.run_id)
    return run is None or run.is_finished
