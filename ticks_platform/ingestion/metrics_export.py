"""How the metrics of a feed leave its process: as a file, which outlives it, and on a port of the feed's own."""

from __future__ import annotations

import contextlib
import logging
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from prometheus_client import CollectorRegistry, generate_latest, start_http_server

from ticks_platform.feeds.settings import FeedSettings
from ticks_platform.feeds.transport.clock import boottime
from ticks_platform.ingestion.metrics import FeedCollector, Gauges, Metrics
from ticks_platform.paths import state_dir

logger = logging.getLogger(__name__)

WRITE_INTERVAL = 5.0
"""Seconds between writes of the file."""

UP_WITHIN = 3 * WRITE_INTERVAL
"""Seconds since a run wrote its file within which it is there."""

_PORT_INTERVAL = 2.0
"""Seconds between attempts to open a port that is in use."""


def file_of(feed: str) -> Path:
    """The file of a feed's metrics, in Prometheus' text format. Its time tells when the feed's run was last there."""
    return _folder() / f"{feed}.prom"


def files() -> dict[str, Path]:
    """These files of all feeds that were ever ingested on this machine."""
    return {file.stem: file for file in sorted(_folder().glob("*.prom"))}


def _folder() -> Path:
    return state_dir() / "metrics"


class Copied(NamedTuple):
    """What is lost if this machine is lost with its disk, as a feed's run told it."""

    bytes: float
    """Neither committed nor copied."""
    seconds: float
    """The age of the oldest of them."""
    is_up: float
    """1 while the journal is copied."""

    def __str__(self) -> str:
        late = f"{self.bytes:,.0f} bytes of it neither stored nor copied, the oldest since {self.seconds:.0f} s"
        state = "copied" if self.is_up else "not copied now"
        return f"journal {state}, {late if self.bytes else 'all of it is stored or copied'}"


def told_of_copy(feed: str) -> Copied | None:
    """What a feed's run tells of the copy of its journal; None if it asks for none, or does not run here."""
    found: dict[str, float] = {}
    try:
        if time.time() - file_of(feed).stat().st_mtime > UP_WITHIN:
            return None
        for line in file_of(feed).read_text(encoding="utf-8").splitlines():
            if line.startswith("ticks_copy_"):
                name, value = line.split("{", 1)[0], line.rsplit(" ", 1)[1]
                found[name] = float(value)
        return Copied(*(found[f"ticks_copy_{name}"] for name in ("unshipped_bytes", "unshipped_seconds", "up")))
    except (OSError, ValueError, LookupError):
        return None


class MetricsExport:
    """Exports the metrics of one feed. Neither a port that is in use nor a full disk stops the ingestion."""

    def __init__(self, feed: FeedSettings, metrics: Metrics, gauges: Callable[[], Gauges]) -> None:
        self._feed = feed
        self._registry = CollectorRegistry()
        self._registry.register(FeedCollector(feed.name, metrics, gauges))
        self._stop: Callable[[], None] | None = None
        self._open_at = self._write_at = 0.0
        self._open_if_due(boottime())

    def update(self) -> None:
        """Write the file, and open the port, where that is due. To be called while this run owns the feed: of two
        runs that wrote one file in turns, Prometheus would take each for the start of another one."""
        now = boottime()
        if now >= self._write_at:
            self._write_at = now + WRITE_INTERVAL
            self._write()
        self._open_if_due(now)

    def close(self) -> None:
        """Close the port."""
        if self._stop is not None:
            self._stop()

    def _write(self) -> None:
        file = file_of(self._feed.name)
        new = file.with_suffix(f".{os.getpid()}")
        with contextlib.suppress(OSError):
            file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            try:
                new.write_bytes(generate_latest(self._registry))
                new.replace(file)
            except OSError:
                new.unlink(missing_ok=True)

    def _open_if_due(self, now: float) -> None:
        if self._feed.metrics_port is not None and self._stop is None and now >= self._open_at:
            self._open(self._feed.metrics_port)

    def _open(self, port: int) -> None:
        try:
            server, thread = start_http_server(port, addr="127.0.0.1", registry=self._registry)
        except OSError as error:
            # It may belong to the feed's previous run, which is ending or frozen.
            if not self._open_at:
                logger.warning(
                    "feed %s: cannot serve metrics on port %d, will retry: %s", self._feed.name, port, error.strerror
                )
            self._open_at = boottime() + _PORT_INTERVAL
            return

        def stop() -> None:
            server.shutdown()
            server.server_close()
            thread.join()

        self._stop = stop
