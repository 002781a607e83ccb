"""The regular hours of the US stock exchanges (XNYS, with holidays and half days)."""

from __future__ import annotations

import functools
from datetime import date, datetime, time, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

from ticks_platform.feeds.calendars import calendar
from ticks_platform.timestamps import EPOCH, SECOND, from_nanoseconds, to_nanoseconds

NEW_YORK = ZoneInfo("America/New_York")

DAY = 86_400 * SECOND
"""Nanoseconds of a UTC day."""

_SATURDAY = 5


class Hours(NamedTuple):
    """A period inside or outside regular hours, without its end. Times are nanoseconds since the Unix epoch."""

    begin: int
    end: int
    regular: bool


def hours_at(at: int) -> Hours:
    """The period of a moment: the opening moment is in regular hours, the closing moment is not.

    A period ends with its UTC day at the latest.
    """
    day = at // DAY
    # No regular hours begin before 09:30, end after 16:00 or are on a weekend. So at other times the calendar, whose
    # import takes seconds and 125 MB, is not needed.
    usual = _period(at, *_usual_hours(day))
    return _period(at, *_hours(day)) if usual.regular else usual


def hours_of_day(begin: int) -> list[Hours]:
    """The periods of the UTC day that begins at this moment."""
    opens, closes = _hours(begin // DAY)
    periods = [Hours(begin, opens, False), Hours(opens, closes, True), Hours(closes, begin + DAY, False)]
    return [period for period in periods if period.begin < period.end]


def new_york_date(at: int) -> date:
    """The date in New York of a moment, in nanoseconds since the Unix epoch."""
    return from_nanoseconds(at).astimezone(NEW_YORK).date()


def start_of_day(day: date) -> int:
    """Midnight in New York, in nanoseconds since the Unix epoch."""
    return to_nanoseconds(datetime.combine(day, time(), NEW_YORK))


def _period(at: int, opens: int, closes: int) -> Hours:
    begin = at // DAY * DAY
    if at < opens:
        return Hours(begin, opens, False)
    return Hours(opens, closes, True) if at < closes else Hours(closes, begin + DAY, False)


@functools.lru_cache(4096)
def _usual_hours(day: int) -> tuple[int, int]:
    """09:30 and 16:00 in New York, on a UTC day as days since the Unix epoch; a weekend has none of its own."""
    date_ = (EPOCH + timedelta(days=day)).date()
    if date_.weekday() >= _SATURDAY:
        return day * DAY, day * DAY
    opens, closes = (datetime.combine(date_, at, NEW_YORK) for at in (time(9, 30), time(16)))
    return to_nanoseconds(opens), to_nanoseconds(closes)


@functools.lru_cache(4096)
def _hours(day: int) -> tuple[int, int]:
    begin = day * DAY // SECOND
    for opening in calendar("XNYS").openings(begin, begin + DAY // SECOND):
        return round(opening.opens) * SECOND, round(opening.closes) * SECOND
    return day * DAY, day * DAY
