"""Planned hand-overs: the feed's next owner receives alongside the current one, then takes over without a gap.

The successor announces itself, connects, and appends to a journal of its own, while the predecessor continues. When it
has streamed everything for a while, it takes the lease, loads the rest of the predecessor's journal, finds and records
which of its own events the predecessor has stored too, and loads the others. The predecessor does nothing for that:
both may be killed at any moment, before and after the lease is taken.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timezone
from typing import TYPE_CHECKING, NamedTuple

from ticks_platform.errors import RetryableError
from ticks_platform.feeds.events import Acknowledged, ChannelsFailed, Unsubscribed
from ticks_platform.feeds.transport.state import Change, State
from ticks_platform.ingestion import lease as leases
from ticks_platform.ingestion.journal.journal import Journal
from ticks_platform.ingestion.lease import Lease, LeaseLostError, LeaseStatus
from ticks_platform.timescale import sql_files

if TYPE_CHECKING:
    from psycopg2.extensions import cursor as Cursor  # noqa: N812

RESERVED_POSITIONS = 1 << 30
"""Positions reserved for what the predecessor still appends, so that the successor's ticks sort after them."""


class Source(NamedTuple):
    """A journal to load, and the lease with its checkpoint."""

    lease: Lease
    journal: Journal


class HandoverFailedError(RetryableError):
    """The successor could not take the feed over; its predecessor continues."""


class StoppedError(Exception):
    """The ingestion was stopped before it had taken its feed over, or had read the copies of other journals."""


class Handover(NamedTuple):
    """A hand-over that was announced."""

    feed: str
    epoch: int
    """The successor's, under which it receives already."""
    successor: str
    predecessor: str
    predecessor_epoch: int
    is_elsewhere: bool = False
    """Whether the predecessor is on another machine: only itself can load what it has."""


def announce(cursor: Cursor, *, owner: str, feed: str, predecessor: LeaseStatus, journal: Journal) -> Handover:
    """Announce that `owner` succeeds the holder of the lease, and receives into this journal. Raises LeaseLostError."""
    parameters = {"owner": owner, "journal": journal.journal_id, "feed": feed, "epoch": predecessor.epoch}
    cursor.execute(sql_files.read("queries/handover/announce.sql"), parameters)
    row = cursor.fetchone()
    if row is None:
        raise overtaken(feed)
    return Handover(feed, row[0], owner, predecessor.owner, predecessor.epoch)


def take(cursor: Cursor, handover: Handover, journal: Journal) -> Lease:
    """Take the lease; the predecessor can no longer commit.

    Raises LeaseLostError if another owner than the predecessor holds it, and psycopg2.errors.LockNotAvailable as
    `lease.take` does.
    """
    cursor.execute("SET LOCAL lock_timeout = '5s'")
    cursor.execute(
        sql_files.read("queries/handover/take_lease.sql"),
        {
            "epoch": handover.epoch,
            "successor": handover.successor,
            "journal": journal.journal_id,
            "feed": handover.feed,
            "predecessor_epoch": handover.predecessor_epoch,
        },
    )
    if not cursor.rowcount:
        raise overtaken(handover.feed)
    # By the clock that stamps the frames: they are compared with it.
    cursor.execute(
        "UPDATE ticks_platform.feed_handover SET taken_at = %s WHERE feed = %s AND epoch = %s",
        (datetime.now(timezone.utc), handover.feed, handover.epoch),
    )
    return Lease(handover.feed, handover.epoch, handover.successor, *find_checkpoint(cursor, handover.feed, journal))


def overtaken(feed: str) -> LeaseLostError:
    """The error if another owner took the feed during a hand-over."""
    return LeaseLostError(f"feed '{feed}' was taken over by another owner during a planned hand-over")


def find_checkpoint(cursor: Cursor, feed: str, journal: Journal) -> tuple[int, int, int]:
    """A journal's number, its checkpoint, and the number of frames before that; as `lease.find_checkpoint`."""
    return leases.find_checkpoint(
        cursor,
        feed,
        journal_id=journal.journal_id,
        journal_start=journal.start,
        journal_frames=journal.frames_trimmed,
    )


def record_closed(cursor: Cursor, lease: Lease) -> None:
    """Tell the successor that this owner's connection is closed; one on another machine waits for the lease."""
    parameters = {"feed": lease.feed, "epoch": lease.epoch, "owner": lease.owner}
    cursor.execute(sql_files.read("queries/handover/record_closed.sql"), parameters)
    leases.release(cursor, lease)


def ask_to_close(cursor: Cursor, handover: Handover) -> None:
    """Ask the predecessor, on another machine, to close its connection and to load what it has.

    It learns of that with its next transaction. Until then it continues, and the lease is its own.
    """
    cursor.execute(
        "UPDATE ticks_platform.feed_handover SET taken_at = %s WHERE feed = %s AND epoch = %s",
        (datetime.now(timezone.utc), handover.feed, handover.epoch),
    )


def is_closed(cursor: Cursor, handover: Handover) -> bool:
    """Whether the predecessor has closed its connection."""
    cursor.execute(
        "SELECT closed_at IS NOT NULL FROM ticks_platform.feed_handover WHERE feed = %s AND epoch = %s",
        (handover.feed, handover.epoch),
    )
    row = cursor.fetchone()
    return bool(row and row[0])


class Readiness:
    """Tells whether the provider has answered every subscription, on the connections that are open now."""

    def __init__(self) -> None:
        self._answered: dict[int, set[str]] = {}

    def record(self, change: Change) -> None:
        """Record a change of a connection's state."""
        if change.state in (State.CONNECTING, State.BACKING_OFF, State.CLOSED, State.REFUSED):
            self._answered.pop(change.connection, None)
            return
        answered = self._answered.setdefault(change.connection, set())
        match change.notice:
            case Acknowledged(channels):
                answered.update(channels)
            case ChannelsFailed(reasons):
                answered.update(reasons)
            case Unsubscribed(channels):
                answered.difference_update(channels)

    def covers(self, channels: Iterable[str]) -> bool:
        """Whether all of these channels were answered."""
        answered = set().union(*list(self._answered.values()))
        return all(channel in answered for channel in channels)
