"""An ingestion of the feed `test` in a process of its own, which follows as planned and can be killed."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

from ticks_platform.feeds.settings import FeedSettings
from ticks_platform.ingestion import loader
from ticks_platform.ingestion.handover import takeover
from ticks_platform.ingestion.handover.received_twice import Overlap, Unsettled
from ticks_platform.ingestion.rows.store import PreparedBatch
from ticks_platform.ingestion.rows.tables import Rows
from ticks_platform.ingestion.run import Ingestion
from ticks_platform.timescale.database import Database
from ticks_platform_tests.support.children import told_to_end


class Order(msgspec.Struct, kw_only=True):
    """What it has to do."""

    feed: dict[str, object]
    url: str
    database: str
    journal: str
    owner: str
    overlap: float
    """Seconds."""
    decides_after: str | None = None
    """A file that has to be there before it decides what was received twice."""
    planned: bool = True
    """Whether it follows an owner that is at work as planned, or takes the feed at once."""
    dies_half_way: bool = False
    """Whether it kills itself when it has loaded a part of what was received twice."""


def wait_before_deciding(file: Path) -> None:
    """From now on, decide nothing before this file is there."""
    settle = loader.Loader._settle

    def wait_and_settle(self: loader.Loader, unsettled: Unsettled) -> Overlap:
        while not file.exists():
            time.sleep(0.05)
        return settle(self, unsettled)

    loader.Loader._settle = wait_and_settle  # type: ignore[method-assign]


def main(order: Order) -> None:
    """Ingest until told to stop, or handed over."""
    takeover.OVERLAP = order.overlap
    if order.decides_after is not None:
        wait_before_deciding(Path(order.decides_after))
    if order.dies_half_way:
        loader.MAX_BATCH_BYTES = 20_000
        commit = loader.Loader._commit

        def commit_and_die(self: loader.Loader, prepared: PreparedBatch, left_out: Sequence[Rows] = ()) -> None:
            commit(self, prepared, left_out)
            if left_out:
                os.kill(os.getpid(), signal.SIGKILL)

        loader.Loader._commit = commit_and_die  # type: ignore[method-assign]
    feed = FeedSettings.model_validate(order.feed)
    stop = told_to_end()
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
