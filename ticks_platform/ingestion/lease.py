"""One writer per feed: the lease, and the epoch that fences an old owner off."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from ticks_platform.errors import ActionRequiredError, RetryableError
from ticks_platform.timescale import sql_files

if TYPE_CHECKING:
    from psycopg2.extensions import cursor as Cursor  # noqa: N812


def application_name(feed: str) -> str:
    """What the connection that loads a feed is called in pg_stat_activity."""
    return f"ticks_platform ingestion {feed}"


class LeaseLostError(RetryableError):
    """Another owner took the feed over; this one must not write any more."""


class HandedOverError(LeaseLostError):
    """The feed was handed over as planned: its new owner has received all that this one has not stored."""

    def __init__(self, feed: str, successor: str) -> None:
        super().__init__(f"feed '{feed}' was handed over to {successor}")
        self.successor = successor


class MixedDatabaseError(ActionRequiredError):
    """Synthetic and live ticks would come to lie in one table."""


class Lease(NamedTuple):
    """The right to write a feed, until somebody takes a higher epoch."""

    feed: str
    epoch: int
    owner: str
    journal_number: int
    position: int
    """Where this owner's journal goes on: its checkpoint."""
    frames: int
    """How many frames of the journal came before that."""


class LeaseStatus(NamedTuple):
    """Who holds a feed, and when the holder was last heard of."""

    owner: str
    epoch: int
    heartbeat_at: datetime
    released: bool
    age: float
    """Seconds since the heartbeat, by the database's clock; negative when that was set back."""
    journal_id: str | None
    """The journal that the holder appends to."""


def take(
    cursor: Cursor,
    *,
    feed: str,
    provider: str,
    synthetic: bool,
    owner: str,
    journal_id: str,
    journal_start: int | None,
    journal_frames: int,
) -> Lease:
    """Take the feed over, whoever held it: the newest owner wins, and the one before cannot commit any more.

    `journal_start` is the position at which the owner's journal begins, or None when nothing was ever in it, and
    `journal_frames` how many frames it held before that. Raises MixedDatabaseError when the database holds ticks of the
    other kind, synthetic or live, and psycopg2.errors.LockNotAvailable when the owner before is in the middle of a
    transaction for too long: then `evict` it and try again.
    """
    enter(cursor, feed=feed, provider=provider, synthetic=synthetic)
    # The row lock waits for a commit of the owner before, and that commit's checkpoint is read after it.
    parameters = {"feed": feed, "owner": owner, "journal_id": journal_id}
    cursor.execute(sql_files.read("queries/lease/take.sql"), parameters)
    (epoch,) = _row(cursor)
    place = locate(cursor, feed, journal_id=journal_id, journal_start=journal_start, journal_frames=journal_frames)
    return Lease(feed, epoch, owner, *place)


def enter(cursor: Cursor, *, feed: str, provider: str, synthetic: bool) -> None:
    """Make a feed known, and wait for locks only a few seconds from now on. Raises MixedDatabaseError."""
    cursor.execute("SET LOCAL lock_timeout = '5s'")
    cursor.execute("SELECT feed FROM ticks_platform.feed WHERE synthetic <> %s ORDER BY feed", (synthetic,))
    others = [row[0] for row in cursor.fetchall()]
    if others:
        kinds = ("synthetic ticks of the stand-in", "live ticks")
        mine, theirs = kinds if synthetic else kinds[::-1]
        raise MixedDatabaseError(
            f"feed '{feed}' brings {mine}, and this database holds {theirs} (feed {', '.join(others)}); they must not "
            "be mixed. Point TICKS_DATABASE_URL to another database, or remove this one (`make clean` removes the "
            "embedded one)"
        )
    parameters = {"feed": feed, "provider": provider, "synthetic": synthetic}
    cursor.execute(sql_files.read("queries/feeds/register.sql"), parameters)


