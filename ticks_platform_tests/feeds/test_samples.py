"""The samples of the providers' documentation, each accepted as what it is.

Polygon: the official AsyncAPI and OpenAPI descriptions in massive-com/client-python (.massive/websocket.json, rest.json).
Twelve Data: the pages of its WebSocket, the official clients, and frames that users published.
"""

# ruff: noqa: E501

from __future__ import annotations

import json
from typing import Any

import pytest

from ticks_platform.feeds.events import Bar, Control, Event, Quote, Tick
from ticks_platform.feeds.history import HistoryAnswer, Span, decode
from ticks_platform.feeds.polygon import events as polygon
from ticks_platform.feeds.polygon.history import PolygonHistory
from ticks_platform.feeds.twelve_data import events as twelve_data

POLYGON: list[tuple[str, str, type]] = [
    (
        "stocks",
        '{"ev": "T", "sym": "MSFT", "x": 4, "i": "12345", "z": 3, "p": 114.125, "s": 100, "c": [0, 12], "t": 1536036818784, "q": 3681328}',
        Tick,
    ),
    (
        "stocks",
        '{"ev": "Q", "sym": "MSFT", "bx": 4, "bp": 114.125, "bs": 100, "ax": 7, "ap": 114.128, "as": 160, "c": 0, "i": [604], "t": 1536036818784, "q": 50385480, "z": 3}',
        Quote,
    ),
    (
        "stocks",
        '{"ev": "A", "sym": "SPCE", "v": 200, "av": 8642007, "op": 25.66, "vw": 25.3981, "o": 25.39, "c": 25.39, "h": 25.39, "l": 25.39, "a": 25.3714, "z": 50, "s": 1610144868000, "e": 1610144869000}',
        Bar,
    ),
    (
        "stocks",
        '{"ev": "AM", "sym": "GTE", "v": 4110, "av": 9470157, "op": 0.4372, "vw": 0.4488, "o": 0.4488, "c": 0.4486, "h": 0.4489, "l": 0.4486, "a": 0.4352, "z": 685, "s": 1610144640000, "e": 1610144700000}',
        Bar,
    ),
    (
        "stocks",
        '{"ev": "LULD", "T": "MSFT", "h": 218.96, "l": 198.11, "i": [21], "z": 3, "t": 1601316752683746, "q": 290317}',
        Control,
    ),
    (
        "stocks",
        '{"ev": "NOI", "T": "NTEST.Q", "t": 1601318039223013600, "at": 930, "a": "M", "i": 44, "x": 10, "o": 480, "p": 440, "b": 25.03}',
        Control,
    ),
    ("stocks", '{"ev": "FMV", "fmv": 189.22, "sym": "AAPL", "t": 1678220098130}', Control),
    (
        "stocks",
        '{"ev": "AM", "sym": "GTE", "v": 4110, "av": 9470157, "op": 0.4372, "vw": 0.4488, "o": 0.4488, "c": 0.4486, "h": 0.4489, "l": 0.4486, "a": 0.4352, "z": 685, "s": 1610144640000, "e": 1610144700000}',
        Bar,
    ),
    ("stocks", '{"ev": "LV", "val": 189.22, "sym": "AAPL", "t": 1678220098130}', Control),
    (
        "options",
        '{"ev": "T", "sym": "O:AMC210827C00037000", "x": 65, "p": 1.54, "s": 1, "c": [233], "t": 1629820676333, "q": 651921857}',
        Tick,
    ),
    (
        "options",
        '{"ev": "Q", "sym": "O:SPY241220P00720000", "bx": 302, "ax": 302, "bp": 9.71, "ap": 9.81, "bs": 17, "as": 24, "t": 1644506128351, "q": 844090872}',
        Quote,
    ),
    (
        "options",
        '{"ev": "AM", "sym": "O:ONEM220121C00025000", "v": 2, "av": 8, "op": 2.2, "vw": 2.05, "o": 2.05, "c": 2.05, "h": 2.05, "l": 2.05, "a": 2.1312, "z": 2, "s": 1632419640000, "e": 1632419700000}',
        Bar,
    ),
    (
        "options",
        '{"ev": "AM", "sym": "O:ONEM220121C00025000", "v": 2, "av": 8, "op": 2.2, "vw": 2.05, "o": 2.05, "c": 2.05, "h": 2.05, "l": 2.05, "a": 2.1312, "z": 2, "s": 1632419640000, "e": 1632419700000}',
        Bar,
    ),
    ("options", '{"ev": "FMV", "fmv": 7.2, "sym": "O:TSLA210903C00700000", "t": 1401715883806000000}', Control),
    (
        "options",
        '{"ev": "AM", "sym": "O:ONEM220121C00025000", "v": 2, "av": 8, "op": 2.2, "vw": 2.05, "o": 2.05, "c": 2.05, "h": 2.05, "l": 2.05, "a": 2.1312, "z": 1, "s": 1632419640000, "e": 1632419700000}',
        Bar,
    ),
    ("options", '{"ev": "LV", "val": 7.2, "sym": "O:TSLA210903C00700000", "t": 1401715883806000000}', Control),
    ("forex", '{"ev": "C", "p": "USD/CNH", "x": "44", "a": 6.83366, "b": 6.83363, "t": 1536036818784}', Tick),
    (
        "forex",
        '{"ev": "CA", "pair": "USD/EUR", "o": 0.8687, "c": 0.86889, "h": 0.86889, "l": 0.8686, "v": 20, "s": 1539145740000}',
        Bar,
    ),
    (
        "forex",
        '{"ev": "CAS", "pair": "USD/EUR", "o": 0.8687, "c": 0.86889, "h": 0.86889, "l": 0.8686, "v": 20, "s": 1539145740000}',
        Bar,
    ),
    ("forex", '{"ev": "FMV", "fmv": 1.0631, "sym": "C:EURUSD", "t": 1678220098130}', Control),
    (
        "forex",
        '{"ev": "AM", "sym": "C:USD-EUR", "v": 4110, "av": 9470157, "op": 0.9272, "vw": 0.9288, "o": 0.9288, "c": 0.9286, "h": 0.9289, "l": 0.9206, "a": 0.9352, "z": 685, "s": 1610144640000, "e": 1610144700000}',
        Bar,
    ),
    ("forex", '{"ev": "LV", "val": 1.0631, "sym": "C:EURUSD", "t": 1678220098130}', Control),
    (
        "crypto",
        '{"ev": "XT", "pair": "BTC-USD", "p": 33021.9, "t": 1610462007425, "s": 0.01616617, "c": [2], "i": 14272084, "x": 3, "r": 1610462007576}',
        Tick,
    ),
    (
        "crypto",
        '{"ev": "XQ", "pair": "BTC-USD", "bp": 33052.79, "bs": 0.48, "ap": 33073.19, "as": 0.601, "t": 1610462411115, "x": 1, "r": 1610462411128}',
        Quote,
    ),
    (
        "crypto",
        '{"ev": "XL2", "pair": "BTC-USD", "t": 1610462411115, "r": 1610462411128, "x": 1, "b": [[33712.71, 0.18635], [33712.7, 0.134]], "a": [[33718.23, 3.5527483], [33718.24, 0.1]]}',
        Control,
    ),
    (
        "crypto",
        '{"ev": "XA", "pair": "BCD-USD", "v": 951.6112, "vw": 0.7756, "z": 73, "o": 0.772, "c": 0.784, "h": 0.784, "l": 0.771, "s": 1610463240000, "e": 1610463300000}',
        Bar,
    ),
    (
        "crypto",
        '{"ev": "XAS", "pair": "BCD-USD", "v": 951.6112, "vw": 0.7756, "z": 73, "o": 0.772, "c": 0.784, "h": 0.784, "l": 0.771, "s": 1610463240000, "e": 1610463300000}',
        Bar,
    ),
    ("crypto", '{"ev": "FMV", "fmv": 33021.9, "sym": "X:BTC-USD", "t": 1610462007425}', Control),
    (
        "crypto",
        '{"ev": "AM", "sym": "X:BTC-USD", "v": 951.6112, "av": 738.6112, "op": 26503.8, "vw": 26503.8, "o": 27503.8, "c": 27203.8, "h": 27893.8, "l": 26503.8, "a": 26503.8, "z": 10, "s": 1610463240000, "e": 1610463300000}',
        Bar,
    ),
    ("crypto", '{"ev": "LV", "val": 33021.9, "sym": "X:BTC-USD", "t": 1610462007425}', Control),
    (
        "indices",
        '{"ev": "A", "sym": "I:SPX", "op": 3985.67, "o": 3985.67, "c": 3985.67, "h": 3985.67, "l": 3985.67, "s": 1678220675805, "e": 1678220675805}',
        Bar,
    ),
    (
        "indices",
        '{"ev": "AM", "sym": "I:SPX", "op": 3985.67, "o": 3985.67, "c": 3985.67, "h": 3985.67, "l": 3985.67, "s": 1678220675805, "e": 1678220675805}',
        Bar,
    ),
    ("indices", '{"ev": "V", "val": 3988.5, "T": "I:SPX", "t": 1678220098130}', Tick),
]

