"""Counts and latencies of an ingestion, and their export to Prometheus."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from ticks_platform.feeds.transport.clock import boottime
from ticks_platform.ingestion.rows.decode import DecodedBatch, Stored
from ticks_platform.ingestion.rows.tables import TICKS

logger = logging.getLogger(__name__)

_PORT_INTERVAL = 2.0
"""Seconds between attempts to open a port that is in use."""

BOUNDS = (0.01, 0.025, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
"""Upper bounds of the latency histograms' buckets, in seconds."""

Counts = npt.NDArray[np.int64]


class Histogram:
    """Latencies by bucket. Adds a batch at once, which the Prometheus client's histogram cannot."""

    def __init__(self) -> None:
        self.counts: npt.NDArray[np.int64] = np.zeros(len(BOUNDS) + 1, dtype=np.int64)
        self.sum = 0.0

    def add(self, seconds: npt.NDArray[np.float64]) -> None:
        """Count these latencies."""
        self.counts = self.counts + np.bincount(np.searchsorted(BOUNDS, seconds), minlength=len(BOUNDS) + 1)
        self.sum += float(seconds.sum())

    def quantile(self, fraction: float, since: Counts | None = None) -> float | None:
        """The upper bound of the bucket that contains the quantile, in seconds; None if nothing was counted.

        `since` are the counts at an earlier moment, which are subtracted.
        """
        counts = self.counts if since is None else self.counts - since
        total = int(counts.sum())
        if not total:
            return None
        place = int(np.searchsorted(counts.cumsum(), fraction * total))
        return BOUNDS[place] if place < len(BOUNDS) else float("inf")


class Metrics:
    """Counts of one ingestion since its start. Each thread writes its own part; any thread may read."""

    def __init__(self) -> None:
        self.frames = 0
        """Frames committed."""
        self.loaded = 0
        self.replaced = 0
        """Bars that replaced an earlier one of their window."""
        self.duplicate = 0
        """Trades that the provider sent again."""
        self.rejected = 0
        self.control = 0
        self.malformed: Counter[str] = Counter()
        """Events with an optional field that could not be read and is left out, by field."""
        self.retries = 0
        """Transactions that failed and were retried."""
        self.connections = 0
        self.last_event_at: int | None = None
        """Event time of the last committed tick, in nanoseconds since the Unix epoch."""
        self.commit_latency = Histogram()
        """From arrival to commit."""
        self.provider_latency = Histogram()
        """From event time to arrival; Twelve Data's event times are whole seconds."""

    def committed(self, batch: DecodedBatch, stored: Stored, *, at: int) -> None:
        """Count a batch that was committed at `at`, in nanoseconds since the Unix epoch."""
        self.frames += batch.frames
        self.control += int(batch.control_of.sum())
        replaced = sum(len(rows.events) for rows in stored.replaced)
        duplicate = sum(len(rows.events) for rows in stored.duplicate)
        events = sum(len(rows.events) for _, rows in batch.tables)
        self.loaded += events - len(stored.refused) - replaced - duplicate
        self.replaced += replaced
        self.duplicate += duplicate
        self.rejected += len(batch.rejected) + len(stored.refused)
        for count in batch.malformed:
            self.malformed[count.field] += count.events
        for table, rows in batch.tables:
            self.commit_latency.add((at - rows.received_at) / 1e9)
            if table is TICKS:
                times = rows.times("time")
                self.last_event_at = int(times[-1])
                # The first and the last tick represent the batch.
                ends = sorted({0, len(times) - 1})
                self.provider_latency.add((rows.received_at[ends] - times[ends]) / 1e9)

    def retried(self) -> None:
        """Count a transaction that failed and is retried."""
        self.retries += 1


class Gauges(NamedTuple):
    """Values that are read at each scrape."""

    waiting_bytes: int
    connected: bool
    clock_corrections: Mapping[int, float] = {}
    """Seconds that are added to arrivals, by connection."""
    clock_doubts: int = 0


