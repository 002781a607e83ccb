"""The sessions of an exchange, of the package exchange_calendars, and a copy of them that is read without it.

The package imports pandas: 46 MB and half a second in each process that asks for XNYS. So what it says of an exchange
is kept in the user's cache, for a week and this version of the package.
"""

from __future__ import annotations

import contextlib
import functools
import math
import os
import re
import tempfile
from datetime import date, datetime, time, timedelta, timezone
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple
from zoneinfo import ZoneInfo

import msgspec

from ticks_platform.errors import TicksPlatformError
from ticks_platform.paths import cache_dir

_KEPT = timedelta(days=7)
"""How long a copy is used: the package knows a year ahead from the day on which it is asked."""

_NEW_YORK = ZoneInfo("America/New_York")
_DAY = timedelta(days=1)


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


class Exchange(NamedTuple):
    """What exchange_calendars knows of an exchange."""

    name: str
    """The name that its other names stand for: XNYS for NASDAQ."""
    zone: str
    usual_close: float | None
    """In New York, the time at which sessions close unless they close early, in seconds since midnight."""
    openings: list[Opening]


class _Copy(NamedTuple):
    """A file of the cache."""

    version: str
    """Of exchange_calendars."""
    read_at: datetime
    exchange: Exchange


@functools.cache
def exchange(name: str) -> Exchange:
    """The exchange of a MIC, such as XNYS, or of another name of it. Raises UnknownCalendarError."""
    file = _file(name)
    kept = None if file is None else _kept(file)
    if kept is not None:
        return kept
    found = _read(name)
    if file is not None:
        _keep(file, found)
    return found


def _file(name: str) -> Path | None:
    """The copy of an exchange; None where the name cannot be a file's, or the user has no home."""
    with contextlib.suppress(RuntimeError):
        if re.fullmatch(r"\w{1,64}", name, re.ASCII):
            return cache_dir() / "exchanges" / f"{name}.json"
    return None


def _kept(file: Path) -> Exchange | None:
    """The exchange of a copy, if there is one that can be used."""
    try:
        copy = msgspec.json.decode(file.read_bytes(), type=_Copy)
    except (OSError, ValueError):  # msgspec's errors are ValueErrors
        return None
    is_new = timedelta(0) <= datetime.now(timezone.utc) - copy.read_at < _KEPT
    return copy.exchange if is_new and copy.version == version("exchange_calendars") else None


def _keep(file: Path, exchange: Exchange) -> None:
    """Write the copy; where that is not possible, the package is asked again next time."""
    copy = _Copy(version("exchange_calendars"), datetime.now(timezone.utc), exchange)
    with contextlib.suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        # Other processes write it too: it is replaced whole.
        number, temporary = tempfile.mkstemp(dir=file.parent)
        try:
            with os.fdopen(number, "wb") as writing:
                writing.write(msgspec.json.encode(copy))
            Path(temporary).replace(file)
        except OSError:
            Path(temporary).unlink(missing_ok=True)


def _read(name: str) -> Exchange:
    import exchange_calendars

    try:
        found = exchange_calendars.get_calendar(name)
    except exchange_calendars.errors.InvalidCalendarName:
        raise UnknownCalendarError(
            f"unknown calendar '{name}': use an exchange's MIC, such as XNYS, or 'always' or '24/5'"
        ) from None
    except Exception as error:  # noqa: BLE001  (some of its calendars fail: 4.13.2 has no holidays of XBSE)
        raise UnknownCalendarError(
            f"exchange_calendars has the calendar '{name}' and cannot make it ({type(error).__name__}): "
            "use that of an exchange with the same hours, or 'always'"
        ) from None
    zone = ZoneInfo(str(found.tz))
    days = found.schedule[["open", "break_start", "break_end", "close"]]
    following = [opens.timestamp() for opens in days["open"].iloc[1:]] + [math.inf]
    openings = []
    closed = 0.0
    # Nothing is traded in a lunch break: a day with one has two openings.
    for (day, begin, break_begin, break_end, end), opens_next in zip(days.itertuples(), following, strict=True):
        midnight = datetime.combine(day.date(), time(), found.tz)
        day_begins = min(begin.timestamp(), max(closed, midnight.timestamp()))
        closed = end.timestamp()
        # Adding a day to a time with a zone keeps the local hour.
        day_ends = max(closed, min(opens_next, (midnight + _DAY).timestamp()))
        has_break = break_begin == break_begin  # NaT is not equal to itself
        for opens, closes in ((begin, break_begin), (break_end, end)) if has_break else ((begin, end),):
            openings.append(Opening(opens.timestamp(), closes.timestamp(), day.date(), day_begins, day_ends))
    return Exchange(
        name=str(exchange_calendars.resolve_alias(name)),
        zone=str(zone),
        usual_close=_seconds(found.close_times[-1][1]) if zone == _NEW_YORK else None,
        openings=openings,
    )


def _seconds(at: time) -> float:
    return timedelta(hours=at.hour, minutes=at.minute, seconds=at.second).total_seconds()
