"""The ingestion job: one long-running run per feed, and the jobs that switch a feed on and off.

Ingestion is an op, not an asset: as a running asset it would never be materialized, and would hold up everything
downstream of it. Its run reports to the asset `stocks_real_time` instead, once a minute.
"""

import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import dagster as dg

from ticks_platform.defs.resources import DatabaseResource, IngestionResource
from ticks_platform.feeds.errors import FeedRefusedError
from ticks_platform.feeds.settings import PlatformSettings, SettingsError
from ticks_platform.ingestion import switch
from ticks_platform.ingestion.handover.handover import HandoverFailedError
from ticks_platform.ingestion.journal.journal import (
    JournalDamagedError,
    JournalError,
    JournalFencedError,
    JournalUnavailableError,
)
from ticks_platform.ingestion.lease import LeaseLostError, MixedDatabaseError
from ticks_platform.ingestion.loader import CheckpointError
from ticks_platform.ingestion.metrics import Counts, Metrics
from ticks_platform.ingestion.run import Ingestion, Progress

T = TypeVar("T")

FEED_TAG = "ticks/feed"
REFUSED_TAG = "ticks/refused"
"""On a run that ended for a reason that only a change of settings can remove."""

SUCCESSOR_TAG = "ticks/successor_wanted"
"""On a run that is to be replaced while it goes on, with the reason."""

FOLLOW_TAG = "ticks/follows_because"
"""On a run that was launched to follow one that is at work, with the reason."""

REPORT_INTERVAL = 60.0
"""Seconds between reports; each costs the event log some 5 KB for ever."""

FIRST_REPORT = 10.0
"""Seconds to the first report, so that a person who has just started sees something."""

FENCE_INTERVAL = 5.0
"""Seconds between looks at whether somebody else has declared this run finished, or has changed its settings."""


@dg.op(
    description=(
        "Streams one feed into stocks_real_time until it is terminated, switched off, refused, or handed over to "
        "another run. Whatever ends it, every tick that was received is committed, or waits in the journal for the "
        "next run."
    ),
)
def stream_ticks(context: dg.OpExecutionContext, ingestion: IngestionResource) -> None:
    feed = context.partition_key
    try:
        _stream(context, ingestion, feed)
    except (FeedRefusedError, SettingsError, MixedDatabaseError, JournalError) as refused:
        context.instance.add_run_tags(context.run_id, {REFUSED_TAG: "true"})
        raise dg.Failure(
            f"{refused}. This feed is not tried again until the code location is reloaded or `dagster dev` restarted."
        ) from refused
    except (
        LeaseLostError,
        JournalDamagedError,
        JournalFencedError,
        JournalUnavailableError,
        CheckpointError,
        HandoverFailedError,
    ) as lost:
        raise dg.Failure(str(lost)) from lost


def _stream(context: dg.OpExecutionContext, ingestion: IngestionResource, feed: str) -> None:
    settings = ingestion.settings(feed)
    stream: Ingestion | None = None
    began = time.monotonic()
    reporter = _Reporter(context, feed)
    report_at, fence_at = began + FIRST_REPORT, began + FENCE_INTERVAL
    asked_for: PlatformSettings | None = None
    try:
        # This thread only waits: Dagster interrupts it, and it would not be heard in the middle of a database call.
        follow = FOLLOW_TAG in context.run.tags
        with ingestion.stream(settings, owner=context.run_id, follow=follow) as stream:
            while not stream.wait(0.25):
                now = time.monotonic()
                if now >= report_at:
                    report_at = now + REPORT_INTERVAL
                    _try(context, "report its progress", reporter.report, stream.progress(), stream.metrics)
                if now >= fence_at:
                    fence_at = now + FENCE_INTERVAL
                    if _try(context, "see whether it is declared finished", _finished_by_somebody_else, context):
                        context.log.warning("this run was declared finished by somebody else; it stops now")
                        break
                    current = ingestion.current(settings)
                    if current is None:
                        context.log.info(f"feed '{feed}' is not in feeds.yaml any more; this run ends")
                        break
                    if not _can_go_on(settings, current):
                        if current != asked_for and _ask_for_successor(context, feed):
                            asked_for = current
                    elif current.feeds != settings.feeds:
                        context.log.info(f"the symbols of feed '{feed}' have changed in feeds.yaml")
                        stream.want(current.feeds[0])
                        settings = current
            else:
                context.log.info(_last_words(stream, feed))
    finally:
        if stream is not None:
            _try(context, "report its progress", reporter.report, stream.progress(), stream.metrics)


