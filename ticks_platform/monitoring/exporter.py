"""The metrics of all feeds on one endpoint, also of those whose run has ended: for Prometheus.

Each run leaves its own in a file; the rest is asked of the database and of this machine's disk.
"""

from __future__ import annotations

import logging
import platform
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from prometheus_client import CollectorRegistry, generate_latest, start_http_server
from prometheus_client.core import GaugeMetricFamily, InfoMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample

import ticks_platform
from ticks_platform.alerts import delivery
from ticks_platform.feeds.settings import FeedSettings
from ticks_platform.feeds.settings_watch import SettingsWatch
from ticks_platform.ingestion import metrics_export
from ticks_platform.ingestion.metrics_export import UP_WITHIN, file_of
from ticks_platform.monitoring import disk
from ticks_platform.monitoring.database import UNREACHABLE, DatabaseState, Watcher
from ticks_platform.timescale.database import Database
from ticks_platform.timescale.failures import in_words

logger = logging.getLogger(__name__)

MEDIA_TYPE = "text/plain; version=0.0.4"

KEPT = 5.0
"""Seconds for which an answer of the database is used again."""

OF_A_RUN = {
    *("ticks_clock_correction_seconds", "ticks_clock_doubts"),
    *("ticks_copy_up", "ticks_copy_unshipped_bytes", "ticks_copy_unshipped_seconds"),
}
"""Metrics of a run that say nothing once it has ended."""

CONNECTED = "ticks_connected"
"""The same, but it is 0 then."""

PATIENCE = 4.0
"""Seconds within which the database has to answer: Prometheus gives up on all metrics after ten."""

Values = Iterable[tuple[Sequence[str], float]]


class AllFeeds(Collector):
    """The metrics of all feeds of a feeds.yaml. Safe from any thread."""

    def __init__(self, database: Database, feeds_file: Path) -> None:
        self._database = database
        self._watch = SettingsWatch(feeds_file, logger.log, meanwhile="The metrics are of the feeds as they were.")
        self._feeds: tuple[FeedSettings, ...] | None = None
        """None until feeds.yaml could be read."""
        self._watcher = Watcher()
        self._lock = threading.Lock()
        self._state: DatabaseState | None = None
        self._answers = False
        self._asked_at = float("-inf")
        self._said: str | None = None

    def collect(self) -> Iterable[Metric]:
        """The families, as of now."""
        with self._lock:
            self._look()
            feeds, state, answers = self._feeds, self._state, self._answers
        if feeds is not None:
            names = [feed.name for feed in feeds]
        else:
            names = [row.feed for row in state.statuses] if state else _written_by_runs()
        written = {name: _age(file_of(name)) for name in names}
        fresh = {name for name, age in written.items() if age is not None and age <= UP_WITHIN}
        yield InfoMetricFamily(
            "ticks_build",
            "The release of the platform.",
            value={"version": ticks_platform.__version__, "python": platform.python_version()},
        )
        yield _gauge("ticks_database_up", "1 if the database answers.", [], [((), float(answers))])
        alive = fresh | {row.feed for row in state.statuses if row.ingesting} if state else fresh
        yield _by_feed("ticks_feed_up", "1 if a run ingests the feed.", [(name, name in alive) for name in written])
        yield from _of_runs(names, fresh)
        yield from _of_disk(feeds or ())
        yield _gauge(
            "ticks_alerts_waiting",
            "Messages that the webhook of alerts has not taken yet.",
            ["sensor"],
            [((each.sensor,), each.waiting) for each in delivery.deliveries()],
        )
        if state is not None:
            yield from _of_database(state)

    def _look(self) -> None:
        if time.monotonic() - self._asked_at < KEPT:
            return
        settings = self._watch.read()
        if settings is not None:
            self._feeds = settings.feeds
        said: str | None = None
        try:
            self._state = self._watcher.look(self._database, self._feeds, patience=PATIENCE)
            self._answers = True
        except UNREACHABLE as error:
            self._state, self._answers = None, False
            said = in_words(error)
        if said is not None and said != self._said:
            logger.warning("no metrics of what the database knows: %s", said)
        self._said = said
        self._asked_at = time.monotonic()


def text(collector: AllFeeds) -> bytes:
    """The metrics in Prometheus' text format."""
    registry = CollectorRegistry()
    registry.register(collector)
    return generate_latest(registry)


def serve(collector: AllFeeds, *, port: int, host: str) -> Callable[[], None]:
    """Serve the metrics until the returned function is called. Raises OSError if the port is in use."""
    registry = CollectorRegistry()
    registry.register(collector)
    server, thread = start_http_server(port, addr=host, registry=registry)

    def stop() -> None:
        server.shutdown()
        server.server_close()
        thread.join()

    return stop


