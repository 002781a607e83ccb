"""The table of each kind of event, and its columns as COPY data."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import chain, compress
from operator import attrgetter
from typing import Any, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from ticks_platform.feeds.coded import Coded
from ticks_platform.feeds.columns import TickColumns, floats, texts
from ticks_platform.feeds.events import ARRIVAL, Bar, Correction, OfficialPrice, Quote, Tick, TradingHalt, arrived
from ticks_platform.feeds.updates import ALL
from ticks_platform.timescale import columnstore, copy
from ticks_platform.timescale.failures import UNSTORABLE

JOURNAL_BITS, POSITION_BITS = 16, 46
"""Bits of a tick_id for the journal number, and for the position in that journal."""


class Rows(NamedTuple):
    """Events of one kind, with their positions in the journal and arrival times in nanoseconds; of equal length."""

    events: list[Any] | TickColumns
    positions: npt.NDArray[np.int64]
    received_at: npt.NDArray[np.int64]
    correction: npt.NDArray[np.int64] | None = None
    """What was added to the arrivals, since the clock of this machine was wrong; None if nothing was to any."""

    def part(self, begin: int, end: int) -> Rows:
        """The events from index `begin` up to `end`."""
        events = self.events
        part = events.part(begin, end) if isinstance(events, TickColumns) else events[begin:end]
        correction = None if self.correction is None else self.correction[begin:end]
        return Rows(part, self.positions[begin:end], self.received_at[begin:end], correction)

    def where(self, kept: npt.NDArray[np.bool_]) -> Rows:
        """The events for which `kept` is true."""
        events = self.events
        chosen = events.where(kept) if isinstance(events, TickColumns) else list(compress(events, kept.tolist()))
        correction = None if self.correction is None else self.correction[kept]
        return Rows(chosen, self.positions[kept], self.received_at[kept], correction)

    def between(self, begin: int, end: int) -> Rows:
        """The events from this position in the journal up to that one."""
        return self.where((self.positions >= begin) & (self.positions < end))

    @classmethod
    def joined(cls, parts: Sequence[Rows]) -> Rows:
        """Concatenate one part or more."""
        if len(parts) == 1:
            return parts[0]
        return cls(
            _joined([part.events for part in parts]),
            np.concatenate([part.positions for part in parts]),
            np.concatenate([part.received_at for part in parts]),
            _joined_corrections(parts),
        )

    def marked(self, bit: int) -> Rows:
        """These ticks with a bit of `updates` set, where None means ALL."""
        if not isinstance(self.events, TickColumns):
            return self._replace(events=[_marked(tick, bit) for tick in self.events])
        bits = self.events.updates
        marked = np.full(len(self.events), float(ALL | bit))
        if bits is not None:
            known = ~np.isnan(bits)
            marked[known] = bits[known].astype(np.int64) | bit
        return self._replace(events=replace(self.events, updates=marked))

    def arrived(self) -> Rows:
        """These events, at their arrival where they have no time of their own."""
        if isinstance(self.events, TickColumns):
            times = np.where(self.events.time == ARRIVAL, self.received_at, self.events.time)
            return self._replace(events=replace(self.events, time=times))
        return self._replace(events=list(map(arrived, self.events, self.received_at.tolist())))

    def as_events(self) -> list[Any]:
        """The events as objects."""
        return self.events.ticks() if isinstance(self.events, TickColumns) else self.events

    def column(self, field: str) -> Sequence[Any]:
        """A text field of every event; None for an event without it."""
        values = self.texts(field)
        return [None] * len(self.events) if values is None else values

    def texts(self, field: str) -> Sequence[Any] | None:
        """A field of every event that is text or a tuple; None if no event has it."""
        if isinstance(self.events, TickColumns):
            column: Sequence[Any] | None = getattr(self.events, field)
            return column
        return texts(list(map(attrgetter(field), self.events)))

    def numbers(self, field: str) -> npt.NDArray[np.float64] | None:
        """A numeric field of every event, NaN for an event without it; None if no event has it.

        Raises OverflowError, TypeError or ValueError.
        """
        if isinstance(self.events, TickColumns):
            column: npt.NDArray[np.float64] | None = getattr(self.events, field)
            return column
        return floats(list(map(attrgetter(field), self.events)))

    def times(self, field: str) -> npt.NDArray[np.int64]:
        """A time field of every event, in nanoseconds since the Unix epoch. Raises OverflowError or TypeError."""
        if isinstance(self.events, TickColumns):
            column: npt.NDArray[np.int64] = getattr(self.events, field)
            return column
        return np.fromiter(map(attrgetter(field), self.events), np.int64, len(self.events))


def _joined_corrections(parts: Sequence[Rows]) -> npt.NDArray[np.int64] | None:
    if all(part.correction is None for part in parts):
        return None
    return np.concatenate(
        [np.zeros(len(part.events), np.int64) if part.correction is None else part.correction for part in parts]
    )


def _marked(tick: Tick, bit: int) -> Tick:
    updates = ALL if tick.updates is None else tick.updates
    # What is no number cannot be stored; `store` finds it.
    return msgspec.structs.replace(tick, updates=updates | bit) if isinstance(updates, int) else tick


def _joined(parts: Sequence[list[Any] | TickColumns]) -> list[Any] | TickColumns:
    if any(isinstance(part, TickColumns) for part in parts):
        try:
            return TickColumns.joined(
                [part if isinstance(part, TickColumns) else TickColumns.of(part) for part in parts]
            )
        except UNSTORABLE:
            pass  # one of them cannot be stored; `store` finds it by splitting the batch
    return list(chain.from_iterable(part.ticks() if isinstance(part, TickColumns) else part for part in parts))


class Upserted(NamedTuple):
    """Stored rows of which a later one replaces an earlier one of its key."""

    inserted: Rows
    """The first of each new key."""
    replaced: Rows
    """Those that replaced one that was stored, or an earlier one of these rows."""


class Table(NamedTuple):
    """A table for one kind of event."""

    name: str
    event: type
    time: str
    """The event's field by which the hypertable is partitioned."""
    columns: tuple[str, ...]
    encode: Callable[[Rows, str, int], bytes] | None
    """Encode rows, given feed and journal number, as binary COPY data; None if they are not copied, since they may
    change others. Raises one of UNSTORABLE."""

    def columns_of(self, rows: Rows) -> tuple[str, ...]:
        """The columns that `encode` encodes of these rows."""
        has_raw = self.event is Tick and rows.correction is not None
        return (*self.columns, "received_at_raw") if has_raw else self.columns


