"""Names of Polygon's symbols: one, whichever of the provider's spellings feeds.yaml has."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ticks_platform.feeds.events import Tick
from ticks_platform.feeds.history import Span
from ticks_platform.feeds.polygon.connector import PolygonConnector
from ticks_platform.feeds.settings import FeedSettings

EVENTS: dict[str, dict[str, Any]] = {
    "stocks": {"ev": "T", "sym": "BACpB", "p": 25.1, "s": 100, "t": 1_700_000_000_000, "i": "1", "x": 4},
    "options": {"ev": "T", "sym": "O:SPY251219C00650000", "p": 25.1, "s": 1, "t": 1_700_000_000_000, "x": 4},
    "indices": {"ev": "V", "T": "I:SPX", "val": 25.1, "t": 1_700_000_000_000},
    "crypto": {"ev": "XT", "pair": "BTC-USD", "p": 25.1, "s": 1, "t": 1_700_000_000_000, "i": "1", "x": 1},
    "forex": {"ev": "C", "p": "EUR/USD", "a": 1.1, "b": 1.1, "t": 1_700_000_000_000, "x": 48},
}
"""An event of each market."""


def feed(market: str, *symbols: str) -> FeedSettings:
    return FeedSettings(name="tape", provider="polygon", options={"market": market}, symbols=symbols)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("market", "symbol", "channel", "ticker"),
    [
        ("stocks", "BACpB", "T.BACpB", "BACpB"),
        ("options", "O:SPY251219C00650000", "T.O:SPY251219C00650000", "O:SPY251219C00650000"),
        ("options", "SPY251219C00650000", "T.O:SPY251219C00650000", "O:SPY251219C00650000"),
        ("options", "o:SPY251219C00650000", "T.O:SPY251219C00650000", "O:SPY251219C00650000"),
        ("indices", "I:SPX", "V.I:SPX", "I:SPX"),
        ("indices", "SPX", "V.I:SPX", "I:SPX"),
        ("indices", "i:SPX", "V.I:SPX", "I:SPX"),
        ("crypto", "BTC-USD", "XT.BTC-USD", "X:BTCUSD"),
        ("crypto", "X:BTC-USD", "XT.BTC-USD", "X:BTCUSD"),
        ("crypto", "x:btc-usd", "XT.BTC-USD", "X:BTCUSD"),
        ("crypto", "X:BTCUSD", "XT.BTC-USD", "X:BTCUSD"),
        ("crypto", "btc/usd", "XT.BTC-USD", "X:BTCUSD"),
        ("forex", "EUR/USD", "C.EUR/USD", "C:EURUSD"),
        ("forex", "C:EUR-USD", "C.EUR-USD", "C:EURUSD"),
        ("forex", "c:eurusd", "C.EURUSD", "C:EURUSD"),
    ],
)
def test_a_symbol_has_the_name_that_its_events_carry(market: str, symbol: str, channel: str, ticker: str) -> None:
    """Also in coverage and gaps, in its channel, and where past data is asked for."""
    settings = feed(market, symbol)
    (event,) = settings.decoder()(json.dumps([EVENTS[market]]).encode())
    assert isinstance(event, Tick)
    assert list(settings.asked_symbols()) == list(settings.calendars()) == [event.symbol]
    connector = PolygonConnector(url=None, api_key="demo", options={"market": market})
    assert connector.channels(symbol) == (channel,)
    history = connector.history()
    assert history is not None
    span = Span(event.symbol, symbol, 1_700_000_000_000_000_000, 1_700_000_060_000_000_000)
    url = history.request(span, history.first(span)).url.replace("%3A", ":")
    assert f"/{ticker}?" in url or f"/{ticker}/" in url


@pytest.mark.parametrize(
    ("market", "symbols", "name"),
    [
        ("forex", ["EUR-USD", "EUR/USD"], "EUR/USD"),
        ("forex", ["eurusd", "C:EUR/USD"], "EUR/USD"),
        ("crypto", ["BTC-USD", "btc-usd"], "BTC-USD"),
        ("crypto", ["BTC-USD", "X:BTC-USD"], "BTC-USD"),
        ("crypto", ["DOGEUSDT", "doge/usdt"], "DOGE-USDT"),
        ("indices", ["SPX", "I:SPX"], "I:SPX"),
        ("stocks", ["BACpB", "BACPB"], None),
        ("options", ["O:A260101C00100000", "O:a260101C00100000"], None),
    ],
)
def test_two_spellings_of_one_name_are_refused(market: str, symbols: list[str], name: str | None) -> None:
    if name is None:
        assert list(feed(market, *symbols).asked_symbols()) == symbols
        return
    with pytest.raises(ValueError, match=f"listed twice: {name} "):
        feed(market, *symbols)


@pytest.mark.parametrize("market", EVENTS)
def test_all_symbols_of_a_market_are_no_name(market: str) -> None:
    (channel,) = PolygonConnector(url=None, api_key="demo", options={"market": market}).channels("*")
    assert channel.partition(".")[2] == "*"
    assert list(feed(market, "*").asked_symbols()) == ["*"]


def test_the_job_that_renames_finds_the_spelling_of_feeds_yaml() -> None:
    """Under which earlier releases kept coverage and gaps."""
    for market, symbol in (("crypto", "X:BTC-USD"), ("indices", "SPX"), ("forex", "C:EUR/USD")):
        connector = PolygonConnector(url=None, api_key="demo", options={"market": market})
        assert connector.former_names(symbol) == (symbol,)
