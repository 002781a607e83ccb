"""Hours of the US stock exchanges, by rule: weekdays 09:30 to 16:00 in New York, holidays and early closes.

Extended hours, 04:00 to 20:00, end as long after the close on days with an early close (at 17:00, as NYSE Arca's and
Nasdaq's late sessions do). Sources: the exchanges' published holidays and hours. A closing that was not planned, as a
day of mourning, is not known here. Tests may give hours of their own, which hold on every day.
"""

from __future__ import annotations

import re
from datetime import date, datetime, time, timedelta
from functools import lru_cache
from typing import NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

NEW_YORK = ZoneInfo("America/New_York")

_DAY_MS = 86_400_000
_EPOCH = date(1970, 1, 1)
_OPEN, _CLOSE, _EARLY_CLOSE = time(9, 30), time(16), time(13)
_SATURDAY, _SUNDAY = 5, 6


EXTENDED_HOURS = "04:00-20:00"
"""From the first to the last trade of the tape."""

_TIMES = re.compile(r"(\d\d:\d\d(?::\d\d)?)-(\d\d:\d\d(?::\d\d)?)(?: (\S+))?")


class Hours(NamedTuple):
    """Hours of one day, half-open, in milliseconds of UNIX time."""

    open_ms: int
    close_ms: int


