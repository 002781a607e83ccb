"""The HTTP header `Retry-After` (RFC 9110, section 10.2.3): seconds, or a date."""

from __future__ import annotations

import time
from collections.abc import Mapping

from ticks_platform.http_date import moment

LONGEST = 3600.0
"""Seconds. A provider that asks for more is asked again after so long: the header may be wrong, and outages end."""


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait, if a response says so; at most LONGEST. Header names are in lower case.

    A date is compared with the response's own `Date`, so that a wrong clock of this machine does not matter.
    """
    value = headers.get("retry-after", "").strip()
    try:
        seconds = float(value)
    except ValueError:
        until = moment(value)
        if until is None:
            return None
        now = moment(headers.get("date", ""))
        seconds = until - (time.time() if now is None else now)
    # Not `min` and `max` alone: "nan" is a number too.
    return min(max(seconds, 0.0), LONGEST) if seconds == seconds else None
