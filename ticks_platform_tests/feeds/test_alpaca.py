"""Alpaca's connector: public samples of its frames and pages, and the whole kit."""

# ruff: noqa: E501

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from datetime import date, datetime, timezone
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from pydantic import ValidationError

from ticks_platform.feeds.alpaca import Alpaca
from ticks_platform.feeds.alpaca.conditions import CTA, UTP
from ticks_platform.feeds.connector import HandshakeAnswer
from ticks_platform.feeds.events import (
    Acknowledged,
    Authenticated,
    Bar,
    Control,
    Correction,
    Event,
    OfficialPrice,
    ProviderError,
    Quote,
    Refused,
    Rejected,
    RequestRefused,
    Tick,
    TradingHalt,
    TryLater,
    Unsubscribed,
)
from ticks_platform.feeds.history import (
    HistoryAnswer,
    KeyRefusedError,
    NotEntitledError,
    NotYetAvailableError,
    PermanentError,
    RateLimitedError,
    Span,
    TransientError,
    UnknownSymbolError,
    decode,
)
from ticks_platform.feeds.registry import find_connector
from ticks_platform.feeds.updates import HIGH_LOW, VOLUME
from ticks_platform.paths import shipped
from ticks_platform.testing import Case, ConnectorKit, LiveServer, Stream, Trade, fetch, trades, wait_until
from ticks_platform.timestamps import MINUTE, SECOND

DOCUMENTED_TRADE = (
    b'[{"T":"t","i":96921,"S":"AAPL","x":"D","p":126.55,"s":1,"t":"2021-02-22T15:51:44.208Z","c":["@","I"],"z":"C"}]'
)
"""docs.alpaca.markets/docs/real-time-stock-pricing-data, as all that are documented."""
DOCUMENTED_TRADES = b'[{"T":"t","S":"AAPL","i":628,"x":"K","p":162.92,"s":3,"c":["@","F","T","I"],"z":"C","t":"2023-04-06T11:54:26.838232225Z"},{"T":"t","S":"AAPL","i":75,"x":"Z","p":162.92,"s":3,"c":["@","F","T","I"],"z":"C","t":"2023-04-06T11:54:26.838562809Z"}]'
DOCUMENTED_QUOTE = b'[{"T":"q","S":"AMD","bx":"U","bp":87.66,"bs":1,"ax":"Q","ap":87.68,"as":4,"t":"2021-02-22T15:51:45.335689322Z","c":["R"],"z":"C"}]'
DOCUMENTED_BAR = b'[{"T":"b","S":"SPY","o":388.985,"h":389.13,"l":388.975,"c":389.12,"v":49378,"n":461,"vw":389.062639,"t":"2021-02-22T19:15:00Z"}]'
DOCUMENTED_CORRECTION = b'[{"T":"c","S":"EEM","x":"M","oi":52983525033527,"op":39.1582,"os":440000,"oc":[" ","7"],"ci":52983525034326,"cp":39.1809,"cs":440000,"cc":[" ","7"],"z":"B","t":"2023-04-06T14:25:06.542305024Z"}]'
DOCUMENTED_CANCEL = (
    b'[{"T":"x","S":"GOOGL","i":465,"x":"D","p":105.31,"s":300,"a":"C","z":"C","t":"2023-04-06T13:15:42.83540958Z"}]'
)
DOCUMENTED_STATUS = b'[{"T":"s","S":"AAPL","sc":"H","sm":"Trading Halt","rc":"T12","rm":"Trading Halted; For information requested by NASDAQ","t":"2021-02-22T19:15:00Z","z":"C"}]'
DOCUMENTED_BAND = b'[{"T":"l","S":"IONM","u":3.24,"d":2.65,"i":"B","t":"2023-04-06T13:34:45.565004401Z","z":"C"}]'

