"""Parts of a result in order, and of a length, against all rows at once."""

from __future__ import annotations

from itertools import accumulate, pairwise

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from ticks_platform.reading.parts import Array, Form, in_order, resized
from ticks_platform_tests.support.any_frames import QUICK

FORM: Form[Array] = Form(
    length=len,
    cut=lambda part, begin, end: part[begin:end],
    join=np.concatenate,
    take=lambda part, places: part[places],
)

_MANY = settings(QUICK, max_examples=200)

ROWS = st.lists(st.tuples(st.integers(-3, 3), st.integers(0, 5)), max_size=40)
CUTS = st.lists(st.integers(0, 40), max_size=6)


def parts_of(rows: list[tuple[int, int]], cuts: list[int]) -> list[Array]:
    """The rows in parts, some of them without rows; at least one part."""
    array = np.array(rows, dtype="int64").reshape(-1, 2)
    ends = [0, *sorted(min(cut, len(rows)) for cut in cuts), len(rows)]
    return [array[begin:end] for begin, end in pairwise(ends)]


def keys(part: Array) -> tuple[Array, Array]:
    return part[:, 0], part[:, 1]


@_MANY
@given(ROWS, CUTS)
def test_rows_that_come_in_order_of_times_are_in_order_of_both_keys(
    rows: list[tuple[int, int]], cuts: list[int]
) -> None:
    rows = sorted(rows, key=lambda row: row[0])
    found = list(in_order(parts_of(rows, cuts), FORM, keys))
    assert [tuple(row) for part in found for row in part.tolist()] == sorted(rows)
    assert len(found) >= 1
    # What has been handed out is complete: a later part has later times alone.
    for earlier, later in pairwise(found):
        assert earlier[-1, 0] < later[0, 0]


@_MANY
@given(ROWS, CUTS, st.integers(1, 12))
def test_parts_of_a_length_and_the_rest(rows: list[tuple[int, int]], cuts: list[int], length: int) -> None:
    found = list(resized(parts_of(rows, cuts), FORM, length))
    assert [tuple(row) for part in found for row in part.tolist()] == rows
    begins = list(accumulate(map(len, found)))
    assert begins[:-1] == [length * (place + 1) for place in range(len(found) - 1)]
    assert len(found) == max(-(-len(rows) // length), 1)
