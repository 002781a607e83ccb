"""When a market is open: exchange calendars with holidays and half days, `24/5` for currencies, and `always`."""

from __future__ import annotations

import functools
import math
from bisect import bisect_left, bisect_right
from datetime import date, datetime, time, timedelta, timezone
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
    day_begins: float
    """When the trading day begins, extended hours included: at midnight of the exchange's time zone, or at the opening
    if that is earlier, but not before the closing of the previous day."""
    day_ends: float
    """When it ends: at the next midnight, or at the closing if that is later, but not after the next day's opening."""


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
        days = calendar.schedule[["open", "break_start", "break_end", "close"]]
        following = [opens.timestamp() for opens in days["open"].iloc[1:]] + [math.inf]
        closed = 0.0
        # Nothing is traded in a lunch break: a day with one has two openings.
        for (day, begin, break_begin, break_end, end), opens_next in zip(days.itertuples(), following, strict=True):
            midnight = datetime.combine(day.date(), time(), calendar.tz)
            day_begins = min(begin.timestamp(), max(closed, midnight.timestamp()))
            closed = end.timestamp()
            # Adding a day to a time with a zone keeps the local hour.
            day_ends = max(closed, min(opens_next, (midnight + timedelta(days=1)).timestamp()))
            has_break = break_begin == break_begin  # NaT is not equal to itself
            for opens, closes in ((begin, break_begin), (break_end, end)) if has_break else ((begin, end),):
                self._openings.append(Opening(opens.timestamp(), closes.timestamp(), day.date(), day_begins, day_ends))
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
        midnight = datetime.combine(day, time(), self._zone or timezone.utc)
        if self._zone is None:
            return midnight.timestamp(), (midnight + timedelta(days=1)).timestamp()
        near = self.openings(midnight.timestamp() - _DAY, midnight.timestamp() + 2 * _DAY)
        opening = next((opening for opening in near if opening.session == day), None)
        if opening is None:
            return None
        if self._zone.key != _NEW_YORK:
            return opening.day_begins, opening.day_ends
        begins, ends = (datetime.combine(day, at, self._zone).timestamp() for at in _EXTENDED_HOURS)
        return begins, ends


def _currency_weeks() -> tuple[list[float], list[float]]:
    days = _currency_days()
    return [day.opens for day in days[::5]], [day.closes for day in days[4::5]]


@functools.cache
def _currency_days() -> list[Opening]:
    evening = datetime.combine(_FIRST_SUNDAY, time(17), ZoneInfo("America/New_York"))
    # Adding days to a time with a zone keeps the local hour.
    evenings = [evening + timedelta(weeks=week, days=day) for week in range(_WEEKS) for day in range(5)]
    return [
        Opening(begin.timestamp(), end.timestamp(), end.date(), begin.timestamp(), end.timestamp())
        for begin, end in ((begin, begin + timedelta(days=1)) for begin in evenings)
    ]


@functools.cache
def calendar(name: str) -> Calendar:
    """The calendar of that name, cached. Raises UnknownCalendarError."""
    return Calendar(name)