PUBLISHED = b'[{"T":"t","S":"SPY","i":52983625699126,"x":"P","p":779.87,"s":4,"c":[" ","F","T","I"],"z":"B","t":"2026-10-06T22:36:01.216274112Z"},{"T":"q","S":"SPY","bx":"K","bp":779.8,"bs":480,"ax":"P","ap":779.87,"as":1000,"c":["R"],"z":"B","t":"2026-10-06T22:35:56.179976636Z"}]'
"""A client's recording of the SIP stream."""
PUBLISHED_TEST = b'[{"T":"q","S":"FAKEPACA","bx":"O","bp":133.85,"bs":4,"ax":"R","ap":135.77,"as":5,"c":["R"],"z":"A","t":"2024-07-24T07:56:53.639713735Z"}]'
PUBLISHED_BAR = b'[{"T":"b","S":"FAKEPACA","o":132.65,"h":136,"l":132.12,"c":134.65,"v":205,"t":"2024-07-24T07:56:00Z","n":16,"vw":133.7}]'
PUBLISHED_CANCEL = (
    b'[{"T":"x","S":"DJT","i":4868,"x":"D","p":36.18,"s":31800,"a":"C","z":"C","t":"2024-06-17T14:11:00Z"}]'
)
"""alpacahq/alpaca-py, tests/data/test_websockets.py, but for the time; so is the next one."""
PUBLISHED_STATUS = (
    b'[{"T":"s","S":"STRR","sc":"T","sm":"Trading Resumption","rc":"C11","rm":"","z":"C","t":"2024-06-17T14:11:00Z"}]'
)

CONNECTED = b'[{"T":"success","msg":"connected"}]'
AUTHENTICATED = b'[{"T":"success","msg":"authenticated"}]'
SUBSCRIBED = b'[{"T":"subscription","trades":["AAPL","SPY"],"quotes":["SPY"],"bars":[],"statuses":["AAPL","SPY"],"corrections":["AAPL","SPY"],"cancelErrors":["AAPL","SPY"]}]'
LIMIT = b'[{"T":"error","code":406,"msg":"connection limit exceeded"}]'

REST_ALPACA_PY = b'{"trades":{"AAPL":[{"t":"2022-03-09T05:00:02.183Z","x":"D","p":159.07,"s":1,"c":["@","T","I"],"i":151,"z":"C"},{"t":"2022-03-09T05:00:16.91Z","x":"D","p":159.07,"s":2,"c":["@","T","I"],"i":168,"z":"C"}]},"next_page_token":"QUFQTHwyMDIy"}'
"""alpacahq/alpaca-py, tests/data/test_historical_stock_data.py."""
REST_GO = b'{"trades":{"A":[{"t":"2022-10-21T20:19:03.752176Z","x":"D","p":129.88,"s":5,"c":[" ","T","I"],"i":71697353758036,"z":"A","u":"canceled"}]},"next_page_token":null}'
"""alpacahq/alpaca-trade-api-go, marketdata/rest_test.go."""
REST_BARS = b'{"bars":[{"t":"2021-11-20T00:59:00Z","o":469.18,"h":469.18,"l":469.11,"c":469.17,"v":740,"n":11,"vw":469.1355}],"symbol":"SPY","next_page_token":null}'

KEY = "id-of-the-kit:secret-of-the-kit"


@pytest.fixture
def connector() -> Alpaca:
    return Alpaca(url=None, api_key=KEY)


def nanoseconds(text: str) -> int:
    seconds, _, fraction = text.removesuffix("Z").partition(".")
    at = datetime.fromisoformat(seconds).replace(tzinfo=timezone.utc)
    return int(at.timestamp()) * SECOND + int(fraction.ljust(9, "0") or 0)


def span(symbol: str = "AAPL", begin: int = 0, end: int = 2_000_000_000) -> Span:
    return Span(symbol, symbol, begin * SECOND, end * SECOND)


def page_of(body: bytes, symbol: str, status: int = 200, **options: Any) -> list[Event]:
    history = Alpaca(url=None, api_key=KEY, options=options).history()
    assert history is not None
    page = history.page(span(symbol), "-", HistoryAnswer(status, {}, body))
    return [event for frame in page.frames for event in decode(history, frame)]


