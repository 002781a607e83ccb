"""What conditions allow, and the bars that follow from it: by REST's way of making bars, and by the WebSocket's."""

from __future__ import annotations

import math
from typing import NamedTuple

import pytest

from ticks_standin.market.bars import MINUTE_MS, UNITS, Bars
from ticks_standin.market.events import ALL, NOTHING, RANGE, VOLUME, Amendment, Event
from ticks_standin.market.hours import TradingHours
from ticks_standin.polygon.conditions import in_a_minute, in_the_day
from ticks_standin.provider.rest_bars import bars_of, of_length

AFTERNOON, CLOSE, EVENING = 1_772_568_000_000, 1_772_571_600_000, 1_772_573_400_000
"""15:00, 16:00 and 16:30 in New York on 3 March 2026, in milliseconds of UNIX time."""


class Trade(NamedTuple):
    after_ms: int
    price: float
    size: int
    conditions: tuple[int, ...] = ()
    correction: int = 0


REGULAR = (
    Trade(1_100, 250.0, 100),
    Trade(14_200, 250.06, 200, (14, 41)),
    Trade(31_000, 249.97, 100),
    Trade(52_400, 250.02, 100),
)

# The minute, its trades, and open, high, low, close and volume; None is no bar.
CASES: dict[str, tuple[int, tuple[Trade, ...], tuple[float, ...] | None]] = {
    "sold out of sequence": (
        AFTERNOON,
        (*REGULAR, Trade(58_000, 249.1, 5_000, (32,))),
        (250.0, 250.06, 249.1, 250.02, 5_500),
    ),
    "average price": (
        AFTERNOON,
        (*REGULAR[:3], Trade(40_000, 238.35, 25_000, (2,)), REGULAR[3]),
        (250.0, 250.06, 249.97, 250.02, 25_500),
    ),
    "odd lots": (
        AFTERNOON,
        (Trade(10, 250.31, 3, (37,)), *REGULAR, Trade(59_900, 250.44, 1, (14, 37, 41))),
        (250.0, 250.06, 249.97, 250.02, 504),
    ),
    "odd lots only": (AFTERNOON, (Trade(5_000, 250.31, 3, (37,)), Trade(25_000, 249.0, 1, (37,))), None),
    "late prints only": (AFTERNOON, (Trade(5_000, 251.0, 100, (32,)), Trade(25_000, 249.0, 300, (32,))), None),
    "after hours": (
        EVENING,
        (Trade(5_000, 251.0, 100, (12,)), Trade(20_000, 255.0, 2, (12, 37)), Trade(40_000, 251.2, 300, (12,))),
        (251.0, 251.2, 251.0, 251.2, 402),
    ),
    "form t in regular hours": (
        AFTERNOON,
        (*REGULAR, Trade(58_000, 260.0, 100, (12,))),
        (250.0, 250.06, 249.97, 250.02, 600),
    ),
    "official close": (
        CLOSE,
        (
            Trade(100, 250.1, 300),
            Trade(300, 250.25, 4_000_000, (8, 9, 41)),
            Trade(301, 250.25, 4_000_000, (15,)),
            Trade(30_000, 250.2, 100, (12,)),
        ),
        (250.1, 250.25, 250.1, 250.2, 4_000_400),
    ),
    "corrected close": (
        CLOSE + 15 * MINUTE_MS,
        (Trade(1_000, 250.2, 100, (12,)), Trade(2_000, 251.0, 0, (38, 41))),
        (250.2, 250.2, 250.2, 250.2, 100),
    ),
    "unknown conditions": (
        AFTERNOON,
        (
            Trade(1_000, 250.0, 100),
            Trade(20_000, 250.5, 200, (99,)),
            Trade(30_000, 260.0, 3, (37, 99)),
            Trade(40_000, 249.5, 100, (57,)),
        ),
        (250.0, 250.5, 249.5, 249.5, 403),
    ),
    "cancelled": (
        AFTERNOON,
        (*REGULAR[:2], Trade(20_000, 300.0, 10_000, correction=8), *REGULAR[2:]),
        (250.0, 250.06, 249.97, 250.02, 500),
    ),
}


def events(minute: int, trades: tuple[Trade, ...]) -> list[Event]:
    made = []
    for trade in trades:
        at = minute + trade.after_ms
        event = Event(b"", "T.AAPL", "AAPL", "T.AAPL", time_ns=at * 1_000_000, price=trade.price)
        event.volume = trade.size * UNITS
        event.sets = in_a_minute(trade.conditions, TradingHours().is_regular(at))
        event.sets_day = in_the_day(trade.conditions)
        if trade.correction:
            event.amendment = Amendment(trade.correction, event.time_ns + 1)
        made.append(event)
    return made


