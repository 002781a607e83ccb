"""Where the rows of each kind of event go, and as what columns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ticks_platform.feeds.events import Bar, Quote, Tick
from ticks_platform.ingestion.tick_id import tick_ids
from ticks_platform.timescale import copy

UNSTORABLE = (AttributeError, OverflowError, TypeError, ValueError)
"""What is raised on the way to the database when an event holds what its column cannot."""


class Rows(NamedTuple):
    """Events of one kind with their places in the journal; all three are of one length."""

    events: Sequence[Any]
    positions: npt.NDArray[np.int64]
    received_at: npt.NDArray[np.int64]

    def part(self, begin: int, end: int) -> Rows:
        """The events from `begin` up to `end`."""
        return Rows(self.events[begin:end], self.positions[begin:end], self.received_at[begin:end])

    def where(self, kept: npt.NDArray[np.bool_]) -> Rows:
        """The events for which `kept` is true."""
        return Rows(
            [self.events[place] for place in np.flatnonzero(kept).tolist()],
            self.positions[kept],
            self.received_at[kept],
        )

    def column(self, field: str) -> list[Any]:
        """One field of every event."""
        return list(map(attrgetter(field), self.events))

    def times(self, field: str) -> npt.NDArray[np.int64]:
        """A field that is a time, in nanoseconds. Raises OverflowError or TypeError."""
        return np.fromiter(map(attrgetter(field), self.events), np.int64, len(self.events))


class Destination(NamedTuple):
    """A table for one kind of event."""

    table: str
    event: type
    time: str
    """The field of the event that says which chunk it goes to."""
    columns: tuple[str, ...]
    encode: Callable[[Rows, str, int], bytes] | None
    """Rows, feed and journal number as one binary COPY, or None where a row may replace another. Raises one of
    UNSTORABLE when an event holds what its column cannot."""


def _encode_ticks(rows: Rows, feed: str, journal_number: int) -> bytes:
    times = rows.times("time")
    return copy.encode(
        (
            copy.timestamptz(times),
            _words(rows.column("symbol")),
            copy.float8(_floats(rows, "price")),
            copy.int8(_floats(rows, "day_volume")),
            copy.Column(tick_ids(times, rows.positions, journal_number)),
            copy.float8(_floats(rows, "size")),
            copy.float8(_floats(rows, "bid")),
            copy.float8(_floats(rows, "ask")),
            _words(rows.column("exchange")),
            copy.text(rows.column("trade_id")),
            _constant(feed, rows),
            copy.timestamptz(rows.received_at),
        )
    )


def _encode_quotes(rows: Rows, feed: str, journal_number: int) -> bytes:
    times = rows.times("time")
    return copy.encode(
        (
            copy.timestamptz(times),
            _words(rows.column("symbol")),
            copy.float8(_floats(rows, "bid")),
            copy.float8(_floats(rows, "bid_size")),
            copy.float8(_floats(rows, "ask")),
            copy.float8(_floats(rows, "ask_size")),
            copy.Column(tick_ids(times, rows.positions, journal_number)),
            _words(rows.column("exchange")),
            _constant(feed, rows),
            copy.timestamptz(rows.received_at),
        )
    )


TICKS = Destination(
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
    ),
    _encode_ticks,
)

QUOTES = Destination(
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

BARS = Destination(
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

DESTINATIONS = (TICKS, QUOTES, BARS)


def _words(values: Sequence[str | None]) -> copy.TextColumn:
    words = list(dict.fromkeys(values))
    if len(words) == 1:
        codes = np.zeros(len(values), np.intp)
    else:
        code_of = {word: code for code, word in enumerate(words)}
        codes = np.fromiter(map(code_of.__getitem__, values), np.intp, len(values))
    return copy.TextColumn(codes, [None if word is None else word.encode() for word in words])


def _constant(value: str, rows: Rows) -> copy.TextColumn:
    return copy.TextColumn(np.zeros(len(rows.events), np.intp), [value.encode()])


def _floats(rows: Rows, field: str) -> npt.NDArray[np.float64]:
    values = rows.column(field)
    # A field that the provider never sends is all None, and numpy is slow at that.
    if values and values[0] is None and values.count(None) == len(values):
        return np.full(len(values), np.nan)
    # numpy takes None for NaN here, which the encoder then writes as NULL.
    return np.array(values, dtype=np.float64)
