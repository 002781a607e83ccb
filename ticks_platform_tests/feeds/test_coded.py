"""A coded column behaves like the list of its items."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ticks_platform.feeds.coded import Coded, counted, hashes
from ticks_platform_tests.support.any_frames import QUICK

ITEMS = st.lists(st.one_of(st.none(), st.sampled_from(("A", "MSFT", "é", "")), st.just((12, 37))), max_size=12)


@QUICK
@given(ITEMS, st.data())
def test_any_items(items: list[object], data: st.DataObject) -> None:
    coded = Coded.of(items)
    assert list(coded) == items
    assert coded == items
    assert [coded[place] for place in range(len(items))] == items
    begin, end = sorted(data.draw(st.tuples(*[st.integers(0, len(items))] * 2)))
    kept = np.array(data.draw(st.lists(st.booleans(), min_size=len(items), max_size=len(items))), np.bool_)
    part, chosen = coded[begin:end], coded.where(kept)
    assert list(part) == items[begin:end]
    assert list(chosen) == [item for item, is_kept in zip(items, kept, strict=True) if is_kept]
    for some in (coded, part, chosen):
        assert some.counts() == dict(counted(list(some)))
        assert hashes(some).tolist() == hashes(list(some)).tolist()
        assert list(some.map(repr)) == list(map(repr, some))
    assert list(Coded.joined([chosen, coded, part])) == [*chosen, *coded, *part]
    assert coded != [*items, None]


def test_values_that_do_not_occur_are_not_changed() -> None:
    left = Coded.of(["A", "\ud800", "B"]).where(np.array([True, False, True]))
    assert left.map(str.encode).values == [b"A", None, b"B"]


def test_values_may_be_equal() -> None:
    same = Coded(np.array([0, 1, 2, 1]), ["A", "B", "A"])
    assert same.counts() == {"A": 2, "B": 2}
    assert Coded.joined([same, same]).values == ["A", "B"]
