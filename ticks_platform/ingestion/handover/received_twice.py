"""Finds the events that two owners of a feed both received during a hand-over, so that each is stored once.

Events are equal if symbol, time and values are. Of each symbol, the successor's first events are the predecessor's last
ones, in the same order: that is known however late one of the two reads. Where the order does not tell (an event is
missing, one event alone, equal events only), equal events of a symbol that never sends two are the same one; those of
others are told apart by arrival: the predecessor received the earlier ones, up to its end, and the successor the later
ones, from its begin; the split that fits the arrival times best is chosen.

Assumes that both connections carry the same events, and for arrivals about the same lag for all of them. An event that
only one connection received is stored. If nothing matches, for example because the provider sends each connection
something else, nothing is left out. Trades, which have an id or a size, are not compared here (`duplicate_trades` finds
them); nor are bars, which replace each other.
"""

from __future__ import annotations

import logging
import time
import zlib
from collections.abc import Callable, Iterable, Iterator
from operator import attrgetter
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from ticks_platform.ingestion.handover.equal_events import FIELDS, key_of
from ticks_platform.ingestion.handover.matching import Arrivals, match
from ticks_platform.ingestion.handover.order import MAX_LAG, MAX_LAG_NS, Event, Key
from ticks_platform.ingestion.journal.file import FrameGroup
from ticks_platform.ingestion.journal.journal import Journal
from ticks_platform.ingestion.provider_clock import ProviderClocks
from ticks_platform.ingestion.rows.decode import FUTURE_TOLERANCE, Decode, DecodedBatch, decode_groups
from ticks_platform.ingestion.rows.tables import QUOTES, TICKS, Rows, Table
from ticks_platform.ingestion.transactions import Transactions
from ticks_platform.timescale import sql_files
from ticks_platform.timestamps import from_microseconds

if TYPE_CHECKING:
    from psycopg2.extensions import cursor as Cursor  # noqa: N812

logger = logging.getLogger(__name__)

MAX_LAG_UNMATCHED = 2.0
"""Seconds to wait for late events if the successor has received events, and none that its predecessor has: then the
provider probably sends each of them something else. Or if the predecessor is gone: it need not have received until the
successor did."""

_CLOSED_WITHIN = 4.0
"""Seconds in which a predecessor that is alive learns that it was followed: two of its heartbeats."""

_COMPARE_INTERVAL = 0.25
"""Shortest time in seconds between comparisons."""

_GROUPS = 500
"""Groups of frames that are decoded at a time."""

_STORED = {
    TICKS.name: "queries/handover/stored_ticks.sql",
    QUOTES.name: "queries/handover/stored_quotes.sql",
}
"""The queries for the rows of one journal; their columns are in the order of `FIELDS`."""


class ReceivedTwice:
    """The events of a successor's journal that its predecessor has stored, by position."""

    def __init__(self, positions: npt.NDArray[np.int64]) -> None:
        """`positions` are ascending."""
        self.positions = positions

    @classmethod
    def none(cls) -> ReceivedTwice:
        """No events."""
        return cls(np.empty(0, dtype=np.int64))

    @classmethod
    def load(cls, data: bytes) -> ReceivedTwice:
        """Decode what `dump` returned."""
        return cls(np.frombuffer(zlib.decompress(data), dtype="<i8").astype(np.int64))

    def dump(self) -> bytes:
        """Encode for the database."""
        return zlib.compress(self.positions.astype("<i8").tobytes())

    def remove_from(self, batch: DecodedBatch) -> tuple[DecodedBatch, list[Rows]]:
        """The batch without these events, and the events that were removed."""
        removed = []
        kept: list[Rows] = []
        for rows in (batch.ticks, batch.quotes):
            twice = np.isin(rows.positions, self.positions, assume_unique=True)
            if twice.any():
                removed.append(rows.where(twice))
                rows = rows.where(~twice)
            kept.append(rows)
        return batch._replace(ticks=kept[0], quotes=kept[1]), removed

    def all_before(self, position: int) -> bool:
        """Whether all events are before this position."""
        return not len(self.positions) or int(self.positions[-1]) < position


class Uncompared(NamedTuple):
    """A successor's journal that is not compared yet with what its predecessor stored."""

    feed: str
    epoch: int
    journal_number: int | None
    """The predecessor's journal; None if it never loaded anything."""
    end: int | None
    """Arrival of the predecessor's last frame, in nanoseconds since the Unix epoch."""
    taken: int | None = None
    """When the successor took the lease, in the same unit: until then the predecessor received, if it was alive."""
    is_copied: bool = False
    """Whether it is no planned hand-over: what the predecessor had was read from its copy, and it does not answer."""


class Comparison(NamedTuple):
    """The events that both received, as far as they have arrived."""

    received_twice: ReceivedTwice
    missing: int
    """Events of the predecessor's last second that have not reached the successor yet, or never will."""
    if_alive: ReceivedTwice
    """The same events if the predecessor received until the successor took over, and only the feed was silent."""
    received: int
    """Events that have reached the successor, of the kinds that are compared."""