def locate(
    cursor: Cursor, feed: str, *, journal_id: str, journal_start: int | None, journal_frames: int
) -> tuple[int, int, int]:
    """The number of a journal, its checkpoint, and how many frames came before; makes a checkpoint where it has none.

    The arguments are those of `take`.
    """
    # Not one upsert: it would use up a journal number each time.
    cursor.execute(sql_files.read("queries/checkpoint/read.sql"), {"journal_id": journal_id})
    known = cursor.fetchone()
    if known is None:
        parameters = {"feed": feed, "journal_id": journal_id, "start": journal_start, "frames": journal_frames}
        cursor.execute(sql_files.read("queries/checkpoint/create.sql"), parameters)
        known = _row(cursor)
    number, position, frames = known
    return number, position, frames


def last_position(cursor: Cursor, feed: str) -> int:
    """How far the feed's journals have been loaded, the farthest of them."""
    cursor.execute("SELECT coalesce(max(position), 0) FROM ticks_platform.feed_checkpoint WHERE feed = %s", (feed,))
    (position,) = _row(cursor)
    return int(position)


def latest_journal(cursor: Cursor, feed: str) -> str | None:
    """Which journal the feed's frames were last appended to: its owner's, or that of a successor which never took over.

    Nobody can take the feed over between this and the end of the transaction. Raises as `take` does.
    """
    cursor.execute("SET LOCAL lock_timeout = '5s'")
    cursor.execute(sql_files.read("queries/lease/latest_journal.sql"), {"feed": feed})
    row = cursor.fetchone()
    return row[0] if row else None


def is_working(cursor: Cursor, feed: str) -> bool:
    """Whether a connection that loads the feed is in the middle of a statement: busy or blocked, and not paused."""
    cursor.execute(sql_files.read("queries/lease/loader_is_active.sql"), {"application_name": application_name(feed)})
    row = cursor.fetchone()
    return bool(row and row[0])


def evict(cursor: Cursor, feed: str) -> None:
    """End the connections that load a feed: an owner that was paused in the middle of a transaction holds its locks."""
    cursor.execute(sql_files.read("queries/lease/terminate_loader.sql"), {"application_name": application_name(feed)})


def hold(cursor: Cursor, lease: Lease) -> bool:
    """Heartbeat, inside the loading transaction or on its own; returns whether the feed is still wanted (enabled).

    The updated row stays locked until the transaction ends, so nobody takes the feed over between this and the commit.
    Raises LeaseLostError when somebody else has, and HandedOverError when that was planned. The owner is compared too:
    a database that was restored from a copy hands out the same epochs again.
    """
    parameters = {"feed": lease.feed, "epoch": lease.epoch, "owner": lease.owner}
    cursor.execute(sql_files.read("queries/lease/heartbeat.sql"), parameters)
    row = cursor.fetchone()
    if row is None:
        cursor.execute(sql_files.read("queries/handover/successor.sql"), parameters)
        planned = cursor.fetchone()
        if planned is not None:
            raise HandedOverError(lease.feed, planned[0])
        raise LeaseLostError(f"feed '{lease.feed}' was taken over by another owner; epoch {lease.epoch} is over")
    return bool(row[0])


def release(cursor: Cursor, lease: Lease) -> None:
    """Give the feed up; does nothing when somebody else has it."""
    parameters = {"feed": lease.feed, "epoch": lease.epoch, "owner": lease.owner}
    cursor.execute(sql_files.read("queries/lease/release.sql"), parameters)


def status(cursor: Cursor, feed: str) -> LeaseStatus | None:
    """Who holds the feed, or None when nobody ever did."""
    cursor.execute(sql_files.read("queries/lease/status.sql"), {"feed": feed})
    row = cursor.fetchone()
    return LeaseStatus(*row) if row else None


def _row(cursor: Cursor) -> tuple[Any, ...]:
    row = cursor.fetchone()
    assert row is not None
    return row
