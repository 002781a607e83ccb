"""Gaps of any coverage: each moment in which a symbol was configured is covered or in one gap, and no other is."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ticks_platform.timescale.database import Database
from ticks_platform_tests.ingestion.gaps.test_gaps import configure, cover, found, stored, update
from ticks_platform_tests.support.any_frames import QUICK, THOROUGH
from ticks_platform_tests.support.ingestion import TakeLease

END = 60
"""Seconds after BEGIN until which gaps are computed."""

GRACE = 10
"""Seconds that the first subscription to a symbol may take."""

CAUSES = st.sampled_from(("disconnected", "killed", "stalled", "silent"))

Covered = tuple[int, int, str]


@st.composite
def coverage(draw: st.DrawFn) -> list[Covered]:
    """Periods of coverage that begin at different moments; they may overlap, touch, and be empty."""
    begins = draw(st.lists(st.integers(0, END), unique=True, max_size=8).map(sorted))
    return [(begin, min(END, begin + draw(st.integers(0, 15))), draw(CAUSES)) for begin in begins]


@st.composite
def configured(draw: st.DrawFn) -> list[tuple[int, int | None]]:
    """Times in which a symbol is in feeds.yaml; the last one may last. Two may touch, where its hours changed."""
    moments = draw(st.lists(st.integers(0, END), min_size=1, max_size=6).map(sorted))
    spans: list[tuple[int, int | None]] = list(zip(moments[::2], moments[1::2], strict=False))
    return [*spans, (moments[-1], None)] if len(moments) % 2 else spans


def seconds(spans: Iterable[Sequence[float | None]]) -> set[int]:
    """The seconds of these spans; one without an end lasts until END."""
    return {second for begin, end, *_ in spans for second in range(int(begin or 0), END if end is None else int(end))}


def check(
    gaps: Sequence[tuple[float, float | None]], covered: Sequence[Covered], configured: list[tuple[int, int | None]]
) -> None:
    missing = seconds(configured) - seconds(covered)
    assert seconds(gaps) <= missing
    begins = [begin for begin, _ in configured if begin - 1 not in seconds(configured)]
    first = {second for begin in begins for second in range(begin, begin + GRACE)}
    assert missing - seconds(gaps) <= first, "only the first subscription may take a while"
    assert all(end is None or begin < end for begin, end in gaps)
    assert all(one[1] is not None and one[1] <= other[0] for one, other in itertools.pairwise(gaps)), "apart, in order"
    if END - 1 in missing - first:
        assert (gaps[-1][1] is None) is (configured[-1][1] is None), "it lasts"


@QUICK
@given(coverage(), configured())
def test_each_moment_is_covered_or_in_one_gap(covered: list[Covered], those: list[tuple[int, int | None]]) -> None:
    gaps = found(covered, configured=those, until=END)
    check([gap[:2] for gap in gaps], covered, those)


@pytest.mark.full
@THOROUGH
@given(coverage(), configured())
def test_each_moment_of_many_more_is_covered_or_in_one_gap(
    covered: list[Covered], those: list[tuple[int, int | None]]
) -> None:
    test_each_moment_is_covered_or_in_one_gap.hypothesis.inner_test(covered, those)  # type: ignore[attr-defined]


@pytest.mark.full
@settings(QUICK, max_examples=10)
@given(data=st.data())
def test_the_table_is_the_same_however_often_it_followed(
    database: Database, take_lease: TakeLease, data: st.DataObject
) -> None:
    """Coverage begins, ends, and is extended when more of a killed owner's journal is loaded."""
    covered = data.draw(coverage())
    with database.transaction() as cursor:
        for table in ("feed_gap", "feed_coverage", "feed_symbol", "feed_lease"):
            cursor.execute(f"DELETE FROM ticks_platform.{table}")
    take_lease("first")
    configure(database, "A")
    later = []
    for begin, end, by in covered:
        cover(database, ("A", begin, None, None))
        if data.draw(st.booleans()):
            update(database, begin + 0.5)
        known = data.draw(st.integers(begin, end))
        cover(database, ("A", begin, known, by))
        later.append((begin, end, by))
        if data.draw(st.booleans()):
            update(database, end + 0.5)
    update(database, END)
    for begin, end, by in data.draw(st.permutations(later)):
        cover(database, ("A", begin, end, by))
        if data.draw(st.booleans()):
            update(database, END)
    update(database, END)
    check([gap[1:3] for gap in stored(database)], covered, [(0, None)])
    once = found(covered, until=END)
    assert [gap[1:3] for gap in stored(database)] == [gap[:2] for gap in once]