def test_documented_and_published_trades(connector: Alpaca) -> None:
    odd_lot = {"updates": VOLUME, "conditions": (37,)}
    sweep = {"updates": VOLUME, "conditions": (14, 12, 37)}
    assert connector.decode(DOCUMENTED_TRADE) == [
        Tick("AAPL", 1_614_009_104_208_000_000, 126.55, size=1.0, exchange="D", trade_id="96921", **odd_lot)
    ]
    at = 1_680_782_066 * SECOND
    assert connector.decode(DOCUMENTED_TRADES) == [
        Tick("AAPL", at + 838_232_225, 162.92, size=3.0, exchange="K", trade_id="628", **sweep),
        Tick("AAPL", at + 838_562_809, 162.92, size=3.0, exchange="Z", trade_id="75", **sweep),
    ]
    tick, quote = connector.decode(PUBLISHED)
    at = nanoseconds("2026-10-06T22:36:01.216274112Z")
    assert tick == Tick("SPY", at, 779.87, size=4.0, exchange="P", trade_id="52983625699126", **sweep)
    at = nanoseconds("2026-10-06T22:35:56.179976636Z")
    assert quote == Quote("SPY", at, 779.8, 480.0, 779.87, 1000.0)


def test_documented_and_published_quotes_and_bars(connector: Alpaca) -> None:
    at = nanoseconds("2021-02-22T15:51:45.335689322Z")
    assert connector.decode(DOCUMENTED_QUOTE) == [Quote("AMD", at, 87.66, 1.0, 87.68, 4.0)]
    at = nanoseconds("2024-07-24T07:56:53.639713735Z")
    assert connector.decode(PUBLISHED_TEST) == [Quote("FAKEPACA", at, 133.85, 4.0, 135.77, 5.0)]
    begin = nanoseconds("2021-02-22T19:15:00Z")
    bar = Bar("SPY", begin, begin + MINUTE, 388.985, 389.13, 388.975, 389.12, 49378.0, 389.062639)
    assert connector.decode(DOCUMENTED_BAR) == [bar]
    # A late trade changed it.
    assert connector.decode(DOCUMENTED_BAR.replace(b'"T":"b"', b'"T":"u"')) == [bar]
    begin = nanoseconds("2024-07-24T07:56:00Z")
    assert connector.decode(PUBLISHED_BAR) == [
        Bar("FAKEPACA", begin, begin + MINUTE, 132.65, 136.0, 132.12, 134.65, 205.0, 133.7)
    ]


def test_a_documented_correction_takes_a_trade_back_and_has_the_correct_one(connector: Alpaca) -> None:
    at = nanoseconds("2023-04-06T14:25:06.542305024Z")
    contingent = {"updates": VOLUME, "conditions": (53,)}
    assert connector.decode(DOCUMENTED_CORRECTION) == [
        Correction("EEM", at, "M", "52983525033527", "corrected", "stream c", 39.1582, 440000.0),
        Tick("EEM", at, 39.1809, size=440000.0, exchange="M", trade_id="52983525034326", **contingent),
    ]
    # With the same number and data, only the conditions tell the incorrect trade.
    same = DOCUMENTED_CORRECTION.replace(b"52983525034326", b"52983525033527").replace(b"39.1809", b"39.1582")
    correction, tick = connector.decode(same.replace(b'"cc":[" ","7"]', b'"cc":[" "]'))
    assert isinstance(correction, Correction)
    assert isinstance(tick, Tick)
    assert (correction.conditions, tick.conditions, tick.updates) == ((53,), None, None)


def test_documented_and_published_cancels(connector: Alpaca) -> None:
    at = nanoseconds("2023-04-06T13:15:42.83540958Z")
    assert connector.decode(DOCUMENTED_CANCEL) == [
        Correction("GOOGL", at, "D", "465", "cancelled", "stream x C", 105.31, 300.0)
    ]
    (cancel,) = connector.decode(PUBLISHED_CANCEL)
    assert isinstance(cancel, Correction)
    assert (cancel.symbol, cancel.trade_id, cancel.price, cancel.size) == ("DJT", "4868", 36.18, 31800.0)
    (bad,) = connector.decode(DOCUMENTED_CANCEL.replace(b'"i":465', b'"i":null'))
    assert isinstance(bad, Rejected)


