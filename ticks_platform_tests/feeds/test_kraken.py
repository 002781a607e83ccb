"""Kraken's connector: public samples of its frames and pages, and the whole kit."""

# ruff: noqa: E501

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from ticks_platform.feeds.events import (
    Acknowledged,
    ChannelsFailed,
    Control,
    ProviderError,
    Rejected,
    Tick,
    Unsubscribed,
)
from ticks_platform.feeds.history import (
    HistoryAnswer,
    PermanentError,
    RateLimitedError,
    Span,
    TransientError,
    UnknownSymbolError,
    decode,
)
from ticks_platform.feeds.kraken import Kraken
from ticks_platform.feeds.kraken.names import rest_pair
from ticks_platform.feeds.registry import find_connector
from ticks_platform.testing import Case, ConnectorKit, Trade, fetch, trades
from ticks_platform.timestamps import SECOND

DOCUMENTED = (
    b'{"channel":"trade","type":"snapshot","data":[{"symbol":"MATIC/USD","side":"buy","price":0.5147,"qty":6423.46326,'
    b'"ord_type":"limit","trade_id":4665846,"timestamp":"2023-09-25T07:48:36.925533Z"},{"symbol":"MATIC/USD","side":"buy",'
    b'"price":0.5147,"qty":1136.19677815,"ord_type":"limit","trade_id":4665847,"timestamp":"2023-09-25T07:49:36.925603Z"}]}'
)
"""docs.kraken.com/exchange/api-reference/spot-websocket-v2/trade."""

PUBLISHED = (
    b'{"channel":"trade","type":"update","data":[{"symbol":"BTC/USD","side":"sell","price":78568.6,"qty":0.04244195,'
    b'"ord_type":"limit","trade_id":105994519,"timestamp":"2026-08-26T11:34:06.075373Z"}]}'
)
"""A recording in a public repository's tests."""

STATUS = b'{"channel":"status","type":"update","data":[{"api_version":"v2","connection_id":1,"system":"online","version":"2.0.0"}]}'
HEARTBEAT = b'{"channel":"heartbeat"}'
UNKNOWN = (
    b'{"error":"Currency pair not supported NOPE/USD","method":"subscribe","success":false,"symbol":"NOPE/USD",'
    b'"time_in":"2026-09-24T03:54:32.996743Z","time_out":"2026-09-24T03:54:32.996775Z"}'
)

REST_DOCUMENTED = (
    b'{"error":[],"result":{"XXBTZUSD":[["30243.40000","0.34507674",1688669597.8277369,"b","m","",61044952],'
    b'["30243.30000","0.00376960",1688669598.2804112,"s","l","",61044953],'
    b'["30243.30000","0.01235716",1688669602.698379,"s","m","",61044956]],"last":"1688671969993150842"}}'
)
"""docs.kraken.com/api/docs/rest-api/get-recent-trades."""

REST_PUBLISHED = (
    b'{"error":[],"result":{"XXBTZUSD":[["8552.90000","0.03190270",1559347203.7998,"s","m",""],'
    b'["8552.90000","0.03155529",1559347203.8086,"s","m",""]],"last":"1559347203808600000"}}'
)
"""support.kraken.com, «How to retrieve historical time and sales»."""


@pytest.fixture
def connector() -> Kraken:
    return Kraken(url=None, api_key=None)


def span(symbol: str = "BTC/USD", begin: int = 0, end: int = 2_000_000_000) -> Span:
    return Span(symbol, symbol, begin * SECOND, end * SECOND)


def page_of(body: bytes, wanted: Span, status: int = 200, **headers: str) -> list[Any]:
    history = Kraken(url=None, api_key=None).history()
    page = history.page(wanted, history.first(wanted), HistoryAnswer(status, headers, body))
    return [event for frame in page.frames for event in decode(history, frame)]


def test_documented_and_published_trades(connector: Kraken) -> None:
    assert connector.decode(DOCUMENTED) == [
        Tick("MATIC/USD", 1_695_628_116_925_533_000, 0.5147, size=6423.46326, trade_id="4665846"),
        Tick("MATIC/USD", 1_695_628_176_925_603_000, 0.5147, size=1136.19677815, trade_id="4665847"),
    ]
    assert connector.decode(PUBLISHED) == [
        Tick("BTC/USD", 1_787_744_046_075_373_000, 78568.6, size=0.04244195, trade_id="105994519")
    ]


