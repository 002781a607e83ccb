"""Which name of feeds.yaml a price of Twelve Data belongs to: by its exchange, else its code, else not at all."""

from __future__ import annotations

import json
from typing import Any

import exchange_calendars
import pytest

from ticks_platform.feeds.calendars import ALWAYS
from ticks_platform.feeds.columns import TickColumns
from ticks_platform.feeds.connector import AskedSymbol, Connector
from ticks_platform.feeds.events import Acknowledged, Rejected, Tick
from ticks_platform.feeds.history import HistoryAnswer, PermanentError, Span
from ticks_platform.feeds.settings import FeedSettings
from ticks_platform.feeds.twelve_data.exchanges import MICS
from ticks_platform.feeds.twelve_data.exchanges import calendar as calendar_of
from ticks_platform.feeds.twelve_data.exchanges import codes as codes_of
from ticks_platform_tests.support.feeds import price


def feed(*symbols: object) -> FeedSettings:
    return FeedSettings(name="stocks", provider="twelve_data", symbols=symbols)  # type: ignore[arg-type]


def connector(*symbols: object) -> Connector:
    return feed(*symbols).keyless_connector()


def outcome(of: Connector, symbol: str, **fields: Any) -> str:
    """The name of a price, or the reason why it has none; by one frame and by many."""
    frame = price(symbol, **fields)
    (event,) = of.decode(frame)
    many = of.decode_many([frame, frame])
    if isinstance(event, Tick):
        assert many is not None
        assert isinstance(many.events, TickColumns)
        assert many.events.ticks() == [event, event]
        return event.symbol
    assert isinstance(event, Rejected)
    assert event.raw == frame
    assert many is None
    return event.reason


@pytest.mark.parametrize(
    ("symbol", "name"),
    [
        ("aapl", "AAPL"),
        ("btc/usd", "BTC/USD"),
        ("ry:tsx", "RY:TSX"),
        ("btc/usd:coinbase pro", "BTC/USD:Coinbase Pro"),
        ("XAGg/TRY", "XAGG/TRY"),
        ("ry:xtse", "RY:TSX"),
        ("RY: TSX", "RY:TSX"),
        ("ry :xtse", "RY:TSX"),
        ("MSFT:XNGS", "MSFT:NASDAQ"),
        ("mc:EURONEXT", "MC:Euronext"),
        ("x:Some New Place", "X:Some New Place"),
    ],
)
def test_a_name_is_spelled_as_the_provider_spells_it(symbol: str, name: str) -> None:
    asked = connector(symbol)
    assert asked.symbol_of(symbol) == name
    assert asked.channels(symbol) == asked.tick_channels(symbol) == (name,)
    assert list(feed(symbol).calendars()) == [name]
    assert feed(symbol).asked_symbols() == {name: symbol}


def test_the_codes_of_exchanges_belong_to_one_each() -> None:
    codes = [code for some in MICS.values() for code in some]
    assert len(set(codes)) == len(codes)
    assert len({name.casefold() for name in MICS}) == len(MICS)
    assert not {name.upper() for name in MICS if codes_of(name) != (name,)} & set(codes)


def test_each_exchange_has_a_calendar() -> None:
    known = {ALWAYS, *exchange_calendars.get_calendar_names(include_aliases=True)}
    # Version 4.13 knows these names, and cannot make the calendars.
    assert {calendar_of(name) for name in MICS} <= known - {"ASEX", "XBSE", "XTAE"}


@pytest.mark.parametrize(
    ("symbol", "market", "hours"),
    [
        ("VOD:LSE", "XLON", "XLON"),
        ("ry:xtse", "XTSE", "XTSE"),
        ("RY : TSX", "XTSE", "XTSE"),
        ("MSFT : NASDAQ", "XNYS", "XNYS 04:00-20:00"),
        ("7203:JPX", "XTKS", "XTKS"),
        ("MSFT:XNGS", "XNYS", "XNYS 04:00-20:00"),
        ("RY:Nyse", "XNYS", "XNYS 04:00-20:00"),
        ("X:Some New Place", "always", "always"),
        ("btc/usd:coinbase pro", "always", "always"),
        ("BTC/USD:Some New Place", "always", "always"),
        ("EUR/USD:Some New Place", "24/5", "24/5"),
    ],
)
def test_a_listing_has_the_hours_of_its_exchange(symbol: str, market: str, hours: str) -> None:
    (found,) = feed(symbol).calendars().values()
    (sending,) = feed(symbol).sending_calendars().values()
    assert (found.name, sending.name) == (market, hours)


