"""From frames to columns: decode, refuse at the door what cannot be a tick, lay out the rest for COPY."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import chain, compress
from operator import attrgetter
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ticks_platform.feeds.events import Bar, Control, Event, Quote, Rejected, Tick
from ticks_platform.ingestion.destinations import BARS, DESTINATIONS, QUOTES, TICKS, UNSTORABLE, Destination, Rows
from ticks_platform.ingestion.journal import FrameGroup

FUTURE_TOLERANCE = 300 * 1_000_000_000
"""Nanoseconds that a tick may be ahead of its arrival; the table's CHECK allows the same."""

EARLIEST = 631_152_000 * 1_000_000_000
"""1990-01-01 in nanoseconds since the Unix epoch; the table's CHECK begins there too."""

Decode = Callable[[bytes], list[Event]]


class RejectedEvent(NamedTuple):
    """A row of rejected_event."""

    position: int
    received_at: int
    reason: str
    raw: bytes


class DecodedBatch(NamedTuple):
    """What a run of frame groups held: every event is a tick, a rejected one, or a control event."""

    groups: Sequence[FrameGroup]
    events_of: npt.NDArray[np.int64]
    """How many events each group held."""
    control_of: npt.NDArray[np.int64]
    """How many of them carried no market data."""
    ticks: Rows
    quotes: Rows
    bars: Rows
    rejected: list[RejectedEvent]

    @property
    def tables(self) -> list[tuple[Destination, Rows]]:
        """The rows by the table that they go to."""
        return [
            (destination, rows)
            for destination, rows in ((TICKS, self.ticks), (QUOTES, self.quotes), (BARS, self.bars))
            if rows.events
        ]

    @property
    def end(self) -> int:
        """The position after the last frame."""
        return self.groups[-1].end

    @property
    def symbols(self) -> int:
        """How many different symbols its ticks have."""
        return len(set(map(attrgetter("symbol"), self.ticks.events)))

    @property
    def frames(self) -> int:
        """How many frames there were."""
        return sum(len(group.frames) for group in self.groups)

    def groups_of(self, positions: npt.NDArray[np.int64]) -> npt.NDArray[np.intp]:
        """Which group each position lies in."""
        starts = np.fromiter(map(attrgetter("position"), self.groups), np.int64, len(self.groups))
        return np.searchsorted(starts, positions, side="right") - 1

    def reject(self, position: int, received_at: int, reason: str) -> RejectedEvent:
        """A rejected event of this batch, with the bytes of the frame that it stands in."""
        group = self.groups[int(self.groups_of(np.array([position]))[0])]
        frame = int(np.searchsorted(group.positions(), position, side="right")) - 1
        return RejectedEvent(position, received_at, reason, group.frames[frame])


def decode_groups(groups: Sequence[FrameGroup], decode: Decode) -> DecodedBatch:
    """Decode groups of frames, which are in order and at least one."""
    events: list[Event] = []
    counts: list[int] = []
    events_of = np.empty(len(groups), dtype=np.int64)
    for number, group in enumerate(groups):
        before = len(events)
        for frame in group.frames:
            try:
                decoded = decode(frame)
            except Exception as error:  # noqa: BLE001  (a connector's bug must not stop its feed)
                decoded = [Rejected(f"the connector failed: {type(error).__name__}: {error}", frame)]
            events += decoded
            counts.append(len(decoded))
        events_of[number] = len(events) - before
    events_per_frame = np.array(counts, dtype=np.int64)
    firsts = np.repeat(np.cumsum(events_per_frame) - events_per_frame, events_per_frame)
    starts = np.concatenate([group.positions() for group in groups])
    arrivals = np.fromiter(chain.from_iterable(group.received_at for group in groups), np.int64, len(counts))
    positions = np.repeat(starts, events_per_frame) + np.arange(len(events)) - firsts
    received_at = np.repeat(arrivals, events_per_frame)

    rejected: list[RejectedEvent] = []
    control_of = np.zeros(len(groups), dtype=np.int64)
    nothing = Rows([], positions[:0], received_at[:0])
    rows: dict[type, Rows] = dict.fromkeys((Tick, Quote, Bar), nothing)
    # One look in C at the types of all events: almost every batch is of one kind only.
    kinds = set(map(type, events))
    if len(kinds) == 1 and kinds <= rows.keys():
        rows[kinds.pop()] = Rows(events, positions, received_at)
    elif kinds:
        rows.update(_sort_out(events, positions, received_at, events_of, control_of, rejected))
    batch = DecodedBatch(groups, events_of, control_of, rows[Tick], rows[Quote], rows[Bar], rejected)
    return _refuse_at_the_door(batch)