@pytest.mark.parametrize(
    ("tape", "code", "kind"),
    [
        *(("C", "H", "halt"), ("C", "P", "halt"), ("C", "T", "resume"), ("O", "H", "halt"), ("C", "Q", None)),
        *(("A", "2", "halt"), ("B", "3", "resume"), ("A", "H", None), ("C", "2", None), ("A", "D", None)),
    ],
)
def test_codes_of_statuses_are_those_of_the_tape(connector: Alpaca, tape: str, code: str, kind: Any) -> None:
    frame = DOCUMENTED_STATUS.replace(b'"z":"C"', f'"z":"{tape}"'.encode()).replace(b'"H"', f'"{code}"'.encode())
    at = nanoseconds("2021-02-22T19:15:00Z")
    assert connector.decode(frame) == [Control("s") if kind is None else TradingHalt("AAPL", at, kind)]
    assert connector.decode(PUBLISHED_STATUS) == [TradingHalt("STRR", 1_718_633_460 * SECOND, "resume")]
    assert connector.decode(DOCUMENTED_BAND) == [Control("l")]


def test_letters_are_those_of_the_rules() -> None:
    """The table of the rules has the letters that both SIPs give to each condition."""
    with (shipped("sql") / "schema" / "trade_condition.csv").open(encoding="utf-8", newline="") as file:
        rules = {int(row["condition"]): row["letters"] for row in csv.DictReader(file)}
    for sip, letters in (("CTA", CTA), ("UTP", UTP)):
        for letter, condition in letters.items():
            of_sips = [part.split(" (") for part in rules[condition].replace("), ", ");").split(";")]
            assert any(given[0] == letter and (len(given) == 1 or sip in given[1]) for given in of_sips), (sip, letter)


@pytest.mark.parametrize(
    ("tape", "letters", "conditions", "updates"),
    [
        ("C", '["@"]', None, None),
        ("A", '[" "]', None, None),
        ("A", '[" ","B"]', (2,), VOLUME),  # an average price there
        ("C", '["@","B"]', (4,), None),  # a bunched trade here
        ("C", '["@","W"]', (2,), VOLUME),
        ("C", '["@","4","I"]', (10, 37), VOLUME),
        ("C", '["@","4"]', (10,), HIGH_LOW | VOLUME),
        ("C", '["@","6","X"]', (8, 9), None),
        ("A", '["O","X"]', (17, 9), None),
        ("C", '["@","E"]', (1069,), None),  # a placeholder of UTP: stored, and named by a check
        ("A", '["E"]', (3,), None),
        ("C", "null", None, None),
    ],
)
def test_conditions_mean_what_they_mean_on_the_tape(
    connector: Alpaca, tape: str, letters: str, conditions: Any, updates: Any
) -> None:
    frame = DOCUMENTED_TRADE.replace(b'["@","I"]', letters.encode()).replace(b'"z":"C"', f'"z":"{tape}"'.encode())
    (tick,) = connector.decode(frame)
    assert isinstance(tick, Tick)
    assert (tick.conditions, tick.updates, tick.malformed) == (conditions, updates, None)


def test_extended_hours_make_prices_outside_regular_hours_only(connector: Alpaca) -> None:
    frame = DOCUMENTED_TRADE.replace(b'["@","I"]', b'["@","T"]')
    inside, early = connector.decode(frame) + connector.decode(frame.replace(b"T15:51", b"T13:51"))
    assert isinstance(inside, Tick)
    assert isinstance(early, Tick)
    assert (inside.updates, early.updates) == (VOLUME, None)


