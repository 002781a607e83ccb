"""When a market is open: exchange calendars with holidays and half days, `24/5` for currencies, and `always`."""

from __future__ import annotations

import functools
from bisect import bisect_left, bisect_right
from datetime import date, datetime, time, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

from ticks_platform.errors import TicksPlatformError

ALWAYS = "always"
"""The calendar of a market that never closes."""

WEEKDAYS = "24/5"
"""The calendar of currencies: from Sunday 17:00 to Friday 17:00 in New York. (The `24/5` of exchange_calendars is open
on Friday evening, when nobody trades.)"""

_NEW_YORK = "America/New_York"
_EXTENDED_HOURS = time(4), time(20)
"""When trades of US stocks are reported, in New York. Regular hours are 09:30 to 16:00."""

_DAY = 86_400.0
_FIRST_SUNDAY = date(2000, 1, 2)
_WEEKS = 5200


class UnknownCalendarError(TicksPlatformError, ValueError):
    """No calendar has that name."""


class Opening(NamedTuple):
    """A period in which a market is open, and its trading day. Times are seconds since the Unix epoch."""

    opens: float
    closes: float
    session: date
    """The trading day as the exchange dates it: a session that opens in the evening has the date of the next day."""


class Calendar:
    """The sessions of one market. Times are seconds since the Unix epoch."""

    def __init__(self, name: str) -> None:
        """`name` is `always`, `24/5`, or an exchange's MIC such as XNYS. Raises UnknownCalendarError."""
        self.name = name
        self._opens: list[float] | None = None
        self._closes: list[float] = []
        self._openings: list[Opening] = []
        self._zone: ZoneInfo | None = None
        if name == ALWAYS:
            return
        if name == WEEKDAYS:
            self._opens, self._closes = _currency_weeks()
            self._openings = _currency_days()
            return
        # Imported here because it imports pandas, which a feed with `always` or `24/5` does not need.
        import exchange_calendars

        try:
            calendar = exchange_calendars.get_calendar(name)
        except exchange_calendars.errors.InvalidCalendarName:
            raise UnknownCalendarError(
                f"unknown calendar '{name}': use an exchange's MIC, such as XNYS, or 'always' or '24/5'"
            ) from None
        self._zone = ZoneInfo(str(calendar.tz))
        # Nothing is traded in a lunch break: a day with one has two openings.
        for day, begin, break_begin, break_end, end in calendar.schedule[
            ["open", "break_start", "break_end", "close"]
        ].itertuples():
            has_break = break_begin == break_begin  # NaT is not equal to itself
            for opens, closes in ((begin, break_begin), (break_end, end)) if has_break else ((begin, end),):
                self._openings.append(Opening(opens.timestamp(), closes.timestamp(), day.date()))
        self._opens = [opening.opens for opening in self._openings]
        self._closes = [opening.closes for opening in self._openings]

    def open_since(self, at: float) -> float | None:
        """When the session that is open at this moment opened; None while the market is closed."""
        if self._opens is None:
            return 0.0
        place = bisect_right(self._opens, at) - 1
        return self._opens[place] if place >= 0 and at < self._closes[place] else None

    def sessions(self, begin: float, end: float) -> list[tuple[float, float]]:
        """The parts of an interval in which the market is open."""
        if self._opens is None:
            return [(begin, end)] if begin < end else []
        first = max(bisect_right(self._opens, begin) - 1, 0)
        found = []
        for place in range(first, bisect_right(self._opens, end)):
            session = (max(begin, self._opens[place]), min(end, self._closes[place]))
            if session[0] < session[1]:
                found.append(session)
        return found

    def openings(self, begin: float, end: float) -> list[Opening]:
        """The openings that begin in this interval, uncut; none for `always`, which has no trading days.

        A day of `24/5` begins at 17:00 in New York, as its week does.
        """
        first = bisect_left(self._openings, (begin,))
        return self._openings[first : bisect_left(self._openings, (end,))]

    def extended_hours(self, day: date) -> tuple[float, float] | None:
        """When trades of a trading day can be reported; None on a day without a session.

        For US exchanges 04:00 to 20:00 in New York, for others the exchange's own day; for `always` and `24/5` the
        UTC day.
        """
        begins, ends = time(0), time(0)
        if self._zone is not None:
            noon = datetime.combine(day, time(12), self._zone).timestamp()
            near = self.openings(noon - 2 * _DAY, noon + 2 * _DAY)
            if not any(opening.session == day for opening in near):
                return None
            if self._zone.key == _NEW_YORK:
                begins, ends = _EXTENDED_HOURS
        zone = self._zone or ZoneInfo("UTC")
        last = day if ends > begins else day + timedelta(days=1)
        return datetime.combine(day, begins, zone).timestamp(), datetime.combine(last, ends, zone).timestamp()


def _currency_weeks() -> tuple[list[float], list[float]]:
    days = _currency_days()
    return [day.opens for day in days[::5]], [day.closes for day in days[4::5]]


@functools.cache
def _currency_days() -> list[Opening]:
    evening = datetime.combine(_FIRST_SUNDAY, time(17), ZoneInfo("America/New_York"))
    # Adding days to a time with a zone keeps the local hour.
    evenings = [evening + timedelta(weeks=week, days=day) for week in range(_WEEKS) for day in range(5)]
    return [
        Opening(begin.timestamp(), end.timestamp(), end.date())
        for begin, end in ((begin, begin + timedelta(days=1)) for begin in evenings)
    ]


@functools.cache
def calendar(name: str) -> Calendar:
    """The calendar of that name, cached. Raises UnknownCalendarError."""
    return Calendar(name)