POLYGON_REST: list[tuple[str, str, str]] = [
    (
        "crypto",
        "bars",
        '{"c": 10094.75, "h": 10429.26, "l": 9490, "n": 1, "o": 9557.9, "t": 1590984000000, "v": 303067.6562332156, "vw": 9874.5529}',
    ),
    (
        "crypto",
        "bars",
        '{"c": 9492.62, "h": 10222.72, "l": 9135.68, "n": 1, "o": 10096.87, "t": 1591070400000, "v": 323339.6922892879, "vw": 9729.5701}',
    ),
    (
        "forex",
        "bars",
        '{"c": 1.17721, "h": 1.18305, "l": 1.1756, "n": 125329, "o": 1.17921, "t": 1626912000000, "v": 125329, "vw": 1.1789}',
    ),
    (
        "indices",
        "bars",
        '{"c": 11995.88235998666, "h": 12340.44936267155, "l": 11970.34221717375, "o": 12230.83658266843, "t": 1678341600000}',
    ),
    (
        "indices",
        "bars",
        '{"c": 11830.28178808306, "h": 12069.62262033557, "l": 11789.85923449393, "o": 12001.69552583921, "t": 1678428000000}',
    ),
    ("options", "bars", '{"c": 26.2, "h": 26.2, "l": 26.2, "n": 1, "o": 26.2, "t": 1632369600000, "v": 2, "vw": 26.2}'),
    ("options", "bars", '{"c": 28.3, "h": 28.3, "l": 28.3, "n": 1, "o": 28.3, "t": 1632456000000, "v": 2, "vw": 28.3}'),
    (
        "stocks",
        "bars",
        '{"c": 75.0875, "h": 75.15, "l": 73.7975, "n": 1, "o": 74.06, "t": 1577941200000, "v": 135647456, "vw": 74.6099}',
    ),
    (
        "stocks",
        "bars",
        '{"c": 74.3575, "h": 75.145, "l": 74.125, "n": 1, "o": 74.2875, "t": 1578027600000, "v": 146535512, "vw": 74.7026}',
    ),
    (
        "crypto",
        "trades",
        '{"conditions": [1], "exchange": 1, "id": "191450340", "participant_timestamp": 1625097600103000000, "price": 35060, "size": 1.0434526}',
    ),
    (
        "crypto",
        "trades",
        '{"conditions": [2], "exchange": 1, "id": "191450341", "participant_timestamp": 1625097600368000000, "price": 35059.99, "size": 0.0058883}',
    ),
    (
        "options",
        "trades",
        '{"exchange": 46, "participant_timestamp": 1401715883806000000, "price": 6.91, "sip_timestamp": 1401715883806000000, "size": 1}',
    ),
    (
        "options",
        "trades",
        '{"conditions": [209], "exchange": 67, "participant_timestamp": 1401716547786000000, "price": 7.2, "sip_timestamp": 1401716547786000000, "size": 1}',
    ),
    (
        "stocks",
        "trades",
        '{"conditions": [12, 41], "exchange": 11, "id": "1", "participant_timestamp": 1517562000015577000, "price": 171.55, "sequence_number": 1063, "sip_timestamp": 1517562000016036600, "size": 100, "tape": 3}',
    ),
    (
        "stocks",
        "trades",
        '{"conditions": [12, 41], "exchange": 11, "id": "2", "participant_timestamp": 1517562000015577600, "price": 171.55, "sequence_number": 1064, "sip_timestamp": 1517562000016038100, "size": 100, "tape": 3}',
    ),
]

