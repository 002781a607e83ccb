"""Which events of a successor are its predecessor's, by their arrivals on both connections."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

MAX_LAG = 10.0
"""Seconds by which an event may reach one connection later than the other."""

_MAX_LAG_NS = round(MAX_LAG * 1e9)

_ENOUGH = 2
"""Different events whose order shows that they are the same ones on both connections."""

_COMMON = 1_000_000_000
"""Nanoseconds before the predecessor's end in which the successor was subscribed to everything too."""


class Arrivals(NamedTuple):
    """Arrivals of equal events in nanoseconds, and their positions in the successor's journal."""

    before: list[int]
    """On the predecessor's connection."""
    after: list[int]
    """On the successor's."""
    positions: list[int]


class Matched(NamedTuple):
    """What both received."""

    positions: list[int]
    """The positions of the successor's events that the predecessor has too."""
    missing: int
    """Events of the predecessor's end that the successor has not received."""


def match(events: Sequence[Arrivals], *, begin: int, end: int) -> Matched:
    """Find the successor's events that the predecessor has too.

    `begin` is the successor's first frame, `end` until when the predecessor received.
    """
    # The lag is measured while both received only: at other times, equal events may be different ones.
    lags = [
        each.after[0] - each.before[0]
        for each in events
        if len(each.before) == len(each.after) == 1
        and min(each.before[0], each.after[0]) >= begin
        and max(each.before[0], each.after[0]) <= end
    ]
    if not lags and begin <= end + _MAX_LAG_NS:
        if not any(each.after for each in events):
            # What both were sent may be on its way to the successor.
            return Matched([], sum(arrival > end - _COMMON for each in events for arrival in each.before))
        by_order = match_by_order(events)
        if by_order is not None:
            return by_order
    lag = int(np.median(lags)) if lags else 0
    positions: list[int] = []
    missing = 0
    for each in events:
        if each.before:
            number = count_common(each.before, each.after, begin=begin, end=end, lag=lag)
            positions += each.positions[:number]
            if each.before[-1] > max(begin, end - _COMMON):
                missing += max(0, sum(arrival >= begin - lag for arrival in each.before) - number)
    return Matched(positions, missing)


def match_by_order(events: Sequence[Arrivals]) -> Matched | None:
    """What both received, if the successor's first events are the predecessor's last ones; None if they are not.

    Both are sent the same in the same order, so this needs no clock. It is for a predecessor that ended so soon after
    the successor's begin that nothing had reached the successor by then: times of arrival do not tell what both were
    sent, since each process reads as late as its machine lets it.
    """
    pairs = [
        each
        for each in events
        if len(each.before) == len(each.after) == 1 and abs(each.after[0] - each.before[0]) <= _MAX_LAG_NS
    ]
    if len(pairs) < _ENOUGH:
        return None
    first, last = min(each.before[0] for each in pairs), max(each.before[0] for each in pairs)
    last_position = max(each.positions[0] for each in pairs)
    positions: list[int] = []
    missing = 0
    continues = False
    for each in events:
        number = bisect_right(each.positions, last_position)
        # Frames that were read together have one time: of those with the first, the successor was sent some.
        at_least = bisect_left(each.before, last) - bisect_right(each.before, first)
        at_most = bisect_right(each.before, last) - bisect_left(each.before, first)
        if not at_least <= number <= at_most:
            return None
        positions += each.positions[:number]
        missing += len(each.before) - bisect_right(each.before, last)
        continues = continues or number < len(each.positions)
    if missing and continues:
        return None  # the successor was sent something else after these
    return Matched(positions, missing)


def count_common(before: list[int], after: list[int], *, begin: int, end: int, lag: int = 0) -> int:
    """How many of the successor's first occurrences of an event are the predecessor's last ones.

    `before` and `after` are the arrivals at predecessor and successor, ascending, in nanoseconds. `lag` is by how much
    events reach the successor later, `begin` the successor's first frame, and `end` until when the predecessor
    received: until its last frame at least, and longer if the feed was silent then. Returns the number with the least
    difference of arrivals, where an occurrence that the other one should have received too costs the time by which it
    should have.
    """
    if len(before) == len(after) == 1:
        # The usual case; same result as below, but faster.
        first_at, second_at = before[0], after[0] - lag
        apart = max(0, end - second_at) + max(0, first_at - (begin - lag))
        return int(abs(second_at - first_at) <= apart)
    first = np.array(before, dtype=np.float64)
    second = np.array(after, dtype=np.float64) - lag
    missed_before = np.clip(end - second, 0, None)
    missed_after = np.clip(first - (begin - lag), 0, None)
    best, lowest = 0, float("inf")
    for number in range(min(len(first), len(second)) + 1):
        split = len(first) - number
        cost = np.abs(second[:number] - first[split:]).sum() + missed_before[number:].sum() + missed_after[:split].sum()
        if cost <= lowest:
            best, lowest = number, cost
    return best