def regular_hours(time_ms: int) -> Hours | None:
    """The regular hours of the day that a time lies in; None on a day without trading.

    They lie within one UTC day, so that this is the day of the time in UTC too, as far as they are concerned.
    """
    return _of_day(time_ms // _DAY_MS)


class TimesOfDay(NamedTuple):
    """Two times of a day, and the time zone if there is one."""

    begins: time
    ends: time
    zone: ZoneInfo | None

    @classmethod
    def parse(cls, text: str) -> TimesOfDay:
        """Read ``HH:MM-HH:MM``, also with seconds, and with a time zone after a space.

        Raises:
            ValueError: if it is something else, or ends before it begins.
        """
        problem = f"{text!r} is not two times as 04:00-20:00, with a time zone after them or none"
        found = _TIMES.fullmatch(text)
        if found is None:
            raise ValueError(problem)
        try:
            zone = ZoneInfo(found[3]) if found[3] else None
            times = cls(time.fromisoformat(found[1]), time.fromisoformat(found[2]), zone)
        except (ValueError, ZoneInfoNotFoundError, OSError):
            raise ValueError(problem) from None
        if times.begins >= times.ends:
            raise ValueError(f"{text!r} must end after it begins, on the same day")
        return times

    def on(self, day: date, zone: ZoneInfo) -> Hours:
        """These times on a day."""
        return Hours(_ms(day, self.begins, zone), _ms(day, self.ends, zone))


class TradingHours:
    """When US stocks and ETFs are traded, and which of these hours are regular.

    ``market`` is empty for trade around the clock; times as ``04:00-20:00`` are those of days on which the exchanges
    are open, in New York; with a time zone they are those of every day there, of which ``regular`` gives the regular
    ones, all if it is empty.
    """

    def __init__(self, market: str = "", regular: str = "") -> None:
        """Raises ValueError for what are not times, and for regular hours that are not within the market's."""
        self._market = TimesOfDay.parse(market) if market else None
        self._regular = TimesOfDay.parse(regular) if regular else self._market
        self.are_told = self._market is not None
        """Whether the market is ever closed."""
        self._zone = (self._market.zone if self._market else None) or NEW_YORK
        self._every_day = self._market is not None and self._market.zone is not None
        if regular and (not self._every_day or TimesOfDay.parse(regular).zone):
            raise ValueError("regular hours are given without a time zone, to market hours that have one")
        if self._market and self._regular:
            within = self._market.begins <= self._regular.begins and self._regular.ends <= self._market.ends
            if not within:
                raise ValueError(f"regular hours {regular} are not within the market's, {market}")

    def market(self, time_ms: int) -> Hours | None:
        """The hours of the day that a time lies in, extended hours included; None for a day without, or without end."""
        if self._market is None:
            return None
        day = datetime.fromtimestamp(time_ms / 1_000, self._zone).date()
        return self._market.on(day, self._zone) if self._every_day else _extended(day, self._market)

    def regular(self, time_ms: int) -> Hours | None:
        """The regular hours of the day that a time lies in; None on a day without any."""
        if not self._every_day or self._regular is None:
            return regular_hours(time_ms)
        return self._regular.on(datetime.fromtimestamp(time_ms / 1_000, self._zone).date(), self._zone)

    def is_open(self, time_ms: int) -> bool:
        """Whether there is trade, in regular or extended hours."""
        return self._market is None or _within(self.market(time_ms), time_ms)

    def is_regular(self, time_ms: int) -> bool:
        """Whether a time is in regular hours."""
        return _within(self.regular(time_ms), time_ms)


def _within(hours: Hours | None, time_ms: int) -> bool:
    return hours is not None and hours.open_ms <= time_ms < hours.close_ms


@lru_cache(maxsize=64)
def _extended(day: date, times: TimesOfDay) -> Hours | None:
    regular = _of_day((day - _EPOCH).days)
    if regular is None:
        return None
    opens, closes = times.on(day, NEW_YORK)
    usual = _ms(day, _CLOSE)
    # After an early close, late trade ends as much earlier.
    return Hours(opens, closes - max(min(closes, usual) - regular.close_ms, 0))


@lru_cache(maxsize=64)
def _of_day(number: int) -> Hours | None:
    day = _EPOCH + timedelta(days=number)
    if day.weekday() >= _SATURDAY or day in _holidays(day.year):
        return None
    closes = _EARLY_CLOSE if day in _early_closes(day.year) else _CLOSE
    return Hours(_ms(day, _OPEN), _ms(day, closes))


def _ms(day: date, at: time, zone: ZoneInfo = NEW_YORK) -> int:
    return round(datetime.combine(day, at, zone).timestamp()) * 1_000


@lru_cache(maxsize=16)
def _holidays(year: int) -> frozenset[date]:
    fixed = [date(year, 7, 4), date(year, 12, 25)]
    if year >= 2022:
        fixed.append(date(year, 6, 19))
    days = {_observed(day) for day in fixed}
    new_year = date(year, 1, 1)
    # A Saturday's New Year is not made up for: the Friday before ends the year's books.
    if new_year.weekday() != _SATURDAY:
        days.add(_observed(new_year))
    days |= {_nth(year, 1, 0, 3), _nth(year, 2, 0, 3), _nth(year, 9, 0, 1), _nth(year, 11, 3, 4)}
    last_of_may = date(year, 5, 31)
    days.add(last_of_may - timedelta(days=last_of_may.weekday()))
    days.add(_easter(year) - timedelta(days=2))
    return frozenset(days)


@lru_cache(maxsize=16)
def _early_closes(year: int) -> frozenset[date]:
    """The day after Thanksgiving, and the eves of Independence Day and Christmas."""
    return frozenset({_nth(year, 11, 3, 4) + timedelta(days=1), date(year, 7, 3), date(year, 12, 24)})


def _observed(day: date) -> date:
    return day + timedelta(days={_SATURDAY: -1, _SUNDAY: 1}.get(day.weekday(), 0))


def _nth(year: int, month: int, weekday: int, n: int) -> date:
    """The n-th such weekday of a month, Monday being 0."""
    first = date(year, month, 1)
    return first + timedelta(days=(weekday - first.weekday()) % 7 + 7 * (n - 1))


def _easter(year: int) -> date:
    """Easter Sunday, by the anonymous Gregorian algorithm."""
    a, b, c = year % 19, year // 100, year % 100
    d = (19 * a + b - b // 4 - (b - (b + 8) // 25 + 1) // 3 + 15) % 30
    e = (32 + 2 * (b % 4) + 2 * (c // 4) - d - c % 4) % 7
    f = d + e - 7 * ((a + 11 * d + 22 * e) // 451) + 114
    return date(year, f // 31, f % 31 + 1)
