"""Counts and latencies of an ingestion, and as Prometheus collects them."""

from __future__ import annotations

import functools
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from ticks_platform.ingestion.progress import Unshipped
from ticks_platform.ingestion.rows.decode import DecodedBatch, Stored
from ticks_platform.ingestion.rows.tables import TICKS
from ticks_platform.masking import mask

BOUNDS = (0.01, 0.025, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
"""Upper bounds of the latency histograms' buckets, in seconds."""

MOST_REASONS = 20
"""Reasons of rejected events that are counted apart; further ones are counted together, as `OTHER`."""

OTHER = "other"

LONGEST_REASON = 100
"""Characters."""

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
        self.rejected_by: Counter[str] = Counter()
        """Rejected events by reason, without the numbers in it."""
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
        for event in (*batch.rejected, *stored.refused):
            self.rejected += 1
            reason = _general(event.reason)
            self.rejected_by[
                reason if reason in self.rejected_by or len(self.rejected_by) < MOST_REASONS else OTHER
            ] += 1
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
    unshipped: Unshipped | None = None
    """What of the journals is not copied elsewhere; None if no copy is asked for."""


class FeedCollector(Collector):
    """The metrics of one feed's ingestion."""

    def __init__(self, feed: str, metrics: Metrics, gauges: Callable[[], Gauges]) -> None:
        self._feed = feed
        self._metrics = metrics
        self._gauges = gauges

    def collect(self) -> Iterable[Metric]:
        """The families, as of now."""
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
        rejected = CounterMetricFamily(
            "ticks_rejected_by_reason", "Events rejected, by reason.", labels=["feed", "reason"]
        )
        for reason, count in metrics.rejected_by.copy().items():
            rejected.add_metric([self._feed, reason], count)
        yield rejected
        if metrics.last_event_at is not None:
            last = GaugeMetricFamily(
                "ticks_last_event_timestamp_seconds", "Event time of the last committed tick.", labels=["feed"]
            )
            last.add_metric([self._feed], metrics.last_event_at / 1e9)
            yield last
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
        yield from self._of_copy(gauges.unshipped)
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

    def _of_copy(self, unshipped: Unshipped | None) -> Iterable[Metric]:
        if unshipped is None:
            return
        for name, text, value in (
            (
                "ticks_copy_unshipped_bytes",
                "Bytes of the journal that are neither committed nor copied.",
                unshipped.bytes,
            ),
            ("ticks_copy_unshipped_seconds", "Age of the oldest of them.", unshipped.seconds),
            ("ticks_copy_up", "1 while the journal is copied.", int(unshipped.trouble is None)),
        ):
            gauge = GaugeMetricFamily(name, text, labels=["feed"])
            gauge.add_metric([self._feed], value)
            yield gauge


@functools.lru_cache(maxsize=1024)
def _general(reason: str) -> str:
    """A reason without the numbers that make each event's another one."""
    return mask(re.sub(r"[0-9]+", "…", reason))[:LONGEST_REASON]
