"""Decoding frames of Twelve Data. Frames marked [doc] are from the documentation, [live] ones from users."""

from __future__ import annotations

import json
import math
import random
from typing import Any

import pytest

from ticks_platform.feeds.events import Control, Event, Rejected, Tick
from ticks_platform.feeds.twelve_data.connector import TwelveDataConnector
from ticks_platform_tests.support.feeds import KEY, price

INT64 = range(-(2**63), 2**63)

STOCK = (
    b'{"event":"price","symbol":"AAPL","currency":"USD","exchange":"NASDAQ","type":"Common Stock",'
    b'"timestamp":1592249566,"price":342.0157,"day_volume":27631112}'  # [doc]
)
STOCK_WITH_MIC = (
    b'{"event":"price","symbol":"AAPL","currency":"USD","exchange":"NASDAQ","mic_code":"XNGS","type":"Common Stock",'
    b'"timestamp":1684508044,"price":175.6997,"day_volume":15991537}'  # [live]
)
STOCK_WITHOUT_VOLUME = (
    b'{"event":"price","symbol":"AMZN","currency":"USD","exchange":"NASDAQ","type":"Common Stock",'
    b'"timestamp":1667563304,"price":90.39}'  # [live]
)
METAL = (
    b'{"event":"price","symbol":"XAU/USD","currency":"USD","currency_base":"Gold Spot","currency_quote":"US Dollar",'
    b'"type":"Physical Currency","timestamp":1647950462,"price":1925.18,"bid":1925.05,"ask":1925.32}'  # [doc]
)
CRYPTO_LIVE = (
    b'{"event":"price","symbol":"BTC/USD","currency_base":"Bitcoin","currency_quote":"US Dollar",'
    b'"exchange":"Coinbase Pro","type":"Digital Currency","timestamp":1653116988,"price":29299.0,"bid":29299.0,'
    b'"ask":29299.0,"day_volume":28306}'  # [live]
)
CRYPTO = (
    b'{"event":"price","symbol":"BTC/USD","currency_base":"Bitcoin","currency_quote":"US Dollar","exchange":"Binance",'
    b'"type":"Digital Currency","timestamp":1600595462,"price":10964.8,"day_volume":38279}'  # [doc]
)
INDEX = (
    b'{"event":"price","symbol":"NSEI","currency":"INR","exchange":"NSE","type":"Index","timestamp":1675751257,'
    b'"price":17739.7}'  # [live]
)

SHAPES = {
    STOCK: Tick("AAPL", 1592249566_000_000_000, 342.0157, 27631112),
    STOCK_WITH_MIC: Tick("AAPL", 1684508044_000_000_000, 175.6997, 15991537),
    STOCK_WITHOUT_VOLUME: Tick("AMZN", 1667563304_000_000_000, 90.39),
    METAL: Tick("XAU/USD", 1647950462_000_000_000, 1925.18, bid=1925.05, ask=1925.32),
    CRYPTO_LIVE: Tick("BTC/USD", 1653116988_000_000_000, 29299.0, 28306, bid=29299.0, ask=29299.0),
    CRYPTO: Tick("BTC/USD", 1600595462_000_000_000, 10964.8, 38279),
    INDEX: Tick("NSEI", 1675751257_000_000_000, 17739.7),
}


@pytest.fixture(scope="module")
def twelve_data() -> TwelveDataConnector:
    return TwelveDataConnector(url="ws://127.0.0.1:1", api_key=KEY)


def only(events: list[Event]) -> Event:
    (event,) = events
    return event


