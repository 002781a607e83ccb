"""When a market is open: exchange calendars, with holidays and half days, and the two that never look at a clock."""

from __future__ import annotations

import functools
from bisect import bisect_left, bisect_right
from datetime import date, datetime, time, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

from ticks_platform.errors import TicksPlatformError

ALWAYS = "always"
"""The calendar of what never closes."""

WEEKDAYS = "24/5"
"""The calendar of currencies: from Sunday to Friday, both at 17:00 in New York. (Its namesake in exchange_calendars
is open on Friday evening, when nobody trades.)"""

_FIRST_SUNDAY = date(2000, 1, 2)
_WEEKS = 5200


class UnknownCalendarError(TicksPlatformError, ValueError):
    """There is no calendar of that name."""


class Opening(NamedTuple):
    """A time in which a market is open, and the trading day that it belongs to."""

    opens: float
    closes: float
    session: date
    """The day as the exchange dates it: one that opens in the evening has the date of the next day."""


class Calendar:
    """The sessions of one market. Times are seconds since the Unix epoch."""

    def __init__(self, name: str) -> None:
        """`name` is `always`, `24/5`, or an exchange's MIC such as XNYS. Raises UnknownCalendarError."""
        self.name = name
        self._opens: list[float] | None = None
        self._closes: list[float] = []
        self._openings: list[Opening] = []
        if name == ALWAYS:
            return
        if name == WEEKDAYS:
            self._opens, self._closes = _currency_weeks()
            self._openings = _currency_days()
            return
        import exchange_calendars  # here, since it brings pandas along, which a feed that never closes can do without

        try:
            calendar = exchange_calendars.get_calendar(name)
        except exchange_calendars.errors.InvalidCalendarName:
            raise UnknownCalendarError(
                f"there is no calendar '{name}': name an exchange by its MIC, such as XNYS, or write 'always' or '24/5'"
            ) from None
        # Breaks at noon are times of silence too: a day with one counts as two sessions.
        for day, begin, pause, again, end in calendar.schedule[
            ["open", "break_start", "break_end", "close"]
        ].itertuples():
            has_break = pause == pause  # NaT is not
            for opens, closes in ((begin, pause), (again, end)) if has_break else ((begin, end),):
                self._openings.append(Opening(opens.timestamp(), closes.timestamp(), day.date()))
        self._opens = [opening.opens for opening in self._openings]
        self._closes = [opening.closes for opening in self._openings]

    def open_since(self, at: float) -> float | None:
        """When the session that goes on at this moment began; None while the market is closed."""
        if self._opens is None:
            return 0.0
        place = bisect_right(self._opens, at) - 1
        return self._opens[place] if place >= 0 and at < self._closes[place] else None

    def sessions(self, begin: float, end: float) -> list[tuple[float, float]]:
        """The parts of this interval in which the market is open."""
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
        """What opens in this interval, each whole and with its trading day; nothing for `always`, which has no days.

        Currencies are open all week, and their days begin where the week does, at 17:00 in New York.
        """
        first = bisect_left(self._openings, (begin,))
        return self._openings[first : bisect_left(self._openings, (end,))]


def _currency_weeks() -> tuple[list[float], list[float]]:
    days = _currency_days()
    return [day.opens for day in days[::5]], [day.closes for day in days[4::5]]


@functools.cache
def _currency_days() -> list[Opening]:
    evening = datetime.combine(_FIRST_SUNDAY, time(17), ZoneInfo("America/New_York"))
    # Adding days to it keeps the hour of the clock.
    evenings = [evening + timedelta(weeks=week, days=day) for week in range(_WEEKS) for day in range(5)]
    return [
        Opening(begin.timestamp(), end.timestamp(), end.date())
        for begin, end in ((begin, begin + timedelta(days=1)) for begin in evenings)
    ]


@functools.cache
def calendar(name: str) -> Calendar:
    """The calendar of that name, made once. Raises UnknownCalendarError."""
    return Calendar(name)
