"""From frames to columns: decodes a batch, and rejects events that cannot be stored."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from itertools import chain
from operator import attrgetter
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ticks_platform.feeds.columns import Decoded, TickColumns
from ticks_platform.feeds.events import ARRIVAL, Bar, Control, Event, Rejected, Tick
from ticks_platform.ingestion.journal.file import FrameGroup, frame_size
from ticks_platform.ingestion.provider_clock import ENOUGH_EVENTS, Lead, ProviderClock, ProviderClocks
from ticks_platform.ingestion.rows import malformed_fields, rejected_events
from ticks_platform.ingestion.rows.rejected_events import RejectedEvent
from ticks_platform.ingestion.rows.tables import TABLES, Rows, Table
from ticks_platform.timescale.failures import UNSTORABLE
from ticks_platform.timescale.fingerprints import Change

FUTURE_TOLERANCE = 300 * 1_000_000_000
"""Nanoseconds by which a tick's time may be after its arrival; the table's CHECK allows the same."""

_SAMPLES = 32
"""Events of a connection, evenly spread over a batch, that stand for all of it."""

EARLIEST = 631_152_000 * 1_000_000_000
"""1990-01-01 in nanoseconds since the Unix epoch; the table's CHECK has the same limit."""

CHUNK_BYTES = 128 << 10
"""Bytes of frames that are decoded by one call: enough to make the call's cost negligible, few enough to hold the
interpreter lock for at most a millisecond, and to limit the frames that one malformed frame sends to the slow path."""

Decode = Callable[[bytes], list[Event]]
DecodeMany = Callable[[Sequence[bytes]], Decoded | None]


class DecodedBatch(NamedTuple):
    """The events of consecutive frame groups: rows of the tables, rejected events and control events."""

    groups: Sequence[FrameGroup]
    events_of: npt.NDArray[np.int64]
    """Number of events, by group."""
    control_of: npt.NDArray[np.int64]
    """Number of events without market data, by group."""
    ticks: Rows
    quotes: Rows
    bars: Rows
    official_prices: Rows
    corrections: Rows
    halts: Rows
    rejected: list[RejectedEvent]
    doubtful: bool = False
    """Whether the last events are from the future, and too few to tell whether their stamps or our clock are wrong."""

    @property
    def tables(self) -> list[tuple[Table, Rows]]:
        """Rows by table, without empty ones."""
        return [(table, rows) for table, rows in zip(TABLES, self.rows, strict=True) if rows.events]

    @property
    def rows(self) -> tuple[Rows, ...]:
        """Rows in the order of TABLES."""
        return (self.ticks, self.quotes, self.bars, self.official_prices, self.corrections, self.halts)

    @property
    def malformed(self) -> list[malformed_fields.Count]:
        """Events with an optional field that is left out, by arrival day and field."""
        kinds = (self.ticks, self.quotes, self.bars)
        return [count for each in kinds for count in malformed_fields.count(each.texts("malformed"), each.received_at)]

    def keeping(self, kept: Sequence[Rows], *, rejected: list[RejectedEvent]) -> DecodedBatch:
        """This batch with these rows, in the order of TABLES, and these rejected events."""
        ticks, quotes, bars, official_prices, corrections, halts = kept
        return self._replace(
            ticks=ticks,
            quotes=quotes,
            bars=bars,
            official_prices=official_prices,
            corrections=corrections,
            halts=halts,
            rejected=rejected,
        )

    @property
    def end(self) -> int:
        """The position after the last frame."""
        return self.groups[-1].end

    @property
    def frames(self) -> int:
        """Number of frames."""
        return sum(len(group.frames) for group in self.groups)

    def halves(self) -> tuple[DecodedBatch, DecodedBatch]:
        """The events of the first half of the groups, and those of the second half; there are two groups or more."""
        middle = len(self.groups) // 2
        boundary = self.groups[middle].position
        return self._part(slice(None, middle), -1, boundary), self._part(slice(middle, None), boundary, self.end)

    def _part(self, groups: slice, begin: int, end: int) -> DecodedBatch:
        names = ("ticks", "quotes", "bars", "official_prices", "corrections", "halts")
        parts: dict[str, Any] = {name: getattr(self, name).between(begin, end) for name in names}
        return self._replace(
            groups=self.groups[groups],
            events_of=self.events_of[groups],
            control_of=self.control_of[groups],
            rejected=[event for event in self.rejected if begin <= event.position < end],
            **parts,
        )

    def groups_of(self, positions: npt.NDArray[np.int64]) -> npt.NDArray[np.intp]:
        """The index of each position's group."""
        starts = np.fromiter(map(attrgetter("position"), self.groups), np.int64, len(self.groups))
        return np.searchsorted(starts, positions, side="right") - 1

    def connections_of(self, rejected: Sequence[RejectedEvent]) -> list[tuple[int, int]]:
        """The epoch and the connection of each rejected event."""
        numbers = self.groups_of(np.array([event.position for event in rejected], np.int64)).tolist()
        return [(self.groups[number].epoch, self.groups[number].connection) for number in numbers]

    def reject(self, position: int, received_at: int, reason: str) -> RejectedEvent:
        """A rejected event of this batch, with the bytes of its frame."""
        group = self.groups[int(self.groups_of(np.array([position]))[0])]
        starts = group.positions()
        frame = int(np.searchsorted(starts, position, side="right")) - 1
        return RejectedEvent(position, received_at, reason, group.frames[frame], position - int(starts[frame]))


