"""Alpaca's times: RFC 3339 with up to nine digits after the point, such as ``2023-04-06T11:54:26.838232225Z``."""

from __future__ import annotations

import functools
import re
from datetime import datetime, timezone

from ticks_platform.timestamps import SECOND, to_nanoseconds

_WRITTEN = re.compile(
    r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9})\d*)?(?:Z|([+-])([01]\d|2[0-3]):([0-5]\d))", re.IGNORECASE
)


def nanoseconds(written: str) -> int:
    """Nanoseconds since the Unix epoch. Raises ValueError."""
    found = _WRITTEN.fullmatch(written) if len(written) < 50 else None
    if found is None or not written.isascii():
        raise ValueError("the time is not RFC 3339 with a time zone")
    seconds, fraction, sign, hours, minutes = found.groups()
    at = _second(seconds) + int((fraction or "").ljust(9, "0"))
    if sign:
        offset = (int(hours) * 60 + int(minutes)) * 60 * SECOND
        at += offset if sign == "-" else -offset
    return at


def written(at: int) -> str:
    """A time as Alpaca writes it, to the nanosecond."""
    seconds, fraction = divmod(at, SECOND)
    return f"{datetime.fromtimestamp(seconds, timezone.utc):%Y-%m-%dT%H:%M:%S}.{fraction:09d}Z"


@functools.lru_cache(maxsize=64)
def _second(text: str) -> int:
    return to_nanoseconds(datetime.strptime(text.upper(), "%Y-%m-%dT%H:%M:%S").replace(tzinfo=timezone.utc))
