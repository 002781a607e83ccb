"""Which events both received, by their order."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ticks_platform.ingestion.handover.order import Event, align, align_distinct
from ticks_platform_tests.support.any_frames import QUICK, THOROUGH

NS = 1_000_000_000


def received(text: str, *, begin: float = 0.0) -> list[Event]:
    """One event a tenth of a second: the symbol as a letter, and its value as a digit."""
    return [
        Event((symbol, int(value)), round((begin + number / 10) * NS))
        for number, (symbol, value) in enumerate(text.split())
    ]


def common(before: str, after: str, **begin: float) -> dict[str, int] | None:
    """By symbol, how many events are common."""
    aligned = align(received(before), received(after, **begin))
    return None if aligned is None else aligned.common


def test_the_end_of_one_is_the_begin_of_the_other() -> None:
    assert common("a1 a2 b1 a3 b2 a4", "a3 b2 a4 a5 b3") == {"a": 2, "b": 1}
    assert common("a1 a2 b1 a3 b2 a4", "a3 a4 b2 b3 a5") == {"a": 2, "b": 1}, "another order of other symbols"
    assert common("a1 a2 b1 a3 b2", "a2 b1 a3 b2 c1") == {"a": 2, "b": 2, "c": 0}


def test_equal_events_are_told_apart_by_their_neighbours() -> None:
    assert common("a1 a1 a2 a1 a1", "a2 a1 a1 a1 a3") == {"a": 3}
    assert common("a1 a1 a1", "a1 a1 a1 a2") is None
    assert common("b7 a1 a2 b7 a3", "a2 b7 a3 b7 b7") == {"a": 2, "b": 1}, "the other symbol tells where it begins"


def test_one_event_alone_shows_nothing() -> None:
    assert common("a1 a2", "a2 a3") is None
    assert common("a1 b1", "a1 b1 a2") is None


def test_one_event_is_enough_of_a_symbol_that_never_sends_two_equal_ones() -> None:
    ten = received("a0 a1 a2 a3 a4 a5 a6 a7 a8 a9")
    assert align_distinct(ten, received("a9", begin=3.0)) == (1, 0)
    assert align_distinct(ten, received("a8 a9", begin=3.0)) == (2, 0)
    assert align_distinct(ten, received("a9", begin=12.0)) is None, "too long after"
    assert align_distinct(ten, received("a8", begin=3.0)) == (1, 1), "the other has not arrived"
    assert align_distinct(ten, received("a7 a9", begin=3.0)) is None, "one is missing"
    assert align_distinct(ten, received("a9 a9", begin=3.0)) is None, "it sends equal ones"
    assert align_distinct([*ten[:8], ten[7], ten[9]], received("a9", begin=3.0)) is None, "it sent equal ones"
    assert align_distinct(ten[1:], received("a9", begin=3.0)) is None, "too few to know"


def test_what_one_of_them_missed_leaves_it_to_the_arrivals() -> None:
    assert common("a1 a2 a3 a4", "a2 a4 a5") is None
    assert common("a1 a2 b1 a3 b2 b3 a4", "a2 b1 a3 b3 a4 a5") == {"a": 3}


def test_more_than_ten_seconds_apart_they_are_others() -> None:
    assert common("a1 a2 a3", "a2 a3 a4", begin=9.0) == {"a": 2}
    assert common("a1 a2 a3", "a2 a3 a4", begin=10.2) is None


def test_what_has_not_arrived_is_missing() -> None:
    aligned = align(received("a1 a2 a3 b1 a4 c1"), received("a2 a3", begin=1.0))
    assert aligned is not None
    assert (aligned.common, aligned.missing) == ({"a": 2, "b": 0, "c": 0}, 3)
    assert set(aligned.lags) == {round(0.9 * NS)}


@QUICK
@given(st.data())
def test_whenever_the_order_tells_it_tells_the_truth(data: st.DataObject) -> None:
    """Of any stream, any begin, any end, and however late each event reaches the successor."""
    check_any_stream(data)


@pytest.mark.full
@THOROUGH
@given(st.data())
def test_it_tells_the_truth_of_many_more(data: st.DataObject) -> None:
    check_any_stream(data)


def check_any_stream(data: st.DataObject) -> None:
    symbols = data.draw(st.lists(st.sampled_from("abc"), min_size=1, max_size=60))
    # A value comes twice at most, as a quote may that did not change.
    sent = [(symbol, number // 2) for number, symbol in enumerate(symbols)]
    begin = data.draw(st.integers(0, len(sent)))
    end = data.draw(st.integers(begin, len(sent)))
    arrived = data.draw(st.integers(begin, len(sent)))
    lags = data.draw(st.lists(st.integers(0, 5 * NS), min_size=len(sent), max_size=len(sent)))
    before = [Event(key, number * NS // 100) for number, key in enumerate(sent[:end])]
    late = 0
    after = []
    for number in range(begin, arrived):
        late = max(late, number * NS // 100 + lags[number])
        after.append(Event(sent[number], late))
    aligned = align(before, after)
    if aligned is None:
        return
    both = sent[begin : min(end, arrived)]
    for symbol, found in aligned.common.items():
        assert found == sum(name == symbol for name, _ in both)
    assert aligned.missing <= max(0, end - max(begin, arrived))