class Stored(NamedTuple):
    """What became of a batch's rows."""

    loaded: list[tuple[Table, Rows]]
    replaced: list[Rows]
    """Bars and official prices that replaced an earlier one."""
    duplicate: list[Rows]
    """Trades that are stored already, and corrections that change nothing."""
    refused: list[RejectedEvent]
    """Events that the database rejected, in addition to the batch's `rejected`."""
    changed: list[Change]

    @property
    def loaded_rows(self) -> list[Rows]:
        """The new rows of all tables."""
        return [rows for _, rows in self.loaded]


def decode_groups(
    groups: Sequence[FrameGroup],
    decode: Decode,
    decode_many: DecodeMany | None = None,
    clocks: ProviderClocks | None = None,
    *,
    is_final: bool = True,
    chunk_bytes: int = CHUNK_BYTES,
) -> DecodedBatch:
    """Decode one group of frames or more, in order.

    `decode_many` decodes many frames, some `chunk_bytes`, at once, and returns None if it cannot; then `decode` decodes
    each by itself. `clocks` correct the arrivals, and learn from the events. If the batch is `doubtful` and not
    `is_final`, nothing is learned: decode it again with more groups.
    """
    frames = list(chain.from_iterable(group.frames for group in groups))
    ends = np.cumsum(np.fromiter(map(frame_size, frames), np.int64, len(frames)))
    chunks: list[Decoded] = []
    begin = 0
    while begin < len(frames):
        until = (ends[begin - 1] if begin else 0) + chunk_bytes
        end = max(int(np.searchsorted(ends, until, side="right")), begin + 1)
        chunks.append(_decode_chunk(frames[begin:end], decode, decode_many))
        begin = end
    events_per_frame = np.fromiter(chain.from_iterable(chunk.counts for chunk in chunks), np.int64, len(frames))
    events = int(events_per_frame.sum())
    firsts = np.repeat(np.cumsum(events_per_frame) - events_per_frame, events_per_frame)
    starts = np.concatenate([group.positions() for group in groups])
    stamps = np.fromiter(chain.from_iterable(group.received_at for group in groups), np.int64, len(frames))
    positions = np.repeat(starts, events_per_frame) + np.arange(events) - firsts
    received_at = np.repeat(stamps, events_per_frame)
    group_begins = np.cumsum([0, *(len(group.frames) for group in groups[:-1])])
    events_of = np.add.reduceat(events_per_frame, group_begins)

    rejected: list[RejectedEvent] = []
    control_of = np.zeros(len(groups), dtype=np.int64)
    parts: dict[type, list[Rows]] = {table.event: [] for table in TABLES}
    at = 0
    for chunk in chunks:
        rows = Rows(chunk.events, positions[at : at + len(chunk.events)], received_at[at : at + len(chunk.events)])
        if isinstance(chunk.events, TickColumns):
            parts[Tick].append(rows)
        else:
            _add_by_kind(rows, at, events_of, control_of, rejected, parts)
        at += len(chunk.events)
    rejected = rejected_events.with_frames(rejected, frames, starts, events_per_frame)
    nothing = Rows([], positions[:0], received_at[:0])
    ticks, quotes, bars, official_prices, corrections, halts = (
        Rows.joined(part) if part else nothing for part in parts.values()
    )
    if not all(malformed_fields.are_storable(ticks.texts(field)) for field in malformed_fields.TEXTS):
        ticks = ticks._replace(events=malformed_fields.clear(ticks.as_events()))
    batch = DecodedBatch(
        groups, events_of, control_of, ticks, quotes, bars, official_prices, corrections, halts, rejected
    )
    corrected = _corrections(groups, (ticks, quotes, bars), clocks or ProviderClocks(), is_final=is_final)
    if corrected is None:
        return batch._replace(doubtful=True)
    return _with_possible_times(_corrected(batch, corrected))


