"""The stand-in's splits and dividends: their factors, both REST APIs, bars with and without adjustment."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date, datetime, timedelta, timezone
from typing import Any
from urllib.request import Request, urlopen

import pytest

from ticks_standin import Dividend, PastDay, Split, StandIn, StandInSettings
from ticks_standin.market.actions import Actions, midnight_ms

NOW = midnight_ms(date(2026, 3, 20))


def test_factors_multiply_and_begin_at_midnight_in_new_york() -> None:
    actions = Actions([Split("A", date(2026, 3, 3), 1, 4), Split("A", date(2026, 3, 10), 20, 1)])
    assert midnight_ms(date(2026, 3, 3)) == datetime(2026, 3, 3, 5, tzinfo=timezone.utc).timestamp() * 1_000
    at = [midnight_ms(date(2026, 3, day)) for day in (3, 10)]
    assert [actions.split_factor("A", time_ms, NOW) for time_ms in (at[0] - 1, at[0], at[1] - 1, at[1])] == [
        5,
        20,
        20,
        1,
    ]
    assert actions.split_factor("A", 0, at[1] - 1) == 0.25, "the second one is announced only"
    assert actions.split_factor("B", 0, NOW) == 1


def test_dividends_multiply_and_an_announced_one_has_no_factor() -> None:
    first, second = Dividend("A", date(2026, 3, 3), 1, 50), Dividend("A", date(2026, 3, 10), 0.49, 49)
    announced = Dividend("A", date(2026, 6, 10), 0.5, 50)
    actions = Actions([second, first, announced])
    assert actions.cumulative_factor(first, NOW) == pytest.approx(0.98 * 0.99)
    assert actions.cumulative_factor(second, NOW) == pytest.approx(0.99)
    assert actions.cumulative_factor(announced, NOW) is None


def test_a_past_day_before_a_split_and_one_after() -> None:
    splits = [Split("A", date(2026, 3, 3), 1, 4)]
    before, after = (PastDay(date(2026, 3, day), symbols=["A"], actions=splits) for day in (2, 3))
    raw, adjusted = before.bars("A"), before.bars("A", adjusted=True)
    assert [bar["t"] for bar in raw] == [bar["t"] for bar in adjusted]
    for old, new in zip(raw, adjusted, strict=True):
        assert [new[name] for name in "ohlc"] == pytest.approx([old[name] / 4 for name in "ohlc"])
        assert new["v"] == pytest.approx(old["v"] * 4)
    assert after.bars("A") == after.bars("A", adjusted=True)
    day_before, day_after = before.bars("A", "day", adjusted=True)[0], after.day_bar("A")
    assert day_after is not None
    assert day_after["c"] == pytest.approx(day_before["c"], rel=0.05)
    (split,) = before.splits()
    assert (split["split_from"], split["split_to"], split["historical_adjustment_factor"]) == (1, 4, 0.25)


@pytest.fixture
def stand_in() -> Iterator[StandIn]:
    """A stand-in that trades nothing."""
    with StandIn(StandInSettings(rate=0.001, history_events=100)) as server:
        yield server


def get(stand_in: StandIn, path: str) -> Any:
    base = stand_in.url("polygon").replace("ws://", "http://").rpartition("/")[0]
    with urlopen(Request(f"{base}{path}", headers={"Authorization": "Bearer key", "X-TD-APIKEY": "key"})) as answer:
        return json.load(answer)


def test_polygon_filters_and_pages(stand_in: StandIn) -> None:
    for day in (1, 2, 3):
        stand_in.announce_split("AAPL", date(2024, 1, day), 1, 2)
    stand_in.announce_split("MSFT", date(2024, 1, 2), 20, 1)
    stand_in.announce_dividend("AAPL", date(2024, 1, 5), 0.26, 26.0)
    page = get(stand_in, "/stocks/v1/splits?ticker.any_of=AAPL,KO&sort=execution_date.asc&limit=2")
    rest = get(stand_in, "/stocks/v1/splits?" + page["next_url"].partition("?")[2])
    found = [
        (each["execution_date"], each["historical_adjustment_factor"]) for each in page["results"] + rest["results"]
    ]
    assert found == [("2024-01-01", 0.125), ("2024-01-02", 0.25), ("2024-01-03", 0.5)]
    assert "next_url" not in rest
    (reverse,) = get(stand_in, "/stocks/v1/splits?ticker=MSFT&execution_date.gte=2024-01-02")["results"]
    assert (reverse["adjustment_type"], reverse["historical_adjustment_factor"]) == ("reverse_split", 20)
    (dividend,) = get(stand_in, "/stocks/v1/dividends?ticker=AAPL")["results"]
    assert (dividend["cash_amount"], dividend["historical_adjustment_factor"]) == (0.26, 0.99)
    stand_in.withdraw_actions("AAPL")
    assert get(stand_in, "/stocks/v1/splits?ticker=AAPL")["results"] == []


def test_twelve_data_tells_the_same(stand_in: StandIn) -> None:
    stand_in.announce_split("AAPL", date(2024, 1, 2), 1, 4)
    stand_in.announce_dividend("AAPL", date(2024, 1, 1), 0.8, 80.0)
    found = get(stand_in, "/splits?symbol=AAPL&range=full")
    assert found["splits"] == [
        {"date": "2024-01-02", "description": "4-for-1 split", "ratio": 0.25, "from_factor": 4, "to_factor": 1}
    ]
    assert found["meta"]["currency"] == "USD"
    assert get(stand_in, "/dividends?symbol=AAPL&range=full")["dividends"] == [{"ex_date": "2024-01-01", "amount": 0.2}]
    raw = get(stand_in, "/dividends?symbol=AAPL&range=full&adjust=false")["dividends"]
    assert raw == [{"ex_date": "2024-01-01", "amount": 0.8}]


def test_bars_of_twelve_data_are_adjusted_unless_asked_otherwise() -> None:
    noon = datetime(2026, 3, 11, 16, tzinfo=timezone.utc)
    settings = StandInSettings(rate=0, history_events=1_000, traded=["price.AAPL"])
    with StandIn(settings) as server:
        server.trade_unheard(30, noon, noon + timedelta(minutes=3))
        path = "/time_series?symbol=AAPL&interval=1min&start_date=2026-03-11&timezone=UTC&order=asc"
        before = get(server, path)["values"]
        assert before
        server.announce_split("AAPL", date(2026, 3, 12), 1, 4)
        for adjust in ("none", "dividends"):
            assert get(server, f"{path}&adjust={adjust}")["values"] == before
        for bar, raw in zip(get(server, path)["values"], before, strict=True):
            assert float(bar["close"]) == pytest.approx(float(raw["close"]) / 4, abs=1e-5)
            assert int(bar["volume"]) == pytest.approx(int(raw["volume"]) * 4, abs=4)