def _encode_ticks(rows: Rows, feed: str, journal_number: int) -> bytes:
    times = rows.times("time")
    return copy.encode(
        (
            copy.timestamptz(times),
            _repeated_text(rows, "symbol"),
            _float8(rows, "price"),
            _float8(rows, "day_volume"),
            copy.Column(tick_ids(times, rows.positions, journal_number)),
            _float8(rows, "size"),
            _float8(rows, "bid"),
            _float8(rows, "ask"),
            _repeated_text(rows, "exchange"),
            _text(rows, "trade_id"),
            _constant(feed, rows),
            copy.timestamptz(rows.received_at),
            _int2(rows, "updates"),
            _int2_arrays(rows, "conditions"),
            *(() if rows.correction is None else (_raw_arrivals(rows, rows.correction),)),
        ),
        _order(rows, times),
    )


def _encode_quotes(rows: Rows, feed: str, journal_number: int) -> bytes:
    times = rows.times("time")
    return copy.encode(
        (
            copy.timestamptz(times),
            _repeated_text(rows, "symbol"),
            _float8(rows, "bid"),
            _float8(rows, "bid_size"),
            _float8(rows, "ask"),
            _float8(rows, "ask_size"),
            copy.Column(tick_ids(times, rows.positions, journal_number)),
            _repeated_text(rows, "exchange"),
            _constant(feed, rows),
            copy.timestamptz(rows.received_at),
        )
    )


TICKS = Table(
    "stocks_real_time",
    Tick,
    "time",
    (
        "time",
        "symbol",
        "price",
        "day_volume",
        "tick_id",
        "size",
        "bid",
        "ask",
        "exchange",
        "trade_id",
        "feed",
        "received_at",
        "updates",
        "conditions",
    ),
    _encode_ticks,
)

QUOTES = Table(
    "stock_quotes",
    Quote,
    "time",
    (
        "time",
        "symbol",
        "bid_price",
        "bid_size",
        "ask_price",
        "ask_size",
        "quote_id",
        "exchange",
        "feed",
        "received_at",
    ),
    _encode_quotes,
)

BARS = Table(
    "stock_aggregates",
    Bar,
    "start_time",
    (
        "symbol",
        "start_time",
        "end_time",
        "open_price",
        "high_price",
        "low_price",
        "close_price",
        "volume",
        "average_price",
        "feed",
        "received_at",
    ),
    None,
)