def test_documented_and_published_pages() -> None:
    assert page_of(REST_DOCUMENTED, span()) == [
        Tick("BTC/USD", 1_688_669_597_827_736_000, 30243.4, size=0.34507674, trade_id="61044952"),
        Tick("BTC/USD", 1_688_669_598_280_411_000, 30243.3, size=0.0037696, trade_id="61044953"),
        Tick("BTC/USD", 1_688_669_602_698_379_000, 30243.3, size=0.01235716, trade_id="61044956"),
    ]
    assert page_of(REST_PUBLISHED, span()) == [
        Tick("BTC/USD", 1_559_347_203_799_800_000, 8552.9, size=0.0319027),
        Tick("BTC/USD", 1_559_347_203_808_600_000, 8552.9, size=0.03155529),
    ]
    assert len(page_of(REST_DOCUMENTED, span(begin=1_688_669_598, end=1_688_669_602))) == 1


@pytest.mark.parametrize(
    ("symbol", "name", "rest"),
    [
        ("BTC/USD", "BTC/USD", "XBTUSD"),
        ("xbt-usd", "BTC/USD", "XBTUSD"),
        ("ETH/XBT", "ETH/BTC", "ETHXBT"),
        ("doge/eur", "DOGE/EUR", "XDGEUR"),
        ("SOL/USDT", "SOL/USDT", "SOLUSDT"),
    ],
)
def test_names_of_pairs(connector: Kraken, symbol: str, name: str, rest: str) -> None:
    assert connector.symbol_of(symbol) == name
    assert connector.channels(symbol) == (name,)
    assert rest_pair(name) == rest
    request = connector.history().request(span(name, begin=5), connector.history().first(span(name, begin=5)))
    assert request.url == f"https://api.kraken.com/0/public/Trades?pair={rest}&since=4999999999&count=1000"


def test_answers_are_told_by_their_number_or_their_symbol(connector: Kraken) -> None:
    conversation = connector.converse()
    first, second = map(json.loads, conversation.subscribe(["BTC/USD", "NOPE/USD"]))
    assert first["params"] == {"channel": "trade", "symbol": ["BTC/USD"], "snapshot": True}
    assert conversation.receive(UNKNOWN).notices == (
        ChannelsFailed({"NOPE/USD": "Currency pair not supported NOPE/USD"}),
    )
    refused = json.dumps({"error": "no", "method": "subscribe", "success": False, "req_id": second["req_id"]})
    assert conversation.receive(refused.encode()).notices == (ChannelsFailed({"NOPE/USD": "no"}),)
    done = {"method": "subscribe", "success": True, "req_id": first["req_id"], "result": {"symbol": "BTC/USD"}}
    assert conversation.receive(json.dumps(done).encode()).notices == (Acknowledged(("BTC/USD",)),)
    again = {"method": "subscribe", "success": False, "error": "Already subscribed", "symbol": "BTC/USD"}
    assert conversation.receive(json.dumps(again).encode()).notices == (Acknowledged(("BTC/USD",)),)
    (gone,) = map(json.loads, conversation.unsubscribe(["BTC/USD"]))
    ended = {"method": "unsubscribe", "success": True, "req_id": gone["req_id"]}
    assert conversation.receive(json.dumps(ended).encode()).notices == (Unsubscribed(("BTC/USD",)),)
    other = b'{"error":"Exceeded msg rate","method":"ping","success":false}'
    assert conversation.receive(other).notices == (ProviderError("Exceeded msg rate"),)


def test_what_is_no_trade_is_no_data(connector: Kraken) -> None:
    for frame, kind in ((STATUS, "status"), (HEARTBEAT, "heartbeat"), (UNKNOWN, "subscribe")):
        assert connector.decode(frame) == [Control(kind)]
        assert not connector.converse().receive(frame).has_data


def test_a_bad_trade_costs_no_other(connector: Kraken) -> None:
    bad = DOCUMENTED.replace(b'"price":0.5147,"qty":6423.46326', b'"price":"NaN","qty":6423.46326')
    rejected, good = connector.decode(bad)
    assert isinstance(rejected, Rejected)
    assert isinstance(good, Tick)
    assert b"4665846" in rejected.raw
    odd, _ = connector.decode(DOCUMENTED.replace(b"6423.46326", b'"N/A"'))
    assert odd == Tick("MATIC/USD", 1_695_628_116_925_533_000, 0.5147, trade_id="4665846", malformed=("qty",))


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (200, b'{"error":["EQuery:Unknown asset pair"]}', UnknownSymbolError),
        (200, b'{"error":["EAPI:Rate limit exceeded"]}', RateLimitedError),
        (200, b'{"error":["EGeneral:Too many requests"]}', RateLimitedError),
        (200, b'{"error":["EService: Throttled: 1764259200"]}', RateLimitedError),
        (200, b'{"error":["EService:Unavailable"]}', TransientError),
        (200, b'{"error":["EGeneral:Internal error"]}', TransientError),
        (200, b'{"error":["EGeneral:Invalid arguments"]}', PermanentError),
        (200, b'{"error":[],"result":{}}', TransientError),
        (403, b"<html>blocked</html>", TransientError),
        (520, b"", TransientError),
    ],
)
def test_what_errors_mean(status: int, body: bytes, error: type[Exception]) -> None:
    with pytest.raises(error, match="Kraken"):
        page_of(body, span(), status)


