"""Intervals as sets of whole numbers: what is merged and subtracted covers the same numbers, and no others."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from ticks_platform.intervals import merge, subtract
from ticks_platform_tests.support.any_frames import QUICK

Interval = tuple[int, int]
intervals = st.tuples(st.integers(0, 12), st.integers(0, 8)).map(lambda pair: (pair[0], pair[0] + pair[1]))
"""Short ones, so that they touch, overlap and are empty."""


def numbers(*those: Interval) -> set[int]:
    return {number for begin, end in those for number in range(begin, end)}


@QUICK
@given(those=st.lists(intervals), within=st.sampled_from((None, 0, 1, 3)))
def test_merged_intervals_cover_the_same_and_what_is_between_those_that_are_near(
    those: list[Interval], within: int | None
) -> None:
    merged = merge(those, within=within)
    near = within or 0
    assert numbers(*those) <= numbers(*merged)
    assert merged == sorted(merged)
    assert all(second[0] - first[1] > near for first, second in itertools.pairwise(merged))
    added = numbers(*merged) - numbers(*those)
    gaps = merge((number, number + 1) for number in added)
    assert all(end - begin <= near for begin, end in gaps)


@QUICK
@given(whole=intervals, taken=st.lists(intervals))
def test_what_is_left_is_what_nothing_covers(whole: Interval, taken: list[Interval]) -> None:
    left = subtract(whole, taken)
    assert numbers(*left) == numbers(whole) - numbers(*taken)
    assert all(begin < end for begin, end in left)
