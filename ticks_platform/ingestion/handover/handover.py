"""Planned hand-overs: the next owner of a feed receives beside the one before, then takes the feed over without a gap.

The successor announces itself, connects, and appends to a journal of its own, while the predecessor goes on. When it
has streamed everything for a while it takes the lease, loads what the predecessor's journal still holds, decides which
of its own events the predecessor has stored too, writes that down, and loads the others. The predecessor need not do
anything for that: it may be killed at any moment, and so may the successor, before it has taken the lease and after.
"""

from __future__ import annotations

from collections.abc import Iterable
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

ROOM = 1 << 30
"""Positions that are left for what the predecessor still appends, so that the successor's ticks sort after them."""


class Source(NamedTuple):
    """A journal, and the lease under which it is loaded: where it goes on stands there."""

    lease: Lease
    journal: Journal


class HandoverFailedError(RetryableError):
    """The successor could not take the feed over; its predecessor goes on."""


class Handover(NamedTuple):
    """A hand-over that has begun."""

    feed: str
    epoch: int
    """The successor's, under which it receives already."""
    successor: str
    predecessor: str
    predecessor_epoch: int


def begin(cursor: Cursor, *, owner: str, feed: str, predecessor: LeaseStatus, journal: Journal) -> Handover:
    """Announce that `owner` follows the holder of the lease, and receives into this journal."""
    parameters = {"owner": owner, "journal": journal.journal_id, "feed": feed, "epoch": predecessor.epoch}
    cursor.execute(sql_files.read("queries/handover/announce.sql"), parameters)
    row = cursor.fetchone()
    if row is None:
        raise overtaken(feed)
    return Handover(feed, row[0], owner, predecessor.owner, predecessor.epoch)


def take(cursor: Cursor, handover: Handover, journal: Journal) -> Lease:
    """Take the feed over; the predecessor cannot commit any more.

    Raises LeaseLostError when the predecessor does not hold it any more, but somebody else, and
    psycopg2.errors.LockNotAvailable as `lease.take` does.
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
    cursor.execute(
        "UPDATE ticks_platform.feed_handover SET taken_at = clock_timestamp() WHERE feed = %s AND epoch = %s",
        (handover.feed, handover.epoch),
    )
    return Lease(handover.feed, handover.epoch, handover.successor, *place(cursor, handover.feed, journal))


def overtaken(feed: str) -> LeaseLostError:
    """What to raise when somebody else has taken the feed in the middle of a hand-over."""
    return LeaseLostError(f"feed '{feed}' was taken over by another owner, before it could be handed over as planned")


def place(cursor: Cursor, feed: str, journal: Journal) -> tuple[int, int, int]:
    """The number of a journal of the feed, its checkpoint, and how many frames came before."""
    return leases.locate(
        cursor,
        feed,
        journal_id=journal.journal_id,
        journal_start=journal.start,
        journal_frames=journal.frames_trimmed,
    )


def note_closed(cursor: Cursor, lease: Lease) -> None:
    """Tell the successor of this lease that its connection is closed."""
    parameters = {"feed": lease.feed, "epoch": lease.epoch, "owner": lease.owner}
    cursor.execute(sql_files.read("queries/handover/record_closed.sql"), parameters)


def is_closed(cursor: Cursor, handover: Handover) -> bool:
    """Whether the predecessor has told that its connection is closed."""
    cursor.execute(
        "SELECT closed_at IS NOT NULL FROM ticks_platform.feed_handover WHERE feed = %s AND epoch = %s",
        (handover.feed, handover.epoch),
    )
    row = cursor.fetchone()
    return bool(row and row[0])


class Readiness:
    """Whether every channel that is wanted has been answered on the connections that stand."""

    def __init__(self) -> None:
        self._answered: dict[int, set[str]] = {}

    def note(self, change: Change) -> None:
        """Take a change of a connection's life into account."""
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
        """Whether all of these are among the answered ones."""
        answered = set().union(*list(self._answered.values()))
        return all(channel in answered for channel in channels)