class _FeedCollector(Collector):
    def __init__(self, feed: str, metrics: Metrics, gauges: Callable[[], Gauges]) -> None:
        self._feed = feed
        self._metrics = metrics
        self._gauges = gauges

    def collect(self) -> Iterable[Metric]:
        metrics, gauges = self._metrics, self._gauges()
        for name, text, count in (
            ("ticks_frames_committed", "Frames committed.", metrics.frames),
            ("ticks_loaded", "Ticks, quotes and bars loaded as new rows.", metrics.loaded),
            ("ticks_replaced", "Bars that replaced an earlier one.", metrics.replaced),
            ("ticks_duplicate", "Trades that were sent again, and stored once.", metrics.duplicate),
            ("ticks_rejected", "Events rejected.", metrics.rejected),
            ("ticks_control", "Events without market data.", metrics.control),
            ("ticks_commit_retries", "Transactions tried again.", metrics.retries),
            ("ticks_connections", "Connections opened to the provider.", metrics.connections),
        ):
            counter = CounterMetricFamily(name, text, labels=["feed"])
            counter.add_metric([self._feed], count)
            yield counter
        malformed = CounterMetricFamily(
            "ticks_malformed_fields", "Events with an optional field that is left out.", labels=["feed", "field"]
        )
        for field, count in metrics.malformed.copy().items():
            malformed.add_metric([self._feed, field], count)
        yield malformed
        for name, text, value in (
            ("ticks_journal_waiting_bytes", "Bytes in the journal that are not committed.", gauges.waiting_bytes),
            ("ticks_connected", "1 while data streams.", int(gauges.connected)),
            (
                "ticks_clock_doubts",
                "Times the clock was set, or the machine slept.",
                gauges.clock_doubts,
            ),
        ):
            gauge = GaugeMetricFamily(name, text, labels=["feed"])
            gauge.add_metric([self._feed], value)
            yield gauge
        clock = GaugeMetricFamily(
            "ticks_clock_correction_seconds",
            "Added to arrivals, since the clock is wrong.",
            labels=["feed", "connection"],
        )
        for connection, seconds in gauges.clock_corrections.items():
            clock.add_metric([self._feed, str(connection)], seconds)
        yield clock
        for name, text, histogram in (
            ("ticks_commit_latency_seconds", "From arrival to commit.", metrics.commit_latency),
            ("ticks_provider_latency_seconds", "From the provider's stamp to arrival.", metrics.provider_latency),
        ):
            cumulative = histogram.counts.cumsum().tolist()
            bounds = [*(str(bound) for bound in BOUNDS), "+Inf"]
            family = HistogramMetricFamily(name, text, labels=["feed"])
            family.add_metric([self._feed], list(zip(bounds, cumulative, strict=True)), histogram.sum)
            yield family


def serve(port: int, *, feed: str, metrics: Metrics, gauges: Callable[[], Gauges]) -> Callable[[], None]:
    """Serve a feed's metrics on 127.0.0.1; returns a function that stops it. Raises OSError if the port is in use."""
    registry = CollectorRegistry()
    registry.register(_FeedCollector(feed, metrics, gauges))
    server, thread = start_http_server(port, addr="127.0.0.1", registry=registry)

    def stop() -> None:
        server.shutdown()
        server.server_close()
        thread.join()

    return stop


class MetricsPort:
    """Serves a feed's metrics; a port that is in use does not stop the ingestion, but is retried."""

    def __init__(self, port: int, feed: str, metrics: Metrics, gauges: Callable[[], Gauges]) -> None:
        self._port = port
        self._feed = feed
        self._metrics = metrics
        self._gauges = gauges
        self._stop: Callable[[], None] | None = None
        self._due_at = 0.0
        self.open_if_due()

    def open_if_due(self) -> None:
        """Open the port, if it is not open and the last attempt was long enough ago."""
        if self._stop is not None or boottime() < self._due_at:
            return
        try:
            self._stop = serve(self._port, feed=self._feed, metrics=self._metrics, gauges=self._gauges)
        except OSError as error:
            # It may belong to the feed's previous run, which is ending or frozen.
            if not self._due_at:
                logger.warning(
                    "feed %s: cannot serve metrics on port %d, will retry: %s", self._feed, self._port, error.strerror
                )
            self._due_at = boottime() + _PORT_INTERVAL

    def close(self) -> None:
        """Close the port."""
        if self._stop is not None:
            self._stop()
