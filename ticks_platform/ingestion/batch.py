"""From frames to columns: decode, refuse at the door what cannot be a tick, lay out the rest for COPY."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import chain, compress
from operator import attrgetter
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ticks_platform.feeds.events import Control, Event, Rejected, Tick
from ticks_platform.ingestion.journal import FrameGroup
from ticks_platform.ingestion.tick_id import tick_ids
from ticks_platform.timescale import copy

COLUMNS = ("time", "symbol", "price", "day_volume", "tick_id", "size", "bid", "ask", "feed", "received_at")
"""Columns of stocks_real_time in the order of `encode_ticks`."""

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


class TickBatch(NamedTuple):
    """Ticks with their places in the journal; all three are of one length."""

    ticks: Sequence[Tick]
    positions: npt.NDArray[np.int64]
    received_at: npt.NDArray[np.int64]

    def part(self, begin: int, end: int) -> TickBatch:
        """The ticks from `begin` up to `end`."""
        return TickBatch(self.ticks[begin:end], self.positions[begin:end], self.received_at[begin:end])


class DecodedBatch(NamedTuple):
    """What a run of frame groups held: every event is a tick, a rejected one, or a control event."""

    groups: Sequence[FrameGroup]
    events_of: npt.NDArray[np.int64]
    """How many events each group held."""
    control_of: npt.NDArray[np.int64]
    """How many of them carried no market data."""
    ticks: TickBatch
    rejected: list[RejectedEvent]

    @property
    def end(self) -> int:
        """The position after the last frame."""
        return self.groups[-1].end

    @property
    def symbols(self) -> int:
        """How many different symbols its ticks have."""
        return len(set(map(attrgetter("symbol"), self.ticks.ticks)))

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
    # One look in C at the types of all events: almost every batch is ticks only.
    if set(map(type, events)) - {Tick}:
        is_tick = np.fromiter((type(event) is Tick for event in events), np.bool_, len(events))
        for place in np.flatnonzero(~is_tick).tolist():
            event = events[place]
            at = (int(positions[place]), int(received_at[place]))
            if isinstance(event, Control):
                control_of[np.searchsorted(events_of.cumsum(), place, side="right")] += 1
            elif isinstance(event, Rejected):
                rejected.append(RejectedEvent(*at, event.reason, event.raw))
            else:
                rejected.append(RejectedEvent(*at, f"the connector made a {type(event).__name__} of it", b""))
        events = list(compress(events, is_tick.tolist()))
        positions, received_at = positions[is_tick], received_at[is_tick]
    ticks = TickBatch(events, positions, received_at)  # type: ignore[arg-type]  # only ticks are left
    return _refuse_at_the_door(DecodedBatch(groups, events_of, control_of, ticks, rejected))


def _refuse_at_the_door(batch: DecodedBatch) -> DecodedBatch:
    """Set aside the ticks whose time the table would refuse, without a round trip."""
    ticks = batch.ticks
    try:
        times = _times(ticks)
    except (OverflowError, TypeError, ValueError):
        return batch  # the loader splits the batch until it has found the tick
    early, late = times < EARLIEST, times > ticks.received_at + FUTURE_TOLERANCE
    refused = early | late
    if not refused.any():
        return batch
    rejected = list(batch.rejected)
    for place in np.flatnonzero(refused).tolist():
        ahead = (int(times[place]) - int(ticks.received_at[place])) / 1e9
        reason = "its time is before 1990" if early[place] else f"its time is {ahead:.0f} s after its arrival"
        rejected.append(batch.reject(int(ticks.positions[place]), int(ticks.received_at[place]), reason))
    kept = ~refused
    remaining = TickBatch(list(compress(ticks.ticks, kept.tolist())), ticks.positions[kept], ticks.received_at[kept])
    return batch._replace(ticks=remaining, rejected=rejected)


def encode_ticks(batch: TickBatch, *, feed: str, journal_number: int) -> bytes:
    """The batch as one binary COPY into stocks_real_time (`COLUMNS`).

    Raises OverflowError, TypeError or ValueError when a tick holds what its column cannot.
    """
    ticks = batch.ticks
    times = _times(batch)
    symbols = list(map(attrgetter("symbol"), ticks))
    words = list(dict.fromkeys(symbols))
    code_of = {word: code for code, word in enumerate(words)}
    return copy.encode(
        (
            copy.timestamptz(times),
            copy.TextColumn(
                np.fromiter(map(code_of.__getitem__, symbols), np.intp, len(ticks)), [word.encode() for word in words]
            ),
            copy.float8(_floats(ticks, "price")),
            copy.int8(_floats(ticks, "day_volume")),
            copy.Column(tick_ids(times, batch.positions, journal_number)),
            copy.float8(_floats(ticks, "size")),
            copy.float8(_floats(ticks, "bid")),
            copy.float8(_floats(ticks, "ask")),
            copy.TextColumn(np.zeros(len(ticks), np.intp), [feed.encode()]),
            copy.timestamptz(batch.received_at),
        )
    )


def _times(batch: TickBatch) -> npt.NDArray[np.int64]:
    return np.fromiter(map(attrgetter("time"), batch.ticks), np.int64, len(batch.ticks))


def _floats(ticks: Sequence[Tick], field: str) -> npt.NDArray[np.float64]:
    values = list(map(attrgetter(field), ticks))
    # A field that the provider never sends is all None, and numpy is slow at that.
    if values and values[0] is None and values.count(None) == len(values):
        return np.full(len(values), np.nan)
    # numpy takes None for NaN here, which the encoder then writes as NULL.
    return np.array(values, dtype=np.float64)
