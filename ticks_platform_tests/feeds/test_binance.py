"""Binance's connector: public samples of its frames and pages, and the whole kit."""

# ruff: noqa: E501

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from pydantic import ValidationError

from ticks_platform.feeds.binance import Binance
from ticks_platform.feeds.connector import HandshakeAnswer
from ticks_platform.feeds.events import (
    ARRIVAL,
    Acknowledged,
    ChannelsFailed,
    Control,
    Event,
    ProviderError,
    Quote,
    Rejected,
    RequestRefused,
    Tick,
    TryLater,
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
from ticks_platform.feeds.registry import find_connector
from ticks_platform.feeds.settings import FeedSettings
from ticks_platform.feeds.transport.pool import ConnectionPool, capacity_of
from ticks_platform.testing import Case, ConnectorKit, LiveServer, Stream, Trade, fetch, trades
from ticks_platform.timestamps import SECOND

DOCUMENTED_TRADE = (
    b'{"e":"trade","E":1672515782136,"s":"BNBBTC","t":12345,"p":"0.001","q":"100","T":1672515782136,"m":true,"M":true}'
)
"""binance/binance-spot-api-docs, web-socket-streams.md, as the next three."""
DOCUMENTED_AGGREGATE = b'{"e":"aggTrade","E":1672515782136,"s":"BNBBTC","a":12345,"p":"0.001","q":"100","f":100,"l":105,"T":1672515782136,"m":true,"M":true}'
DOCUMENTED_BOOK = (
    b'{"u":400900217,"s":"BNBUSDT","b":"25.35190000","B":"31.21000000","a":"25.36520000","A":"40.66000000"}'
)
DOCUMENTED_SHUTDOWN = b'{"stream":"!serverShutdown","data":{"e":"serverShutdown","E":1770123456789}}'

PUBLISHED_2024 = b'{"e":"trade","E":1705085312569,"s":"BTCUSDT","t":3370034463,"p":"43520.00000000","q":"0.00022000","b":24269765071,"a":24269767699,"T":1705085312568,"m":true,"M":true}'
"""In a client's tests: with the numbers of both orders, of which `a` is none of a trade."""
PUBLISHED_2025 = b'{"stream":"btcusdt@trade","data":{"e":"trade","E":1751132780369,"s":"BTCUSDT","t":5052328858,"p":"107407.88000000","q":"0.00024000","T":1751132780368,"m":true,"M":true}}'
PUBLISHED_AGGREGATE = b'{"e":"aggTrade","E":1610915374458,"s":"BTCUSDT","a":520089915,"p":"35628.53000000","q":"0.00349900","f":579028363,"l":579028363,"T":1610915374457,"m":false,"M":true}'
PUBLISHED_BOOK = b'{"stream":"btcusdt@bookTicker","data":{"u":76861015827,"s":"BTCUSDT","b":"109257.64000000","B":"0.77163000","a":"109257.65000000","A":"6.27706000"}}'

SUBSCRIBED = b'{"result":null,"id":1}'
REFUSED = b'{"error":{"code":2,"msg":"Invalid request: unknown variant"},"id":1}'

REST_DOCUMENTED = b'[{"id":28457,"price":"4.00000100","qty":"12.00000000","quoteQty":"48.000012","time":1499865549590,"isBuyerMaker":true,"isBestMatch":true}]'
REST_PUBLISHED = (
    b'[{"id":90494722,"price":"0.00312700","qty":"4.70800000","quoteQty":"0.01472191","time":1682214162161,"isBuyerMaker":false,"isBestMatch":true},'
    b'{"id":90494723,"price":"0.00312700","qty":"12.36600000","quoteQty":"0.03866848","time":1682214162161,"isBuyerMaker":false,"isBestMatch":true}]'
)
"""An answer in the source of a client."""
REST_AGGREGATE = (
    b'[{"a":26129,"p":"0.01633102","q":"4.70443515","f":27781,"l":27781,"T":1498793709153,"m":true,"M":true}]'
)

AGGREGATED = {"channels": ["aggTrade"]}


@pytest.fixture
def connector() -> Binance:
    return Binance(url=None, api_key=None)


def span(symbol: str = "BTCUSDT", begin: int = 0, end: int = 2_000_000_000) -> Span:
    return Span(symbol, symbol, begin * SECOND, end * SECOND)


def page_of(
    body: bytes, cursor: str, options: Any = None, status: int = 200, wanted: Span | None = None
) -> list[Event]:
    history = Binance(url=None, api_key=None, options=options).history()
    assert history is not None
    page = history.page(wanted or span(), cursor, HistoryAnswer(status, {}, body))
    return [event for frame in page.frames for event in decode(history, frame)]


def test_documented_and_published_trades(connector: Binance) -> None:
    for frame, tick in (
        (DOCUMENTED_TRADE, Tick("BNBBTC", 1_672_515_782_136_000_000, 0.001, size=100.0, trade_id="12345")),
        (PUBLISHED_2024, Tick("BTCUSDT", 1_705_085_312_568_000_000, 43520.0, size=0.00022, trade_id="3370034463")),
        (PUBLISHED_2025, Tick("BTCUSDT", 1_751_132_780_368_000_000, 107407.88, size=0.00024, trade_id="5052328858")),
        # Both kinds of trades are numbered by themselves, so a letter tells them apart.
        (DOCUMENTED_AGGREGATE, Tick("BNBBTC", 1_672_515_782_136_000_000, 0.001, size=100.0, trade_id="a12345")),
        (
            PUBLISHED_AGGREGATE,
            Tick("BTCUSDT", 1_610_915_374_457_000_000, 35628.53, size=0.003499, trade_id="a520089915"),
        ),
    ):
        assert connector.decode(frame) == [tick]
        assert connector.converse().receive(frame).has_data


def test_documented_and_published_best_prices_have_the_time_of_their_arrival(connector: Binance) -> None:
    assert connector.decode(DOCUMENTED_BOOK) == [Quote("BNBUSDT", ARRIVAL, 25.3519, 31.21, 25.3652, 40.66)]
    assert connector.decode(PUBLISHED_BOOK) == [Quote("BTCUSDT", ARRIVAL, 109257.64, 0.77163, 109257.65, 6.27706)]
    empty = DOCUMENTED_BOOK.replace(b'"25.35190000","B":"31.21000000"', b'"0.00000000","B":"0.00000000"')
    assert connector.decode(empty) == [Quote("BNBUSDT", ARRIVAL, None, None, 25.3652, 40.66)]


def test_documented_and_published_pages() -> None:
    assert page_of(REST_DOCUMENTED, "next 28457") == [
        Tick("BTCUSDT", 1_499_865_549_590_000_000, 4.000001, size=12.0, trade_id="28457")
    ]
    assert page_of(REST_PUBLISHED, "next 90494722") == [
        Tick("BTCUSDT", 1_682_214_162_161_000_000, 0.003127, size=4.708, trade_id="90494722"),
        Tick("BTCUSDT", 1_682_214_162_161_000_000, 0.003127, size=12.366, trade_id="90494723"),
    ]
    assert page_of(REST_AGGREGATE, "next 26129", AGGREGATED) == [
        Tick("BTCUSDT", 1_498_793_709_153_000_000, 0.01633102, size=4.70443515, trade_id="a26129")
    ]


def test_the_first_trade_of_a_span_is_found_by_its_time(connector: Binance) -> None:
    history = connector.history()
    assert history is not None
    wanted = span(begin=1_498_793_709, end=1_498_793_800)
    request = history.request(wanted, history.first(wanted))
    # A second early: it does not matter whether the times of one order's trades differ.
    assert request.url == "https://api.binance.com/api/v3/aggTrades?symbol=BTCUSDT&startTime=1498793708000&limit=1"
    page = history.page(wanted, history.first(wanted), HistoryAnswer(200, {}, REST_AGGREGATE))
    assert page.cursor is not None
    assert history.request(wanted, page.cursor).url == (
        "https://api.binance.com/api/v3/historicalTrades?symbol=BTCUSDT&fromId=27781&limit=1000"
    )
    later = history.page(span(end=1_498_793_709), history.first(wanted), HistoryAnswer(200, {}, REST_AGGREGATE))
    assert (later.frames, later.cursor) == ([], None)
    with pytest.raises(PermanentError, match="has no trades before number 28457 any more"):
        history.page(wanted, page.cursor, HistoryAnswer(200, {}, REST_DOCUMENTED))


def test_times_in_microseconds_are_those_of_the_history_too() -> None:
    """`timeUnit=MICROSECOND` in the URL of the endpoint."""
    micro = Binance(url="wss://stream.binance.com:9443/stream?timeUnit=MICROSECOND", api_key=None)
    frame = PUBLISHED_2025.replace(b"1751132780368,", b"1751132780368123,")
    (tick,) = micro.decode(frame)
    assert isinstance(tick, Tick)
    assert tick.time == 1_751_132_780_368_123_000
    history = micro.history()
    assert history is not None
    assert history.request(span(), "next 7").headers == {"X-MBX-TIME-UNIT": "MICROSECOND"}
    assert history.request(span(), "next 7").url.startswith("https://api.binance.com/")


@pytest.mark.parametrize(
    ("symbol", "name", "currency"),
    [
        ("BTCUSDT", "BTCUSDT", "USDT"),
        ("btc-usdt", "BTCUSDT", "USDT"),
        ("ETH/BTC", "ETHBTC", "BTC"),
        ("bnb_eur", "BNBEUR", "EUR"),
        ("NOBODYKNOWS", "NOBODYKNOWS", None),
    ],
)
def test_names_of_markets(connector: Binance, symbol: str, name: str, currency: str | None) -> None:
    assert connector.symbol_of(symbol) == name
    assert connector.channels(symbol) == (f"{name.lower()}@trade",)
    assert connector.instrument(symbol).currency == currency
    assert connector.calendar(symbol) == "always"


def test_options_name_the_channels() -> None:
    both = Binance(url=None, api_key=None, options={"channels": ["aggTrade", "bookTicker"]})
    assert both.channels("BTCUSDT") == ("btcusdt@aggTrade", "btcusdt@bookTicker")
    assert both.tick_channels("BTCUSDT") == ("btcusdt@aggTrade",)
    quotes = Binance(url=None, api_key=None, options={"channels": ["bookTicker"]})
    assert (quotes.carries_ticks, quotes.history()) == (False, None)
    with pytest.raises(ValidationError, match="trade and aggTrade are the same trades"):
        Binance(url=None, api_key=None, options={"channels": ["trade", "aggTrade"]})
    assert find_connector("binance") is Binance


def test_answers_are_told_by_their_number(connector: Binance) -> None:
    conversation = connector.converse()
    (message,) = map(json.loads, conversation.subscribe(["btcusdt@trade", "ethusdt@trade"]))
    assert message == {"method": "SUBSCRIBE", "params": ["btcusdt@trade", "ethusdt@trade"], "id": 1}
    assert conversation.receive(SUBSCRIBED).notices == (Acknowledged(("btcusdt@trade", "ethusdt@trade")),)
    conversation.unsubscribe(["btcusdt@trade"])
    assert conversation.receive(b'{"result":null,"id":2}').notices == (Unsubscribed(("btcusdt@trade",)),)
    conversation.subscribe(["a@trade", "b@trade"])
    assert conversation.receive(REFUSED.replace(b'"id":1', b'"id":3')).notices == (
        RequestRefused("Invalid request: unknown variant"),
    )
    conversation.subscribe(["a@trade"])
    documented = b'{"code":2,"msg":"Invalid request: too many parameters","id":4}'
    assert conversation.receive(documented).notices == (
        ChannelsFailed({"a@trade": "Invalid request: too many parameters"}),
    )
    assert conversation.receive(b'{"code":3,"msg":"Invalid JSON","id":null}').notices == (
        ProviderError("Invalid JSON"),
    )
    assert (
        connector.decode(SUBSCRIBED) == connector.decode(REFUSED) == connector.decode(documented) == [Control("answer")]
    )


def test_all_streams_of_a_connection_are_requested_within_the_limit_of_a_second(connector: Binance) -> None:
    names = [f"s{number}@trade" for number in range(1024)]
    messages = list(map(json.loads, connector.converse().subscribe(names)))
    assert len(messages) <= 4
    assert [name for message in messages for name in message["params"]] == names


def test_a_server_that_shuts_down_is_left(connector: Binance) -> None:
    (notice,) = connector.converse().receive(DOCUMENTED_SHUTDOWN).notices
    assert isinstance(notice, TryLater)
    assert notice.seconds == 0
    assert connector.decode(DOCUMENTED_SHUTDOWN) == [Control("serverShutdown")]


def test_a_connection_is_replaced_before_its_server_shuts_down() -> None:
    made = trades(["BTCUSDT"], 4, begin=1_790_000_000 * SECOND)
    with LiveServer(answer) as server, Stream(Binance(url=server.url, api_key=None), ["BTCUSDT"]) as stream:
        first = stream.wait_for_subscription()
        server.send(frame(made[0]), DOCUMENTED_SHUTDOWN)
        second = stream.wait_for_subscription(after=first)
        server.send(*map(frame, made[1:]))
        stream.wait_for([*map(frame, made)])
    assert second > first


def test_what_the_handshake_is_refused_for(connector: Binance) -> None:
    assert "country" in (connector.refusal(HandshakeAnswer(451, b"")) or "")
    assert connector.refusal(HandshakeAnswer(403, b"")) is None


def test_an_odd_field_costs_no_price(connector: Binance) -> None:
    (odd,) = connector.decode(DOCUMENTED_TRADE.replace(b'"100"', b'"N/A"'))
    assert odd == Tick("BNBBTC", 1_672_515_782_136_000_000, 0.001, trade_id="12345", malformed=("q",))
    for bad in (b'"NaN"', b'"-1"', b"null"):
        (rejected,) = connector.decode(DOCUMENTED_TRADE.replace(b'"0.001"', bad))
        assert isinstance(rejected, Rejected)


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (400, b'{"code":-1121,"msg":"Invalid symbol."}', UnknownSymbolError),
        (429, b'{"code":-1003,"msg":"Too much request weight used"}', RateLimitedError),
        (418, b'{"code":-1003,"msg":"Way too much request weight used; IP banned"}', RateLimitedError),
        (403, b"<html>blocked</html>", TransientError),
        (403, b"", TransientError),
        (503, b'{"code":-1008,"msg":"Server is currently overloaded"}', TransientError),
        (400, b'{"code":-1102,"msg":"Mandatory parameter was not sent"}', PermanentError),
        (451, b'{"code":0,"msg":"Service unavailable from a restricted location"}', PermanentError),
    ],
)
def test_what_errors_mean(status: int, body: bytes, error: type[Exception]) -> None:
    with pytest.raises(error, match="Binance answered"):
        page_of(body, "next 1", status=status)