def lookup(cursor: Cursor, journal_id: str) -> ReceivedTwice | Uncompared | None:
    """The recorded result for a journal, or that it is still to be compared; None if it is no successor's journal.

    Call it when the predecessor's journal is loaded.
    """
    cursor.execute(sql_files.read("queries/handover/received_twice.sql"), {"journal_id": journal_id})
    row = cursor.fetchone()
    if row is None:
        return None
    feed, epoch, positions, *rest = row
    return Uncompared(feed, epoch, *rest) if positions is None else ReceivedTwice.load(bytes(positions))


def find(
    transactions: Transactions,
    renew_lease: Callable[[Cursor], None],
    uncompared: Uncompared,
    journal: Journal,
    decode: Decode,
    returned: Callable[[Cursor], npt.NDArray[np.int64]],
) -> ReceivedTwice:
    """Find and record the events of a successor's journal that its predecessor has stored.

    If it is a journal that came back, `returned` finds those that others have stored. Otherwise waits until all of the
    predecessor's last events have arrived, up to MAX_LAG. Raises AbandonedError.
    """

    if uncompared.epoch < 0:
        return _settle(transactions, renew_lease, uncompared, returned)

    def work(cursor: Cursor) -> Comparison:
        renew_lease(cursor)
        return compare(cursor, uncompared, journal.peek(), decode)

    started_at = time.monotonic()
    while True:
        compared_at = time.monotonic()
        found, missing, if_alive, received = transactions.until_committed(work)
        is_soon = uncompared.is_copied or (received and not len(found.positions))
        max_lag = MAX_LAG_UNMATCHED if is_soon else MAX_LAG
        if not missing or time.monotonic() >= started_at + max_lag:
            break
        # Comparing takes the interpreter lock, and so delays the events that it waits for.
        transactions.wait(max(_COMPARE_INTERVAL, 2 * (time.monotonic() - compared_at)))

    is_doubtful = not uncompared.is_copied and not np.array_equal(found.positions, if_alive.positions)
    if is_doubtful and _was_alive(transactions, renew_lease, uncompared):
        found = if_alive

    def finish(cursor: Cursor) -> None:
        renew_lease(cursor)
        record(cursor, uncompared, found)

    transactions.until_committed(finish)
    logger.log(
        logging.WARNING if missing else logging.INFO,
        "feed %s: skipping %d events of %s that the predecessor has stored; %d of its last events did not arrive on "
        "the new connection",
        uncompared.feed,
        len(found.positions),
        journal.path,
        missing,
    )
    return found


def compare(cursor: Cursor, journal: Uncompared, groups: Iterable[FrameGroup], decode: Decode) -> Comparison:
    """Compare the successor's groups with what its predecessor stored, which is everything that it received."""
    feed, journal_number, end = journal.feed, journal.journal_number, journal.end
    if journal_number is None or end is None:
        return Comparison(ReceivedTwice.none(), 0, ReceivedTwice.none(), 0)
    taken = journal.taken or end
    until = max(end, taken) + MAX_LAG_NS
    found: tuple[list[int], list[int]] = ([], [])
    session = _Session()
    for part, continues in _parts(groups, until=until):
        if not continues:
            # Events that are missing from an ended session will not arrive any more, so they are not counted.
            session.compare(cursor, feed, found, journal_number=journal_number, end=end, taken=taken)
            session = _Session()
        session.add(part, decode, until=until)
    missing = session.compare(cursor, feed, found, journal_number=journal_number, end=end, taken=taken)
    twice, if_alive = (ReceivedTwice(np.array(sorted(each), dtype=np.int64)) for each in found)
    return Comparison(twice, missing, if_alive, session.received)


def _was_alive(transactions: Transactions, renew_lease: Callable[[Cursor], None], journal: Uncompared) -> bool:
    """Whether the predecessor has learned of the hand-over, and so received until then; waits for it to say so."""

    def work(cursor: Cursor) -> bool:
        renew_lease(cursor)
        cursor.execute(
            "SELECT closed_at IS NOT NULL FROM ticks_platform.feed_handover WHERE feed = %s AND epoch = %s",
            (journal.feed, journal.epoch),
        )
        row = cursor.fetchone()
        return bool(row and row[0])

    deadline = time.monotonic() + _CLOSED_WITHIN
    while not (closed := transactions.until_committed(work)) and time.monotonic() < deadline:
        transactions.wait(_COMPARE_INTERVAL)
    return closed


def record(cursor: Cursor, journal: Uncompared, found: ReceivedTwice) -> None:
    """Record the result, for this owner and any later one that loads the journal."""
    cursor.execute(
        sql_files.read("queries/handover/record_received_twice.sql"),
        {
            "number": len(found.positions),
            "positions": found.dump(),
            "feed": journal.feed,
            "epoch": journal.epoch,
        },
    )


