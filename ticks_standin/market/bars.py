"""Bars of the trades that were made: one second and one minute long, sent again when a late trade changes them."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterator

import msgspec

from ticks_standin.market.events import ALL, RANGE, VOLUME

SECOND_MS = 1_000
MINUTE_MS = 60_000
UNITS = 100_000_000
"""Volumes are integers in 1/``UNITS``, so that their sums are exact."""

_DAY_MS = 86_400_000


class Bar(msgspec.Struct, kw_only=True, gc=False):
    """One window of one key. Times in milliseconds of UNIX time, volumes in 1/``UNITS``.

    ``first`` and ``last`` are (time, arrival) of the first and last trade that may open and close it; a late trade may
    become either. Without one there is no bar, and nothing is sent.
    """

    start: int
    length: int
    open: float = 0.0
    high: float = -math.inf
    low: float = math.inf
    close: float = 0.0
    first: tuple[int, int] | None = None
    last: tuple[int, int] = (0, 0)
    volume: int = 0
    turnover: float = 0.0
    trades: int = 0
    times_sent: int = 0

    @property
    def end(self) -> int:
        """Beginning of the next window."""
        return self.start + self.length


class Day(msgspec.Struct, gc=False):
    """Totals of one key on one UTC day; ``open`` is 0 until a trade that may open the day."""

    number: int
    open: float = 0.0
    volume: int = 0
    turnover: float = 0.0


class Bars:
    """Collects trades, and yields bars once their window is over."""

    def __init__(self, *, delay_ms: int, memory_ms: int) -> None:
        """A bar is due ``delay_ms`` after the end of its window; after ``memory_ms`` it is not revised any more."""
        self._delay_ms = delay_ms
        self._memory_ms = memory_ms
        self._bars: dict[tuple[int, int], dict[Hashable, Bar]] = {}
        self._changed: dict[tuple[int, int], dict[Hashable, Bar]] = {}
        self._days: dict[Hashable, Day] = {}
        self._arrivals = 0
        self._horizon = 0

    def add(
        self, key: Hashable, price: float, volume: int, time_ms: int, *, sets: int = ALL, sets_day: int = ALL
    ) -> None:
        """Add a trade; ``volume`` is in 1/``UNITS``. ``sets`` and ``sets_day`` are those of an event."""
        if sets < VOLUME:
            return
        self._arrivals += 1
        order = (time_ms, self._arrivals)
        number = time_ms // _DAY_MS
        day = self._days.get(key)
        if day is None or number > day.number:
            day = self._days[key] = Day(number)
        if number == day.number:
            day.volume += volume
            day.turnover += price * volume
            if not day.open and sets_day == ALL:
                day.open = price
        for length in (SECOND_MS, MINUTE_MS):
            window = (length, time_ms - time_ms % length)
            if window[1] + length < self._horizon:
                # Its bar is forgotten; a new bar of this trade alone would replace the right one with a wrong one.
                continue
            bars = self._bars.setdefault(window, {})
            bar = bars.get(key)
            if bar is None:
                bar = bars[key] = Bar(start=window[1], length=length)
            if sets == ALL:
                if bar.first is None or order < bar.first:
                    bar.open, bar.first = price, order
                if order > bar.last:
                    bar.close, bar.last = price, order
            if sets >= RANGE:
                bar.high = max(bar.high, price)
                bar.low = min(bar.low, price)
            bar.volume += volume
            bar.turnover += price * volume
            bar.trades += 1
            self._changed.setdefault(window, {})[key] = bar

    def due(self, now_ms: int, *, unfinished: bool = False) -> Iterator[tuple[Hashable, Bar, Day]]:
        """The new and revised bars whose window is over; with ``unfinished``, also those still open."""
        over = [window for window in self._changed if unfinished or window[1] + window[0] + self._delay_ms <= now_ms]
        for window in sorted(over, key=lambda window: (window[1] + window[0], window[0])):
            for key, bar in self._changed.pop(window).items():
                if bar.first is None:
                    continue
                bar.times_sent += 1
                yield key, bar, self._days[key]
        self._horizon = now_ms - self._memory_ms
        for window in [window for window in self._bars if window[1] + window[0] < self._horizon]:
            if window not in self._changed:
                del self._bars[window]
