"""One writer per feed: a lease with an epoch, which is checked in every transaction and fences old owners off."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from ticks_platform.errors import ActionRequiredError, RetryableError
from ticks_platform.timescale import sql_files
from ticks_platform.timestamps import to_nanoseconds

if TYPE_CHECKING:
    from psycopg2.extensions import cursor as Cursor  # noqa: N812

DEAD_AFTER = 30.0
"""Seconds without a heartbeat after which the owner of a feed is presumed dead."""


class LeaseLostError(RetryableError):
    """Another owner took the feed over; this one must no longer write."""


class HandedOverError(LeaseLostError):
    """The feed was handed over as planned: the successor has received everything that this owner has not stored."""

    def __init__(self, feed: str, successor: str) -> None:
        super().__init__(f"feed '{feed}' was handed over to {successor}")
        self.successor = successor


class MixedDatabaseError(ActionRequiredError):
    """One database would hold both synthetic and live ticks."""


class NoJournalNumberError(ActionRequiredError):
    """All numbers of journals are given, and none of them can be recycled."""


class Lease(NamedTuple):
    """The right to write a feed, until another owner takes a higher epoch."""

    feed: str
    epoch: int
    owner: str
    journal_number: int
    position: int
    """The checkpoint of the owner's journal: everything before this position is committed."""
    frames: int
    """Number of frames of the journal before the checkpoint."""


class LeaseStatus(NamedTuple):
    """Who holds a feed's lease, and since when there was no heartbeat."""

    owner: str
    epoch: int
    heartbeat_at: datetime
    released: bool
    age: float
    """Seconds since the heartbeat, by the database's clock; negative if that was set back."""
    journal_id: str | None
    """The journal that the owner appends to."""

    @property
    def is_alive(self) -> bool:
        """Whether the owner has not released the feed, and has sent a heartbeat within DEAD_AFTER."""
        return not self.released and self.age <= DEAD_AFTER


def take(
    cursor: Cursor,
    *,
    feed: str,
    provider: str,
    synthetic: bool,
    candles: bool = True,
    owner: str,
    journal_id: str,
    journal_start: int | None,
    journal_frames: int,
) -> Lease:
    """Take the lease of a feed, whoever holds it; the previous owner can no longer commit.

    `candles` tells whether its ticks make candles. `journal_start` is the position at which the owner's journal begins,
    or None if nothing was ever appended to it, and `journal_frames` the number of frames before that. Raises
    MixedDatabaseError if the database holds ticks of the other kind (synthetic or live), and
    psycopg2.errors.LockNotAvailable if the previous owner's transaction takes too long: then call `terminate_loader`
    and try again.
    """
    register_feed(cursor, feed=feed, provider=provider, synthetic=synthetic, candles=candles)
    # Waits for the row lock, so that the checkpoint is read after the previous owner's last commit.
    parameters = {"feed": feed, "owner": owner, "journal_id": journal_id}
    cursor.execute(sql_files.read("queries/lease/take.sql"), parameters)
    (epoch,) = _row(cursor)
    checkpoint = find_checkpoint(
        cursor, feed, journal_id=journal_id, journal_start=journal_start, journal_frames=journal_frames
    )
    return Lease(feed, epoch, owner, *checkpoint)


def register_feed(cursor: Cursor, *, feed: str, provider: str, synthetic: bool, candles: bool) -> None:
    """Add a feed to the table of feeds, or change it there, and set the transaction's lock timeout to 5 s.

    Raises MixedDatabaseError.
    """
    cursor.execute("SET LOCAL lock_timeout = '5s'")
    # Rows by hand say nothing of their origin: they are of the kind of the first feed.
    query = "SELECT feed FROM ticks_platform.feed WHERE synthetic <> %s AND feed <> 'manual' ORDER BY feed"
    cursor.execute(query, (synthetic,))
    others = [row[0] for row in cursor.fetchall()]
    if others:
        kinds = ("synthetic ticks of the stand-in", "live ticks")
        mine, theirs = kinds if synthetic else kinds[::-1]
        raise MixedDatabaseError(
            f"feed '{feed}' has {mine}, but this database holds {theirs} (feed {', '.join(others)}); they must not be "
            "mixed. Set TICKS_DATABASE_URL to another database, or remove this one (`make clean` removes the embedded "
            "one)"
        )
    parameters = {"feed": feed, "provider": provider, "synthetic": synthetic, "candles": candles}
    cursor.execute(sql_files.read("queries/feeds/register.sql"), parameters)


def find_checkpoint(
    cursor: Cursor, feed: str, *, journal_id: str, journal_start: int | None, journal_frames: int
) -> tuple[int, int, int]:
    """A journal's number, its checkpoint, and the number of frames before that; creates a checkpoint if it has none.

    The arguments are those of `take`. Raises NoJournalNumberError.
    """
    cursor.execute(sql_files.read("queries/checkpoint/read.sql"), {"journal_id": journal_id})
    known = cursor.fetchone()
    if known is None:
        # Until the end of the transaction: feeds that start together would give their journals the same number.
        cursor.execute("SELECT pg_advisory_xact_lock('ticks_platform.feed_checkpoint'::regclass::oid::bigint)")
        parameters = {"feed": feed, "journal_id": journal_id, "start": journal_start, "frames": journal_frames}
        cursor.execute(sql_files.read("queries/checkpoint/create.sql"), parameters)
        known = cursor.fetchone()
    if known is None:
        raise NoJournalNumberError(
            f"feed '{feed}': all 65,535 numbers of journals are given in ticks_platform.feed_checkpoint, and it has "
            "no journal that was committed to more than a month ago, whose number a new one could get: remove rows of "
            "journals that no longer exist, of feeds without ticks"
        )
    number, position, frames = known
    return number, position, frames