@pytest.mark.parametrize("frame", SHAPES, ids=range(len(SHAPES)))
def test_shapes(twelve_data: TwelveDataConnector, frame: bytes) -> None:
    assert twelve_data.decode(frame) == [SHAPES[frame]]


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"price": "175.6997"}, {}),
        ({"timestamp": "1684508044"}, {}),
        ({"day_volume": "15991537"}, {"day_volume": 15991537}),
        ({"bid": "1.5", "ask": "1.75"}, {"bid": 1.5, "ask": 1.75}),
        ({"price": 175}, {"price": 175.0}),
        ({"day_volume": None, "bid": None, "ask": None}, {}),
        ({"day_volume": 0.75}, {"day_volume": 0.75}),
        ({"day_volume": 1.5e10}, {"day_volume": 15_000_000_000}),
        ({"day_volume": 0}, {"day_volume": 0}),
        ({"price": -37.63}, {"price": -37.63}),
        ({"timestamp": 1684508044.0}, {}),
        ({"timestamp": 1684508044.5}, {"time": 1684508044_500_000_000}),
        ({"timestamp": "1684508044.25"}, {"time": 1684508044_250_000_000}),
        ({"timestamp": 0}, {"time": 0}),
        ({"currency": 5, "exchange": None, "type": ["?"], "new_field": {"a": [1]}}, {}),
        ({"symbol": "TINS:IDX"}, {"symbol": "TINS:IDX"}),
        ({"symbol": "Ä/€"}, {"symbol": "Ä/€"}),
    ],
    ids=repr,
)
def test_variants_of_a_price(
    twelve_data: TwelveDataConnector, fields: dict[str, Any], expected: dict[str, Any]
) -> None:
    usual: dict[str, Any] = {"symbol": "AAPL", "time": 1684508044_000_000_000, "price": 175.6997}
    event = only(twelve_data.decode(price(**fields)))
    assert event == Tick(**{**usual, **expected})
    assert isinstance(event, Tick)
    assert type(event.time) is int


def test_every_second_of_a_day_is_exact(twelve_data: TwelveDataConnector) -> None:
    for second in range(1684508044, 1684508044 + 86_400, 7):
        event = only(twelve_data.decode(price(timestamp=second)))
        assert isinstance(event, Tick)
        assert event.time == second * 10**9


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"symbol": None}, "without symbol"),
        ({"symbol": ""}, "without symbol"),
        ({"timestamp": None}, "without timestamp"),
        ({"price": None}, "without price"),
        ({"price": "null"}, "without price"),
        ({"symbol": None, "timestamp": None, "price": None}, "without symbol, timestamp, price"),
        ({"symbol": 700}, "symbol"),
        ({"symbol": ["AAPL"]}, "symbol"),
        ({"price": "a lot"}, "price"),
        ({"price": ""}, "price"),
        ({"price": True}, "price"),
        ({"price": {}}, "price"),
        ({"price": [175.0]}, "price"),
        ({"price": "NaN"}, "price"),
        ({"price": "Infinity"}, "price"),
        ({"price": "-inf"}, "price"),
        ({"timestamp": "2023-05-19T14:54:04Z"}, "timestamp"),
        ({"timestamp": 1e30}, "timestamp"),
        ({"timestamp": "1e30"}, "timestamp"),
        ({"timestamp": 10**30}, "timestamp"),
        ({"timestamp": -(10**30)}, "timestamp"),
        ({"timestamp": 9_223_372_037}, "timestamp"),
        ({"timestamp": 1684508044_000}, "timestamp"),
        ({"timestamp": "nan"}, "timestamp"),
        ({"timestamp": "infinity"}, "timestamp"),
        ({"timestamp": False}, "timestamp"),
    ],
    ids=repr,
)
def test_prices_that_cannot_be_rows(twelve_data: TwelveDataConnector, fields: dict[str, Any], says: str) -> None:
    frame = price(**fields)
    event = only(twelve_data.decode(frame))
    assert isinstance(event, Rejected)
    assert says in event.reason
    assert event.raw == frame


