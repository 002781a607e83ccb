"""Which events of a successor are its predecessor's, by their order and by their arrivals on both connections."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from itertools import groupby
from typing import NamedTuple

import numpy as np

from ticks_platform.ingestion.handover.order import MAX_LAG_NS, Aligned, Event, Key, align, align_distinct

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


def match(events: Mapping[Key, Arrivals], order: Sequence[Event], *, begin: int, end: int) -> Matched:
    """Find the successor's events that the predecessor has too: by their order, where it tells, or by their arrivals.

    `order` are the predecessor's, as it received them. `begin` is the successor's first frame, `end` until when the
    predecessor received.
    """
    received = sorted(
        (position, Event(key, arrival))
        for key, each in events.items()
        for position, arrival in zip(each.positions, each.after, strict=True)
    )
    if not received and begin <= end + MAX_LAG_NS:
        # What both were sent may be on its way to the successor.
        return Matched([], sum(event.arrival > end - _COMMON for event in order))
    aligned = align(order, [event for _, event in received]) or Aligned({}, 0, [])
    # The lag is measured while both received only: at other times, equal events may be different ones.
    lags = [
        each.after[0] - each.before[0]
        for each in events.values()
        if len(each.before) == len(each.after) == 1
        and min(each.before[0], each.after[0]) >= begin
        and max(each.before[0], each.after[0]) <= end
    ]
    lags = lags or aligned.lags
    lag = int(np.median(lags)) if lags else 0
    positions: list[int] = []
    missing = aligned.missing
    distinct, late = _distinct(order, [event for _, event in received], besides=aligned.common)
    missing += late
    told = aligned.common | distinct
    left = Counter(told)
    for position, event in received:
        if left[event.key[0]]:
            left[event.key[0]] -= 1
            positions.append(position)
    for key, each in events.items():
        if each.before and key[0] not in told:
            number = count_common(each.before, each.after, begin=begin, end=end, lag=lag)
            positions += each.positions[:number]
            if each.before[-1] > max(begin, end - _COMMON):
                missing += max(0, sum(arrival >= begin - lag for arrival in each.before) - number)
    return Matched(positions, missing)


def _distinct(
    before: Sequence[Event], after: Sequence[Event], *, besides: Collection[str]
) -> tuple[dict[str, int], int]:
    """By symbol, how many of the successor's first events the predecessor has; and how many are missing of them all.

    Only of symbols that never send two equal events, where the order tells it.
    """
    theirs, ours = (
        {symbol: list(events) for symbol, events in groupby(sorted(each, key=_symbol), _symbol)}
        for each in (before, after)
    )
    found, missing = {}, 0
    for symbol in (theirs.keys() & ours.keys()).difference(besides):
        told = align_distinct(theirs[symbol], ours[symbol])
        if told is not None:
            found[symbol] = told[0]
            missing += told[1]
    return found, missing


def _symbol(event: Event) -> str:
    return str(event.key[0])


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