def _written_by_runs() -> list[str]:
    """The feeds of which a run leaves its metrics now: what is known without feeds.yaml and the database."""
    return [feed for feed, file in metrics_export.files().items() if (_age(file) or 0.0) <= UP_WITHIN]


def _of_runs(feeds: Sequence[str], fresh: set[str]) -> Iterator[Metric]:
    """What the runs of these feeds have left in their files, merged by family."""
    merged: dict[str, Metric] = {}
    for feed in feeds:
        try:
            content = file_of(feed).read_text(encoding="utf-8")
            families = list(text_string_to_metric_families(content))
        except OSError:
            continue  # never ingested on this machine
        except ValueError:
            # Damaged, as by a loss of power; a run rewrites it.
            continue
        for family in families:
            if feed not in fresh and family.name in OF_A_RUN:
                continue
            known = merged.setdefault(family.name, Metric(family.name, family.documentation, family.type))
            for sample in family.samples:
                is_over = family.name == CONNECTED and feed not in fresh
                known.samples.append(Sample(sample.name, sample.labels, 0.0) if is_over else sample)
    yield from merged.values()


def _of_disk(feeds: Sequence[FeedSettings]) -> Iterator[Metric]:
    found = disk.disk()
    if found is not None:
        none: Sequence[str] = ()
        yield _gauge("ticks_disk_free_bytes", "Bytes free on the disk of the journals.", [], [(none, found.free)])
        yield _gauge("ticks_disk_size_bytes", "Bytes of the disk of the journals.", [], [(none, found.size)])
        writable = float(found.unwritable is None)
        yield _gauge("ticks_disk_writable", "1 if the folder of the journals can be written.", [], [(none, writable)])
    journals = list(disk.journals(feeds))
    yield _by_feed(
        "ticks_journal_used_bytes", "Bytes of the journal in use.", [(each.feed, each.used) for each in journals]
    )
    yield _by_feed(
        "ticks_journal_limit_bytes", "Bytes that may be in use.", [(each.feed, each.limit) for each in journals]
    )


def _of_database(state: DatabaseState) -> Iterator[Metric]:
    statuses, channels, refused = state.statuses, state.channels, state.refused
    yield _by_feed("ticks_feed_enabled", "1 if the feed is enabled.", [(row.feed, row.enabled) for row in statuses])
    yield _by_feed(
        "ticks_feed_refused",
        "1 if its provider refuses the feed.",
        [(row.feed, row.feed in refused) for row in statuses],
    )
    yield _by_feed(
        "ticks_feed_stalled",
        "1 if no tick has come for stale_after_seconds while a market was open.",
        [(each.feed, each.is_stalled) for each in state.silences],
    )
    yield _by_feed(
        "ticks_channels_failed",
        "Channels that are silent, or not subscribed.",
        [(row.feed, row.failed + row.silent) for row in channels],
    )
    yield _by_feed(
        "ticks_clock_wrong",
        "1 if the clock of the feed's machine is wrong.",
        [(row.feed, row.feed in state.clocks) for row in statuses],
    )
    yield _by_feed("ticks_gaps_open", "Gaps that are not repaired.", [(row.feed, row.open_gaps) for row in statuses])
    yield _by_feed(
        "ticks_last_received_timestamp_seconds",
        "When the last frame was received.",
        [(row.feed, row.last_received_at.timestamp()) for row in statuses if row.last_received_at is not None],
    )
    now = time.time()
    labels = ["job_id", "name"]
    jobs = [((str(job.job_id), job.name), job) for job in state.jobs]
    yield _gauge(
        "ticks_job_failures",
        "Runs in a row of a job of the database that failed.",
        labels,
        [(key, job.failures) for key, job in jobs],
    )
    yield _gauge(
        "ticks_job_last_success_timestamp_seconds",
        "When a job of the database last succeeded.",
        labels,
        [(key, now - job.success_age) for key, job in jobs if job.success_age is not None],
    )


def _by_feed(name: str, words: str, values: Iterable[tuple[str, float]]) -> GaugeMetricFamily:
    return _gauge(name, words, ["feed"], [((feed,), value) for feed, value in values])


def _gauge(name: str, words: str, labels: Sequence[str], values: Values) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, words, labels=list(labels))
    for key, value in values:
        family.add_metric(list(key), float(value))
    return family


def _age(path: Path) -> float | None:
    """Seconds since a file was written; None if there is none."""
    try:
        return max(0.0, time.time() - path.stat().st_mtime)
    except OSError:
        return None
