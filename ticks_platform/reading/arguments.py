"""What callers ask for, in the forms that the statements take."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import date, datetime, timedelta, timezone
from numbers import Number
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np

from ticks_platform.errors import TicksPlatformError

if TYPE_CHECKING:
    import pandas as pd

Symbols: TypeAlias = "str | Iterable[str] | None"
"""One symbol, several, or None for all."""

Moment: TypeAlias = "str | date | datetime | pd.Timestamp | None"
"""A time; one that names no time zone is in `tz`."""

TimeZone: TypeAlias = "str | ZoneInfo"
"""By its name in the IANA's database, or as zoneinfo has it."""

Every: TypeAlias = "str | timedelta | np.timedelta64 | Literal['session']"

MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)

# What PostgreSQL and Python can compute with; no row is outside of it.
_EARLIEST = datetime(1900, 1, 1, tzinfo=timezone.utc)
_LATEST = datetime(9000, 1, 1, tzinfo=timezone.utc)

_UNITS = {"s": timedelta(seconds=1), "m": MINUTE, "min": MINUTE, "h": HOUR, "d": DAY}


_CENTURY = 36525 * DAY


class ReadingError(TicksPlatformError, ValueError):
    """An argument that no rows can be read by; the message says which, and what it may be."""


class Range(NamedTuple):
    """Half-open, of aware times; None where it is open."""

    start: datetime | None
    end: datetime | None

    @property
    def parameters(self) -> dict[str, datetime | str]:
        """For statements; what is open is infinite."""
        return {"start": self.start or "-infinity", "end": self.end or "infinity"}


def interval(every: Every) -> timedelta:
    """The length of a candle: ``5m``, ``1h``, ``1d`` or a timedelta.

    Raises ReadingError unless a day is a multiple of it: buckets are UTC.
    """
    length = duration(every) if isinstance(every, str) else every
    if isinstance(length, np.timedelta64) and not np.isnat(length):
        length = length.astype("timedelta64[us]").item()
    if not isinstance(length, timedelta) or length <= timedelta(0) or DAY % length:
        raise ReadingError(
            f"every={every!r} is no length of candles: ask for '1m', '5m', '1h', '1d', another length that divides a "
            "day, or 'session' for trading days"
        )
    return length


def duration(text: str) -> timedelta | None:
    """``90s``, ``5m``, ``12h``, ``30d``; None for what is no such text, and for more than a century."""
    match = re.fullmatch(r"(\d{1,10})\s*(s|m|min|h|d)", text.strip())
    if match is None or int(match[1]) > _CENTURY / _UNITS[match[2]]:
        return None
    return int(match[1]) * _UNITS[match[2]]


def time_zone(tz: TimeZone) -> ZoneInfo:
    """Raises ReadingError for a name that the IANA's database does not have."""
    if isinstance(tz, ZoneInfo) and tz.key:
        return tz
    try:
        return ZoneInfo(tz)  # type: ignore[arg-type]
    except (ZoneInfoNotFoundError, ValueError, TypeError, OSError):
        raise ReadingError(f"tz={tz!r} is no time zone: take a name such as 'UTC' or 'America/New_York'") from None


def time_range(start: Moment, end: Moment, tz: TimeZone) -> Range:
    """The times as aware ones. Raises ReadingError for what is no time, and where `end` is before `start`."""
    zone = time_zone(tz)
    found = Range(_moment("start", start, zone), _moment("end", end, zone))
    if found.start and found.end and found.end < found.start:
        raise ReadingError(f"end={end!r} is before start={start!r}")
    return found


def moment(name: str, value: Moment, tz: TimeZone) -> datetime | None:
    """A time as an aware one. Raises ReadingError, with the argument's name."""
    return _moment(name, value, time_zone(tz))


def _moment(name: str, value: Moment, zone: ZoneInfo) -> datetime | None:
    import pandas as pd

    if value is None:
        return None
    try:
        # numpy's numbers are such, too.
        if isinstance(value, Number):
            raise TypeError("a number has no unit")  # noqa: TRY301  (one message for all that is no time)
        words = value.strip().lower() if isinstance(value, str) else ""
        # pandas takes them for the clock on the wall of this machine.
        stamp = pd.Timestamp.now(zone) if words in ("now", "today") else pd.Timestamp(value)
        if words == "today":
            stamp = stamp.normalize()
        if stamp is pd.NaT:
            raise ValueError("it is empty")  # noqa: TRY301
        given = stamp.to_pydatetime(warn=False)
    except (ValueError, TypeError, OverflowError) as error:
        raise ReadingError(f"{name}={value!r} is no time: {error}") from None
    if given.tzinfo is None:
        given = given.replace(tzinfo=zone)
        if given.utcoffset() != given.replace(fold=1).utcoffset():
            raise ReadingError(
                f"{name}={value!r} is in an hour that clocks in {zone.key} show twice, or never: give it with its "
                "offset, such as -05:00"
            )
    try:
        time: datetime = given.astimezone(timezone.utc)
    except OverflowError:  # the first or the last day of all
        time = given.replace(tzinfo=timezone.utc)
    return min(max(time, _EARLIEST), _LATEST)


def symbol_list(symbols: Symbols) -> list[str] | None:
    """The symbols, each once, in the given order; None for all. Raises ReadingError for what is no text."""
    if symbols is None:
        return None
    if isinstance(symbols, str):
        given = [symbols]
    elif isinstance(symbols, bytes) or not isinstance(symbols, Iterable):
        raise ReadingError(f"symbols={symbols!r} is no symbol: give a text, several, or None for all")
    else:
        given = list(symbols)
    for symbol in given:
        if not isinstance(symbol, str) or "\0" in symbol:
            raise ReadingError(f"symbols has {symbol!r}, which is no text that a symbol may be")
    return list(dict.fromkeys(given))