# The kit. The server numbers an order's trades in a row: each two of them are one aggregated trade.


def frame(trade: Trade) -> bytes:
    data = {**_head("trade", trade), "t": trade.number, "p": f"{trade.price:.8f}", "q": f"{trade.size:.8f}"}
    told = {**data, "T": trade.milliseconds, "m": True, "M": True}
    return json.dumps({"stream": f"{trade.symbol.lower()}@trade", "data": told}).encode()


def aggregate_frame(trade: Trade) -> bytes:
    told = {**_head("aggTrade", trade), **_aggregate(trade, trade.number, trade.number)}
    return json.dumps({"stream": f"{trade.symbol.lower()}@aggTrade", "data": told}).encode()


def _head(kind: str, trade: Trade) -> dict[str, Any]:
    return {"e": kind, "E": trade.milliseconds + 1, "s": trade.symbol}


def _aggregate(trade: Trade, first: int, last: int) -> dict[str, Any]:
    told = {"a": trade.number, "p": f"{trade.price:.8f}", "q": f"{trade.size:.8f}", "f": first, "l": last}
    return {**told, "T": trade.milliseconds, "m": True, "M": True}


def answer(said: Sequence[str]) -> list[bytes]:
    return [json.dumps({"result": None, "id": json.loads(said[-1])["id"]}).encode()]


