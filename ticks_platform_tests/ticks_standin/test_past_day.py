"""A whole past day: its frames, its REST trades and bars agree, and the bars are what the market's rules say."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable
from datetime import date, datetime, timezone
from functools import lru_cache
from typing import Any

import pytest
from massive import RESTClient

from ticks_standin import PastDay, StandIn, StandInError, StandInSettings
from ticks_standin.market.hours import NEW_YORK

Connect = Callable[..., Any]
Minute = tuple[str, int]

TUESDAY, HALF_DAY, SATURDAY = date(2026, 3, 3), date(2026, 11, 27), date(2026, 3, 7)
VOLUME_ONLY = {2, 7, 13, 20, 21, 29, 37, 52, 53}
RANGE_ONLY = {10, 22, 32}


@lru_cache(maxsize=4)
def made(day: date = TUESDAY, symbols: int = 120, taken_back: float = 0.01) -> PastDay:
    return PastDay(day, symbols=symbols, taken_back=taken_back)


def sent(day: PastDay) -> list[dict[str, Any]]:
    return [trade for _, frame in day.frames() for trade in json.loads(frame)]


def candles(trades: list[tuple[str, int, float, float, list[int]]]) -> dict[Minute, dict[str, float]]:
    """Minute candles of (symbol, ms, price, size, conditions) in the order of time, by the rules written out again."""
    by_minute: dict[Minute, list[tuple[float, float, set[int]]]] = defaultdict(list)
    for symbol, at, price, size, conditions in trades:
        hour = datetime.fromtimestamp(at / 1_000, timezone.utc)
        given = set(conditions)
        if 12 in given:
            assert not (14, 30) <= (hour.hour, hour.minute) < (21, 0), "Form T outside regular hours only"
        if not given & {15, 16, 38}:
            by_minute[symbol, at // 60_000 * 60_000].append((price, size, given))
    found = {}
    for minute, ticks in by_minute.items():
        first_last = [price for price, _, given in ticks if not given & (VOLUME_ONLY | RANGE_ONLY)]
        extremes = [price for price, _, given in ticks if not given & VOLUME_ONLY]
        if first_last:
            found[minute] = {
                "o": first_last[0],
                "h": max(extremes),
                "l": min(extremes),
                "c": first_last[-1],
                "v": sum(size for _, size, _ in ticks),
            }
    return found


def bars(day: PastDay, symbol: str) -> dict[Minute, dict[str, float]]:
    return {(symbol, bar["t"]): {name: bar[name] for name in "ohlcv"} for bar in day.bars(symbol)}


def close_to(one: dict[str, float], other: dict[str, float]) -> bool:
    return all(abs(one[name] - other[name]) < 1e-9 * max(one[name], 1) for name in "ohlcv")


@pytest.mark.full
def test_bars_are_those_of_the_rest_trades() -> None:
    day = made()
    for symbol in day.symbols:
        trades = [
            (
                symbol,
                trade["sip_timestamp"] // 1_000_000,
                trade["price"],
                float(trade["decimal_size"]),
                trade.get("conditions", []),
            )
            for trade in day.trades(symbol)
            if trade.get("correction", 0) in (0, 1)
        ]
        expected, found = candles(trades), bars(day, symbol)
        assert found.keys() == expected.keys()
        assert all(close_to(found[minute], expected[minute]) for minute in found)
        volumes = day.volumes(symbol)
        assert all(volumes[minute] == pytest.approx(bar["v"], abs=1e-9) for (_, minute), bar in found.items())
        assert len(volumes) > len(found), "minutes of odd lots only have no bar"
        assert sum(volumes.values()) == pytest.approx((day.day_bar(symbol) or {})["v"])


@pytest.mark.full
def test_frames_differ_from_bars_in_the_minutes_of_corrections_only() -> None:
    day = made()
    live = candles([(e["sym"], e["t"], e["p"], float(e["ds"]), e.get("c", [])) for e in sent(day)])
    right = {minute: bar for symbol in day.symbols for minute, bar in bars(day, symbol).items()}
    differing = {
        minute
        for minute in live.keys() | right.keys()
        if minute not in live or minute not in right or not close_to(live[minute], right[minute])
    }
    corrected = {(each.symbol, each.minute_ms) for each in day.taken_back()}
    assert len(corrected) > 30
    assert differing == corrected


def test_frames_are_the_rest_trades() -> None:
    day = made()
    times = [time for time, _ in day.frames()]
    assert times == sorted(times)
    codes = {(each.symbol, each.trade_id): each.code for each in day.taken_back()}
    live = {(event["sym"], event["i"]): event for event in sent(day)}
    records = {}
    for symbol in day.symbols:
        trades = day.trades(symbol)
        stamps = [trade["sip_timestamp"] for trade in trades]
        assert stamps == sorted(set(stamps))
        for trade in trades:
            event = live[symbol, trade["id"]]
            code = trade.get("correction", 0)
            assert trade["exchange"] == event["x"]
            assert trade.get("trf_id") == event.get("trfi")
            assert trade.get("conditions") == event.get("c")
            if code < 10:
                assert code == codes.get((symbol, trade["id"]), 0)
                assert trade["sip_timestamp"] // 1_000_000 == event["t"]
            else:
                records[symbol, trade["id"]] = code
                assert trade["sip_timestamp"] // 1_000_000 >= event["t"] + 60_000
            if code != 1:
                assert (trade["price"], trade["size"]) == (event["p"], event["s"]), "a record has the wrong data"
            else:
                assert trade["size"] * 10 == event["s"]
    assert records == {key: {8: 10, 7: 11, 1: 12}[code] for key, code in codes.items()}


@pytest.mark.parametrize(("day", "closes"), [(TUESDAY, 21), (HALF_DAY, 18)])
def test_the_bar_of_the_day(day: date, closes: int) -> None:
    past = made(day)
    opens = round(datetime(day.year, day.month, day.day, 14, 30, tzinfo=timezone.utc).timestamp() * 1_000)
    end = round(datetime(day.year, day.month, day.day, closes, tzinfo=timezone.utc).timestamp() * 1_000)
    official = corrected = 0
    for symbol in past.symbols:
        bar = past.day_bar(symbol)
        assert bar is not None
        trades = past.trades(symbol)
        regular = [each for each in past.bars(symbol) if opens <= each["t"] < end]
        said = [(t["conditions"], t["price"]) for t in trades if {15, 38} & set(t.get("conditions", []))]
        highs, lows = [each["h"] for each in regular], [each["l"] for each in regular]
        close = regular[-1]["c"]
        if said:
            official += 1
            close = said[0][1]
            highs, lows = [*highs, close], [*lows, close]
        if said and said[-1][0] == [38, 41]:
            corrected += 1
            close = said[-1][1]
            highs, lows = [*highs, close], [*lows, close]
        assert (bar["o"], bar["h"], bar["l"], bar["c"]) == (regular[0]["o"], max(highs), min(lows), close)
        volume = sum(
            float(t["decimal_size"])
            for t in trades
            if t.get("correction", 0) in (0, 1) and not {15, 16, 38} & set(t.get("conditions", []))
        )
        assert bar["v"] == pytest.approx(volume, rel=1e-12)
    assert 100 < official < 120, "not every stock has an auction"
    assert corrected


def test_the_same_arguments_give_the_same_day() -> None:
    first, second, other = (PastDay(TUESDAY, symbols=3, seed=seed) for seed in (1, 1, 2))
    assert list(first.frames()) == list(second.frames()) != list(other.frames())
    assert first.trades("A") == second.trades("A")


def test_a_plain_day_has_no_conditions_that_restrict() -> None:
    day = PastDay(TUESDAY, symbols=["AAPL", "XYZ"], prints=(20, 20), tape="plain")
    assert {c for event in sent(day) for c in event.get("c", [])} <= {14, 41}
    assert len(sent(day)) == 40
    assert day.taken_back() == []


def test_a_day_without_trading() -> None:
    with pytest.raises(ValueError, match="closed on 2026-03-07"):
        PastDay(SATURDAY)


def test_it_is_streamed_and_served(connect_polygon: Connect) -> None:
    arguments = {"symbols": 5, "prints": (60, 80), "taken_back": 0.02}
    day = PastDay(TUESDAY, **arguments)
    with StandIn(StandInSettings(rate=0, record=True, history_events=10_000)) as stand_in:
        everything = connect_polygon(stand_in.url("polygon")).enter("T.*")
        one = connect_polygon(stand_in.url("polygon")).enter("T.B")
        count = stand_in.play_day(TUESDAY, **arguments)
        assert everything.hear_data(count, "T") == sent(day)
        assert one.hear_data(stand_in.account().connections[1].price_events, "T") == [
            event for event in sent(day) if event["sym"] == "B"
        ]
        client = RESTClient("demo", base=stand_in.http_url)
        for symbol in day.symbols:
            served = list(client.list_trades(symbol, order="asc", limit=17))
            assert [(t.id, t.sip_timestamp, t.correction) for t in served] == [
                (t["id"], t["sip_timestamp"], t.get("correction")) for t in day.trades(symbol)
            ]
            minutes = list(client.list_aggs(symbol, 1, "minute", "2026-03-03", "2026-03-03"))
            assert [(bar.timestamp, bar.open, bar.close, bar.volume) for bar in minutes] == [
                (bar["t"], bar["o"], bar["c"], bar["v"]) for bar in day.bars(symbol)
            ]
        records = stand_in.made(payloads=True)
        assert len(records.events) == count, "what only REST has was never to be sent"
        assert {each.correction for each in records.events} == {0, *(each.code for each in day.taken_back())}
        assert records.undelivered() == []


def test_a_history_that_is_too_small() -> None:
    with StandIn(StandInSettings(rate=0, history_events=10)) as stand_in:
        with pytest.raises(StandInError, match="history_events must be"):
            stand_in.play_day(TUESDAY, symbols=2)
        with pytest.raises(StandInError, match="closed on"):
            stand_in.play_day(SATURDAY, symbols=2)


@pytest.mark.parametrize(
    ("day", "hours"), [(TUESDAY, ((4, 0), (9, 30), (16, 0), (20, 0))), (HALF_DAY, ((4, 0), (9, 30), (13, 0), (17, 0)))]
)
def test_trade_is_in_extended_hours_with_the_regular_ones_inside(day: date, hours: tuple[tuple[int, int], ...]) -> None:
    past = made(day, symbols=60)
    begins, opens, closes, ends = (
        round(datetime.combine(day, datetime.min.time().replace(hour=h, minute=m), NEW_YORK).timestamp()) * 1_000
        for h, m in hours
    )
    assert (past.extended, past.regular) == ((begins, ends), (opens, closes))
    times = [event.time_ns // 10**6 for event in past.events if not event.record]
    assert begins <= min(times) < opens < closes < max(times) < ends
