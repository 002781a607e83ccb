"""When a market is open: exchange calendars with holidays and half days, `24/5` for currencies, and `always`.

A calendar of sending hours says when a provider sends data of a market, which may be longer than the market's regular
hours: `XNYS 04:00-20:00` has these hours on each day on which XNYS has a session.
"""

from __future__ import annotations

import functools
import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from datetime import date, datetime, time, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo

from ticks_platform.errors import TicksPlatformError
from ticks_platform.feeds.exchange_sessions import Opening as Opening
from ticks_platform.feeds.exchange_sessions import UnknownCalendarError as UnknownCalendarError
from ticks_platform.feeds.exchange_sessions import exchange

ALWAYS = "always"
"""The calendar of a market that never closes; its days are those of UTC."""

WEEKDAYS = "24/5"
"""The calendar of currencies: days from 17:00 to 17:00 in New York, Monday's from Sunday evening. Those of 25 December
and 1 January are closed: ZFX (2023) and FXOpen (2020, 2024) announced these hours, and Lean has them as holidays of
OANDA (pull request 3600). The `24/5` of exchange_calendars is open then, and on Friday evening."""

REGULAR = "regular"
"""The sending hours of a provider that sends while the market is open."""

US_STOCKS = "04:00-20:00"
"""When trades of US stocks are reported, in New York. Regular hours are 09:30 to 16:00."""

_NEW_YORK = ZoneInfo("America/New_York")
_HOLIDAYS = {(12, 25), (1, 1)}

_TIME = r"(?:[01]\d|2[0-4]):[0-5]\d(?::[0-5]\d)?"
_HOURS = re.compile(rf"({_TIME})-({_TIME})")

_DAY = 86_400.0
_MIDNIGHT = timedelta(days=1)
_FIRST_DAY = date(2000, 1, 2)
_DAYS = 36_400
_EPOCH = date(1970, 1, 1).toordinal()
_SUNDAY, _SATURDAY = 6, 5


class InvalidHoursError(TicksPlatformError, ValueError):
    """These are no sending hours."""


class Calendar:
    """The sessions of one market. Times are seconds since the Unix epoch."""

    def __init__(self, name: str) -> None:
        """`name` is `always`, `24/5`, an exchange's MIC such as XNYS, or one of these with sending hours, as in
        `XNYS 04:00-20:00`. Raises UnknownCalendarError.
        """
        self.name = name
        self._zone: tzinfo = timezone.utc
        self._usual_close: timedelta | None = None
        """When sessions close unless they close early; None if they do not, or if nothing is known of what follows."""
        market, hours = _split(name)
        if hours is not None:
            self._openings = _sending_hours(calendar(market), *hours)
            self._zone = calendar(market)._zone
        elif name == ALWAYS:
            self._openings = []
        elif name == WEEKDAYS:
            self._openings = _currency_days()
            self._zone = _NEW_YORK
        else:
            self._read_exchange()
        self._opens, self._closes = _merged(self._openings)

    def _read_exchange(self) -> None:
        found = exchange(self.name)
        self._zone = ZoneInfo(found.zone)
        if found.usual_close is not None:
            self._usual_close = timedelta(seconds=found.usual_close)
        self._openings = found.openings

    @property
    def market(self) -> Calendar:
        """The calendar of the market's regular hours, if this one has sending hours; else itself."""
        name, hours = _split(self.name)
        return self if hours is None else calendar(name)

    def open_since(self, at: float) -> float | None:
        """When the session that is open at this moment opened; None while the market is closed."""
        if self.name == ALWAYS:
            return 0.0
        place = bisect_right(self._opens, at) - 1
        return self._opens[place] if place >= 0 and at < self._closes[place] else None

    def sessions(self, begin: float, end: float) -> list[tuple[float, float]]:
        """The parts of an interval in which the market is open."""
        if self.name == ALWAYS:
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
        """From the first opening of a trading day to its last closing; None on a day without a session.

        The day of `always` is that of UTC.
        """
        midnight = datetime.combine(day, time(), self._zone)
        if self.name == ALWAYS:
            return midnight.timestamp(), (midnight + _MIDNIGHT).timestamp()
        near = self.openings(midnight.timestamp() - 2 * _DAY, midnight.timestamp() + 2 * _DAY)
        own = [opening for opening in near if opening.session == day]
        return (own[0].opens, own[-1].closes) if own else None


def _split(name: str) -> tuple[str, tuple[timedelta, timedelta] | None]:
    """The market of a calendar's name, and its sending hours, if it has some, as times since midnight."""
    market, _, text = name.rpartition(" ")
    hours = _parse(text)
    return (name, None) if hours is None else (market, hours)