@pytest.mark.parametrize(
    ("symbol", "market"),
    [
        *((pair, "24/5") for pair in ("eur/usd", "USD/JPY", "GEL/USD", "XAU/USD", "xcu/usd", "WTI/USD", "XBR/EUR")),
        *((pair, "always") for pair in ("btc/usd", "ETH/BTC", "USDT/USD", "BTC/JPY", "SOL/EUR", "BTC/USD:Kraken")),
    ],
)
def test_pairs_of_crypto_never_close(symbol: str, market: str) -> None:
    """Or what is missing of a weekend would be in no gap."""
    assert [each.name for each in feed(symbol).calendars().values()] == [market]
    assert [each.name for each in feed(symbol).sending_calendars().values()] == [market]


@pytest.mark.parametrize("asked", [("aapl", "btc/usd"), ("aapl", "BTC/USD:Binance")], ids=["plain", "named"])
def test_an_answer_in_small_letters_has_the_same_name(asked: tuple[str, ...]) -> None:
    assert outcome(connector(*asked), "aapl") == "AAPL"
    (odd,) = connector(*asked).decode(price("aapl", day_volume="N/A"))
    assert isinstance(odd, Tick)
    assert odd.symbol == "AAPL"
    assert outcome(connector(*asked), "btc/usd", exchange="binance") == connector(*asked).symbol_of(asked[1])


@pytest.mark.parametrize("value", [b"1e400", b"NaN", b'"\\ud800"', b'"\xff"', b"9" * 5000, b"[]"], ids=range(6))
@pytest.mark.parametrize("asked", [("AAPL",), ("AAPL", "RY:TSX")], ids=["plain", "named"])
def test_an_odd_value_of_a_field_that_tells_the_listing(asked: tuple[str, ...], value: bytes) -> None:
    frame = price("AAPL", currency="here").replace(b'"here"', value)
    (event,) = connector(*asked).decode(frame)
    assert isinstance(event, Tick), event
    assert event.symbol == "AAPL"


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({"exchange": "NYSE"}, "RY:NYSE"),
        ({"exchange": "TSX"}, "RY:TSX"),
        ({"exchange": "tsx", "mic_code": None}, "RY:TSX"),
        ({"exchange": "TSX", "mic_code": "XNYS"}, "RY:TSX"),
        ({"exchange": "TSX", "mic_code": 5, "currency": 7}, "RY:TSX"),
        ({"mic_code": "XTSE"}, "RY:TSX"),
        ({"exchange": "", "mic_code": "xnys"}, "RY:NYSE"),
        ({"exchange": "Toronto Stock Exchange", "mic_code": "XTSE"}, "RY:TSX"),
        ({"exchange": "XTSE"}, "RY:TSX"),
    ],
    ids=repr,
)
def test_the_exchange_tells_listings_apart_and_else_the_code(fields: dict[str, Any], name: str) -> None:
    both = connector("RY:NYSE", "ry:tsx", "AAPL")
    assert outcome(both, "RY", **fields) == name
    assert outcome(connector("RY", "RY:TSX"), "RY", **fields) == name.replace("RY:NYSE", "RY")
    assert outcome(both, "AAPL", **fields) == "AAPL"


@pytest.mark.parametrize(
    ("asked", "fields", "words"),
    [
        (("RY:NYSE", "RY:TSX"), {}, ("without exchange and mic_code", "RY:NYSE and RY:TSX", "one of them only")),
        (("RY", "RY:TSX"), {}, ("without exchange", "RY and RY:TSX")),
        (("RY:NYSE", "RY:TSX"), {"exchange": "LSE"}, ("RY of LSE", "RY:NYSE and RY:TSX", "Add that listing")),
        (("RY:TSX",), {"exchange": "NYSE", "mic_code": "XTSE"}, ("RY of NYSE", "RY:TSX")),
        (("RY:TSX",), {"mic_code": "XNYS"}, ("RY of XNYS",)),
        (("RY:TSX",), {"mic_code": "????"}, ("RY of ????",)),
        (("RY:NYSE", "RY:TSX"), {"mic_code": "XNYS", "currency": "CAD"}, ("RY of XNYS in CAD", "RY:NYSE and RY:TSX")),
        (("RY:TSX",), {"exchange": "x" * 1000}, ("RY of x",)),
    ],
    ids=repr,
)
def test_a_price_that_fits_no_name_or_several_is_rejected_in_words(
    asked: tuple[str, ...], fields: dict[str, Any], words: tuple[str, ...]
) -> None:
    reason = outcome(connector(*asked), "RY", **fields)
    assert all(word in reason for word in words), reason
    assert len(reason) < 400


