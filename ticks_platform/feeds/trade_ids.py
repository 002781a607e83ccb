"""What trade ids identify: the days within which they are unique, and those that say nothing."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

_DAY = 86_400 * 1_000_000_000

_DAY_BEGINS = 5 * 3600 * 1_000_000_000
"""05:00 UTC: no session of a US exchange spans it, in summer or winter; they restart trade ids every day."""


def trade_days(times: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """The number of the day within which a trade id is unique; `times` are nanoseconds since the Unix epoch."""
    days: npt.NDArray[np.int64] = (times - _DAY_BEGINS) // _DAY
    return days


def trade_day_begin(day: int) -> int:
    """Begin of such a day, in nanoseconds since the Unix epoch."""
    return day * _DAY + _DAY_BEGINS


NO_IDENTITY = frozenset(("0", "-1", "null", "None", "N/A"))
"""Ids that identify nothing."""