def _sort_out(
    events: list[Event],
    positions: npt.NDArray[np.int64],
    received_at: npt.NDArray[np.int64],
    events_of: npt.NDArray[np.int64],
    control_of: npt.NDArray[np.int64],
    rejected: list[RejectedEvent],
) -> dict[type, Rows]:
    """Events of several kinds, apart; those that are no rows are counted in `control_of`, or put to `rejected`."""
    types = list(map(type, events))
    number_of: dict[type, int] = {Tick: 0, Quote: 1, Bar: 2}
    kind = np.fromiter((number_of.get(type_, 3) for type_ in types), np.int8, len(events))
    ends = events_of.cumsum()
    for place in np.flatnonzero(kind == 3).tolist():
        event = events[place]
        at = (int(positions[place]), int(received_at[place]))
        if isinstance(event, Control):
            control_of[np.searchsorted(ends, place, side="right")] += 1
        elif isinstance(event, Rejected):
            rejected.append(RejectedEvent(*at, event.reason, event.raw))
        else:
            rejected.append(RejectedEvent(*at, f"the connector made a {type(event).__name__} of it", b""))
    found: dict[type, Rows] = {}
    for type_, number in number_of.items():
        chosen = kind == number
        if chosen.any():
            found[type_] = Rows(list(compress(events, chosen.tolist())), positions[chosen], received_at[chosen])
    return found


def _refuse_at_the_door(batch: DecodedBatch) -> DecodedBatch:
    """Set aside the events whose time their table would refuse, without a round trip."""
    rejected = list(batch.rejected)
    kept: list[Rows] = []
    for destination, rows in zip(DESTINATIONS, (batch.ticks, batch.quotes, batch.bars), strict=True):
        try:
            times = rows.times(destination.time)
        except UNSTORABLE:
            rows = _refuse_what_is_no_time(batch, destination, rows, rejected)
            times = rows.times(destination.time)
        early, late = times < EARLIEST, times > rows.received_at + FUTURE_TOLERANCE
        refused = early | late
        if not refused.any():
            kept.append(rows)
            continue
        for place in np.flatnonzero(refused).tolist():
            ahead = (int(times[place]) - int(rows.received_at[place])) / 1e9
            reason = "its time is before 1990" if early[place] else f"its time is {ahead:.0f} s after its arrival"
            rejected.append(batch.reject(int(rows.positions[place]), int(rows.received_at[place]), reason))
        kept.append(rows.where(~refused))
    return batch._replace(ticks=kept[0], quotes=kept[1], bars=kept[2], rejected=rejected)


def _refuse_what_is_no_time(
    batch: DecodedBatch, destination: Destination, rows: Rows, rejected: list[RejectedEvent]
) -> Rows:
    """Set aside the events whose time no column can hold; the times of the others can be asked for all at once."""
    kept = np.ones(len(rows.events), dtype=np.bool_)
    for place in range(len(rows.events)):
        try:
            rows.part(place, place + 1).times(destination.time)
        except UNSTORABLE as error:
            kept[place] = False
            reason = f"its time cannot be stored: {error}"
            rejected.append(batch.reject(int(rows.positions[place]), int(rows.received_at[place]), reason))
    return rows.where(kept)
