"""The candles of one symbol and width, in memory, with the volume that the provider's sums give."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from ticks_platform.timescale.candles.candles import ONE_DAY, Candle
from ticks_platform.timescale.candles.explanation import WIDTHS

LENGTH = 600
"""Candles of a series; older ones are asked for when somebody scrolls there."""

FOLLOWED = 3
"""How many candles before the one that is open are asked for again and again."""

Row = list[Any]
"""As the database has it: symbol, bucket in seconds since 1970, open, high, low, close, volume, day_volume, ticks."""

Point = list[Any]
"""As the page gets it: bucket, open, high, low, close, volume, ticks. Prices are None in a candle of volume alone."""


class Key(NamedTuple):
    """Which series."""

    symbol: str
    interval: str
    """One of WIDTHS: 1m, 1h, 1d."""

    @property
    def candle(self) -> Candle:
        """The table of its candles."""
        return WIDTHS[self.interval]

    @property
    def step(self) -> int:
        """Seconds of a candle."""
        return int(self.candle.bucket.total_seconds())


class Series:
    """The newest candles of a symbol."""

    def __init__(self, key: Key, rows: Iterable[Row], follows: float | None = None) -> None:
        """:param follows: the volume of the day before the first row; None if there is none, so that its day begins."""
        self.key = key
        self._rows: dict[int, Row] = {row[1]: row for row in rows}
        self._follows = follows
        self._points = self._all_points()

    @classmethod
    def of_history(cls, key: Key, history: dict[str, Any]) -> Series:
        """Of the content of the part `history` of an answer."""
        return cls(key, history["candles"], number(history["follows"]))

    @property
    def begin(self) -> int:
        """Bucket of the oldest candle; 0 if there is none."""
        return next(iter(self._rows), 0)

    @property
    def end(self) -> int:
        """Bucket of the newest candle; 0 if there is none."""
        return next(reversed(self._rows), 0)

    def changing_since(self, now: float, *, whole: bool) -> int:
        """The bucket since which candles are asked for: the last ones, whose ticks are on their way, or most of them.

        A time, and not the newest candle of a symbol that is not traded now: the query is for all symbols together.
        """
        buckets = 2 * LENGTH if whole else FOLLOWED
        return max(self.begin, int(now) // self.key.step * self.key.step - buckets * self.key.step)

    def points(self) -> list[Point]:
        """All candles, oldest first."""
        return list(self._points.values())

    def update(self, rows: Iterable[Row], *, since: int) -> list[Point]:
        """Put these in the place of all candles since a bucket; returns those that changed.

        A candle that is gone comes as its bucket alone.
        """
        kept = {at: row for at, row in self._rows.items() if at < since}
        merged = kept | {row[1]: row for row in rows if row[1] >= max(since, self.begin)}
        for at in list(merged)[:-LENGTH]:
            total = number(merged.pop(at)[7])
            if total is not None:
                self._follows = total if _is_new_day(total, self._follows) else max(total, self._follows or 0.0)
        before, self._rows = self._points, merged
        self._points = self._all_points()
        begin = self.begin
        changed = [point for at, point in self._points.items() if before.get(at) != point]
        gone = [[at] for at in before if at not in self._points and at >= begin]
        return sorted(gone + changed)

    def _all_points(self) -> dict[int, Point]:
        # A candle of a day does not follow the one before: its volume of the day is its own.
        each_is_a_day = self.key.candle is ONE_DAY
        return {point[0]: point for point in points(self._rows.values(), self._follows, each_is_a_day=each_is_a_day)}


def points(rows: Iterable[Row], follows: float | None, *, each_is_a_day: bool) -> Iterable[Point]:
    """Rows in order of time, as the page gets them.

    Where the provider sends no sizes, the volume is the growth of its volume of the day, as in
    sql/schema/derived_volumes.sql: a fall below half of it begins another day, and so does the first one.
    """
    highest = follows
    for _, at, opened, high, low, closed, volume, day_volume, ticks in rows:
        traded, total = number(volume), number(day_volume)
        if total is not None:
            is_new_day = each_is_a_day or _is_new_day(total, highest)
            if traded is None:
                traded = total if is_new_day else max(total - (highest or 0.0), 0.0)
            highest = total if is_new_day else max(total, highest or 0.0)
        prices = [number(price) for price in (opened, high, low, closed)]
        yield [at, *(prices if None not in prices else [None] * 4), traded, ticks]


def _is_new_day(total: float, highest: float | None) -> bool:
    return highest is None or total < highest / 2


def number(value: Any) -> float | None:
    """A finite number, or None: JSON of the database has others as text."""
    return value if isinstance(value, int | float) else None
