"""One repair of a feed at a time, beside the feed's ingestion: a lease of its own, with an epoch that fences."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ticks_platform.errors import RetryableError
from ticks_platform.ingestion import lease as leases
from ticks_platform.ingestion.lease import Lease, LeaseLostError

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
    cursor.execute(
        """
        INSERT INTO ticks_platform.feed_repair_lease AS held (feed, epoch, owner, taken_at, heartbeat_at)
        VALUES (%(feed)s, 1, %(owner)s, clock_timestamp(), clock_timestamp())
        ON CONFLICT (feed) DO UPDATE SET epoch = held.epoch + 1, owner = excluded.owner,
            taken_at = excluded.taken_at, heartbeat_at = excluded.heartbeat_at, released_at = NULL
        WHERE held.released_at IS NOT NULL OR held.owner = excluded.owner
            OR held.heartbeat_at < clock_timestamp() - make_interval(secs => %(alive)s)
        RETURNING epoch
        """,
        {"feed": feed, "owner": owner, "alive": ALIVE_WITHIN},
    )
    row = cursor.fetchone()
    if row is None:
        cursor.execute("SELECT owner FROM ticks_platform.feed_repair_lease WHERE feed = %s", (feed,))
        (other,) = cursor.fetchone() or ("somebody",)
        raise RepairInUseError(f"feed '{feed}' is being repaired by {other}")
    return Lease(feed, row[0], owner, 0, 0, 0)


def hold(cursor: Cursor, lease: Lease) -> None:
    """Heartbeat; nobody takes the repair over between this and the end of the transaction. Raises LeaseLostError."""
    cursor.execute(
        "UPDATE ticks_platform.feed_repair_lease SET heartbeat_at = clock_timestamp() "
        "WHERE feed = %s AND epoch = %s AND owner = %s",
        (lease.feed, lease.epoch, lease.owner),
    )
    if not cursor.rowcount:
        raise LeaseLostError(f"the repair of feed '{lease.feed}' was taken over by another owner")


def release(cursor: Cursor, lease: Lease) -> None:
    """Give the repair up; does nothing when somebody else has it."""
    cursor.execute(
        "UPDATE ticks_platform.feed_repair_lease SET released_at = clock_timestamp() "
        "WHERE feed = %s AND epoch = %s AND owner = %s",
        (lease.feed, lease.epoch, lease.owner),
    )
