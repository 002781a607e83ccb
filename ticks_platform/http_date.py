"""The HTTP header `Date` (RFC 9110, section 6.6.1): a server's clock, in whole seconds."""

from __future__ import annotations

import email.utils
from collections.abc import Mapping
from datetime import timezone

SECOND = 1_000_000_000
"""Nanoseconds. A Date is cut off to the second that it is in."""


def moment(value: str) -> float | None:
    """Seconds since the Unix epoch of an HTTP date; None if it is none."""
    try:
        at = email.utils.parsedate_to_datetime(value)
        return (at if at.tzinfo is not None else at.replace(tzinfo=timezone.utc)).timestamp()
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def ahead(headers: Mapping[str, str], *, sent: int, received: int, ours: int = 0) -> int | None:
    """By how much a server's clock is ahead of the one by which a request was sent and its answer received.

    All in nanoseconds; header names are in lower case. `ours` is by how much our clock is ahead of that one: it is
    taken for right if the answer leaves that open, which may have been slow. None without a Date, or if the answer
    comes from a cache, which has an Age (RFC 9111, section 5.1): its Date is that of another answer.
    """
    known = moment(headers.get("date", ""))
    if known is None or "age" in headers:
        return None
    at = round(known * 1e9)
    least, most = at - received, at + SECOND - sent
    return ours if least <= ours <= most else (least + most) // 2