@pytest.mark.parametrize(
    ("letter", "tape", "exchange", "kind", "is_primary"),
    [
        *(("M", "C", "Q", "close", True), ("Q", "A", "N", "open", True), ("M", "C", "P", "close", False)),
        *(("M", "B", "P", "close", True), ("9", "A", "M", "corrected_close", True)),
    ],
)
def test_official_prices_are_no_ticks(
    connector: Alpaca, letter: str, tape: str, exchange: str, kind: Any, is_primary: bool
) -> None:
    frame = DOCUMENTED_TRADE.replace(b'"@","I"', f'"@","{letter}"'.encode()).replace(b'"D"', f'"{exchange}"'.encode())
    found = connector.decode(frame.replace(b'"z":"C"', f'"z":"{tape}"'.encode()))
    at = nanoseconds("2021-02-22T15:51:44.208Z")
    assert found == [OfficialPrice("AAPL", at, date(2021, 2, 22), kind, 126.55, 1.0, exchange, is_primary)]


def test_pages_of_the_official_clients() -> None:
    odd_lot = {"updates": VOLUME, "conditions": (12, 37)}
    assert page_of(REST_ALPACA_PY, "AAPL") == [
        Tick("AAPL", 1_646_802_002_183_000_000, 159.07, size=1.0, exchange="D", trade_id="151", **odd_lot),
        Tick("AAPL", 1_646_802_016_910_000_000, 159.07, size=2.0, exchange="D", trade_id="168", **odd_lot),
    ]
    at = nanoseconds("2022-10-21T20:19:03.752176Z")
    assert page_of(REST_GO, "A") == [
        Tick("A", at, 129.88, size=5.0, exchange="D", trade_id="71697353758036", **odd_lot),
        Correction("A", at, "D", "71697353758036", "cancelled", "REST canceled", 129.88, 5.0),
    ]
    begin = nanoseconds("2021-11-20T00:59:00Z")
    assert page_of(REST_BARS, "SPY", channels=["bars"]) == [
        Bar("SPY", begin, begin + MINUTE, 469.18, 469.18, 469.11, 469.17, 740.0, 469.1355)
    ]


def test_corrected_trades_of_a_page() -> None:
    """`incorrect` was corrected, `corrected` is in its place: with the same number, or another one."""
    wrong = {"t": "2026-10-07T15:12:07.5Z", "x": "Q", "p": 50.25, "s": 200, "c": ["@"], "i": 4101, "z": "C"}
    right = {**wrong, "p": 50.3, "u": "corrected"}
    body = json.dumps({"trades": [{**wrong, "u": "incorrect"}, right], "next_page_token": None}).encode()
    tick, correction, correct = page_of(body, "ABC")
    assert isinstance(tick, Tick)
    assert isinstance(correct, Tick)
    assert (tick.price, correct.price) == (50.25, 50.3)
    assert correction == Correction("ABC", tick.time, "Q", "4101", "corrected", "REST incorrect", 50.25, 200.0, ())
    # A correction of nothing takes nothing back.
    same = [{**wrong, "u": "incorrect"}, {**wrong, "u": "corrected"}]
    body = json.dumps({"trades": same, "next_page_token": None}).encode()
    assert [event for event in page_of(body, "ABC") if isinstance(event, Correction)] == []
    body = json.dumps({"trades": [{**wrong, "u": "new"}]}).encode()
    assert isinstance(page_of(body, "ABC")[0], Rejected)


def test_what_a_request_for_the_past_says(connector: Alpaca) -> None:
    history = Alpaca(url=None, api_key=KEY, options={"feed": "sip"}).history()
    assert history is not None
    wanted = Span("BRK.B", "brk.b", 1_646_802_002_183_000_001, 1_646_802_003_000_000_000)
    request = history.request(wanted, history.first(wanted))
    assert urlsplit(request.url)[:3] == ("https", "data.alpaca.markets", "/v2/stocks/BRK.B/trades")
    asked = {name: values[0] for name, values in parse_qs(urlsplit(request.url).query).items()}
    assert asked == {
        "start": "2022-03-09T05:00:02.183000001Z",
        "end": "2022-03-09T05:00:02.999999999Z",
        "feed": "sip",
        "limit": "10000",
        "sort": "asc",
    }
    assert request.headers == {"APCA-API-KEY-ID": "id-of-the-kit", "APCA-API-SECRET-KEY": "secret-of-the-kit"}
    assert "secret" not in request.url
    assert parse_qs(urlsplit(history.request(wanted, "QUFQTHwy").url).query)["page_token"] == ["QUFQTHwy"]
    assert history.has_corrections
    # Its bars leave other trades out than ours: there is nothing to compare with.
    assert history.bars() is None
    bars = Alpaca(url=None, api_key=KEY, options={"channels": ["bars"]}).history()
    assert bars is not None
    assert bars.bars() is bars
    assert "/bars?" in bars.request(wanted, "-").url
    assert "timeframe=1Min&adjustment=raw" in bars.request(wanted, "-").url
    delayed = Alpaca(url=None, api_key=KEY, options={"feed": "delayed_sip"}).history()
    assert delayed is not None
    assert "feed=sip" in delayed.request(wanted, "-").url
    assert delayed.lag == 900