def _parse(hours: str) -> tuple[timedelta, timedelta] | None:
    """Begin and end of sending hours as times since midnight; None if they are not written as `04:00-20:00`.

    None begin at 24:00, and none end at 00:00: each is the other one there.
    """
    found = _HOURS.fullmatch(hours)
    if found is None:
        return None
    begin, end = (
        timedelta(**dict(zip(("hours", "minutes", "seconds"), map(int, text.split(":")), strict=False)))
        for text in found.groups()
    )
    return (begin % _MIDNIGHT, end or _MIDNIGHT) if max(begin, end) <= _MIDNIGHT else None


def _since_midnight(at: time) -> timedelta:
    return timedelta(hours=at.hour, minutes=at.minute, seconds=at.second)


def _sending_hours(market: Calendar, begin: timedelta, end: timedelta) -> list[Opening]:
    """The hours of each session day of a market, in its time zone.

    On days that close early, US markets end their late session earlier by as much, at 17:00 rather than 20:00 (NYSE's
    page of holidays and trading hours; brokers say the same of Nasdaq).
    """
    first = begin - (begin >= end) * _MIDNIGHT
    if market.name == ALWAYS:
        opens, last = first.total_seconds(), end.total_seconds()
        midnights = ((day, _DAY * (day.toordinal() - _EPOCH)) for day in _days())
        return [Opening(at + opens, at + last, day, min(at, at + opens), at + _DAY) for day, at in midnights]
    found: list[Opening] = []
    for opening in market._openings:
        if found and found[-1].session == opening.session:
            continue  # after a lunch break
        midnight = datetime.combine(opening.session, time(), market._zone)
        begins, closes, usual = first, end, market._usual_close
        if usual is not None and end >= usual:
            early = usual - _since_midnight(datetime.fromtimestamp(opening.closes, market._zone).time())
            begins -= max(early, timedelta(0)) * (usual <= first)
            closes -= max(early, timedelta(0))
        # Adding to a time with a zone keeps the local hour.
        at = ((midnight + begins).timestamp(), (midnight + closes).timestamp())
        found.append(Opening(*at, opening.session, min(opening.day_begins, at[0]), max(opening.day_ends, at[1])))
    return found


def _merged(openings: list[Opening]) -> tuple[list[float], list[float]]:
    """The begins and the ends of what is open without a pause."""
    opens: list[float] = []
    closes: list[float] = []
    for opening in openings:
        if closes and opening.opens <= closes[-1]:
            closes[-1] = max(closes[-1], opening.closes)
        else:
            opens.append(opening.opens)
            closes.append(opening.closes)
    return opens, closes


def _days() -> Iterator[date]:
    return (_FIRST_DAY + timedelta(days=day) for day in range(_DAYS))


def _currency_days() -> list[Opening]:
    found = []
    for day in _days():
        if day.weekday() not in (_SATURDAY, _SUNDAY) and (day.month, day.day) not in _HOLIDAYS:
            evening = datetime.combine(day, time(17), _NEW_YORK)
            # Subtracting a day from a time with a zone keeps the local hour.
            begin, end = (evening - _MIDNIGHT).timestamp(), evening.timestamp()
            found.append(Opening(begin, end, day, begin, end))
    return found


@functools.cache
def calendar(name: str) -> Calendar:
    """The calendar of that name, cached. Raises UnknownCalendarError."""
    return Calendar(name)


def with_hours(market: str, hours: str) -> str:
    """The name of the calendar of a market's sending hours, which are `regular`, `always`, or as `04:00-20:00`.

    Such hours are in the market's own time zone, on each of its session days; they begin on the evening before if they
    do not begin before they end.
    """
    if hours == ALWAYS:
        return ALWAYS
    return market if hours == REGULAR else f"{market} {hours}"


def checked_hours(hours: str) -> str:
    """The same sending hours. Raises InvalidHoursError."""
    if hours not in (REGULAR, ALWAYS) and _parse(hours) is None:
        raise InvalidHoursError(
            "must be 'regular', 'always', or the begin and the end in the calendar's own time, such as 04:00-20:00"
        )
    return hours


def is_same_market(name: str, other: str) -> bool:
    """Whether two calendars are of one market: NASDAQ is another name of XNYS."""
    name, other = name.partition(" ")[0], other.partition(" ")[0]
    if name == other or {name, other} & {ALWAYS, WEEKDAYS}:
        return name == other
    return _name_of_exchange(name) == _name_of_exchange(other)


def _name_of_exchange(name: str) -> str:
    try:
        return exchange(name).name
    except UnknownCalendarError:
        return name