TWELVE_DATA = [
    '{"event":"price","symbol":"AAPL","currency":"USD","exchange":"NASDAQ","type":"Common Stock","timestamp":1592249566,"price":342.0157,"day_volume":27631112}',
    '{"event":"price","symbol":"AAPL","currency":"USD","exchange":"NASDAQ","mic_code":"XNGS","type":"Common Stock","timestamp":1684508044,"price":175.6997,"day_volume":15991537}',
    '{"event":"price","symbol":"AMZN","currency":"USD","exchange":"NASDAQ","type":"Common Stock","timestamp":1667563304,"price":90.39}',
    '{"event":"price","symbol":"XAU/USD","currency":"USD","currency_base":"Gold Spot","currency_quote":"US Dollar","type":"Physical Currency","timestamp":1647950462,"price":1925.18,"bid":1925.05,"ask":1925.32}',
    '{"event":"price","symbol":"BTC/USD","currency_base":"Bitcoin","currency_quote":"US Dollar","exchange":"Coinbase Pro","type":"Digital Currency","timestamp":1653116988,"price":29299.0,"bid":29299.0,"ask":29299.0,"day_volume":28306}',
    '{"event":"price","symbol":"BTC/USD","currency_base":"Bitcoin","currency_quote":"US Dollar","exchange":"Binance","type":"Digital Currency","timestamp":1600595462,"price":10964.8,"day_volume":38279}',
    '{"event":"price","symbol":"NSEI","currency":"INR","exchange":"NSE","type":"Index","timestamp":1675751257,"price":17739.7}',
]

