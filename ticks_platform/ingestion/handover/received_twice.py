"""What two owners of a feed have both received while one followed the other: found event by event, and stored once.

An event is told by what it says: symbol, time and values. Where the provider sends the very same more than once, such
as one price twice within a second, the copies are told apart by when they arrived: the predecessor has the earlier ones
up to its end, the successor the later ones from its begin, and the division is the one that fits the arrivals best.
What is assumed is that both connections carry the same events, at a lag that is about the same for all of them. An
event that only one of them got is stored; where nothing matches, as when the provider sends each connection something
else, nothing is left out. Trades with an id are not looked at here, since `duplicates` knows them; bars replace each
other.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from operator import attrgetter
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ticks_platform.ingestion.journal.file import FrameGroup
from ticks_platform.ingestion.rows.decode import FUTURE_TOLERANCE, Decode, DecodedBatch, decode_groups
from ticks_platform.ingestion.rows.tables import QUOTES, TICKS, Rows, Table
from ticks_platform.timescale import sql_files
from ticks_platform.timestamps import from_microseconds

if TYPE_CHECKING:
    from psycopg2.extensions import cursor as Cursor  # noqa: N812

_LAG = 10_000_000_000
"""Nanoseconds that an event may reach one connection later than the other, at the most."""

_LAST = 1_000_000_000
"""Nanoseconds before the predecessor's end: what it received then, the successor was subscribed to as well."""

_GROUPS = 500
"""Groups of frames that are decoded at a time."""


_FIELDS = {
    TICKS.name: ("price", "day_volume", "size", "bid", "ask", "exchange"),
    QUOTES.name: ("bid", "bid_size", "ask", "ask_size", "exchange"),
}
"""The fields of an event that tell it from others, beside its symbol and its time."""

_STORED = {
    TICKS.name: "queries/handover/stored_ticks.sql",
    QUOTES.name: "queries/handover/stored_quotes.sql",
}
"""The queries for the rows that one journal brought; their columns are in the order of `_FIELDS`."""


class Overlap:
    """Events of a journal that are stored already, by position."""

    def __init__(self, positions: npt.NDArray[np.int64]) -> None:
        self.positions = positions

    @classmethod
    def nothing(cls) -> Overlap:
        """No event at all."""
        return cls(np.empty(0, dtype=np.int64))

    @classmethod
    def load(cls, data: bytes) -> Overlap:
        """What `dump` made."""
        return cls(np.frombuffer(zlib.decompress(data), dtype="<i8").astype(np.int64))

    def dump(self) -> bytes:
        """As the database keeps it."""
        return zlib.compress(self.positions.astype("<i8").tobytes())

    def is_behind(self, position: int) -> bool:
        """Whether none of them is at this position or after it."""
        return not len(self.positions) or int(self.positions[-1]) < position

    def leave_out(self, batch: DecodedBatch) -> tuple[DecodedBatch, list[Rows]]:
        """The batch without those events, and what was left out of it."""
        left_out = []
        kept: list[Rows] = []
        for rows in (batch.ticks, batch.quotes):
            twice = np.isin(rows.positions, self.positions, assume_unique=True)
            if twice.any():
                left_out.append(rows.where(twice))
                rows = rows.where(~twice)
            kept.append(rows)
        return batch._replace(ticks=kept[0], quotes=kept[1]), left_out


class Unsettled(NamedTuple):
    """A journal of a successor's of which it is not decided yet what is stored already."""

    feed: str
    epoch: int
    journal_number: int | None
    """The predecessor's; None where that never loaded anything."""
    end: int | None
    """When its last frame arrived, in nanoseconds since the Unix epoch."""


class _Copies(NamedTuple):
    """Arrivals of one and the same event, in nanoseconds, and its positions in the successor's journal."""

    before: list[int]
    after: list[int]
    positions: list[int]


_Events = dict[tuple[Any, ...], _Copies]
"""By what they say."""


class Found(NamedTuple):
    """What is stored already, as far as can be told by now."""

    overlap: Overlap
    missing: int
    """Events that the predecessor received last, and that have not reached the successor, or not yet."""


def look(cursor: Cursor, journal_id: str) -> Overlap | Unsettled | None:
    """What of a journal is stored already, or that this has to be decided; None where no other owner had received it.

    To be asked when what the predecessor's journal holds is loaded.
    """
    cursor.execute(sql_files.read("queries/handover/left_out_of_journal.sql"), {"journal_id": journal_id})
    row = cursor.fetchone()
    if row is None:
        return None
    feed, epoch, positions, journal_number, end = row
    return Unsettled(feed, epoch, journal_number, end) if positions is None else Overlap.load(bytes(positions))


def find(cursor: Cursor, unsettled: Unsettled, groups: Iterable[FrameGroup], decode: Decode) -> Found:
    """Which events of these groups, the successor's, are stored already, as far as can be told by now.

    All that the predecessor has received is stored.
    """
    feed, journal_number, end = unsettled.feed, unsettled.journal_number, unsettled.end
    if journal_number is None or end is None:
        return Found(Overlap.nothing(), 0)
    positions: list[int] = []
    stretch = _Stretch()
    for part, goes_on in _parts(groups, until=end + _LAG):
        if not goes_on:
            # What such a one has not received does not come any more.
            stretch.compare(cursor, feed, positions, journal_number=journal_number, end=end)
            stretch = _Stretch()
        stretch.note(part, decode, until=end + _LAG)
    missing = stretch.compare(cursor, feed, positions, journal_number=journal_number, end=end)
    return Found(Overlap(np.array(sorted(positions), dtype=np.int64)), missing)


