"""Frames of all kinds for property tests: noise, JSON of wrong shapes, and frames that are almost right.

A value is the JSON text that stands for it, so that it may be what no encoder writes: 1e400, NaN, half a surrogate.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from ticks_platform.feeds.alpaca import Alpaca
from ticks_platform.feeds.binance import Binance
from ticks_platform.feeds.coinbase.connector import Coinbase
from ticks_platform.feeds.connector import AskedSymbol, Connector
from ticks_platform.feeds.kraken import Kraken
from ticks_platform.feeds.polygon.connector import PolygonConnector
from ticks_platform.feeds.twelve_data.connector import TwelveDataConnector

_ANY = settings(database=None, deadline=None, suppress_health_check=list(HealthCheck))

QUICK = settings(_ANY, max_examples=25, derandomize=True)
"""The same few examples in each run."""

THOROUGH = settings(
    _ANY, max_examples=int(os.environ.get("TICKS_PROPERTY_EXAMPLES", "500")), derandomize=False, print_blob=True
)
"""Others in each run; a failure prints how to repeat it."""


class Provider(NamedTuple):
    """A provider's documented messages, by the JSON text of each field."""

    connector: Connector
    events: Sequence[Mapping[str, bytes]]
    """The first becomes a tick."""
    answers: Sequence[bytes]
    """Control messages."""
    in_lists: bool
    """Whether a frame is a list of events."""
    required: frozenset[str] = frozenset()
    """Fields of the first event that it needs, beside those that all providers' events need."""


def _events(*events: Mapping[str, Any]) -> list[dict[str, bytes]]:
    return [{name: json.dumps(value).encode() for name, value in event.items()} for event in events]


_NOW = int(time.time()) - 60
_MS = _NOW * 1000

_POLYGON = {
    "stocks": _events(
        {"ev": "T", "sym": "AAPL", "p": 100.5, "s": 10, "t": _MS, "x": 4, "i": "71", "z": 3, "c": [14, 41], "q": 5},
        {"ev": "T", "sym": "AAPL", "p": 100.5, "s": 10, "t": _MS, "x": 4, "i": "0", "trfi": 201, "ds": "0.25"},
        {"ev": "T", "sym": "MSFT", "p": 7.5, "s": 1, "t": _MS, "x": 12, "i": "9", "z": 3, "c": [15]},
        {"ev": "Q", "sym": "AAPL", "t": _MS, "bp": 100.4, "bs": 3, "ap": 100.6, "as": 2, "c": 1},
        {"ev": "AM", "sym": "AAPL", "o": 1.0, "h": 3.0, "l": 1.0, "c": 2.0, "s": _MS, "e": _MS + 60_000, "v": 9.5},
        {"ev": "A", "sym": "AAPL", "o": 1.0, "h": 3.0, "l": 1.0, "c": 2.0, "s": _MS, "e": _MS + 1000, "v": 9},
        {"ev": "LULD", "T": "AAPL", "t": _MS, "h": 110.0, "l": 90.0, "i": [17], "z": 3},
        {"ev": "status", "status": "success", "message": "subscribed to: T.AAPL"},
    ),
    "options": _events(
        {"ev": "T", "sym": "O:AAPL261218C00200000", "p": 1.5, "s": 2, "t": _MS, "x": 302, "c": [232]},
        {"ev": "Q", "sym": "O:AAPL261218C00200000", "t": _MS, "bp": 1.4, "bs": 3, "ap": 1.6, "as": 2},
    ),
    "crypto": _events(
        {"ev": "XT", "pair": "BTC-USD", "p": 33021.9, "t": _MS, "s": 0.01, "c": [0], "i": "72067", "x": 1},
        {"ev": "XQ", "pair": "BTC-USD", "t": _MS, "bp": 1.0, "bs": 1, "ap": 2.0, "as": 2, "x": 1},
        {"ev": "XA", "pair": "BTC-USD", "o": 1, "h": 2, "l": 1, "c": 2, "s": _MS, "e": _MS, "v": 3, "vw": 1.5},
    ),
    "forex": _events(
        {"ev": "C", "p": "USD/CNH", "x": 44, "a": 6.8, "b": 6.7, "t": _MS},
        {"ev": "CA", "pair": "USD/EUR", "o": 0.8, "h": 0.8, "l": 0.8, "c": 0.8, "v": 13, "s": _MS, "e": _MS + 60_000},
    ),
    "indices": _events(
        {"ev": "V", "val": 3988.5, "T": "I:SPX", "t": _MS},
        {"ev": "AM", "sym": "I:SPX", "op": 3985.6, "o": 3985.6, "h": 3986, "l": 3985, "c": 3985.9, "s": _MS, "e": _MS},
    ),
}

