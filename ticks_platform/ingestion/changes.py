"""Stores changes of the connections' states, in `feed_session` and `feed_channel`."""

from __future__ import annotations

import logging
from collections import deque
from typing import TYPE_CHECKING, Any

from psycopg2.extras import execute_values

from ticks_platform.feeds.transport.state import Change
from ticks_platform.ingestion import channels
from ticks_platform.ingestion.lease import Lease
from ticks_platform.timescale.database import storable
from ticks_platform.timescale.failures import first_line
from ticks_platform.timescale.splitting import attempt, store_items
from ticks_platform.timestamps import from_nanoseconds

if TYPE_CHECKING:
    from psycopg2.extensions import cursor as Cursor  # noqa: N812

logger = logging.getLogger(__name__)


class Changes:
    """Changes that are not stored yet."""

    def __init__(self) -> None:
        self._waiting: deque[Change] = deque()
        self._stored = 0

    def record(self, change: Change) -> None:
        """Add a change, to be stored with the next transaction. Safe from any thread."""
        self._waiting.append(change)

    def store(self, cursor: Cursor, lease: Lease, *, with_channels: bool) -> None:
        """Store the changes in a transaction of the loader; call `committed` after its commit.

        `with_channels` is false if the feed's channels belong to a successor already.
        """
        pending = list(self._waiting)
        values = [
            (
                lease.feed,
                lease.epoch,
                change.connection,
                from_nanoseconds(change.at),
                change.state.value,
                storable(change.detail),
            )
            for change in pending
        ]

        def insert(rows: list[tuple[Any, ...]]) -> None:
            query = "INSERT INTO ticks_platform.feed_session (feed, epoch, connection, at, state, detail) VALUES %s"
            execute_values(cursor, query, rows)

        for rows, error in store_items(cursor, values, insert):
            logger.warning("feed %s: %d rows of feed_session are lost: %s", lease.feed, len(rows), first_line(error))
        if pending and with_channels:
            failure = attempt(cursor, lambda: channels.record(cursor, lease.feed, pending))
            if failure is not None:
                logger.warning("feed %s: feed_channel is not up to date: %s", lease.feed, first_line(failure))
        self._stored = len(pending)

    def committed(self) -> None:
        """Drop the changes of the last `store`: they are committed."""
        for _ in range(self._stored):
            self._waiting.popleft()
        self._stored = 0
