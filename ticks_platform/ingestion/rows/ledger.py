"""The ledger: events received and what became of them, by feed and connection; events loaded, also by hour."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from time import time_ns
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt
from psycopg2.extras import execute_values

from ticks_platform.ingestion.journal.file import FrameGroup
from ticks_platform.ingestion.rows import fingerprint
from ticks_platform.ingestion.rows.decode import DecodedBatch, Stored
from ticks_platform.ingestion.rows.rejected_events import RejectedEvent
from ticks_platform.ingestion.rows.tables import TABLES, TICKS, Rows
from ticks_platform.timescale import fingerprints, sql_files
from ticks_platform.timestamps import from_nanoseconds

if TYPE_CHECKING:
    from psycopg2.extensions import cursor as Cursor  # noqa: N812

    from ticks_platform.ingestion.lease import Lease

_HOUR = 3600 * 1_000_000_000
"""Nanoseconds."""

_SLICE = _HOUR // 6

_IN_TIME = 30 * 1_000_000_000
"""Nanoseconds after which a tick is late: half of the minute after which others of its time are read."""


class Entry(NamedTuple):
    """What a batch adds to the account of one connection."""

    epoch: int
    connection: int
    first_received_at: datetime
    last_received_at: datetime
    frames: int
    events: int
    loaded: int
    replaced: int
    duplicate: int
    rejected: int
    control: int
    last_data_at: datetime | None
    """Up to when all that was sent has arrived, as its last group of which data was accepted proves; for journals of
    older releases the arrival of that group's first frame. None without, or if that is unknown."""


class HourEntry(NamedTuple):
    """What a batch adds to one UTC hour of event time."""

    hour: datetime
    loaded: int
    last_received_at: datetime
    fingerprint: int | None = None
    """The sum of the hashes of its ticks; None of other rows, or if it is not known."""


def entries(
    batch: DecodedBatch,
    *,
    loaded: Sequence[Rows],
    rejected: Sequence[RejectedEvent],
    replaced: Sequence[Rows] = (),
    duplicate: Sequence[Rows] = (),
) -> list[Entry]:
    """What a batch adds to the ledger, given what became of its events.

    Each number is counted on its own, not derived from the others: the table's CHECK compares them.
    """
    size = len(batch.groups)

    def by_group(parts: Sequence[Rows]) -> npt.NDArray[np.int64]:
        counts = np.zeros(size, np.int64)
        for part in parts:
            counts += np.bincount(batch.groups_of(part.positions), minlength=size)
        return counts

    loaded_of, replaced_of, duplicate_of = by_group(loaded), by_group(replaced), by_group(duplicate)
    rejected_of = np.zeros(size, np.int64)
    if rejected:
        positions = np.array([event.position for event in rejected], dtype=np.int64)
        rejected_of += np.bincount(batch.groups_of(positions), minlength=size)
    found: dict[tuple[int, int], Entry] = {}
    for number, group in enumerate(batch.groups):
        key = (group.epoch, group.connection)
        first = from_nanoseconds(group.first_arrival)
        entry = Entry(
            *key,
            first_received_at=first,
            last_received_at=from_nanoseconds(group.last_arrival),
            frames=len(group.frames),
            events=int(batch.events_of[number]),
            loaded=int(loaded_of[number]),
            replaced=int(replaced_of[number]),
            duplicate=int(duplicate_of[number]),
            rejected=int(rejected_of[number]),
            control=int(batch.control_of[number]),
            last_data_at=_covered_until(group)
            if batch.events_of[number] > batch.control_of[number] + rejected_of[number]
            else None,
        )
        found[key] = _sum(found[key], entry) if key in found else entry
    return list(found.values())


def _covered_until(group: FrameGroup) -> datetime | None:
    if group.covered_until is None:
        return from_nanoseconds(group.first_arrival)
    return from_nanoseconds(group.covered_until + group.correction) if group.covered_until else None