def _try(context: dg.OpExecutionContext, what: str, work: Callable[..., T], *arguments: Any) -> T | None:
    """Do what Dagster's storage is needed for; ticks are worth more than what it is told, or asked."""
    try:
        return work(*arguments)
    except Exception as error:  # noqa: BLE001  (whatever its storage raises)
        context.log.warning(f"this run could not {what}: {type(error).__name__}: {error}")
        return None


def _last_words(stream: Ingestion, feed: str) -> str:
    if stream.successor is not None:
        return f"feed '{feed}' is handed over: run {stream.successor} has taken over, and this one ends"
    return f"feed '{feed}' is switched off; the job enable_feed switches it on"


def _ask_for_successor(context: dg.OpExecutionContext, feed: str) -> bool:
    """Have the supervisor launch a run that follows this one, which goes on until then. Returns whether it is asked."""
    reason = f"feeds.yaml has changed, as seen at {time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())}"

    def ask() -> bool:
        context.instance.add_run_tags(context.run_id, {SUCCESSOR_TAG: reason})
        context.log.info(f"{reason}; this run of feed '{feed}' goes on until another one has taken over")
        return True

    return bool(_try(context, "ask for its successor", ask))


def _can_go_on(settings: PlatformSettings, current: PlatformSettings) -> bool:
    """Whether a run that began with these settings can stream what feeds.yaml says now: other symbols, at the most."""
    return settings.stand_in == current.stand_in and settings.feeds[0].only_symbols_differ(current.feeds[0])


def _finished_by_somebody_else(context: dg.OpExecutionContext) -> bool:
    run = context.instance.get_run_by_id(context.run_id)
    return run is None or run.is_finished


class _Reporter:
    """Turns progress into observations of the hypertable, with the rate since the one before."""

    def __init__(self, context: dg.OpExecutionContext, feed: str) -> None:
        self._context = context
        self._feed = feed
        self._loaded = 0
        self._latencies: Counts | None = None
        self._at = time.monotonic()

    def report(self, progress: Progress, metrics: Metrics) -> None:
        now = time.monotonic()
        rate = (progress.loaded - self._loaded) / max(now - self._at, 1e-9)
        latency = metrics.commit_latency
        metadata: dict[str, Any] = {
            "feed": self._feed,
            "state": progress.state.value,
            "ticks": progress.loaded,
            "ticks per second": round(rate, 1),
            "frames": progress.frames,
            "bars replaced": progress.replaced,
            "duplicate trades": progress.duplicate,
            "rejected events": progress.rejected,
            "control events": progress.control,
            "reconnects": max(0, progress.connections - 1),
            "commit retries": progress.retries,
            "journal bytes waiting": progress.waiting_bytes,
        }
        for label, histogram in (("arrival to commit", latency), ("provider to arrival", metrics.provider_latency)):
            since = self._latencies if histogram is latency else None
            for fraction in (0.5, 0.99):
                value = histogram.quantile(fraction, since=since)
                if value is not None:
                    metadata[f"{label}, p{fraction * 100:g}, seconds up to"] = value
        if progress.silent_symbols:
            metadata["silent symbols"] = dg.MetadataValue.json(sorted(progress.silent_symbols))
        if progress.failed_channels:
            metadata["channels not subscribed"] = dg.MetadataValue.json(progress.failed_channels)
        if progress.trouble:
            metadata["trouble"] = progress.trouble
        self._loaded, self._at, self._latencies = progress.loaded, now, latency.counts
        self._context.log_event(
            dg.AssetObservation(
                asset_key="stocks_real_time",
                description=f"feed {self._feed} {progress.state.value}: {progress.loaded} ticks in this run",
                metadata=metadata,
            )
        )