OFFICIAL_PRICES = Table(
    "official_price",
    OfficialPrice,
    "time",
    ("time", "symbol", "session", "kind", "price", "size", "exchange", "is_primary", "feed", "received_at"),
    None,
)

CORRECTIONS = Table(
    "tick_correction",
    Correction,
    "time",
    (
        "correction_id",
        "time",
        "symbol",
        "exchange",
        "trade_id",
        "feed",
        "kind",
        "tick_id",
        "known_at",
        "source",
        "price",
        "size",
        "updates",
        "conditions",
    ),
    None,
)

HALTS = Table("trading_halt", TradingHalt, "time", ("time", "symbol", "kind", "feed", "received_at"), None)

TABLES = (TICKS, QUOTES, BARS, OFFICIAL_PRICES, CORRECTIONS, HALTS)


def _order(rows: Rows, times: npt.NDArray[np.int64]) -> npt.NDArray[np.intp] | None:
    """The order in which to copy ticks that the server may compress at once; None for others."""
    symbols = rows.events.symbol if isinstance(rows.events, TickColumns) else None
    if not isinstance(symbols, Coded):
        return None
    names = sorted(symbols.counts())
    if len(names) > np.iinfo(np.uint16).max or not columnstore.is_worthwhile(rows=len(times), symbols=len(names)):
        return None
    rank_of = {name: rank for rank, name in enumerate(names)}
    ranks = np.fromiter((rank_of.get(name, 0) for name in symbols.values), np.uint16, len(symbols.values))
    return columnstore.order(ranks[symbols.codes], times)


def _repeated_text(rows: Rows, field: str) -> copy.AnyColumn:
    """A text column with few distinct values."""
    return _by_dictionary(rows, field, str.encode)


def _by_dictionary(rows: Rows, field: str, encode: Callable[[Any], bytes]) -> copy.AnyColumn:
    values = rows.texts(field)
    if values is None:
        return copy.Null(len(rows.events))
    column = (values if isinstance(values, Coded) else Coded.of(values)).map(
        lambda value: None if value is None else encode(value)
    )
    return copy.TextColumn(column.codes, column.values)


def _text(rows: Rows, field: str) -> copy.AnyColumn:
    values = rows.texts(field)
    return copy.Null(len(rows.events)) if values is None else copy.text(values)


def _float8(rows: Rows, field: str) -> copy.AnyColumn:
    values = rows.numbers(field)
    return copy.Null(len(rows.events)) if values is None else copy.float8(values)


def _int2(rows: Rows, field: str) -> copy.AnyColumn:
    values = rows.numbers(field)
    return copy.Null(len(rows.events)) if values is None else copy.int2(values)


def _raw_arrivals(rows: Rows, correction: npt.NDArray[np.int64]) -> copy.AnyColumn:
    """The arrivals by the clock of this machine, where they were corrected."""
    null = correction == 0
    return copy.timestamptz(rows.received_at - correction)._replace(null=null if null.any() else None)


def _int2_arrays(rows: Rows, field: str) -> copy.AnyColumn:
    return _by_dictionary(rows, field, copy.int2_array)


def _constant(value: str, rows: Rows) -> copy.TextColumn:
    return copy.TextColumn(np.zeros(len(rows.events), np.intp), [value.encode()])


def tick_ids(
    times: npt.NDArray[np.int64], positions: npt.NDArray[np.int64], journal_number: int
) -> npt.NDArray[np.void]:
    """UUIDs of ticks, 16 bytes each, which sort by event time, then by arrival.

    `times` are event times in nanoseconds since the Unix epoch, `positions` the ticks' positions in their journal. The
    layout is UUID version 7 (RFC 9562, section 5.7) with the fraction of section 6.2, method 3: 48 bits of
    milliseconds, 12 bits of a millisecond's fraction, then 46 bits of position (70 terabytes) and 16 bits of journal
    number, so that two journals never make the same id.
    """
    milliseconds, rest = np.divmod(times, 1_000_000)
    fraction = rest * 4096 // 1_000_000
    high = (milliseconds.astype(np.uint64) << np.uint64(16)) | np.uint64(0x7000) | fraction.astype(np.uint64)
    free = (positions.astype(np.uint64) << np.uint64(JOURNAL_BITS)) | np.uint64(journal_number)
    low = np.uint64(0x8000_0000_0000_0000) | (free & np.uint64(0x3FFF_FFFF_FFFF_FFFF))
    ids = np.empty((len(times), 2), dtype=">u8")
    ids[:, 0] = high
    ids[:, 1] = low
    return ids.view("V16").reshape(-1)