def past(limit: int, by_symbol: Mapping[str, Sequence[Trade]], target: str) -> tuple[int, Any]:
    url = urlsplit(target)
    asked = {name: values[0] for name, values in parse_qs(url.query).items()}
    if asked["symbol"] not in by_symbol:
        return 400, {"code": -1121, "msg": "Invalid symbol."}
    known, most = by_symbol[asked["symbol"]], min(limit, int(asked["limit"]))
    number, begin = int(asked.get("fromId", 0)), int(asked.get("startTime", 0))
    found = [trade for trade in known if trade.number >= number and trade.milliseconds >= begin][:most]
    if url.path == "/api/v3/aggTrades":
        return 200, [_aggregate(trade, trade.number, trade.number) for trade in found]
    assert url.path == "/api/v3/historicalTrades"
    assert "startTime" not in asked, "which this endpoint does not know"
    return 200, [
        {"id": trade.number, "price": f"{trade.price:.8f}", "qty": f"{trade.size:.8f}", "time": trade.milliseconds}
        for trade in found
    ]


KITS = {
    "trade": ConnectorKit(
        Binance,
        ["BTCUSDT", "eth-usdt"],
        trade=frame,
        answer=answer,
        recorded=[
            *(DOCUMENTED_TRADE, DOCUMENTED_AGGREGATE, DOCUMENTED_BOOK, DOCUMENTED_SHUTDOWN, PUBLISHED_2024),
            *(PUBLISHED_2025, PUBLISHED_AGGREGATE, PUBLISHED_BOOK, SUBSCRIBED, REFUSED),
        ],
        past=lambda by_symbol, target: past(1000, by_symbol, target),
        errors=[
            (400, {"code": -1121, "msg": "Invalid symbol."}, UnknownSymbolError),
            (418, {"code": -1003, "msg": "Way too much request weight used; IP banned until 1"}, RateLimitedError),
        ],
        api_key=None,
    ),
    "aggTrade": ConnectorKit(
        Binance,
        ["BTCUSDT", "eth-usdt"],
        trade=aggregate_frame,
        answer=answer,
        past=lambda by_symbol, target: past(1000, by_symbol, target),
        options=AGGREGATED,
        api_key=None,
    ),
}