@pytest.mark.parametrize(
    ("fields", "kept"),
    [
        ({"day_volume": 1.3e19}, {"day_volume": 1.3e19}),
        ({"day_volume": 13_000_000_000_000_000_000}, {"day_volume": 1.3e19}),
        ({"day_volume": 0.75}, {"day_volume": 0.75}),
        ({"day_volume": "0.75"}, {"day_volume": 0.75}),
        ({"day_volume": None}, {}),
        ({"day_volume": ""}, None),
        ({"day_volume": "N/A"}, None),
        ({"day_volume": "nan"}, None),
        ({"day_volume": "-Infinity"}, None),
        ({"day_volume": {}}, None),
        ({"day_volume": [1]}, None),
        ({"day_volume": 10**400}, None),
        ({"bid": "NaN"}, None),
        ({"ask": "inf", "bid": {}}, None),
        ({"bid": float("nan")}, None),
        ({"day_volume": float("inf")}, None),
    ],
    ids=repr,
)
def test_an_optional_field_costs_no_price(
    twelve_data: TwelveDataConnector, fields: dict[str, Any], kept: dict[str, float] | None
) -> None:
    whole = {"day_volume": None, "bid": None, "ask": None, **(kept or {})}
    found = only(twelve_data.decode(price(**{"day_volume": None, "bid": None, "ask": None, **fields})))
    assert isinstance(found, Tick)
    assert found.malformed == (None if kept is not None else tuple(name for name in whole if name in fields))
    assert {name: getattr(found, name) for name in whole} == whole
    assert found.price == only(twelve_data.decode(price())).price  # type: ignore[union-attr]


@pytest.mark.parametrize("missing", ["symbol", "timestamp", "price"])
def test_missing_fields(twelve_data: TwelveDataConnector, missing: str) -> None:
    fields = json.loads(STOCK)
    del fields[missing]
    frame = json.dumps(fields).encode()
    assert twelve_data.decode(frame) == [Rejected(f"price event without {missing}", frame)]


@pytest.mark.parametrize("extreme", [9_223_372_036, -9_223_372_036, 9_223_372_036.0, -9_223_372_036.0])
def test_times_at_the_edge_fit_64_bits(twelve_data: TwelveDataConnector, extreme: float) -> None:
    event = only(twelve_data.decode(price(timestamp=extreme)))
    assert isinstance(event, Tick)
    assert event.time == int(extreme) * 10**9
    assert event.time in INT64


GARBAGE = {
    "empty": b"",
    "space": b" \n",
    "NUL": b"\0",
    "NUL after": STOCK + b"\0",
    "NUL within": STOCK.replace(b"AAPL", b"AA\0PL"),
    "cut off": STOCK[:-1],
    "two events": STOCK + STOCK,
    "binary": bytes(range(256)),
    "high bytes": b"\xff\xfe\xfd",
    "byte order mark": b"\xef\xbb\xbf" + STOCK,
    "UTF-16": STOCK.decode().encode("utf-16"),
    "gzip": b"\x1f\x8b\x08\x00\x00\x00\x00\x00",
    "not UTF-8": STOCK.replace(b"AAPL", b"AA\xffL"),
    "half a surrogate": STOCK.replace(b"AAPL", rb"\ud83d"),
    "half a surrogate and more": STOCK.replace(b"AAPL", rb"\ud83dAAPL"),
    "text": b"Too many requests",
    "HTML": b"<html><body>502 Bad Gateway</body></html>",
    "NaN": STOCK.replace(b"342.0157", b"NaN"),
    "Infinity": STOCK.replace(b"342.0157", b"-Infinity"),
    "number out of range": STOCK.replace(b"342.0157", b"1e999"),
    "5,000 digits": STOCK.replace(b"1592249566", b"9" * 5_000),
    "array": b"[" + STOCK + b"]",
    "empty array": b"[]",
    "null": b"null",
    "number": b"42",
    "string": b'"price"',
    "event is a number": b'{"event":5,"price":1}',
    "deep array": b"[" * 200_000,
    "deep field": b'{"event":"price","x":' + b"[" * 200_000 + b"]" * 200_000 + b"}",
    "deep objects": b'{"x":' * 200_000 + b"1" + b"}" * 200_000,
}


@pytest.mark.parametrize("name", GARBAGE)
def test_garbage(twelve_data: TwelveDataConnector, name: str) -> None:
    frame = GARBAGE[name]
    event = only(twelve_data.decode(frame))
    assert isinstance(event, Rejected)
    assert event.reason
    assert event.raw == frame
    assert not twelve_data.converse().receive(frame).notices