def _settle(
    transactions: Transactions,
    renew_lease: Callable[[Cursor], None],
    journal: Uncompared,
    work: Callable[[Cursor], npt.NDArray[np.int64]],
) -> ReceivedTwice:
    """Compare and record in one transaction. Raises AbandonedError."""

    def settled(cursor: Cursor) -> ReceivedTwice:
        renew_lease(cursor)
        found = ReceivedTwice(work(cursor))
        record(cursor, journal, found)
        return found

    found = transactions.until_committed(settled)
    logger.warning(
        "feed %s: a journal came back that was not the last to receive; skipping %d of its events, which are stored",
        journal.feed,
        len(found.positions),
    )
    return found


def _parts(groups: Iterable[FrameGroup], *, until: int) -> Iterator[tuple[list[FrameGroup], bool]]:
    """Split the groups up to a time into parts, and tell of each whether it continues the session of the part before.

    It does not if a successor was killed before it took over, and another one started later.
    """
    part: list[FrameGroup] = []
    continues, last = False, None
    for group in groups:
        if group.first_arrival > until:
            break
        new_session = last is not None and (
            group.epoch != last.epoch or _steady(group, 0) > _steady(last, -1) + 2 * MAX_LAG_NS
        )
        if part and (new_session or len(part) >= _GROUPS):
            yield part, continues
            part, continues = [], not new_session
        part.append(group)
        last = group
    if part:
        yield part, continues


def _steady(group: FrameGroup, place: int) -> int:
    """When a frame of a group arrived, by a clock that is never set during an epoch."""
    return group.received_at[place] - (group.stepped or 0)


_Events = dict[Key, Arrivals]
"""By symbol, time and values."""


class _Session:
    """The events that one successor received without an interruption."""

    def __init__(self) -> None:
        self._begin = self._last = self._correction = 0
        self._clocks = ProviderClocks()
        self._events: dict[str, _Events] = {table: {} for table in FIELDS}

    def add(self, part: list[FrameGroup], decode: Decode, *, until: int) -> None:
        """Add the events that arrived up to a time."""
        batch = decode_groups(part, decode, clocks=self._clocks)
        self._begin = self._begin or batch.groups[0].first_arrival
        self._last, self._correction = batch.groups[-1].last_arrival, batch.groups[-1].correction
        for table, rows in ((TICKS, batch.ticks), (QUOTES, batch.quotes)):
            _add_received(self._events[table.name], table, rows, until=until)

    @property
    def received(self) -> int:
        """How many events were added."""
        return sum(len(each.positions) for events in self._events.values() for each in events.values())

    def compare(
        self,
        cursor: Cursor,
        feed: str,
        positions: tuple[list[int], list[int]],
        *,
        journal_number: int,
        end: int,
        taken: int,
    ) -> int:
        """Add the positions of events that the predecessor stored, for either end; returns the number of missing ones.

        `end` is the arrival of the predecessor's last frame. Until `taken`, by the clock that stamps the successor's
        frames, it received if it was alive.
        """
        if not self._begin:
            return 0
        missing = 0
        if_alive = max(end, taken + self._correction)
        since, until = self._begin - MAX_LAG_NS, max(self._begin, min(self._last, end)) + MAX_LAG_NS
        for table, events in self._events.items():
            order = _add_stored(cursor, feed, table, events, journal_number=journal_number, since=since, until=until)
            twice, not_received = match(events, order, begin=self._begin, end=end)
            positions[0].extend(twice)
            missing += not_received
            if if_alive > end:
                twice, _ = match(events, order, begin=self._begin, end=if_alive)
            positions[1].extend(twice)
        return missing


def _add_received(events: _Events, table: Table, rows: Rows, *, until: int) -> None:
    """Add the successor's events that arrived up to `until`."""
    if not rows.events:
        return
    compared = attrgetter("symbol", *FIELDS[table.name])
    times = (rows.times("time") // 1000).tolist()
    arrivals, positions = rows.received_at.tolist(), rows.positions.tolist()
    for event, at, arrival, position in zip(rows.as_events(), times, arrivals, positions, strict=True):
        is_trade = table is TICKS and (event.trade_id or event.size is not None)
        if arrival <= until and not is_trade:
            symbol, *values = compared(event)
            known = events.setdefault(key_of((symbol, at, *values)), Arrivals([], [], []))
            known.after.append(arrival)
            known.positions.append(position)


def _add_stored(
    cursor: Cursor, feed: str, table: str, events: _Events, *, journal_number: int, since: int, until: int
) -> list[Event]:
    """Add the events that the predecessor received between two times, in nanoseconds; returns them in their order."""
    oldest = min([since // 1000, *(key[1] for key in events)])
    cursor.execute(
        sql_files.read(_STORED[table]),
        {
            "feed": feed,
            "oldest": from_microseconds(oldest),
            "newest": from_microseconds((until + FUTURE_TOLERANCE) // 1000),
            "since": from_microseconds(since // 1000),
            "until": from_microseconds(until // 1000),
            "journal": f"{journal_number:04x}",
        },
    )
    order: list[Event] = []
    for *values, arrival in cursor:
        key = key_of(values)
        events.setdefault(key, Arrivals([], [], [])).before.append(arrival * 1000)
        order.append(Event(key, arrival * 1000))
    for known in events.values():
        known.before.sort()
    return order