def test_options_hours_and_names(connector: Alpaca) -> None:
    sip = Alpaca(url=None, api_key=None, options={"feed": "sip", "channels": ["trades", "quotes", "statuses"]})
    assert sip.url == "wss://stream.data.alpaca.markets/v2/sip"
    assert sip.channels("brk.b") == ("trades.BRK.B", "quotes.BRK.B", "statuses.BRK.B")
    assert sip.tick_channels("AAPL") == ("trades.AAPL",)
    assert (sip.calendar("AAPL"), sip.hours("AAPL")) == ("XNYS", "04:00-20:00")
    assert connector.url == "wss://stream.data.alpaca.markets/v2/iex"
    assert connector.hours("AAPL") == "08:00-17:00"
    assert sip.instrument("AAPL")[:3] == ("stock", None, "USD")
    test = Alpaca(url=None, api_key=None, options={"feed": "test"})
    assert (test.calendar("FAKEPACA"), test.history()) == ("always", None)
    assert Alpaca(url=None, api_key=None, options={"channels": ["quotes"]}).history() is None
    all_names = connector.many_names("*")
    assert all_names is not None
    assert all_names.fullmatch("BRK.B")
    assert connector.many_names("AAPL") is None
    for options in ({"channels": ["lulds"]}, {"channels": []}, {"feed": "otc"}):
        with pytest.raises(ValidationError):
            Alpaca(url=None, api_key=None, options=options)
    assert find_connector("alpaca") is Alpaca


def test_the_conversation(connector: Alpaca) -> None:
    conversation = connector.converse()
    assert conversation.authenticates
    assert json.loads(conversation.opening()[0]) == {
        "action": "auth",
        "key": "id-of-the-kit",
        "secret": "secret-of-the-kit",
    }
    assert conversation.receive(CONNECTED).notices == ()
    assert conversation.receive(AUTHENTICATED).notices == (Authenticated(),)
    (message,) = map(json.loads, conversation.subscribe(["trades.AAPL", "trades.SPY", "quotes.SPY"]))
    assert message == {"action": "subscribe", "trades": ["AAPL", "SPY"], "quotes": ["SPY"]}
    names = ("trades.AAPL", "trades.SPY", "quotes.SPY", "statuses.AAPL", "statuses.SPY")
    assert conversation.receive(SUBSCRIBED).notices == (Acknowledged(names),)
    (message,) = map(json.loads, conversation.unsubscribe(["trades.SPY"]))
    assert message == {"action": "unsubscribe", "trades": ["SPY"]}
    without = b'[{"T":"subscription","trades":["AAPL"],"quotes":["SPY"]}]'
    assert conversation.receive(without).notices == (
        Acknowledged(("trades.AAPL", "quotes.SPY")),
        Unsubscribed(("trades.SPY",)),
    )
    assert not conversation.receive(SUBSCRIBED).has_data
    assert conversation.receive(DOCUMENTED_TRADES).has_data
    assert not conversation.receive(DOCUMENTED_BAND).has_data


