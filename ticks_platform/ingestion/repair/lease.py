"""One repair of a feed at a time, beside the feed's ingestion: a lease of its own, with an epoch that fences."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ticks_platform.errors import RetryableError
from ticks_platform.ingestion import lease as leases
from ticks_platform.ingestion.lease import Lease, LeaseLostError
from ticks_platform.timescale import sql_files

if TYPE_CHECKING:
    from psycopg2.extensions import cursor as Cursor  # noqa: N812

ALIVE_WITHIN = 60.0
"""Seconds since its heartbeat within which the owner of a repair counts as at work; a request may take that long."""


class RepairInUseError(RetryableError):
    """Somebody else repairs the feed at the moment."""


def take(cursor: Cursor, *, feed: str, provider: str, synthetic: bool, owner: str) -> Lease:
    """Take the repair of a feed, unless somebody is at it; the lease has no journal yet.

    Raises RepairInUseError, and MixedDatabaseError as taking the feed itself does.
    """
    leases.enter(cursor, feed=feed, provider=provider, synthetic=synthetic)
    parameters = {"feed": feed, "owner": owner, "alive": ALIVE_WITHIN}
    cursor.execute(sql_files.read("queries/repair/take_lease.sql"), parameters)
    row = cursor.fetchone()
    if row is None:
        cursor.execute("SELECT owner FROM ticks_platform.feed_repair_lease WHERE feed = %s", (feed,))
        (other,) = cursor.fetchone() or ("somebody",)
        raise RepairInUseError(f"feed '{feed}' is being repaired by {other}")
    return Lease(feed, row[0], owner, 0, 0, 0)


def hold(cursor: Cursor, lease: Lease) -> None:
    """Heartbeat; nobody takes the repair over between this and the end of the transaction. Raises LeaseLostError."""
    parameters = {"feed": lease.feed, "epoch": lease.epoch, "owner": lease.owner}
    cursor.execute(sql_files.read("queries/repair/heartbeat.sql"), parameters)
    if not cursor.rowcount:
        raise LeaseLostError(f"the repair of feed '{lease.feed}' was taken over by another owner")


def release(cursor: Cursor, lease: Lease) -> None:
    """Give the repair up; does nothing when somebody else has it."""
    parameters = {"feed": lease.feed, "epoch": lease.epoch, "owner": lease.owner}
    cursor.execute(sql_files.read("queries/repair/release_lease.sql"), parameters)