def _corrected(batch: DecodedBatch, corrections: Sequence[int]) -> DecodedBatch:
    """The batch with these corrections of the arrivals, by group."""
    groups = [
        group if not (learned := added - group.correction) else group._replace(correction=added, learned=learned)
        for group, added in zip(batch.groups, corrections, strict=True)
    ]
    batch = batch._replace(groups=groups)
    if not any(corrections):
        return batch
    of_group = np.array(corrections, np.int64)

    def of(rows: Rows) -> Rows:
        added = of_group[batch.groups_of(rows.positions)]
        return rows._replace(received_at=rows.received_at + added, correction=added)

    ticks, quotes, bars, official_prices, taken_back, halts = map(of, batch.rows)
    places = batch.groups_of(np.array([event.position for event in batch.rejected], np.int64)).tolist()
    rejected = [
        event._replace(received_at=event.received_at + corrections[place])
        for event, place in zip(batch.rejected, places, strict=True)
    ]
    return batch._replace(
        ticks=ticks,
        quotes=quotes,
        bars=bars,
        official_prices=official_prices,
        corrections=taken_back,
        halts=halts,
        rejected=rejected,
    )


def _decode_chunk(frames: Sequence[bytes], decode: Decode, decode_many: DecodeMany | None) -> Decoded:
    if decode_many is not None:
        # A bug in it must not stop the feed; `decode` below gives the result, or rejects the frame.
        with contextlib.suppress(Exception):
            decoded = decode_many(frames)
            if (
                decoded is not None
                and len(decoded.counts) == len(frames)
                and sum(decoded.counts) == len(decoded.events)
            ):
                return decoded
    events: list[Event] = []
    counts = []
    for frame in frames:
        try:
            of_frame = decode(frame)
        except Exception as error:  # noqa: BLE001  (a connector's bug must not stop its feed)
            of_frame = [Rejected(f"connector raised {type(error).__name__}: {error}", frame)]
        events += of_frame
        counts.append(len(of_frame))
    return Decoded(events, counts)


def _add_by_kind(
    rows: Rows,
    first: int,
    events_of: npt.NDArray[np.int64],
    control_of: npt.NDArray[np.int64],
    rejected: list[RejectedEvent],
    parts: dict[type, list[Rows]],
) -> None:
    """Add events of any kind to `control_of`, `rejected`, or the `parts` of their kind.

    `first` is the index of the first event in the batch.
    """
    events = rows.as_events()
    kinds = set(map(type, events))
    if len(kinds) == 1 and kinds <= parts.keys():
        parts[kinds.pop()].append(rows)
        return
    number_of = {type_: number for number, type_ in enumerate(parts)}
    kind = np.fromiter((number_of.get(type(event), -1) for event in events), np.int8, len(events))
    ends = events_of.cumsum()
    for place in np.flatnonzero(kind == -1).tolist():
        event = events[place]
        at = (int(rows.positions[place]), int(rows.received_at[place]))
        if isinstance(event, Control):
            control_of[np.searchsorted(ends, first + place, side="right")] += 1
        elif isinstance(event, Rejected):
            rejected.append(RejectedEvent(*at, event.reason, event.raw))
        else:
            reason = f"connector returned unsupported event type {type(event).__name__}"
            rejected.append(RejectedEvent(*at, reason, b""))
    for type_, number in number_of.items():
        chosen = kind == number
        if chosen.any():
            parts[type_].append(rows.where(chosen))


def _with_possible_times(batch: DecodedBatch) -> DecodedBatch:
    """Give events without a time their arrival, and reject those whose time the table's CHECK would reject."""
    rejected = list(batch.rejected)
    kept: list[Rows] = []
    for table, rows in zip(TABLES, batch.rows, strict=True):
        try:
            times = rows.times(table.time)
        except UNSTORABLE:
            rows = _reject_unstorable_times(batch, table, rows, rejected)
            times = rows.times(table.time)
        if (times == ARRIVAL).any():
            times = (rows := rows.arrived()).times(table.time)
        early, late = times < EARLIEST, times > rows.received_at + FUTURE_TOLERANCE
        refused = early | late
        for place in np.flatnonzero(refused).tolist():
            ahead = (int(times[place]) - int(rows.received_at[place])) / 1e9
            reason = "the time is before 1990" if early[place] else f"the time is {ahead:.0f} s after its arrival"
            rejected.append(batch.reject(int(rows.positions[place]), int(rows.received_at[place]), reason))
        kept.append(rows.where(~refused) if refused.any() else rows)
    return batch.keeping(kept, rejected=rejected)


