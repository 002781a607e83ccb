"""Finds the events of a journal that has returned, and that others have stored since.

A machine that slept, or lost its network, comes back with frames that it had not loaded. Meanwhile another one has
received the same events, or a repair has fetched them. Which of them are stored already is found by what they are:
symbol, time and values, and how many equal ones there are. Trades with an id are not compared here
(`duplicate_trades` finds them).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timezone
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ticks_platform.ingestion.handover.equal_events import FIELDS, key_of
from ticks_platform.ingestion.journal.file import FrameGroup
from ticks_platform.ingestion.journal.journal import Journal
from ticks_platform.ingestion.lease import Lease
from ticks_platform.ingestion.rows.decode import Decode, DecodedBatch, decode_groups
from ticks_platform.ingestion.rows.tables import QUOTES, TICKS, Rows, Table
from ticks_platform.timescale import sql_files
from ticks_platform.timestamps import from_microseconds

if TYPE_CHECKING:
    from psycopg2.extensions import cursor as Cursor  # noqa: N812

_EARLIER = 10_000_000_000
"""Nanoseconds by which an event may have reached another machine before this one."""

_GROUPS = 500
"""Groups of frames that are compared at a time."""

_STORED = {TICKS.name: "queries/handover/others_ticks.sql", QUOTES.name: "queries/handover/others_quotes.sql"}
"""The queries for the rows that other journals brought, with their number; columns are in the order of `FIELDS`."""


def announce(
    cursor: Cursor, sources: Sequence[tuple[Lease, Journal]], *, latest: str | None, copy: int | None = None
) -> None:
    """Record that these journals are compared before they are loaded, if the feed's latest is none of them.

    Call it in the transaction that takes the lease; `latest` is what it was before. `copy` is the number of a journal
    that was read back from a copy of it, among those of its owner.
    """
    if latest is None or any(journal.journal_id == latest for _, journal in sources):
        return
    for number, (lease, journal) in enumerate(sources):
        if lease.position < journal.end:
            # Below zero, it is no epoch of an owner.
            epoch = -2 * lease.epoch - number if copy is None else -(1 << 40) - 1000 * lease.epoch - copy
            record = {"feed": lease.feed, "epoch": epoch, "lease": lease.epoch}
            cursor.execute(
                sql_files.read("queries/handover/returned.sql"),
                {**record, "owner": lease.owner, "journal": journal.journal_id},
            )


def announce_copied(cursor: Cursor, lease: Lease, journal: Journal, *, predecessor: str, epoch: int) -> None:
    """Record that a new owner's journal is compared with what its predecessor copied, before it is loaded.

    A predecessor that is alive copies until it is shut out of the stream, and the new owner receives already then.
    `predecessor` is its journal, `epoch` its ownership. Call it when it is shut out.
    """
    parameters = {
        "feed": lease.feed,
        "epoch": lease.epoch,
        "owner": lease.owner,
        "journal": journal.journal_id,
        "predecessor_epoch": epoch,
        "predecessor_journal": predecessor,
        # By the clock that stamps the frames.
        "shut_out": datetime.now(timezone.utc),
    }
    cursor.execute(sql_files.read("queries/handover/copied.sql"), parameters)


def comparing(lease: Lease, journal: Journal, decode: Decode) -> Callable[[Cursor], npt.NDArray[np.int64]]:
    """`compare` with what waits in a journal."""
    return lambda cursor: compare(cursor, lease, journal.peek(), decode)


def compare(cursor: Cursor, lease: Lease, groups: Iterable[FrameGroup], decode: Decode) -> npt.NDArray[np.int64]:
    """The events of these groups that are stored from other journals than the lease's, by position."""
    feed, journal_number = lease.feed, lease.journal_number
    positions: list[int] = []
    used: dict[str, Counter[tuple[Any, ...]]] = {table: Counter() for table in _STORED}
    since: int | None = None
    remaining = iter(groups)
    while part := list(islice(remaining, _GROUPS)):
        batch = decode_groups(part, decode)
        # What was stored before these frames arrived is something else, even if it is equal.
        if since is None:
            since = min(group.first_arrival for group in batch.groups) - _EARLIER
        positions += _compare_batch(cursor, feed, journal_number, batch, used, since)
    return np.array(sorted(positions), dtype=np.int64)


def _compare_batch(
    cursor: Cursor,
    feed: str,
    journal_number: int,
    batch: DecodedBatch,
    used: dict[str, Counter[tuple[Any, ...]]],
    since: int,
) -> list[int]:
    positions: list[int] = []
    for table, rows in ((TICKS, batch.ticks), (QUOTES, batch.quotes)):
        events = list(_keys(table, rows))
        if not events:
            continue
        cursor.execute(
            sql_files.read(_STORED[table.name]),
            {
                "feed": feed,
                "oldest": from_microseconds(min(key[1] for key, _ in events)),
                "newest": from_microseconds(max(key[1] for key, _ in events)),
                "since": from_microseconds(since // 1000),
                "journal": f"{journal_number:04x}",
            },
        )
        stored = {key_of(values): number for *values, number in cursor.fetchall()}
        counted = used[table.name]
        for key, position in events:
            if counted[key] < stored.get(key, 0):
                counted[key] += 1
                positions.append(position)
    return positions


def _keys(table: Table, rows: Rows) -> Iterable[tuple[tuple[Any, ...], int]]:
    """Symbol, time and values of each event without a trade id, with its position."""
    if not rows.events:
        return
    times, positions = (rows.times("time") // 1000).tolist(), rows.positions.tolist()
    for event, at, position in zip(rows.as_events(), times, positions, strict=True):
        if not getattr(event, "trade_id", None):
            values = (getattr(event, field) for field in FIELDS[table.name])
            yield key_of((event.symbol, at, *values)), position