_POLYGON_ANSWERS = tuple(
    json.dumps([{"ev": "status", "status": status, "message": message}]).encode()
    for status, message in (
        ("connected", "Connected Successfully"),
        ("auth_success", "authenticated"),
        ("auth_failed", "authentication failed"),
        ("auth_timeout", "authentication timed out"),
        ("max_connections", "Maximum number of websocket connections exceeded."),
        ("success", "subscribed to: T.AAPL,T.MSFT"),
        ("success", "unsubscribed to: T.AAPL"),
        ("error", "not authorized to subscribe to this data"),
        ("error", "symbol limit exceeded"),
    )
)

_TWELVE_DATA = _events(
    {"event": "price", "symbol": "AAPL", "currency": "USD", "exchange": "NASDAQ", "mic_code": "XNAS",
     "type": "Common Stock", "timestamp": _NOW, "price": 100.5, "day_volume": 27631112},
    {"event": "price", "symbol": "BTC/USD", "timestamp": _NOW, "price": 33021.9, "bid": 33021, "ask": 33022},
    {"event": "heartbeat", "status": "ok"},
)  # fmt: skip

_TWELVE_DATA_ANSWERS = tuple(
    json.dumps(message).encode()
    for message in (
        {"event": "subscribe-status", "status": "ok", "success": [{"symbol": "AAPL"}], "fails": None},
        {"event": "subscribe-status", "status": "error", "fails": [{"symbol": "MSFT", "message": "no"}]},
        {"event": "subscribe-status", "status": "error", "messages": ["You have reached the subscriptions limit"]},
        {"event": "unsubscribe-status", "status": "ok", "success": [{"symbol": "AAPL", "exchange": "NASDAQ"}]},
        {"event": "status", "status": "error", "message": "Too many connections, please slow down", "code": 429},
        {"event": "status", "status": "error", "message": "API key is incorrect", "code": 401},
        {"event": "reset-status", "status": "ok"},
    )
)

_COINBASE = _events(
    {"type": "match", "trade_id": 10, "product_id": "BTC-USD", "size": "5.23512", "price": "400.23",
     "time": time.strftime("%Y-%m-%dT%H:%M:%S.028459Z", time.gmtime(_NOW)), "side": "sell", "sequence": 50},
    {"type": "heartbeat", "sequence": 90, "product_id": "BTC-USD"},
)  # fmt: skip

_COINBASE_ANSWERS = tuple(
    json.dumps(message).encode()
    for message in (
        {"type": "subscriptions", "channels": [{"name": "matches", "product_ids": ["BTC-USD"]}]},
        {"type": "subscriptions", "channels": []},
        {"type": "error", "message": "Failed to subscribe", "reason": "NOPE is not a valid product"},
    )
)


_KRAKEN = _events(
    {"channel": "trade", "type": "update", "data": [
        {"symbol": "BTC/USD", "side": "sell", "price": 78568.6, "qty": 0.04244195, "ord_type": "limit",
         "trade_id": 105994519, "timestamp": time.strftime("%Y-%m-%dT%H:%M:%S.075373Z", time.gmtime(_NOW))}]},
    {"channel": "heartbeat"},
)  # fmt: skip

_KRAKEN_ANSWERS = tuple(
    json.dumps(message).encode()
    for message in (
        {"method": "subscribe", "result": {"channel": "trade", "symbol": "BTC/USD"}, "success": True, "req_id": 1},
        {"method": "subscribe", "error": "Currency pair not supported", "success": False, "symbol": "NOPE/USD"},
        {"method": "unsubscribe", "success": True, "req_id": 2},
    )
)

_BINANCE = _events(
    {"e": "trade", "E": _MS, "s": "BTCUSDT", "t": 5052328858, "p": "107407.88000000", "q": "0.00024000", "T": _MS},
    {"e": "aggTrade", "E": _MS, "s": "BTCUSDT", "a": 52, "p": "35628.53", "q": "0.0035", "f": 57, "l": 57, "T": _MS},
    {"u": 400900217, "s": "BNBUSDT", "b": "25.35190000", "B": "31.21", "a": "25.3652", "A": "40.66"},
    {"stream": "btcusdt@trade", "data": {"e": "trade", "s": "BTCUSDT", "t": 5, "p": "1.5", "q": "0.1", "T": _MS}},
)

_BINANCE_ANSWERS = tuple(
    json.dumps(message).encode()
    for message in (
        {"result": None, "id": 1},
        {"error": {"code": 2, "msg": "Invalid request"}, "id": 2},
        {"code": 3, "msg": "Invalid JSON", "id": None},
        {"stream": "!serverShutdown", "data": {"e": "serverShutdown", "E": _MS}},
    )
)

_STAMP = time.strftime("%Y-%m-%dT%H:%M:%S.838232225Z", time.gmtime(_NOW))