def last_position(cursor: Cursor, feed: str) -> int:
    """The highest checkpoint of the feed's journals; 0 if it has none."""
    cursor.execute("SELECT coalesce(max(position), 0) FROM ticks_platform.feed_checkpoint WHERE feed = %s", (feed,))
    (position,) = _row(cursor)
    return int(position)


def latest_journal(cursor: Cursor, feed: str) -> str | None:
    """The journal that was last appended to: the owner's, or that of a successor that never took over.

    Locks the lease until the end of the transaction. Raises psycopg2.errors.LockNotAvailable as `take` does.
    """
    cursor.execute("SET LOCAL lock_timeout = '5s'")
    cursor.execute(sql_files.read("queries/lease/latest_journal.sql"), {"feed": feed})
    row = cursor.fetchone()
    return row[0] if row else None


class Renewed(NamedTuple):
    """What a heartbeat learns."""

    enabled: bool
    """Whether the feed is enabled."""
    reloaded_until: int
    """Latest event time, in nanoseconds, of rejected ticks that were loaded again; 0 if there are none."""
    is_followed: bool
    """Whether a successor on another machine receives already, and waits for this owner's end."""

    @property
    def goes_on(self) -> bool:
        """Whether the owner is to receive."""
        return self.enabled and not self.is_followed


def renew(cursor: Cursor, lease: Lease) -> Renewed:
    """Send a heartbeat, in the transaction that loads or in its own.

    Locks the lease until the end of the transaction, so that nobody takes the feed over before the commit. Raises
    LeaseLostError if another owner holds the lease, and HandedOverError if it was handed over as planned. Compares the
    owner too, because a database that was restored from a copy assigns the same epochs again.
    """
    parameters = {"feed": lease.feed, "epoch": lease.epoch, "owner": lease.owner}
    cursor.execute(sql_files.read("queries/lease/heartbeat.sql"), parameters)
    row = cursor.fetchone()
    if row is None:
        check_handed_over(cursor, lease)
        raise LeaseLostError(f"feed '{lease.feed}' was taken over by another owner; epoch {lease.epoch} has ended")
    # The database has microseconds.
    return Renewed(bool(row[0]), to_nanoseconds(row[1]) + 999 if row[1] else 0, bool(row[2]))


def set_clock_trouble(cursor: Cursor, lease: Lease, trouble: str | None) -> None:
    """Say what is wrong with the owner's clock; None if nothing is."""
    parameters = {"feed": lease.feed, "epoch": lease.epoch, "owner": lease.owner, "trouble": trouble}
    cursor.execute(sql_files.read("queries/lease/set_clock_trouble.sql"), parameters)


def check_handed_over(cursor: Cursor, lease: Lease) -> None:
    """Raises HandedOverError if a successor has taken the feed over from this lease as planned."""
    parameters = {"feed": lease.feed, "epoch": lease.epoch, "owner": lease.owner}
    cursor.execute(sql_files.read("queries/handover/successor.sql"), parameters)
    planned = cursor.fetchone()
    if planned is not None:
        raise HandedOverError(lease.feed, planned[0])


def release(cursor: Cursor, lease: Lease) -> None:
    """Release a lease; no effect if another owner holds it."""
    parameters = {"feed": lease.feed, "epoch": lease.epoch, "owner": lease.owner}
    cursor.execute(sql_files.read("queries/lease/release.sql"), parameters)


def status(cursor: Cursor, feed: str) -> LeaseStatus | None:
    """Who holds the feed's lease; None if nobody ever did."""
    cursor.execute(sql_files.read("queries/lease/status.sql"), {"feed": feed})
    row = cursor.fetchone()
    return LeaseStatus(*row) if row else None


def statuses(cursor: Cursor, feeds: Sequence[str]) -> dict[str, LeaseStatus]:
    """Who holds the lease of each of these feeds, of those that ever had an owner."""
    cursor.execute(sql_files.read("queries/lease/statuses.sql"), {"feeds": list(feeds)})
    return {feed: LeaseStatus(*row) for feed, *row in cursor.fetchall()}


def application_name(feed: str) -> str:
    """The name of a loader's connection in pg_stat_activity."""
    return f"ticks_platform ingestion {feed}"


def loader_is_active(cursor: Cursor, feed: str) -> bool:
    """Whether the feed's loader is executing a statement: it is busy or waits for a lock, and is not frozen."""
    cursor.execute(sql_files.read("queries/lease/loader_is_active.sql"), {"application_name": application_name(feed)})
    row = cursor.fetchone()
    return bool(row and row[0])


def active_loaders(cursor: Cursor, feeds: Sequence[str]) -> set[str]:
    """Those of the feeds of which `loader_is_active` is true."""
    # As PostgreSQL cuts them off.
    names = {application_name(feed)[:63] for feed in feeds}
    cursor.execute(sql_files.read("queries/lease/active_loaders.sql"), {"application_names": list(names)})
    active = {row[0] for row in cursor.fetchall()}
    return {feed for feed in feeds if application_name(feed)[:63] in active}


def terminate_loader(cursor: Cursor, feed: str) -> None:
    """Terminate the connections of the feed's loader: one that was frozen in a transaction keeps its locks."""
    cursor.execute(sql_files.read("queries/lease/terminate_loader.sql"), {"application_name": application_name(feed)})


def _row(cursor: Cursor) -> tuple[Any, ...]:
    row = cursor.fetchone()
    assert row is not None
    return row