def test_other_servers_are_asked_themselves() -> None:
    history = Kraken(url="ws://127.0.0.1:4000", api_key=None).history()
    assert history.request(span(), history.first(span())).url.startswith("http://127.0.0.1:4000/0/public/Trades?")
    assert find_connector("kraken") is Kraken


# The kit.


def frame(trade: Trade) -> bytes:
    at = datetime.fromtimestamp(trade.seconds, timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    told = {"symbol": trade.symbol, "side": "buy", "price": trade.price, "qty": trade.size, "ord_type": "limit"}
    data = [{**told, "trade_id": trade.number, "timestamp": at}]
    return json.dumps({"channel": "trade", "type": "update", "data": data}).encode()


def batch(made: Sequence[Trade]) -> bytes:
    frames = [json.loads(frame(trade)) for trade in made]
    return json.dumps({**frames[0], "data": [event for each in frames for event in each["data"]]}).encode()


def answer(said: Sequence[str]) -> list[bytes]:
    request = json.loads(said[-1])
    (symbol,) = request["params"]["symbol"]
    if symbol == "NOPE/USD":
        return [UNKNOWN]
    result = {"channel": "trade", "snapshot": True, "symbol": symbol}
    done = {"method": request["method"], "result": result, "success": True, "req_id": request["req_id"]}
    return [json.dumps(done).encode(), HEARTBEAT]


def told(trade: Trade) -> list[Any]:
    return [str(trade.price), str(trade.size), trade.seconds, "b", "l", "", trade.number]


def past(limit: int, inclusive: bool, by_symbol: Mapping[str, Sequence[Trade]], target: str) -> tuple[int, Any]:
    asked = {name: values[0] for name, values in parse_qs(urlsplit(target).query).items()}
    (name,) = (name for name in by_symbol if rest_pair(name) == asked["pair"])
    since = int(asked["since"])
    found = [trade for trade in by_symbol[name] if trade.time > since or (inclusive and trade.time == since)][:limit]
    last = found[-1].time if found else since
    return 200, {"error": [], "result": {f"X{asked['pair']}": list(map(told, found)), "last": str(last)}}


KIT = ConnectorKit(
    Kraken,
    ["BTC/USD", "doge-eur"],
    trade=frame,
    answer=answer,
    greeting=[STATUS],
    recorded=[DOCUMENTED, PUBLISHED, HEARTBEAT, UNKNOWN],
    past=lambda by_symbol, target: past(1000, False, by_symbol, target),
    errors=[
        (200, {"error": ["EQuery:Unknown asset pair"]}, UnknownSymbolError),
        (200, {"error": ["EAPI:Rate limit exceeded"]}, RateLimitedError),
        (200, {"error": ["EService:Unavailable"]}, TransientError),
    ],
    refused="nope/usd",
    batch=batch,
    api_key=None,
)


SLOW = {"it recovers from a stall", *(f"campaign {seed}" for seed in range(2, 12))}


@pytest.mark.parametrize("case", [case for case in KIT.cases(seeds=[1]) if case.name not in SLOW], ids=str)
def test_it_passes_the_kit(case: Case) -> None:
    case.run()


@pytest.mark.full
@pytest.mark.parametrize("case", [case for case in KIT.cases(seeds=range(2, 12)) if case.name in SLOW], ids=str)
def test_it_passes_more_of_the_kit(case: Case) -> None:
    case.run()


@pytest.mark.parametrize("inclusive", [True, False])
def test_trades_of_several_pages_come_once(inclusive: bool) -> None:
    """Whether `since` itself is in the page is not documented: each trade comes once either way, also where a page
    ends between trades at one time."""
    made = [trade for trade in trades(["BTC/USD"], 40, begin=1_700_000_000 * SECOND) if trade.number != 7]
    begin, end = made[3].time, made[-3].time
    server = ConnectorKit(
        Kraken, ["BTC/USD"], frame, answer, past=lambda known, target: past(6, inclusive, known, target)
    ).past_server(made)
    with server:
        history = Kraken(url=server.url, api_key=None).history()
        found = fetch(history, Span("BTC/USD", "BTC/USD", begin, end))
    expected = [str(trade.number) for trade in made if begin <= trade.time < end]
    assert [event.trade_id for event in found if isinstance(event, Tick)] == expected
    assert len(server.asked) > 3
