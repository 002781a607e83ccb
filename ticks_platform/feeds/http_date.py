"""The HTTP header `Date` (RFC 9110, section 6.6.1): a server's clock, in whole seconds."""

from __future__ import annotations

import email.utils
from collections.abc import Mapping
from datetime import timezone

HALF_A_SECOND = 500_000_000
"""Nanoseconds. A Date is cut off to the second that it is in; half a second more is right on the average."""


def moment(value: str) -> float | None:
    """Seconds since the Unix epoch of an HTTP date; None if it is none."""
    try:
        at = email.utils.parsedate_to_datetime(value)
        return (at if at.tzinfo is not None else at.replace(tzinfo=timezone.utc)).timestamp()
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def ahead(headers: Mapping[str, str], at: int) -> int | None:
    """By how much a server's clock is ahead of one that was at `at` when its answer arrived, both in nanoseconds.

    Header names are in lower case. None without a Date, or if the answer comes from a cache, which has an Age
    (RFC 9111, section 5.1): its Date is that of another answer.
    """
    known = moment(headers.get("date", ""))
    return None if known is None or "age" in headers else round(known * 1e9) + HALF_A_SECOND - at
