"""Which events of a successor are its predecessor's, by their arrivals on both connections."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

_COMMON = 1_000_000_000
"""Nanoseconds before the predecessor's end in which the successor was subscribed to everything too."""


class Arrivals(NamedTuple):
    """Arrivals of equal events in nanoseconds, and their positions in the successor's journal."""

    before: list[int]
    """On the predecessor's connection."""
    after: list[int]
    """On the successor's."""
    positions: list[int]


def match(events: list[Arrivals], *, begin: int, end: int) -> tuple[list[int], int]:
    """The positions of the successor's events that the predecessor has too, and the number of missing events.

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
    lag = int(np.median(lags)) if lags else 0
    positions: list[int] = []
    missing = 0
    for each in events:
        if each.before:
            number = count_common(each.before, each.after, begin=begin, end=end, lag=lag)
            positions += each.positions[:number]
            if each.before[-1] > max(begin, end - _COMMON):
                missing += max(0, sum(arrival >= begin - lag for arrival in each.before) - number)
    return positions, missing


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
