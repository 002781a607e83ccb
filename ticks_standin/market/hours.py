"""Regular hours of the US stock exchanges, by rule: weekdays 09:30 to 16:00 in New York, holidays and early closes.

Sources: NYSE's published holidays and hours. A closing that was not planned, as a day of mourning, is not known here.
"""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from functools import lru_cache
from typing import NamedTuple
from zoneinfo import ZoneInfo

NEW_YORK = ZoneInfo("America/New_York")

_DAY_MS = 86_400_000
_EPOCH = date(1970, 1, 1)
_OPEN, _CLOSE, _EARLY_CLOSE = time(9, 30), time(16), time(13)
_SATURDAY, _SUNDAY = 5, 6


class Hours(NamedTuple):
    """The regular hours of one day, half-open, in milliseconds of UNIX time."""

    open_ms: int
    close_ms: int


def regular_hours(time_ms: int) -> Hours | None:
    """The regular hours of the day that a time lies in; None on a day without trading.

    They lie within one UTC day, so that this is the day of the time in UTC too, as far as they are concerned.
    """
    return _of_day(time_ms // _DAY_MS)


def is_regular(time_ms: int) -> bool:
    """Whether the exchanges are open, extended hours not counted."""
    hours = _of_day(time_ms // _DAY_MS)
    return hours is not None and hours.open_ms <= time_ms < hours.close_ms


@lru_cache(maxsize=64)
def _of_day(number: int) -> Hours | None:
    day = _EPOCH + timedelta(days=number)
    if day.weekday() >= _SATURDAY or day in _holidays(day.year):
        return None
    closes = _EARLY_CLOSE if day in _early_closes(day.year) else _CLOSE
    return Hours(_ms(day, _OPEN), _ms(day, closes))


def _ms(day: date, at: time) -> int:
    return round(datetime.combine(day, at, NEW_YORK).timestamp()) * 1_000


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