# Their server and its faults are the same for all connectors.
SLOW = ("it recovers", "campaign")
QUICK = [case for case in KITS["trade"].cases(seeds=[]) if not case.name.startswith(SLOW)]
MORE = [case for kit in KITS.values() for case in kit.cases(seeds=range(1, 4)) if case.name.startswith(SLOW)]


@pytest.mark.parametrize("case", QUICK, ids=str)
def test_it_passes_the_kit(case: Case) -> None:
    case.run()


@pytest.mark.parametrize("case", ["a trade is a tick", "history has each trade once", "history stands any answer"])
def test_aggregated_trades_pass_the_kit(case: str) -> None:
    next(each for each in KITS["aggTrade"].cases() if each.name == case).run()


@pytest.mark.full
@pytest.mark.parametrize("case", MORE, ids=str)
def test_it_passes_more_of_the_kit(case: Case) -> None:
    case.run()


@pytest.mark.parametrize("options", [None, AGGREGATED])
def test_trades_of_several_pages_come_once(options: Any) -> None:
    made = trades(["BTCUSDT"], 40, begin=1_700_000_000 * SECOND)
    kit = ConnectorKit(
        Binance, ["BTCUSDT"], frame, answer, past=lambda known, target: past(6, known, target), options=options
    )
    with kit.past_server(made) as server:
        history = Binance(url=server.url, api_key=None, options=options).history()
        assert history is not None
        begin, end = made[3].time, made[-3].time
        found = fetch(history, Span("BTCUSDT", "BTCUSDT", begin, end))
    expected = [trade for trade in made if begin <= trade.time < end]
    assert [event.time for event in found if isinstance(event, Tick)] == [trade.time for trade in expected]
    assert len(server.asked) > 4


def feed(**settings: Any) -> FeedSettings:
    return FeedSettings.model_validate({"name": "coins", "provider": "binance", "symbols": ["BTC/USDT"], **settings})


def test_all_symbols_cannot_be_asked_for() -> None:
    """There is no such stream of trades: the provider would confirm it and stay silent."""
    with pytest.raises(ValidationError, match="name the symbols"):
        feed(symbols=["*"])


def test_more_streams_than_a_connection_may_have_are_spread() -> None:
    symbols = [f"A{number}/USDT" for number in range(1_500)]
    one, two = feed(symbols=symbols), feed(symbols=symbols, options={"channels": ["trade", "bookTicker"]})
    assert capacity_of(one.keyless_connector(), symbols, None) == 1_024
    assert capacity_of(two.keyless_connector(), symbols, None) == 512
    assert capacity_of(two.keyless_connector(), symbols, 100) == 100
    assert capacity_of(two.keyless_connector(), symbols, 1_000) == 512
    pool = ConnectionPool(
        two.keyless_connector(),
        symbols=symbols,
        capacity=None,
        on_frames=lambda _frames: None,
        on_change=lambda _change: None,
    )
    assert [len(group) for group in pool._groups] == [512, 512, 476]
