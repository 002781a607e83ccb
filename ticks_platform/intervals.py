"""Half-open intervals ``(begin, end)`` of times or numbers, such as microseconds."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any, TypeVar

T = TypeVar("T", datetime, int, float)


def merge(intervals: Iterable[tuple[T, T]], *, within: Any = None) -> list[tuple[T, T]]:
    """The intervals in order; those that overlap, touch, or are at most `within` apart are joined."""
    merged: list[tuple[T, T]] = []
    for begin, end in sorted(intervals):
        if merged and begin <= (merged[-1][1] if within is None else merged[-1][1] + within):
            merged[-1] = (merged[-1][0], max(merged[-1][1], end))
        else:
            merged.append((begin, end))
    return merged


def subtract(interval: tuple[T, T], taken: Iterable[tuple[T, T]]) -> list[tuple[T, T]]:
    """The parts of an interval, in order, that no interval of `taken` covers."""
    begin, end = interval
    parts = []
    for first, last in sorted(taken):
        if begin < first:
            parts.append((begin, min(first, end)))
        begin = max(begin, last)
    parts.append((begin, end))
    return [(first, last) for first, last in parts if first < last]
