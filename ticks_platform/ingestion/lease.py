"""One writer per feed: the lease, and the epoch that fences an old owner off."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from ticks_platform.errors import ActionRequiredError, RetryableError

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
    cursor.execute(
        """
        INSERT INTO ticks_platform.feed_lease (feed, epoch, owner, taken_at, heartbeat_at, journal_id)
        VALUES (%(feed)s, 1, %(owner)s, clock_timestamp(), clock_timestamp(), %(journal_id)s)
        ON CONFLICT (feed) DO UPDATE SET
            -- Not one that is reserved for a successor: frames were received under it.
            epoch = 1 + greatest(feed_lease.epoch, (
                SELECT max(planned.epoch) FROM ticks_platform.feed_handover AS planned
                WHERE planned.feed = feed_lease.feed)),
            owner = excluded.owner, taken_at = excluded.taken_at, heartbeat_at = excluded.heartbeat_at,
            released_at = NULL, journal_id = excluded.journal_id
        RETURNING epoch
        """,
        {"feed": feed, "owner": owner, "journal_id": journal_id},
    )
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
    cursor.execute(
        """
        INSERT INTO ticks_platform.feed (feed, provider, synthetic) VALUES (%(feed)s, %(provider)s, %(synthetic)s)
        ON CONFLICT (feed) DO UPDATE SET provider = excluded.provider
        """,
        {"feed": feed, "provider": provider, "synthetic": synthetic},
    )


def locate(
    cursor: Cursor, feed: str, *, journal_id: str, journal_start: int | None, journal_frames: int
) -> tuple[int, int, int]:
    """The number of a journal, its checkpoint, and how many frames came before; makes a checkpoint where it has none.

    The arguments are those of `take`.
    """
    # Not one upsert: it would use up a journal number each time.
    cursor.execute(
        "SELECT journal_number, position, frames_before + frames FROM ticks_platform.feed_checkpoint "
        "WHERE journal_id = %s",
        (journal_id,),
    )
    known = cursor.fetchone()
    if known is None:
        # An empty journal begins after the feed's other ones, so that ticks of one time stamp still sort by arrival.
        cursor.execute(
            """
            INSERT INTO ticks_platform.feed_checkpoint
                (feed, journal_id, position, frames, frames_before, committed_at)
            SELECT %(feed)s, %(journal_id)s, coalesce(%(start)s, max(position), 0), 0, %(frames)s, clock_timestamp()
            FROM ticks_platform.feed_checkpoint WHERE feed = %(feed)s
            RETURNING journal_number, position, frames_before
            """,
            {"feed": feed, "journal_id": journal_id, "start": journal_start, "frames": journal_frames},
        )
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
    cursor.execute(
        """
        SELECT coalesce((SELECT planned.journal_id FROM ticks_platform.feed_handover AS planned
                         WHERE planned.feed = feed_lease.feed AND planned.epoch > feed_lease.epoch
                         ORDER BY planned.epoch DESC LIMIT 1), journal_id)
        FROM ticks_platform.feed_lease WHERE feed = %s FOR UPDATE
        """,
        (feed,),
    )
    row = cursor.fetchone()
    return row[0] if row else None


def is_working(cursor: Cursor, feed: str) -> bool:
    """Whether a connection that loads the feed is in the middle of a statement: busy or blocked, and not paused."""
    cursor.execute(
        """
        SELECT EXISTS (SELECT FROM pg_stat_activity WHERE application_name = left(%s, 63)
                       AND datname = current_database() AND state = 'active' AND pid <> pg_backend_pid())
        """,
        (application_name(feed),),
    )
    row = cursor.fetchone()
    return bool(row and row[0])


def evict(cursor: Cursor, feed: str) -> None:
    """End the connections that load a feed: an owner that was paused in the middle of a transaction holds its locks."""
    cursor.execute(
        """
        SELECT pg_terminate_backend(pid) FROM pg_stat_activity
        WHERE application_name = left(%s, 63) AND datname = current_database() AND pid <> pg_backend_pid()
        """,
        (application_name(feed),),
    )


def hold(cursor: Cursor, lease: Lease) -> bool:
    """Heartbeat, inside the loading transaction or on its own; returns whether the feed is still wanted (enabled).

    The updated row stays locked until the transaction ends, so nobody takes the feed over between this and the commit.
    Raises LeaseLostError when somebody else has, and HandedOverError when that was planned. The owner is compared too:
    a database that was restored from a copy hands out the same epochs again.
    """
    cursor.execute(
        """
        UPDATE ticks_platform.feed_lease SET heartbeat_at = clock_timestamp()
        WHERE feed = %s AND epoch = %s AND owner = %s
        RETURNING (SELECT enabled FROM ticks_platform.feed WHERE feed = feed_lease.feed)
        """,
        (lease.feed, lease.epoch, lease.owner),
    )
    row = cursor.fetchone()
    if row is None:
        cursor.execute(
            "SELECT successor FROM ticks_platform.feed_handover "
            "WHERE feed = %s AND predecessor_epoch = %s AND predecessor = %s AND taken_at IS NOT NULL",
            (lease.feed, lease.epoch, lease.owner),
        )
        planned = cursor.fetchone()
        if planned is not None:
            raise HandedOverError(lease.feed, planned[0])
        raise LeaseLostError(f"feed '{lease.feed}' was taken over by another owner; epoch {lease.epoch} is over")
    return bool(row[0])


def release(cursor: Cursor, lease: Lease) -> None:
    """Give the feed up; does nothing when somebody else has it."""
    cursor.execute(
        "UPDATE ticks_platform.feed_lease SET released_at = clock_timestamp() "
        "WHERE feed = %s AND epoch = %s AND owner = %s",
        (lease.feed, lease.epoch, lease.owner),
    )


def status(cursor: Cursor, feed: str) -> LeaseStatus | None:
    """Who holds the feed, or None when nobody ever did."""
    cursor.execute(
        """
        SELECT owner, epoch, heartbeat_at, released_at IS NOT NULL,
            extract(epoch FROM clock_timestamp() - heartbeat_at)::double precision, journal_id
        FROM ticks_platform.feed_lease WHERE feed = %s
        """,
        (feed,),
    )
    row = cursor.fetchone()
    return LeaseStatus(*row) if row else None


def _row(cursor: Cursor) -> tuple[Any, ...]:
    row = cursor.fetchone()
    assert row is not None
    return row