def settle(cursor: Cursor, unsettled: Unsettled, decided: Overlap) -> None:
    """Write down what is stored already: whoever loads the journal will obey."""
    cursor.execute(
        sql_files.read("queries/handover/settle.sql"),
        {
            "number": len(decided.positions),
            "positions": decided.dump(),
            "feed": unsettled.feed,
            "epoch": unsettled.epoch,
        },
    )


def _parts(groups: Iterable[FrameGroup], *, until: int) -> Iterator[tuple[list[FrameGroup], bool]]:
    """Groups up to a time, some at once, and whether they go on where those before ended.

    They do not where a successor was killed before it took over, and another one came after a while.
    """
    part: list[FrameGroup] = []
    goes_on, last = False, None
    for group in groups:
        if group.received_at[0] > until:
            break
        breaks_off = last is not None and (
            group.epoch != last.epoch or group.received_at[0] > last.received_at[-1] + 2 * _LAG
        )
        if part and (breaks_off or len(part) >= _GROUPS):
            yield part, goes_on
            part, goes_on = [], not breaks_off
        part.append(group)
        last = group
    if part:
        yield part, goes_on


class _Stretch:
    """What a successor received without a break."""

    def __init__(self) -> None:
        self._begin = self._last = 0
        self._events: dict[str, _Events] = {table: {} for table in _FIELDS}

    def note(self, part: list[FrameGroup], decode: Decode, *, until: int) -> None:
        """Take note of what it received up to a time."""
        self._begin = self._begin or part[0].received_at[0]
        self._last = part[-1].received_at[-1]
        batch = decode_groups(part, decode)
        for table, rows in ((TICKS, batch.ticks), (QUOTES, batch.quotes)):
            _note(self._events[table.name], table, rows, until=until)

    def compare(self, cursor: Cursor, feed: str, positions: list[int], *, journal_number: int, end: int) -> int:
        """Add the positions of what is stored already; returns how many events the predecessor has received last that
        are not here."""
        if not self._begin:
            return 0
        missing = 0
        since, until = self._begin - _LAG, max(self._begin, min(self._last, end)) + _LAG
        for table, events in self._events.items():
            _look_up(cursor, feed, table, events, journal_number=journal_number, since=since, until=until)
            twice, not_here = _compare(list(events.values()), begin=self._begin, end=end)
            positions += twice
            missing += not_here
        return missing


def _note(events: _Events, table: Table, rows: Rows, *, until: int) -> None:
    """Take note of the successor's events that arrived up to `until`."""
    if not rows.events:
        return
    telling = attrgetter("symbol", *_FIELDS[table.name])
    times = (rows.times("time") // 1000).tolist()
    arrivals, positions = rows.received_at.tolist(), rows.positions.tolist()
    for event, time, arrival, position in zip(rows.as_events(), times, arrivals, positions, strict=True):
        if arrival <= until and not getattr(event, "trade_id", None):
            symbol, *values = telling(event)
            copies = events.setdefault(_key((symbol, time, *values)), _Copies([], [], []))
            copies.after.append(arrival)
            copies.positions.append(position)


def _look_up(
    cursor: Cursor, feed: str, table: str, events: _Events, *, journal_number: int, since: int, until: int
) -> None:
    """Add what the predecessor has received in a time, which is given in nanoseconds."""
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
    for *key, arrival in cursor:
        events.setdefault(_key(key), _Copies([], [], [])).before.append(arrival * 1000)
    for known in events.values():
        known.before.sort()


def _compare(copies: list[_Copies], *, begin: int, end: int) -> tuple[list[int], int]:
    """The positions of the successor's copies that the predecessor has too, and how many of the latter's last ones
    are not among the successor's."""
    # Only of what came while both received: else, two events may be alike, and say nothing of the lag.
    lags = [
        each.after[0] - each.before[0]
        for each in copies
        if len(each.before) == len(each.after) == 1
        and min(each.before[0], each.after[0]) >= begin
        and max(each.before[0], each.after[0]) <= end
    ]
    lag = int(np.median(lags)) if lags else 0
    positions: list[int] = []
    missing = 0
    for each in copies:
        if each.before:
            number = in_common(each.before, each.after, begin=begin, end=end, lag=lag)
            positions += each.positions[:number]
            if each.before[-1] > max(begin, end - _LAST):
                missing += max(0, sum(arrival >= begin - lag for arrival in each.before) - number)
    return positions, missing


def in_common(before: list[int], after: list[int], *, begin: int, end: int, lag: int = 0) -> int:
    """How many of the successor's copies of an event, the first ones, are the predecessor's last ones.

    `before` and `after` are their arrivals there and here, ascending, in nanoseconds, `lag` how much later they reach
    the successor, `begin` and `end` the successor's first and the predecessor's last frame. Of all numbers, the one is
    chosen for which the arrivals differ least, where a copy counts that the other one should have had too.
    """
    if len(before) == len(after) == 1:
        # As almost all are; the rest of this would say the same.
        first_at, second_at = before[0], after[0] - lag
        apart = max(0, end - second_at) + max(0, first_at - (begin - lag))
        return int(abs(second_at - first_at) <= apart)
    first = np.array(before, dtype=np.float64)
    second = np.array(after, dtype=np.float64) - lag
    missed_before = np.clip(end - second, 0, None)
    missed_after = np.clip(first - (begin - lag), 0, None)
    best, lowest = 0, float("inf")
    for number in range(min(len(first), len(second)) + 1):
        split = len(first) - number
        cost = np.abs(second[:number] - first[split:]).sum() + missed_before[number:].sum() + missed_after[:split].sum()
        if cost <= lowest:
            best, lowest = number, cost
    return best


def _key(values: Iterable[Any]) -> tuple[Any, ...]:
    # NaN is NULL in the database, and not equal to itself.
    return tuple(None if value != value else value for value in values)
