"""An ingestion in a process of its own, whose wall clock is another one: the parent sets it at any moment."""

from __future__ import annotations

import mmap
import struct
import time
from pathlib import Path
from typing import Any, NamedTuple

from ticks_platform.feeds.settings import FeedSettings
from ticks_platform.ingestion.run import Ingestion
from ticks_platform.timescale.database import Database
from ticks_platform_tests.support.children import stop_requested


class Order(NamedTuple):
    """What to ingest."""

    feed: dict[str, Any]
    url: str
    database: str
    journal: str
    clock: str
    """The file of a SetClock."""


class SetClock:
    """By how many seconds the clock of a child is ahead, in a file that both map."""

    def __init__(self, path: Path) -> None:
        path.write_bytes(struct.pack("d", 0.0))
        self._map = _mapped(path)

    def set(self, ahead: float) -> None:
        """Set the clock."""
        self._map[:8] = struct.pack("d", ahead)


def main(order: Order) -> None:
    """Ingest until SIGTERM, with the clock of the order."""
    stop, clock, right = stop_requested(), _mapped(Path(order.clock)), time.time_ns

    def wrong() -> int:
        return right() + round(struct.unpack("d", clock[:8])[0] * 1e9)

    # All of the platform asks `time` for the time; test_clocks.py holds that.
    time.time_ns = wrong
    time.time = lambda: wrong() / 1e9
    feed = FeedSettings.model_validate(order.feed)
    with Ingestion(
        feed=feed,
        connector=feed.connector(stand_in_url=order.url),
        database=Database(order.database),
        owner="wrong",
        journal_file=Path(order.journal),
    ):
        stop.wait()


def _mapped(path: Path) -> mmap.mmap:
    with path.open("r+b") as file:
        return mmap.mmap(file.fileno(), 8)
