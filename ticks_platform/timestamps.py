"""Points in time as integers and as datetimes.

Frames and events carry nanoseconds since the Unix epoch; the database stores microseconds. Finer digits are truncated,
as in the binary COPY, so that an instant has one value however it is stored. A float would round.
"""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

MILLISECOND, SECOND, MINUTE = 1_000_000, 1_000_000_000, 60_000_000_000
"""In nanoseconds."""

EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)

_MICROSECOND = timedelta(microseconds=1)


def from_nanoseconds(nanoseconds: int) -> datetime:
    """UTC datetime of nanoseconds since the Unix epoch, truncated to microseconds."""
    return EPOCH + timedelta(microseconds=nanoseconds // 1000)


def to_nanoseconds(at: datetime) -> int:
    """Nanoseconds since the Unix epoch."""
    return to_microseconds(at) * 1000


def from_microseconds(microseconds: int) -> datetime:
    """UTC datetime of microseconds since the Unix epoch."""
    return EPOCH + timedelta(microseconds=microseconds)


def to_microseconds(at: datetime) -> int:
    """Microseconds since the Unix epoch."""
    return (at - EPOCH) // _MICROSECOND


def floor(at: datetime, width: timedelta) -> datetime:
    """The latest multiple of `width`, counted from the Unix epoch, that is not after `at`."""
    return EPOCH + (at - EPOCH) // width * width
