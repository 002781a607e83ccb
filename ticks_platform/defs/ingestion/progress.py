"""What a run reports about its feed, on the asset `stocks_real_time`."""

import time
from typing import Any

import dagster as dg

from ticks_platform.ingestion.group import Group
from ticks_platform.ingestion.metrics import Counts, Metrics
from ticks_platform.ingestion.progress import Progress


class Reporter:
    """Turns progress into observations of the hypertable, with the rate since the one before."""

    def __init__(self, context: dg.OpExecutionContext, feed: str) -> None:
        self._context = context
        self._feed = feed
        self._loaded = 0
        self._latencies: Counts | None = None
        self._at = time.monotonic()

    def report(self, progress: Progress, metrics: Metrics) -> None:
        """Log one observation; it costs Dagster's event log some 5 KB for ever."""
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
            **_of_copy(progress),
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


def _of_copy(progress: Progress) -> dict[str, Any]:
    """What a loss of this machine and its disk would cost."""
    found = progress.unshipped
    if found is None:
        return {}
    trouble = {} if found.trouble is None else {"journal copy": found.trouble}
    return {"journal bytes not copied": found.bytes, "oldest not copied, seconds": round(found.seconds, 1), **trouble}


class GroupReporter:
    """Turns the progress of a group's feeds into one observation: one of each feed would be as many as of own runs."""

    def __init__(self, context: dg.OpExecutionContext, group: str) -> None:
        self._context = context
        self._group = group
        self._loaded = 0
        self._at = time.monotonic()

    def report(self, group: Group) -> None:
        """Log one observation."""
        now = time.monotonic()
        found = {name: member.stream.progress() for name, member in group.members.items() if member.stream is not None}
        loaded = sum(progress.loaded for progress in found.values())
        feeds = {name: member.reason for name, member in group.members.items() if member.stream is None}
        feeds |= {
            name: f"{progress.state.value}, {progress.loaded:,} ticks"
            + (f"; {progress.trouble}" * bool(progress.trouble))
            + (f"; journal copy: {progress.unshipped}" * bool(progress.unshipped and progress.unshipped.trouble))
            for name, progress in found.items()
        }
        metadata: dict[str, Any] = {
            "group": self._group,
            "feeds": dg.MetadataValue.json(dict(sorted(feeds.items()))),
            "feeds streaming": len(found),
            "ticks": loaded,
            # Feeds that ended since take their ticks with them.
            "ticks per second": round(max(loaded - self._loaded, 0) / max(now - self._at, 1e-9), 1),
            "rejected events": sum(progress.rejected for progress in found.values()),
            "reconnects": sum(max(0, progress.connections - 1) for progress in found.values()),
            "journal bytes waiting": sum(progress.waiting_bytes for progress in found.values()),
        }
        copied = [progress.unshipped for progress in found.values() if progress.unshipped is not None]
        if copied:
            metadata["journal bytes not copied"] = sum(each.bytes for each in copied)
        self._loaded, self._at = loaded, now
        self._context.log_event(
            dg.AssetObservation(
                asset_key="stocks_real_time",
                description=f"group {self._group}: {len(found)} of {len(feeds)} feeds stream, {loaded} ticks",
                metadata=metadata,
            )
        )