def add(cursor: Cursor, feed: str, added: Sequence[Entry]) -> None:
    """Add a batch's entries to the ledger, in the transaction that stores the batch."""
    rows = [(feed, *entry) for entry in added]
    execute_values(cursor, sql_files.read("queries/ledger/add_entries.sql"), rows)


def hours(loaded: Sequence[Rows], *, time: str = "time", ticks_of_journal: int | None = None) -> list[HourEntry]:
    """Count these events by hour of event time, which is their field `time`; usually one or two hours.

    With the number of their journal, they are ticks, and have fingerprints.
    """
    if not any(part.events for part in loaded):
        return []
    hour = np.concatenate([part.times(time) // _HOUR for part in loaded])
    # Sorted, so that the cost does not grow with the number of hours.
    order = np.argsort(hour, kind="stable")
    distinct, first, count = np.unique(hour[order], return_index=True, return_counts=True)
    last = np.maximum.reduceat(np.concatenate([part.received_at for part in loaded])[order], first)
    sums: Sequence[int | None] = [None] * len(distinct)
    if ticks_of_journal is not None:
        hashes = np.concatenate([fingerprint.hashes(part, ticks_of_journal) for part in loaded])
        sums = fingerprint.sums(hashes[order], first)
    return [
        HourEntry(from_nanoseconds(begin * _HOUR), number, from_nanoseconds(received_at), found)
        for begin, number, received_at, found in zip(
            distinct.tolist(), count.tolist(), last.tolist(), sums, strict=True
        )
    ]


def late_slices(loaded: Sequence[Rows]) -> list[datetime]:
    """The ten minutes in which ticks are that come so late that the others of theirs may have been read."""
    now = time_ns()
    found: set[int] = set()
    for part in loaded:
        times = part.times("time")
        if len(times) and times.min() < now - _IN_TIME:
            found.update(np.unique(times[times < now - _IN_TIME] // _SLICE).tolist())
    return [from_nanoseconds(each * _SLICE) for each in sorted(found)]


def add_stored(cursor: Cursor, lease: Lease, stored: Stored) -> None:
    """Add what was stored to the hours of its tables, in the same transaction, and what was changed to theirs."""
    for table in TABLES:
        parts = [rows for each, rows in stored.loaded if each is table]
        journal = lease.journal_number if table is TICKS else None
        add_hours(cursor, lease.feed, table.name, hours(parts, time=table.time, ticks_of_journal=journal))
        if table is TICKS:
            fingerprints.touch(cursor, late_slices(parts))
    # After the hours that the batch itself begins.
    fingerprints.change(cursor, lease.feed, stored.changed)


def add_hours(cursor: Cursor, feed: str, destination: str, added: Sequence[HourEntry]) -> None:
    """Add to the hours of the table `destination`, in the transaction that stores its rows."""
    if not added:
        return
    execute_values(
        cursor,
        sql_files.read("queries/ledger/add_hours.sql"),
        [
            {**entry._asdict(), "feed": feed, "destination": destination, "version": fingerprint.VERSION}
            for entry in added
        ],
        template=(
            "(%(feed)s, %(destination)s, %(hour)s, %(loaded)s, %(last_received_at)s, clock_timestamp(), "
            "clock_timestamp(), "
            "CASE WHEN ticks_platform.fingerprint_version() = %(version)s THEN %(fingerprint)s::numeric END, "
            "CASE WHEN %(fingerprint)s::numeric IS NOT NULL THEN ticks_platform.fingerprint_version() END)"
        ),
        page_size=1000,
    )


def _sum(first: Entry, second: Entry) -> Entry:
    return first._replace(
        last_received_at=second.last_received_at,
        frames=first.frames + second.frames,
        events=first.events + second.events,
        loaded=first.loaded + second.loaded,
        replaced=first.replaced + second.replaced,
        duplicate=first.duplicate + second.duplicate,
        rejected=first.rejected + second.rejected,
        control=first.control + second.control,
        last_data_at=second.last_data_at or first.last_data_at,
    )