TWELVE_DATA_NO_PRICES = [
    '{"event":"subscribe-status","status":"ok","success":[{"symbol":"AAPL","exchange":"NASDAQ","country":"United States","type":"Common Stock"}],"fails":[]}',
    '{"event":"subscribe-status","status":"error","success":null,"fails":[{"symbol":"BTC"}]}',
    '{"event":"subscribe-status","status":"error","messages":["Cant parse message"]}',
    '{"event":"heartbeat","status":"ok"}',
    '{"event":"unsubscribe-status","status":"ok"}',
    '{"event":"reset-status","status":"ok"}',
    '{"status":"error","code":400,"message":"a reason"}',
]


def accepted(event: Event) -> bool:
    """Whether it is no refusal, and no field was left out."""
    return getattr(event, "malformed", None) is None


@pytest.mark.parametrize(("market", "sample", "kind"), POLYGON)
def test_samples_of_polygon(market: str, sample: str, kind: type) -> None:
    frame = f"[{sample}]".encode()
    (event,) = polygon.decode(frame, market)
    assert type(event) is kind
    assert accepted(event)
    decoded = polygon.decode_many([frame], market)
    if decoded is not None:
        events = decoded.events if isinstance(decoded.events, list) else decoded.events.ticks()
        assert events == [event]
    sent: dict[str, Any] = json.loads(sample)
    if isinstance(event, Tick):
        symbol = sent["T"] if sent["ev"] == "V" else sent["p"] if sent["ev"] == "C" else sent.get("sym") or sent["pair"]
        assert event.symbol == symbol
        assert (event.size, event.trade_id) == (sent.get("s"), str(sent["i"]) if "i" in sent else None)
    if isinstance(event, Quote):
        assert (event.bid, event.bid_size, event.ask, event.ask_size) == tuple(
            sent[name] for name in ("bp", "bs", "ap", "as")
        )
    if isinstance(event, Bar):
        assert (event.open, event.high, event.low, event.close) == tuple(sent[name] for name in "ohlc")
        assert event.volume == sent.get("v")


@pytest.mark.parametrize(("market", "kind", "sample"), POLYGON_REST)
def test_samples_of_polygon_rest(market: str, kind: Any, sample: str) -> None:
    history = PolygonHistory(
        url="wss://socket.polygon.io", api_key="k", market=market, domain="polygon.io", cluster="socket", kind=kind
    )
    span = Span("X", "X", 0, 1)
    body = f'{{"status":"OK","results":[{sample}]}}'.encode()
    page = history.page(span, history.first(span), HistoryAnswer(200, {}, body))
    (event,) = decode(history, page.frames[0])
    assert type(event) is (Tick if kind == "trades" else Bar)
    assert accepted(event)
    if isinstance(event, Tick):
        sent = json.loads(sample)
        assert (event.price, event.size, event.trade_id) == (sent["price"], sent["size"], sent.get("id"))


@pytest.mark.parametrize("sample", TWELVE_DATA)
def test_samples_of_twelve_data(sample: str) -> None:
    (event,) = twelve_data.decode(sample.encode())
    sent = json.loads(sample)
    assert event == Tick(
        sent["symbol"],
        sent["timestamp"] * 10**9,
        sent["price"],
        sent.get("day_volume"),
        bid=sent.get("bid"),
        ask=sent.get("ask"),
    )


@pytest.mark.parametrize("sample", TWELVE_DATA_NO_PRICES)
def test_samples_of_twelve_data_without_prices(sample: str) -> None:
    (event,) = twelve_data.decode(sample.encode())
    assert isinstance(event, Control)
