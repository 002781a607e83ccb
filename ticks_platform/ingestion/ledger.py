"""The ledger: what was received, and what became of it, per feed and connection."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timezone
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from psycopg2.extras import execute_values

from ticks_platform.ingestion.batch import DecodedBatch, RejectedEvent, TickBatch

if TYPE_CHECKING:
    from psycopg2.extensions import cursor as Cursor  # noqa: N812


class Entry(NamedTuple):
    """What one batch adds to the account of one connection."""

    epoch: int
    connection: int
    first_received_at: datetime
    last_received_at: datetime
    frames: int
    events: int
    loaded: int
    duplicate: int
    rejected: int
    control: int


def entries(batch: DecodedBatch, *, loaded: Sequence[TickBatch], rejected: Sequence[RejectedEvent]) -> list[Entry]:
    """What a batch adds, when these of its ticks were loaded and these of its events rejected.

    Each number is counted from what it counts, not made up from the others: the table's CHECK compares them.
    """
    size = len(batch.groups)
    loaded_of, rejected_of = np.zeros(size, np.int64), np.zeros(size, np.int64)
    for part in loaded:
        loaded_of += np.bincount(batch.groups_of(part.positions), minlength=size)
    if rejected:
        positions = np.array([event.position for event in rejected], dtype=np.int64)
        rejected_of += np.bincount(batch.groups_of(positions), minlength=size)
    found: dict[tuple[int, int], Entry] = {}
    for number, group in enumerate(batch.groups):
        key = (group.epoch, group.connection)
        entry = Entry(
            *key,
            first_received_at=_datetime(group.received_at[0]),
            last_received_at=_datetime(group.received_at[-1]),
            frames=len(group.frames),
            events=int(batch.events_of[number]),
            loaded=int(loaded_of[number]),
            duplicate=0,
            rejected=int(rejected_of[number]),
            control=int(batch.control_of[number]),
        )
        found[key] = _sum(found[key], entry) if key in found else entry
    return list(found.values())


def add(cursor: Cursor, feed: str, added: Sequence[Entry]) -> None:
    """Add a batch's entries to the ledger, in the transaction that stores the batch."""
    execute_values(
        cursor,
        """
        INSERT INTO ticks_platform.feed_ledger AS ledger
            (feed, epoch, connection, first_received_at, last_received_at,
             frames, events, loaded, duplicate, rejected, control)
        VALUES %s
        ON CONFLICT (feed, epoch, connection) DO UPDATE SET
            last_received_at = excluded.last_received_at,
            frames = ledger.frames + excluded.frames,
            events = ledger.events + excluded.events,
            loaded = ledger.loaded + excluded.loaded,
            duplicate = ledger.duplicate + excluded.duplicate,
            rejected = ledger.rejected + excluded.rejected,
            control = ledger.control + excluded.control
        """,
        [(feed, *entry) for entry in added],
    )


def _sum(first: Entry, second: Entry) -> Entry:
    return first._replace(
        last_received_at=second.last_received_at,
        frames=first.frames + second.frames,
        events=first.events + second.events,
        loaded=first.loaded + second.loaded,
        duplicate=first.duplicate + second.duplicate,
        rejected=first.rejected + second.rejected,
        control=first.control + second.control,
    )


def _datetime(nanoseconds: int) -> datetime:
    return datetime.fromtimestamp(nanoseconds / 1e9, tz=timezone.utc)