def _reject_unstorable_times(batch: DecodedBatch, table: Table, rows: Rows, rejected: list[RejectedEvent]) -> Rows:
    """Reject the events whose time no column can hold, and return the others."""
    kept = np.ones(len(rows.events), dtype=np.bool_)
    for place in range(len(rows.events)):
        try:
            rows.part(place, place + 1).times(table.time)
        except UNSTORABLE as error:
            kept[place] = False
            why = "is not from 1677 to 2262" if isinstance(error, OverflowError) else f"cannot be stored: {error}"
            rejected.append(batch.reject(int(rows.positions[place]), int(rows.received_at[place]), f"the time {why}"))
    return rows.where(kept)


def _corrections(
    groups: Sequence[FrameGroup], kinds: Sequence[Rows], clocks: ProviderClocks, *, is_final: bool
) -> list[int] | None:
    """Nanoseconds to add to the arrivals of each group, after learning from its ticks, quotes and bars (`kinds`).

    None if not `is_final`, and the last events of a connection are from the future though too few to tell that our
    clock is behind: then nothing is learned. Groups of journals of older releases stay as they are.
    """
    by_connection: dict[tuple[int, int], list[int]] = {}
    for number, group in enumerate(groups):
        if group.stepped is not None:
            by_connection.setdefault((group.epoch, group.connection), []).append(number)
    found: list[tuple[ProviderClock, list[int], list[Lead]]] = []
    for key, numbers in by_connection.items():
        clock, last = clocks.of(*key), groups[numbers[-1]]
        if not clock.has_witness and any(groups[number].correction for number in numbers):
            # An earlier owner's frames: what it knew at last holds for those before too.
            clock.told = (last.stepped or 0) + last.correction
        leads = _leads(groups, kinds, None if len(numbers) == len(groups) else numbers)
        if not is_final and _is_doubtful(clock, leads, last.stepped or 0):
            return None
        found.append((clock, numbers, leads))
    result = [0] * len(groups)
    for clock, numbers, leads in found:
        if leads:
            clock.observe(leads, stepped=groups[numbers[-1]].stepped or 0)
        for number in numbers:
            result[number] = clock.correction(groups[number].stepped or 0)
    return result


def _is_doubtful(clock: ProviderClock, leads: Sequence[Lead], stepped: int) -> bool:
    limit = stepped + clock.correction(stepped) + FUTURE_TOLERANCE
    last = [each.lead > limit for each in leads[-ENOUGH_EVENTS:]]
    return any(last) and sum(last) < clock.needed()


def _leads(groups: Sequence[FrameGroup], kinds: Sequence[Rows], numbers: Sequence[int] | None) -> list[Lead]:
    """What some events tell, in the order of their arrival: of the groups with these numbers, or of all."""
    leads: list[Lead] = []
    starts = [group.position for group in groups]
    for rows in kinds:
        places = np.arange(len(rows.events))
        if numbers is not None:
            places = places[np.isin(np.searchsorted(starts, rows.positions, side="right") - 1, numbers)]
        places = _sample(places)
        group_of = np.searchsorted(starts, rows.positions[places], side="right") - 1
        for place, group in zip(places.tolist(), group_of.tolist(), strict=True):
            event = None if isinstance(rows.events, TickColumns) else rows.events[place]
            time = (
                rows.times("time")[place] if event is None else event.end_time if isinstance(event, Bar) else event.time
            )
            if isinstance(time, int | np.integer) and abs(int(time)) < 1 << 62:
                at = int(rows.received_at[place]) - (groups[group].stepped or 0)
                leads.append(Lead(at, int(time) - at))
    return sorted(leads)


def _sample(places: npt.NDArray[np.intp]) -> npt.NDArray[np.intp]:
    if len(places) <= _SAMPLES + ENOUGH_EVENTS:
        return places
    spread = np.linspace(0, len(places) - 1 - ENOUGH_EVENTS, _SAMPLES).astype(np.intp)
    return np.concatenate([places[spread], places[-ENOUGH_EVENTS:]])