@pytest.mark.parametrize("case", CASES)
def test_bars_of_rest(case: str) -> None:
    minute, trades, expected = CASES[case]
    bars = bars_of(events(minute, trades), of_length(MINUTE_MS))
    found = [(bar.open, bar.high, bar.low, bar.close, bar.volume / UNITS) for bar in bars]
    assert found == ([] if expected is None else [expected])


@pytest.mark.parametrize("case", [case for case in CASES if case != "cancelled"])
def test_bars_of_the_websocket(case: str) -> None:
    minute, trades, expected = CASES[case]
    bars = Bars(delay_ms=0, memory_ms=900_000)
    for event in events(minute, trades):
        at = event.time_ns // 1_000_000
        bars.add("AAPL", event.price, event.volume, at, sets=event.sets, sets_day=event.sets_day)
    due = [bar for _, bar, _ in bars.due(minute + MINUTE_MS) if bar.length == MINUTE_MS]
    found = [(bar.open, bar.high, bar.low, bar.close, bar.volume / UNITS) for bar in due]
    assert found == ([] if expected is None else [expected])


def test_a_late_trade_that_may_open_makes_the_bar() -> None:
    bars = Bars(delay_ms=0, memory_ms=900_000)
    bars.add("AAPL", 251.0, UNITS, AFTERNOON + 500, sets=RANGE)
    bars.add("AAPL", 260.0, UNITS, AFTERNOON + 600, sets=VOLUME)
    assert list(bars.due(AFTERNOON + MINUTE_MS)) == []
    bars.add("AAPL", 250.0, UNITS, AFTERNOON + 700)
    seconds, _ = (bar for _, bar, _ in bars.due(AFTERNOON + MINUTE_MS + 1))
    assert (seconds.open, seconds.high, seconds.low, seconds.close, seconds.volume) == (250, 251, 250, 250, 3 * UNITS)
    assert not any(math.isinf(price) for price in (seconds.high, seconds.low))


def test_a_minute_without_prices_gives_volume_and_no_price_to_its_hour() -> None:
    made = events(AFTERNOON, REGULAR) + events(AFTERNOON + MINUTE_MS, (Trade(0, 300.0, 50, (32,)),))
    (hour,) = bars_of(made, of_length(60 * MINUTE_MS), of_length(MINUTE_MS))
    assert (hour.high, hour.volume, hour.bases) == (250.06, 550 * UNITS, 1)


def test_the_day_closes_at_the_official_close() -> None:
    made = [
        *events(AFTERNOON, REGULAR),
        *events(CLOSE, (Trade(300, 250.25, 900, (8, 9, 41)), Trade(301, 250.25, 900, (15,)))),
        *events(EVENING, (Trade(0, 270.0, 10, (12,)),)),
    ]
    made[-2].closes = 1
    day = of_length(86_400_000)
    (bar,) = bars_of(made, day, of_length(MINUTE_MS), of_day=True)
    assert (bar.open, bar.high, bar.low, bar.close) == (250.0, 250.25, 249.97, 250.25)
    assert bar.volume == 1_410 * UNITS, "extended hours counted in, the official close not"
    (corrected,) = events(EVENING, (Trade(1, 249.5, 0, (38, 41)),))
    corrected.closes = 2
    (bar,) = bars_of([*made, corrected], day, of_length(MINUTE_MS), of_day=True)
    assert (bar.close, bar.low, bar.volume) == (249.5, 249.5, 1_410 * UNITS)


def test_what_is_known_later_is_not_known_before() -> None:
    _, trades, _ = CASES["cancelled"]
    made = events(AFTERNOON, trades)
    (before,) = bars_of(made, of_length(MINUTE_MS), known_ns=(AFTERNOON + 20_000) * 1_000_000)
    assert (before.high, before.volume) == (300.0, 10_500 * UNITS)


@pytest.mark.parametrize(
    ("conditions", "regular", "day", "extended"),
    [
        ((), ALL, ALL, ALL),
        ((12,), VOLUME, VOLUME, ALL),
        ((12, 37), VOLUME, VOLUME, VOLUME),
        ((12, 10), VOLUME, VOLUME, RANGE),
        ((13,), VOLUME, VOLUME, VOLUME),
        ((32, 37), VOLUME, VOLUME, VOLUME),
        ((22,), RANGE, RANGE, RANGE),
        ((53,), VOLUME, VOLUME, VOLUME),
        ((38, 41), NOTHING, NOTHING, NOTHING),
        ((16,), NOTHING, NOTHING, NOTHING),
        ((99, 57), ALL, ALL, ALL),
    ],
)
def test_all_conditions_must_allow(conditions: tuple[int, ...], regular: int, day: int, extended: int) -> None:
    assert (in_a_minute(conditions, True), in_the_day(conditions), in_a_minute(conditions, False)) == (
        regular,
        day,
        extended,
    )
