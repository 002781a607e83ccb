"""Bars: when they are due, and what late trades do to them."""

from __future__ import annotations

from ticks_standin.market.bars import MINUTE_MS, SECOND_MS, UNITS, Bar, Bars

START = 1_700_049_600_000


def due(bars: Bars, now_ms: int, **options: bool) -> list[Bar]:
    return [bar for _, bar, _ in bars.due(now_ms, **options)]


def test_seconds_come_before_the_minute_that_ends_with_them() -> None:
    bars = Bars(delay_ms=0, memory_ms=900_000)
    for second in (0, 59):
        bars.add("AAPL", 100.0 + second, UNITS, START + second * SECOND_MS)
    assert [(bar.start - START, bar.length) for bar in due(bars, START + MINUTE_MS)] == [
        (0, SECOND_MS),
        (59_000, SECOND_MS),
        (0, MINUTE_MS),
    ]
    assert due(bars, START + 2 * MINUTE_MS) == []


def test_first_and_last_go_by_time_and_then_by_arrival() -> None:
    bars = Bars(delay_ms=0, memory_ms=900_000)
    for price, milliseconds in ((3.0, 500), (4.0, 500), (1.0, 100), (9.0, 200)):
        bars.add("AAPL", price, UNITS, START + milliseconds)
    (bar,) = due(bars, START + SECOND_MS)
    assert (bar.open, bar.high, bar.low, bar.close, bar.trades) == (1.0, 9.0, 1.0, 4.0, 4)


def test_a_late_trade_sends_its_bars_again() -> None:
    bars = Bars(delay_ms=0, memory_ms=900_000)
    bars.add("AAPL", 10.0, UNITS, START)
    bars.add("MSFT", 10.0, UNITS, START)
    due(bars, START + MINUTE_MS)
    bars.add("AAPL", 12.0, UNITS // 4, START + 10)
    again = due(bars, START + MINUTE_MS + 1)
    assert [(bar.length, bar.close, bar.volume, bar.times_sent) for bar in again] == [
        (SECOND_MS, 12.0, UNITS * 5 // 4, 2),
        (MINUTE_MS, 12.0, UNITS * 5 // 4, 2),
    ]


def test_a_trade_later_than_the_memory_changes_nothing() -> None:
    bars = Bars(delay_ms=0, memory_ms=900_000)
    bars.add("AAPL", 10.0, UNITS, START)
    due(bars, START + MINUTE_MS)
    due(bars, START + 1_000_000)
    bars.add("AAPL", 12.0, UNITS, START)
    assert due(bars, START + 1_000_001) == []


def test_delay_and_unfinished_bars() -> None:
    bars = Bars(delay_ms=2_000, memory_ms=900_000)
    bars.add("AAPL", 10.0, UNITS, START)
    assert due(bars, START + 2_999) == []
    assert len(due(bars, START + 3_000)) == 1
    assert [bar.length for bar in due(bars, START + 3_000, unfinished=True)] == [MINUTE_MS]
    bars.add("AAPL", 11.0, UNITS, START + 4_000)
    assert [bar.close for bar in due(bars, START + MINUTE_MS + 2_000)] == [11.0, 11.0]


def test_days_begin_anew() -> None:
    bars = Bars(delay_ms=0, memory_ms=900_000)
    bars.add("AAPL", 10.0, UNITS, START)
    bars.add("AAPL", 11.0, 2 * UNITS, START + 86_400_000)
    bars.add("AAPL", 12.0, 4 * UNITS, START)
    assert {(day.open, day.volume) for _, _, day in bars.due(START + 2 * 86_400_000)} == {(11.0, 2 * UNITS)}
