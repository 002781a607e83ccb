"""Numbers and lengths of time as people read them."""

from __future__ import annotations

from datetime import timedelta

_UNITS = (("day", 86_400), ("hour", 3_600), ("minute", 60), ("second", 1))


def counted(number: int, noun: str) -> str:
    """A number with its noun, in the plural unless it is 1."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def length(interval: timedelta) -> str:
    """An interval in its units, such as ``1 day`` or ``1 hour 30 minutes``."""
    seconds = interval.total_seconds()
    if seconds < 1:
        return f"{seconds:g} seconds"
    parts, rest = [], int(seconds)
    for unit, size in _UNITS:
        number, rest = divmod(rest, size)
        if number:
            parts.append(counted(number, unit))
    return " ".join(parts)


class Count(int):
    """A number that a format takes with its noun: ``{judged:feed}`` is ``1 feed`` or ``2 feeds``."""

    def __format__(self, noun: str) -> str:
        return counted(int(self), noun) if noun else f"{int(self)}"
