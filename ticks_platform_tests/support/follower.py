"""An ingestion of the feed `test` in a process of its own, which takes over as planned and can be killed."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from ticks_platform.feeds.settings import FeedSettings
from ticks_platform.ingestion import loader
from ticks_platform.ingestion.handover import received_twice, takeover
from ticks_platform.ingestion.handover.received_twice import ReceivedTwice
from ticks_platform.ingestion.rows.store import PreparedBatch
from ticks_platform.ingestion.rows.tables import Rows
from ticks_platform.ingestion.run import Ingestion
from ticks_platform.timescale.database import Database
from ticks_platform_tests.support.children import stop_requested


class Order(msgspec.Struct, kw_only=True):
    """What the process does."""

    feed: dict[str, object]
    url: str
    database: str
    journal: str
    owner: str
    overlap: float
    """Seconds."""
    compares_after: str | None = None
    """A file that must exist before it compares its events with its predecessor's."""
    planned: bool = True
    """Whether it takes over as planned, or at once."""
    dies_half_way: bool = False
    """Whether it kills itself after it has loaded a part of the events that were received twice."""


def wait_before_comparing(file: Path) -> None:
    """Let `received_twice.find` wait until this file exists."""
    find = received_twice.find

    def wait_and_find(*arguments: Any) -> ReceivedTwice:
        while not file.exists():
            time.sleep(0.05)
        return find(*arguments)

    received_twice.find = wait_and_find  # type: ignore[assignment]


def main(order: Order) -> None:
    """Ingest until stopped, or handed over."""
    takeover.OVERLAP = order.overlap
    if order.compares_after is not None:
        wait_before_comparing(Path(order.compares_after))
    if order.dies_half_way:
        loader.MAX_BATCH_BYTES = 20_000
        commit = loader.Loader._commit

        def commit_and_die(self: loader.Loader, prepared: PreparedBatch, left_out: Sequence[Rows] = ()) -> None:
            commit(self, prepared, left_out)
            if left_out:
                os.kill(os.getpid(), signal.SIGKILL)

        loader.Loader._commit = commit_and_die  # type: ignore[method-assign]
    feed = FeedSettings.model_validate(order.feed)
    stop = stop_requested()
    with Ingestion(
        feed=feed,
        connector=feed.connector(stand_in_url=order.url),
        database=Database(order.database),
        owner=order.owner,
        journal_file=Path(order.journal),
        follow=order.planned,
    ) as ingestion:
        while not ingestion.wait(0.1) and not stop.is_set():
            pass