@pytest.mark.parametrize(
    ("frame", "kind"),
    [
        (b'{"event":"heartbeat","status":"ok"}', "heartbeat"),
        (b'{"event":"subscribe-status","status":"ok","success":null,"fails":null}', "subscribe-status"),
        (b'{"event":"unsubscribe-status","status":"ok"}', "unsubscribe-status"),
        (b'{"event":"tomorrow","timestamp":"2023-05-19","price":{"open":1}}', "tomorrow"),
        (b'{"status":"error","code":429,"message":"slow down"}', "unnamed"),
        (b'{"event":null}', "unnamed"),
        (b'{"event":""}', "unnamed"),
        (b"{}", "unnamed"),
    ],
)
def test_what_is_not_a_price(twelve_data: TwelveDataConnector, frame: bytes, kind: str) -> None:
    assert twelve_data.decode(frame) == [Control(kind)]


def test_a_price_without_an_event_name_is_not_lost_in_silence(twelve_data: TwelveDataConnector) -> None:
    frame = STOCK.replace(b'"event":"price",', b"")
    assert twelve_data.decode(frame) == [Rejected("price without an event name", frame)]


_TOKENS = [
    *(b"null", b"true", b"{}", b"[]", b'""', b"-", b"0", b"-0", b"1e30", b"1e308", b"1e-400", b"NaN", b"-Infinity"),
    *(b'"nan"', b'"inf"', b'"-inf"', b'"1e30"', b"9" * 40, b"9223372036854775807", b"9223372036854775808"),
    *(b"1.7976931348623157e308", b'"\\u0000"', b'"\\ud800"', b'"\\ud83d\\ude00"', b"\0", b"\xff", b"\xc0\x80", b","),
    *(b'"event":"price",', b'"price":1,', b'"timestamp":', b"[" * 3_000, b'{"a":' * 3_000, b"\\", b'"'),
]


def _mutated(random_: random.Random, frame: bytes) -> bytes:
    data = bytearray(frame)
    for _ in range(random_.choice((1, 1, 1, 2, 3, 8))):
        place = random_.randrange(len(data) + 1)
        end = min(len(data), place + random_.randrange(12))
        how = random_.randrange(6)
        if how == 0:
            data[place:end] = b""
        elif how == 1:
            data[place:place] = random_.choice(_TOKENS)
        elif how == 2:
            data[place:end] = random_.choice(_TOKENS)
        elif how == 3:
            data[place:end] = random_.randbytes(end - place)
        elif how == 4:
            data[place:place] = data[place:end] * random_.randrange(4)
        else:
            # Replace a whole value: the JSON stays valid, which tests types and limits.
            values = list(json.loads(frame))
            name = f'"{random_.choice(values)}":'.encode()
            begin = data.find(name)
            if begin >= 0:
                begin += len(name)
                ends = [place for place in (data.find(b",", begin), data.find(b"}", begin)) if place >= 0]
                data[begin : min(ends, default=begin)] = random_.choice(_TOKENS)
    return bytes(data)


def test_no_mutation_of_a_frame_raises_or_makes_a_bad_tick(twelve_data: TwelveDataConnector) -> None:
    random_ = random.Random(20240519)
    frames = [*SHAPES, b'{"event":"subscribe-status","status":"error","success":null,"fails":[{"symbol":"BTC"}]}']
    outcomes: dict[type, int] = {Tick: 0, Rejected: 0, Control: 0}
    for _ in range(40_000):
        frame = _mutated(random_, random_.choice(frames))
        twelve_data.converse().receive(frame)
        event = only(twelve_data.decode(frame))
        outcomes[type(event)] += 1
        if isinstance(event, Rejected):
            assert event.reason
            assert event.raw == frame
        elif isinstance(event, Tick):
            assert event.symbol.encode()
            assert type(event.time) is int
            assert event.time in INT64
            for number in (event.price, event.day_volume, event.bid, event.ask):
                assert number is None or math.isfinite(number), frame
    # The test is only meaningful if all outcomes are common.
    assert min(outcomes.values()) > 1_000, outcomes