_ALPACA = _events(
    {"T": "t", "S": "AAPL", "i": 628, "x": "K", "p": 162.92, "s": 3, "c": ["@", "F", "T", "I"], "z": "C", "t": _STAMP},
    {"T": "t", "S": "IBM", "i": 9, "x": "N", "p": 7.5, "s": 1, "c": [" ", "M"], "z": "A", "t": _STAMP},
    {"T": "q", "S": "AAPL", "bx": "K", "bp": 91.95, "bs": 2, "ax": "Q", "ap": 91.98, "as": 1, "t": _STAMP},
    {"T": "b", "S": "AAPL", "o": 1.0, "h": 3.0, "l": 1.0, "c": 2.0, "v": 9, "vw": 1.5, "t": _STAMP},
    {"T": "c", "S": "AAPL", "x": "M", "oi": 5, "op": 39.1, "os": 4, "oc": [" "], "ci": 6, "cp": 39.2, "cs": 4,
     "cc": [" ", "7"], "z": "B", "t": _STAMP},
    {"T": "x", "S": "AAPL", "i": 465, "x": "D", "p": 105.31, "s": 300, "a": "C", "z": "C", "t": _STAMP},
    {"T": "s", "S": "AAPL", "sc": "H", "sm": "Trading Halt", "rc": "T12", "rm": "", "z": "C", "t": _STAMP},
)  # fmt: skip

_ALPACA_ANSWERS = tuple(
    json.dumps([message]).encode()
    for message in (
        {"T": "success", "msg": "connected"},
        {"T": "success", "msg": "authenticated"},
        {"T": "subscription", "trades": ["AAPL", "MSFT"], "quotes": [], "bars": None},
        {"T": "error", "code": 405, "msg": "symbol limit exceeded"},
        {"T": "error", "code": 406, "msg": "connection limit exceeded"},
    )
)


def _with_listings() -> TwelveDataConnector:
    connector = TwelveDataConnector(url="ws://127.0.0.1:1", api_key="k")
    connector.use_symbols([AskedSymbol("AAPL"), AskedSymbol("RY:TSX", "CAD"), AskedSymbol("RY:NYSE", "USD")])
    return connector


PROVIDERS: dict[str, Provider] = {
    "twelve_data": Provider(
        TwelveDataConnector(url="ws://127.0.0.1:1", api_key="k"), _TWELVE_DATA, _TWELVE_DATA_ANSWERS, False
    ),
    "twelve_data with listings": Provider(_with_listings(), _TWELVE_DATA, _TWELVE_DATA_ANSWERS, False),
    "coinbase": Provider(Coinbase(url=None, api_key=None), _COINBASE, _COINBASE_ANSWERS, False),
    "kraken": Provider(Kraken(url=None, api_key=None), _KRAKEN, _KRAKEN_ANSWERS, False, frozenset(("channel", "data"))),
    "binance": Provider(Binance(url=None, api_key=None), _BINANCE, _BINANCE_ANSWERS, False, frozenset("es")),
    "alpaca": Provider(Alpaca(url=None, api_key="id:secret"), _ALPACA, _ALPACA_ANSWERS, True, frozenset("S")),
    **{
        f"polygon {market}": Provider(
            PolygonConnector(url="ws://127.0.0.1:1", api_key="k", options={"market": market}),
            events,
            _POLYGON_ANSWERS,
            True,
        )
        for market, events in _POLYGON.items()
    },
}

_ODD = (
    *(b"null", b"true", b"false", b"0", b"-0", b"0.75", b"-1", b"1e-400", b"1e400", b"-1e400", b"NaN", b"-Infinity"),
    *(b'"NaN"', b'"Infinity"', b'"1e400"', b'""', b'" "', b'"N/A"', b'"-1.5"', b'"1_000"', b'"\xc3\xa9"', b'"\xff"'),
    *(b'"\\u0000"', b'"A\\u0000B"', b'"\\ud800"', b'"\\udc00x"', b'"\\ud83d\\ude00"', b'"\\u2028\\n\\u001b[2J"'),
    *(b"1.3e19", b"9223372036854775807", b"9223372036854775808", b"-9223372036854775809", b"18446744073709551616"),
    *(b"1" * 400, b"9" * 5000, b"-" + b"7" * 4301, b"0." + b"3" * 5000, b'"' + b"1" * 5000 + b'"', b"1e", b"01", b"+1"),
    *(b'"' + b"x" * 3000 + b'"', b"[]", b"{}", b"[1,[2,[3]]]", b'{"a":{"b":[]}}', b'["AAPL"]', b'{"symbol":"AAPL"}'),
    *(b"[" * 40 + b"]" * 40, b"[" * 3000 + b"]" * 3000, b'{"a":' * 3000 + b"1" + b"}" * 3000, b'"price"', b'"status"'),
    *(str(_NOW).encode(), str(_MS).encode(), str(_MS * 1000).encode(), str(_MS * 1_000_000).encode()),
    *(str(_NOW + 0.25).encode(), f'"{_NOW}"'.encode(), b"1790000000.5e300", b"946684800", b"32768", b"-32769"),
    *(b"[14,41,99999]", b"[-1]", b"[null]", b'["14"]', b"[1e400]", b"[15,16,17,38]", b'"2026-02-30T25:61:61Z"'),
)
"""Values that went wrong somewhere, or could."""