def test_a_listing_alone_takes_prices_that_do_not_name_theirs() -> None:
    assert outcome(connector("RY:TSX"), "RY") == "RY:TSX"
    assert outcome(connector("RY:TSX"), "RY:TSX") == "RY:TSX"
    assert outcome(connector("RY", "RY:TSX"), "ry:tsx") == "RY:TSX"


def test_listings_of_one_symbol_on_exchanges_without_codes() -> None:
    coins = connector("btc/usd:coinbase pro", "BTC/USD:Binance", "ETH/USD:Kraken", "X:New")
    for exchange in ("Coinbase Pro", "Binance"):
        assert outcome(coins, "BTC/USD", exchange=exchange) == f"BTC/USD:{exchange}"
    assert outcome(coins, "BTC/USD", exchange="Kraken").startswith("BTC/USD of Kraken, where")
    assert outcome(coins, "ETH/USD") == "ETH/USD:Kraken"
    assert outcome(coins, "X", exchange="NEW") == "X:New"


def test_a_symbol_that_is_not_asked_for_keeps_its_name() -> None:
    """It was removed from feeds.yaml while its prices waited in the journal."""
    assert outcome(connector("RY:TSX"), "MSFT", exchange="NASDAQ") == "MSFT"
    assert outcome(connector("AAPL"), "MSFT", exchange="NASDAQ") == "MSFT"


def test_another_currency_is_another_listing() -> None:
    one = connector({"symbol": "VOD", "currency": "USD"}, "AAPL")
    assert outcome(one, "VOD", currency="USD", exchange="NASDAQ") == "VOD"
    assert outcome(one, "VOD") == "VOD"
    reason = outcome(one, "VOD", currency="GBp", exchange="LSE")
    assert "VOD in GBp, where feeds.yaml says USD: this is another listing" in reason
    assert outcome(one, "AAPL", currency="EUR") == "AAPL"
    pence = connector({"symbol": "VOD:LSE", "currency": "GBX"})
    assert outcome(pence, "VOD", currency="GBp", exchange="LSE") == "VOD:LSE"
    assert "in GBP, where feeds.yaml says GBX" in outcome(pence, "VOD", currency="GBP", exchange="LSE")


def test_the_currency_tells_listings_apart_where_nothing_else_does() -> None:
    both = connector({"symbol": "RY:NYSE", "currency": "USD"}, {"symbol": "RY:TSX", "currency": "CAD"})
    assert outcome(both, "RY", currency="CAD") == "RY:TSX"
    assert outcome(both, "RY", currency="USD") == "RY:NYSE"
    assert "it may be either's" in outcome(both, "RY")
    assert "RY:NYSE in CAD" in outcome(both, "RY", currency="CAD", exchange="NYSE")


def test_names_follow_the_settings_of_a_running_feed() -> None:
    running = connector("RY", "RY:TSX")
    running.use_symbols((AskedSymbol("RY"),))
    # What was in flight must not become dollars.
    assert outcome(running, "RY", exchange="TSX") == "RY:TSX"
    assert outcome(running, "RY", exchange="NYSE") == "RY"
    running.use_symbols((AskedSymbol("RY:NYSE"),))
    assert outcome(running, "RY", exchange="NYSE") == "RY:NYSE"
    running.use_symbols((AskedSymbol("RY"),))
    assert outcome(running, "RY", exchange="NYSE") == "RY"


def test_many_frames_equal_one_by_one() -> None:
    asked = connector("RY:NYSE", "RY:TSX", "aapl", {"symbol": "VOD", "currency": "USD"})
    frames = [
        price(symbol, timestamp=1684508044 + second, exchange=exchange)
        for second in range(50)
        for symbol, exchange in (("RY", "TSX"), ("RY", "NYSE"), ("AAPL", "NASDAQ"), ("VOD", "LSE"))
    ]
    many = asked.decode_many(frames)
    assert many is not None
    assert isinstance(many.events, TickColumns)
    assert many.events.ticks() == [event for frame in frames for event in asked.decode(frame)]
    assert asked.decode_many([*frames, price("RY")]) is None
    assert asked.decode_many([*frames, price("RY", exchange=["TSX"])]) is None


