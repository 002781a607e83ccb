"""One repair of a feed at a time, alongside its ingestion: a lease of its own, with an epoch that fences old owners."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

from ticks_platform.errors import RetryableError
from ticks_platform.feeds.settings import FeedSettings
from ticks_platform.ingestion import lease as leases
from ticks_platform.ingestion.lease import Lease, LeaseLostError
from ticks_platform.timescale import sql_files
from ticks_platform.timescale.database import Database

if TYPE_CHECKING:
    from psycopg2.extensions import cursor as Cursor  # noqa: N812

logger = logging.getLogger(__name__)

DEAD_AFTER = 60.0
"""Seconds without a heartbeat after which the owner of a repair is presumed dead: longer than for a feed's owner,
because no heartbeat is sent during a request."""


class RepairInUseError(RetryableError):
    """Another process is repairing the feed."""


def take(cursor: Cursor, *, feed: str, provider: str, synthetic: bool, candles: bool, owner: str) -> Lease:
    """Take the repair lease of a feed, unless another process holds it; it has no journal yet.

    Raises RepairInUseError, and MixedDatabaseError as the feed's own lease does.
    """
    leases.register_feed(cursor, feed=feed, provider=provider, synthetic=synthetic, candles=candles)
    parameters = {"feed": feed, "owner": owner, "alive": DEAD_AFTER}
    cursor.execute(sql_files.read("queries/repair/take_lease.sql"), parameters)
    row = cursor.fetchone()
    if row is None:
        cursor.execute("SELECT owner FROM ticks_platform.feed_repair_lease WHERE feed = %s", (feed,))
        (other,) = cursor.fetchone() or ("another process",)
        raise RepairInUseError(f"feed '{feed}' is being repaired by {other}")
    return Lease(feed, row[0], owner, 0, 0, 0)


def take_when_free(
    database: Database, feed: FeedSettings, *, owner: str, stopping: threading.Event, interval: float
) -> Lease | None:
    """Take the lease as soon as nobody has it; None if `stopping`. That of a killed process ends by itself.

    `interval` is the time between attempts, in seconds.
    """
    told = None
    while not stopping.is_set():
        try:
            with database.transaction() as cursor:
                return take(
                    cursor,
                    feed=feed.name,
                    provider=feed.provider,
                    synthetic=feed.synthetic,
                    candles=feed.candles,
                    owner=owner,
                )
        except RepairInUseError as error:
            if str(error) != told:
                told = str(error)
                logger.warning("waiting, up to %.0f s after its end if it was killed: %s", DEAD_AFTER, told)
            stopping.wait(interval)
    return None


def renew(cursor: Cursor, lease: Lease) -> None:
    """Send a heartbeat, and lock the lease until the end of the transaction. Raises LeaseLostError."""
    parameters = {"feed": lease.feed, "epoch": lease.epoch, "owner": lease.owner}
    cursor.execute(sql_files.read("queries/repair/heartbeat.sql"), parameters)
    if not cursor.rowcount:
        raise LeaseLostError(f"the repair of feed '{lease.feed}' was taken over by another owner")


def release(cursor: Cursor, lease: Lease) -> None:
    """Release the lease; no effect if another owner holds it."""
    parameters = {"feed": lease.feed, "epoch": lease.epoch, "owner": lease.owner}
    cursor.execute(sql_files.read("queries/repair/release_lease.sql"), parameters)
