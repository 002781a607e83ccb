"""A set of hashes knows what was added, however it was added, and takes little memory."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ticks_platform import hash_set
from ticks_platform.hash_set import HashSet
from ticks_platform_tests.support.any_frames import QUICK

NUMBERS = st.lists(st.one_of(st.integers(-(2**63), 2**63 - 1), st.integers(-3, 3)), max_size=30)


@pytest.mark.parametrize("small", [1, 7, hash_set._SMALL])
def test_what_was_added_is_there_and_nothing_else(small: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hash_set, "_SMALL", small)

    @QUICK
    @given(st.lists(NUMBERS, max_size=8), NUMBERS)
    def check(batches: list[list[int]], others: list[int]) -> None:
        added = HashSet()
        for batch in batches:
            added.add(np.array(batch, np.int64))
        there = {number for batch in batches for number in batch}
        asked = [*there, *others]
        assert added.contains(np.array(asked, np.int64)).tolist() == [number in there for number in asked]
        assert added.size == sum(map(len, batches))

    check()


def test_a_million_hashes_take_8_megabytes() -> None:
    added = HashSet()
    drawn = np.random.default_rng(1).integers(-(2**63), 2**63 - 1, 1_000_000)
    for part in np.split(drawn, 100):
        added.add(part)
    assert added._large.nbytes + added._small.nbytes == 8_000_000
    assert added.contains(drawn).all()