def test_memory_of_places_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ticks_platform.feeds.twelve_data.names.MAX_REMEMBERED", 10)
    asked = connector("RY:TSX", "RY")
    for number in range(100):
        assert outcome(asked, f"S{number}", exchange=f"E{number}") == f"S{number}"
    assert outcome(asked, "RY", exchange="TSX") == "RY:TSX"


def test_acknowledgements_of_listings() -> None:
    asked = connector("RY", "ry:tsx", "RY:NYSE")
    conversation = asked.converse()
    names = [channel for symbol in ("RY", "ry:tsx", "RY:NYSE") for channel in asked.channels(symbol)]
    (message,) = conversation.subscribe(names)
    assert "RY,RY:TSX,RY:NYSE" in message
    for item, name in (
        ('"exchange":"TSX"', "RY:TSX"),
        ('"mic_code":"XTSE"', "RY:TSX"),
        ('"exchange":"NYSE","mic_code":"XTSE"', "RY:NYSE"),
        ('"exchange":"LSE"', "RY"),
    ):
        frame = f'{{"event":"subscribe-status","success":[{{"symbol":"RY",{item}}}]}}'.encode()
        assert conversation.receive(frame).notices == (Acknowledged((name,)),)


@pytest.mark.parametrize(
    ("symbols", "words"),
    [
        (["aapl", "AAPL"], "listed twice: AAPL (as aapl and AAPL)"),
        (["RY:TSX", "RY : XTSE"], "listed twice: RY:TSX (as RY:TSX and RY : XTSE)"),
        (["RY:TSX", "ry:tsx", "Ry:Tsx"], "listed twice: RY:TSX (as RY:TSX and ry:tsx and Ry:Tsx)"),
        (["X:New", "X:NEW"], "X:NEW is X:New, which is listed already"),
        (["BTC/USD:Binance", "btc/usd:binance"], "listed twice: BTC/USD:Binance"),
    ],
)
def test_two_entries_of_one_name_are_refused(symbols: list[str], words: str) -> None:
    with pytest.raises(ValueError, match="symbols") as caught:
        feed(*symbols)
    assert words in str(caught.value)


@pytest.mark.parametrize("symbol", ["BTC/USD:Coinbase Pro", "A B", "BRK B"])
def test_a_symbol_may_have_spaces_inside(symbol: str) -> None:
    assert feed(symbol).symbol_names() == (symbol,)


@pytest.mark.parametrize("symbol", [" AAPL", "AAPL ", "A  B", "A\tB", "A,B", " "])
def test_other_spaces_are_refused(symbol: str) -> None:
    with pytest.raises(ValueError, match="symbols"):
        feed(symbol)


def test_past_data_is_asked_for_and_taken_by_listing() -> None:
    history = connector("ry:tsx", "RY", {"symbol": "VOD", "currency": "USD"}).history()
    assert history is not None
    begin = 1_772_568_000_000_000_000

    def page(symbol: str, asked: str, **meta: str) -> int:
        span = Span(symbol, asked, begin, begin + 120_000_000_000)
        body = {"meta": meta, "status": "ok", "values": [{"datetime": "2026-03-03 20:00:00", "close": "1"}]}
        return history.page(span, history.first(span), HistoryAnswer(200, {}, json.dumps(body).encode())).results

    span = Span("RY:TSX", "ry:tsx", begin, begin + 60_000_000_000)
    assert "symbol=RY&exchange=TSX&" in history.request(span, history.first(span)).url
    assert page("RY:TSX", "ry:tsx", exchange="TSX") == page("RY:TSX", "ry:tsx", mic_code="XTSE") == 1
    assert page("RY:TSX", "ry:tsx") == page("RY", "RY", exchange="NYSE") == 1
    for symbol, asked, meta, words in (
        ("RY:TSX", "ry:tsx", {"exchange": "NYSE", "mic_code": "XTSE"}, "RY:TSX: Twelve Data sent bars of RY"),
        ("RY", "RY", {"exchange": "TSX"}, "RY: Twelve Data sent bars of RY:TSX"),
        ("VOD", "VOD", {"exchange": "LSE", "currency": "GBp"}, "VOD: .*another listing: VOD in GBp"),
    ):
        with pytest.raises(PermanentError, match=words):
            page(symbol, asked, **meta)