@pytest.mark.parametrize(
    ("code", "told", "notice"),
    [
        (402, "auth failed", Refused),
        (409, "insufficient subscription", Refused),
        (404, "auth timeout", TryLater),
        (406, "connection limit exceeded", TryLater),
        (405, "symbol limit exceeded", RequestRefused),
        (400, "invalid syntax", RequestRefused),
        (410, "invalid subscribe action for this feed", RequestRefused),
        (407, "slow client", ProviderError),
        (500, "internal error", ProviderError),
    ],
)
def test_what_documented_errors_mean(connector: Alpaca, code: int, told: str, notice: type[Any]) -> None:
    frame = json.dumps([{"T": "error", "code": code, "msg": told}]).encode()
    (found,) = connector.converse().receive(frame).notices
    assert isinstance(found, notice)
    assert told in str(found)
    assert getattr(found, "is_limit", False) == (code == 405)
    assert connector.decode(frame) == [Control("error")]


def test_a_key_without_its_secret_is_told() -> None:
    (refused,) = (
        Alpaca(url=None, api_key="only-the-id")
        .converse()
        .receive(b'[{"T":"error","code":402,"msg":"auth failed"}]')
        .notices
    )
    assert isinstance(refused, Refused)
    assert "with a colon between them" in refused.reason
    assert "only-the-id" not in refused.reason


def test_a_firewall_is_no_refusal(connector: Alpaca) -> None:
    assert connector.refusal(HandshakeAnswer(403, b"")) is None
    assert connector.refusal(HandshakeAnswer(401, b"{}"))


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (403, b'{"message":"subscription does not permit querying recent SIP data"}', NotYetAvailableError),
        (403, b'{"message":"your subscription does not include this data"}', NotEntitledError),
        (403, b'{"message":"forbidden."}', KeyRefusedError),
        (401, b"", KeyRefusedError),
        (403, b"<html>blocked</html>", TransientError),
        (429, b'{"message":"too many requests."}', RateLimitedError),
        (400, b'{"message":"invalid symbol: NOPE!"}', UnknownSymbolError),
        (422, b'{"message":"end should not be before start"}', PermanentError),
        (500, b'{"message":"internal server error"}', TransientError),
        (200, b'{"trades":7}', TransientError),
    ],
)
def test_what_errors_mean(status: int, body: bytes, error: type[Exception]) -> None:
    with pytest.raises(error, match="Alpaca"):
        page_of(body, "AAPL", status)


def test_an_odd_field_costs_no_price(connector: Alpaca) -> None:
    (odd,) = connector.decode(DOCUMENTED_TRADE.replace(b'"s":1', b'"s":"many"'))
    assert isinstance(odd, Tick)
    assert (odd.price, odd.size, odd.malformed) == (126.55, None, ("s",))
    (odd,) = connector.decode(DOCUMENTED_TRADE.replace(b'"@","I"', b'"@",7'))
    assert isinstance(odd, Tick)
    assert odd.malformed == ("c",)
    for time in (b'"2021-02-22T15:51:44"', b'"2021-02-30T15:51:44Z"', b"7", b'"yesterday"'):
        rejected, good = connector.decode(DOCUMENTED_TRADES.replace(b'"2023-04-06T11:54:26.838232225Z"', time))
        assert isinstance(rejected, Rejected)
        assert isinstance(good, Tick), "one bad trade costs no other"
    at = connector.decode(DOCUMENTED_TRADE.replace(b"T15:51:44.208Z", b"T10:51:44.208-05:00"))[0]
    assert isinstance(at, Tick)
    assert at.time == 1_614_009_104_208_000_000


# The kit.