_LETTERS = 'aZ0é\u2019\u6f22\U0001f600"\\/\0\n\x1b\u2028\u202e.:*- '
"""Not all of Unicode: to make a table of that takes two seconds."""

values: st.SearchStrategy[bytes] = st.one_of(
    st.sampled_from((b"null", b"5", b'"x"', b"[]", b"{}", b"[null,[5]]", b'{"x":5}', b'""')),
    st.sampled_from(_ODD),
    st.integers().map(lambda number: str(number).encode()),
    st.floats().map(lambda number: json.dumps(number).encode()),
    st.text(_LETTERS, max_size=8).map(lambda text: json.dumps(text).encode()),
    st.binary(max_size=6),
)

_PLACEHOLDER = "a value that is replaced"

_noise = st.one_of(
    st.binary(max_size=40),
    st.sampled_from(
        (
            *(
                b"",
                b" ",
                b"\n",
                b"[]",
                b"[[]]",
                b"{}",
                b"null",
                b"[null]",
                b"[1]",
                b'"x"',
                b"not json",
                b"\x00",
                b"[{}]",
            ),
            *(b"[" * 100_000, b'[{"ev":"T"', b'{"event":"price",', b'[{"ev":"status","status":{}}]', b"\xef\xbb\xbf{}"),
        )
    ),
    values,
)


@st.composite
def _changed(draw: st.DrawFn, event: Mapping[str, bytes]) -> bytes:
    """An event of which some fields are replaced, missing, or there twice."""
    fields = list(event.items())
    for _ in range(draw(st.integers(0, 3))):
        place = draw(st.integers(0, len(fields) - 1))
        name, value = fields[place]
        what = draw(st.sampled_from(("replace", "replace", "remove", "repeat", "rename")))
        if what == "replace":
            fields[place] = (name, draw(values))
        elif what == "repeat":
            fields.append((name, draw(values)))
        elif what == "rename":
            fields[place] = (draw(st.sampled_from(("ev", "event", "sym", "symbol", "é", ""))), value)
        elif len(fields) > 1:
            del fields[place]
    return b"{" + b",".join(b'"' + name.encode() + b'":' + value for name, value in fields) + b"}"


@st.composite
def _odd_answers(draw: st.DrawFn, answers: Sequence[bytes]) -> bytes:
    """An answer in which one value, at any depth, is replaced."""
    answer = json.loads(draw(st.sampled_from(answers)))
    whole: list[Any] = [answer]
    place: Any = whole
    at: Any = 0
    while isinstance(place[at], dict | list) and place[at] and draw(st.integers(0, 4)):
        place = place[at]
        at = draw(st.sampled_from(list(place) if isinstance(place, dict) else range(len(place))))
    place[at] = _PLACEHOLDER
    return json.dumps(whole[0]).encode().replace(f'"{_PLACEHOLDER}"'.encode(), draw(values))


@st.composite
def _messages(draw: st.DrawFn, provider: Provider) -> bytes:
    one = st.sampled_from(provider.events).flatmap(_changed)
    if not provider.in_lists:
        frame = draw(one)
    else:
        items = draw(st.lists(st.one_of(one, one, one, values), max_size=4))
        frame = b"[" + b",".join(items) + b"]" if draw(st.integers(0, 9)) else b"".join(items)
    how = draw(st.integers(0, 19))
    if how == 0:
        return frame[: draw(st.integers(0, len(frame)))]
    return frame + frame if how == 1 else b" \n" + frame if how == 2 else frame


def frames(provider: Provider) -> st.SearchStrategy[bytes]:
    """One message that a server may send."""
    messages = _messages(provider)
    return st.one_of(messages, messages, messages, answers(provider), _noise)


def answers(provider: Provider) -> st.SearchStrategy[bytes]:
    """A control message, documented or almost."""
    return st.one_of(st.sampled_from(provider.answers), _odd_answers(provider.answers))


def good(provider: Provider) -> bytes:
    """A frame of one tick."""
    return one_event(provider, provider.events[0])


def one_event(provider: Provider, fields: Mapping[str, bytes]) -> bytes:
    """A frame of one event."""
    raw = b"{" + b",".join(b'"' + name.encode() + b'":' + value for name, value in fields.items()) + b"}"
    return b"[" + raw + b"]" if provider.in_lists else raw
