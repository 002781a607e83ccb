"""Coinbase's past trades: found by time though they are asked for by number, each once and in order."""

from __future__ import annotations

import json
import random
from datetime import datetime, timedelta, timezone
from typing import Any
from urllib.parse import urlsplit

import pytest

from ticks_platform.feeds.coinbase import Coinbase
from ticks_platform.feeds.coinbase.history import CoinbaseHistory
from ticks_platform.feeds.events import Rejected
from ticks_platform.feeds.history import (
    HistoryAnswer,
    PermanentError,
    RateLimitedError,
    Span,
    TransientError,
    UnknownSymbolError,
    decode,
)
from ticks_platform.timestamps import to_nanoseconds
from ticks_platform_tests.support.coinbase_rest import page, trade, trades

NOON = datetime(2026, 11, 25, 12, tzinfo=timezone.utc)
PRODUCT = "BTC-USD"


def history() -> CoinbaseHistory:
    return Coinbase(url=None, api_key=None).history()


def span(begin: datetime, end: datetime) -> Span:
    return Span(PRODUCT, "btc-usd", to_nanoseconds(begin), to_nanoseconds(end))


def answer(body: Any, status: int = 200, **headers: str) -> HistoryAnswer:
    return HistoryAnswer(status, headers, body if isinstance(body, bytes) else json.dumps(body).encode())


def fetched(known: list[dict[str, Any]], wanted: Span) -> tuple[list[Any], int]:
    """All events of an interval, and the number of requests."""
    api = history()
    cursor: str | None = api.first(wanted)
    events: list[Any] = []
    for requests in range(1, 200):
        assert cursor is not None
        url = urlsplit(api.request(wanted, cursor).url)
        assert (url.netloc, url.path) == ("api.exchange.coinbase.com", "/products/BTC-USD/trades")
        found = api.page(wanted, cursor, answer(page(known, url.query)))
        events += [event for frame in found.frames for event in decode(api, frame)]
        cursor = found.cursor
        if cursor is None:
            return events, requests
    raise AssertionError("the search does not end")


def numbers(known: list[dict[str, Any]], begin: datetime, end: datetime) -> list[str]:
    """The ids of the trades of an interval, in order."""
    first, last = (at.strftime("%Y-%m-%dT%H:%M:%S.%fZ") for at in (begin, end))
    return [str(each["trade_id"]) for each in known if first <= each["time"] < last]


def test_a_trade_is_the_same_by_rest_and_by_websocket() -> None:
    """Otherwise trades that are already stored would not be recognised."""
    told = trade(7, NOON + timedelta(microseconds=123_457), 91_000.01, 0.00012)
    events, _ = fetched([told], span(NOON, NOON + timedelta(seconds=1)))
    frame = json.dumps({**told, "type": "match", "product_id": PRODUCT, "sequence": 1}).encode()
    assert events == Coinbase(url=None, api_key=None).decode(frame)


@pytest.fixture(scope="module")
def day() -> list[dict[str, Any]]:
    return trades(30_000, NOON - timedelta(days=1), 86_400.0, first=900_000_000)


@pytest.mark.parametrize(("ago", "seconds"), [(3_601.0, 3_600.0), (30.0, 20.0), (40_000.0, 1.0), (80_000.0, 7_200.0)])
def test_an_interval_is_found_by_its_time(day: list[dict[str, Any]], ago: float, seconds: float) -> None:
    known = day
    begin = NOON - timedelta(seconds=ago)
    events, requests = fetched(known, span(begin, begin + timedelta(seconds=seconds)))
    expected = numbers(known, begin, begin + timedelta(seconds=seconds))
    assert [event.trade_id for event in events] == expected
    assert requests <= 3 + len(expected) / 1000 + 1, "the search follows the pace of the trades"


def test_bursts_left_out_numbers_and_equal_times() -> None:
    """Whatever the pace, all trades of the interval are found, in the exchange's order."""
    chance = random.Random(11)
    for _ in range(12):
        known, at, number = [], NOON - timedelta(days=3), 1
        for _ in range(chance.choice((1, 40, 4_000))):
            number += 1 if chance.random() < 0.99 else chance.choice((2, 700, 2_500))
            at += timedelta(seconds=chance.choice((0, 0, 0, 0.001, 3, 4_000 if chance.random() < 0.01 else 1)))
            known.append(trade(number, at))
        for _ in range(4):
            begin = NOON - timedelta(days=3) + (at - NOON + timedelta(days=3)) * chance.uniform(-0.1, 1.1)
            end = begin + timedelta(seconds=chance.choice((0.5, 30, 20_000)))
            events, requests = fetched(known, span(begin, end))
            assert [event.trade_id for event in events] == numbers(known, begin, end)
            assert requests <= 40 + number / 1000, "the numbers decide, not the times"


def test_a_product_without_trades_and_an_interval_before_the_first_or_after_the_last() -> None:
    assert fetched([], span(NOON, NOON + timedelta(hours=1))) == ([], 1)
    known = trades(5_000, NOON, 60.0)
    assert fetched(known, span(NOON - timedelta(days=9), NOON))[0] == []
    assert fetched(known, span(NOON + timedelta(hours=1), NOON + timedelta(hours=2))) == ([], 1)


def test_odd_results_are_rejected_one_by_one() -> None:
    good = trade(2, NOON + timedelta(seconds=1))
    known = [{**good, "trade_id": 1, "price": "NaN"}, good, {**good, "trade_id": 3, "size": "much"}]
    api, wanted = history(), span(NOON, NOON + timedelta(minutes=1))
    found = api.page(wanted, api.first(wanted), answer([*reversed(known), {"no": "trade"}]))
    events = [event for frame in found.frames for event in decode(api, frame)]
    assert [type(event) for event in events].count(Rejected) == 2
    assert [(event.trade_id, event.malformed) for event in events if not isinstance(event, Rejected)] == [
        ("2", None),
        ("3", ("size",)),
    ]
    with pytest.raises(PermanentError, match="without a trade_id"):
        api.page(wanted, api.first(wanted), answer([{"no": "trade"}]))


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (404, {"message": "NotFound"}, UnknownSymbolError),
        (400, {"message": "invalid limit"}, PermanentError),
        (429, {"message": "Public rate limit exceeded"}, RateLimitedError),
        (500, {"message": "Internal server error"}, TransientError),
        (403, b"<html>blocked</html>", TransientError),
        (200, b"<html>maintenance</html>", TransientError),
        (200, {"message": "odd"}, TransientError),
    ],
)
def test_what_errors_mean(status: int, body: Any, error: type[Exception]) -> None:
    wanted = span(NOON, NOON + timedelta(minutes=1))
    with pytest.raises(error, match="Coinbase"):
        history().page(wanted, "newest", answer(body, status))


def test_other_servers_are_asked_themselves() -> None:
    wanted = span(NOON, NOON + timedelta(minutes=1))
    own = Coinbase(url="ws://127.0.0.1:4000", api_key=None).history()
    assert own.request(wanted, "newest") == ("http://127.0.0.1:4000/products/BTC-USD/trades?limit=1000", {})
    assert own.request(wanted, "9 8 0 9 1").url.endswith("&after=8")