def told(trade: Trade) -> dict[str, Any]:
    at = datetime.fromtimestamp(trade.seconds, timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%f")
    head = {"i": trade.number, "x": "V", "p": trade.price, "s": trade.size, "c": ["@"], "z": "C"}
    return {**head, "t": at.rstrip("0").rstrip(".") + "Z"}


def frame(trade: Trade) -> bytes:
    return json.dumps([{"T": "t", "S": trade.symbol, **told(trade)}]).encode()


def answer(said: Sequence[str]) -> list[bytes]:
    first, *rest = map(json.loads, said)
    if not rest:
        good = first == {"action": "auth", "key": "id-of-the-kit", "secret": "secret-of-the-kit"}
        return [AUTHENTICATED if good else b'[{"T":"error","code":402,"msg":"auth failed"}]']
    lists: dict[str, list[str]] = {"trades": [], "quotes": [], "bars": []}
    for message in rest:
        for name in lists:
            changed = message.get(name, [])
            kept = [symbol for symbol in lists[name] if symbol not in changed]
            lists[name] = kept + (changed if message["action"] == "subscribe" else [])
    both = {"corrections": lists["trades"], "cancelErrors": lists["trades"]}
    return [json.dumps([{"T": "subscription", **lists, **both}]).encode()]


def past(limit: int, by_symbol: Mapping[str, Sequence[Trade]], target: str) -> tuple[int, Any]:
    url = urlsplit(target)
    asked = {name: values[0] for name, values in parse_qs(url.query).items()}
    begin, end = nanoseconds(asked["start"]), nanoseconds(asked["end"])
    at, most = int(asked.get("page_token", "at 0").split()[1]), min(limit, int(asked["limit"]))
    known = [trade for trade in by_symbol[url.path.split("/")[3]] if begin <= trade.time <= end]
    more = f"at {at + most}" if len(known) > at + most else None
    # `null` if there are none.
    return 200, {"trades": list(map(told, known[at : at + most])) or None, "symbol": "X", "next_page_token": more}


KIT = ConnectorKit(
    Alpaca,
    ["AAPL", "brk.b"],
    trade=frame,
    answer=answer,
    greeting=[CONNECTED],
    recorded=[
        *(DOCUMENTED_TRADE, DOCUMENTED_TRADES, DOCUMENTED_QUOTE, DOCUMENTED_BAR, DOCUMENTED_CORRECTION),
        *(DOCUMENTED_CANCEL, DOCUMENTED_STATUS, DOCUMENTED_BAND, PUBLISHED, PUBLISHED_TEST, PUBLISHED_BAR),
        *(PUBLISHED_CANCEL, PUBLISHED_STATUS, AUTHENTICATED, SUBSCRIBED, LIMIT),
    ],
    past=lambda by_symbol, target: past(40, by_symbol, target),
    results_per_page=40,
    batch=lambda made: json.dumps([message for trade in made for message in json.loads(frame(trade))]).encode(),
    api_key=KEY,
)

# Their server and its faults are the same for all connectors.
SLOW = ("it recovers", "campaign")


@pytest.mark.parametrize("case", [case for case in KIT.cases(seeds=[]) if not case.name.startswith(SLOW)], ids=str)
def test_it_passes_the_kit(case: Case) -> None:
    case.run()


@pytest.mark.full
@pytest.mark.parametrize("case", [case for case in KIT.cases(seeds=range(1, 6)) if case.name.startswith(SLOW)], ids=str)
def test_it_passes_more_of_the_kit(case: Case) -> None:
    case.run()


def test_trades_of_several_pages_come_once() -> None:
    made = trades(["AAPL"], 40, begin=1_700_000_000 * SECOND)
    kit = ConnectorKit(Alpaca, ["AAPL"], frame, answer, past=lambda known, target: past(6, known, target))
    with kit.past_server(made) as server:
        history = Alpaca(url=server.url, api_key=KEY).history()
        assert history is not None
        begin, end = made[3].time, made[-3].time
        found = fetch(history, Span("AAPL", "AAPL", begin, end))
    expected = [str(trade.number) for trade in made if begin <= trade.time < end]
    assert [event.trade_id for event in found if isinstance(event, Tick)] == expected
    assert len(server.asked) > 4


def test_another_connection_is_waited_for() -> None:
    """A plan with one connection: the second client is told so, and does not end the first one's."""

    def full(said: Sequence[str]) -> list[bytes]:
        return [LIMIT] if len(said) == 1 else []

    with LiveServer(full, greeting=[CONNECTED]) as server:
        with Stream(Alpaca(url=server.url, api_key=KEY), ["AAPL"]) as stream:
            wait_until(
                lambda: any("connection limit exceeded" in change.detail for change in list(stream.changes)),
                "the provider's words",
            )
        assert server.accepted == 1