def ingest_job(feeds: Sequence[str]) -> dg.JobDefinition:
    """The job `ingest`; each feed is a partition of it."""

    @dg.job(
        name="ingest",
        description=(
            "Long-running: streams one feed, which is its partition. The sensor platform_supervisor keeps one run "
            "alive per feed; to stop a feed for good, launch disable_feed, since a terminated run is replaced."
        ),
        # Whoever launches a run, the supervisor and the limits in dagster.yaml know it by its tag.
        config=dg.PartitionedConfig(
            partitions_def=dg.StaticPartitionsDefinition(list(feeds)),
            run_config_for_partition_key_fn=lambda _feed: {},
            tags_for_partition_key_fn=lambda feed: {FEED_TAG: feed},
        ),
        executor_def=dg.in_process_executor,
        # The supervisor replaces a failed run; a retry beside it would make two.
        tags={"dagster/max_retries": "0"},
    )
    def ingest() -> None:
        stream_ticks()

    return ingest


def hand_over_job(feeds: Sequence[str]) -> dg.JobDefinition:
    """The job `hand_over`; each feed is a partition of it."""

    @dg.op(description="Marks the feed's run as one to be followed by another; the supervisor launches that.")
    def hand_over_op(context: dg.OpExecutionContext) -> None:
        feed = context.partition_key
        wanted = dg.RunsFilter(job_name="ingest", tags={FEED_TAG: feed}, statuses=[dg.DagsterRunStatus.STARTED])
        runs = context.instance.get_runs(wanted)
        for run in runs:
            context.instance.add_run_tags(run.run_id, {SUCCESSOR_TAG: f"asked for by run {context.run_id}"})
            context.log.info(
                f"run {run.run_id} of feed '{feed}' goes on until a new one has taken over, within seconds"
            )
        if not runs:
            context.log.info(f"no run of feed '{feed}' is streaming; the supervisor launches one if it is switched on")

    @dg.job(
        name="hand_over",
        description=(
            "Replaces the run of one feed, which is its partition, by a new one: with new code, and what feeds.yaml "
            "says now. Where the feed allows an overlap, nothing is missed, and what both have received is stored once."
        ),
        partitions_def=dg.StaticPartitionsDefinition(list(feeds)),
        executor_def=dg.in_process_executor,
    )
    def hand_over() -> None:
        hand_over_op()

    return hand_over


def switch_job(settings: PlatformSettings, *, enabled: bool) -> dg.JobDefinition:
    """The job `enable_feed` or `disable_feed`; each feed is a partition of it."""
    verb = "enable" if enabled else "disable"
    effect = "the supervisor starts its ingestion" if enabled else "its ingestion commits what it has and ends"

    @dg.op(name=f"{verb}_feed_op", description=f"Notes in the database that the feed is {verb}d.")
    def switch_op(context: dg.OpExecutionContext, database: DatabaseResource) -> None:
        feed = settings.feed(context.partition_key)
        with database.transaction() as cursor:
            switch.switch(cursor, feed=feed.name, provider=feed.provider, synthetic=feed.synthetic, enabled=enabled)
        context.log.info(f"feed '{feed.name}' is {verb}d: {effect} within seconds")

    @dg.job(
        name=f"{verb}_feed",
        description=f"Switches one feed, which is its partition, {'on' if enabled else 'off'}: {effect}.",
        partitions_def=dg.StaticPartitionsDefinition([feed.name for feed in settings.feeds]),
        executor_def=dg.in_process_executor,
    )
    def job() -> None:
        switch_op()

    return job
