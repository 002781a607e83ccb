"""The synthetic market: deterministic by its seed, and plausible."""

from __future__ import annotations

import pytest

from ticks_standin.market.instruments import Instrument, Kind
from ticks_standin.market.listings import Listings
from ticks_standin.market.walk import Market, Tick

NOON = 1_700_049_600  # a UTC noon


def listed(*symbols: str) -> list[Instrument]:
    found = [Listings().find(symbol) for symbol in symbols]
    return [instrument for instrument in found if instrument is not None]


def numbers(ticks: list[Tick]) -> list[tuple[object, ...]]:
    return [(tick.instrument.symbol, tick.price, tick.bid, tick.ask, tick.day_volume) for tick in ticks]


def test_same_seed_gives_same_ticks_however_they_are_batched() -> None:
    traded = listed("AAPL", "BTC/USD", "EUR/USD")
    whole = Market(7).ticks(traded, 300, NOON)
    market = Market(7)
    parts = [tick for _ in range(100) for tick in market.ticks(traded, 3, NOON)]
    assert numbers(parts) == numbers(whole)
    assert numbers(Market(8).ticks(traded, 300, NOON)) != numbers(whole)


def test_prices_of_a_symbol_do_not_depend_on_what_else_is_traded() -> None:
    alone = Market(7).ticks(listed("AAPL"), 50, NOON)
    among = [tick for tick in Market(7).ticks(listed("AAPL", "MSFT"), 400, NOON) if tick.instrument.symbol == "AAPL"]
    assert numbers(among[:50]) == numbers(alone)


def test_all_that_is_traded_ticks_within_one_second() -> None:
    ticks = Market(7).ticks(listed("AAPL", "MSFT", "EUR/USD"), 100, NOON)
    assert {tick.instrument.symbol for tick in ticks} == {"AAPL", "MSFT", "EUR/USD"}
    assert {tick.timestamp for tick in ticks} == {NOON}


@pytest.mark.parametrize("symbol", ["AAPL", "SPY", "BTC/USD", "EUR/USD", "USD/JPY", "XAU/USD", "SPX"])
def test_prices_are_plausible(symbol: str) -> None:
    (instrument,) = listed(symbol)
    ticks = Market(1).ticks([instrument], 10_000, NOON)
    prices = [tick.price for tick in ticks]
    assert len(set(prices)) > 50
    for price in prices:
        assert price == round(price, instrument.decimals)
        assert instrument.start_price * 0.8 < price < instrument.start_price * 1.25
    if instrument.spread:
        assert all(tick.bid < tick.price < tick.ask for tick in ticks)  # type: ignore[operator]
    else:
        assert {(tick.bid, tick.ask) for tick in ticks} == {(None, None)}


def test_day_volume_grows_within_a_day_and_starts_anew_on_the_next() -> None:
    market = Market(7)
    traded = listed("AAPL")
    today = [tick.day_volume for tick in market.ticks(traded, 500, NOON)]
    assert today == sorted(today)
    assert today[-1] > 10_000
    assert market.ticks(traded, 1, NOON + 86_400)[0].day_volume < 10_000


def test_instruments_without_volume_have_none() -> None:
    assert {tick.day_volume for tick in Market(7).ticks(listed("SPX", "EUR/USD", "SHOP"), 50, NOON)} == {None}


def test_bare_symbol_means_the_first_listing() -> None:
    listings = Listings()
    assert listings.find("RY").exchange == "NYSE"
    assert listings.find("ry", exchange="tsx").exchange == "TSX"
    assert listings.find("RY", mic_code="XNYS").exchange == "NYSE"
    assert listings.find("EUR/USD", kind=Kind.CURRENCY).symbol == "EUR/USD"
    assert listings.find("BTC/USD", exchange="COINBASE PRO").exchange == "Coinbase Pro"


def test_what_is_not_listed_is_not_found() -> None:
    listings = Listings()
    assert listings.find("BTC") is None
    assert listings.find("RY", exchange="LSE") is None
    assert listings.find("AAPL", kind=Kind.INDEX) is None


def test_any_symbol_is_made_up_on_request() -> None:
    made_up = Listings(accept_any=True).find("S0042")
    again = Listings(accept_any=True).find("S0042")
    assert made_up.kind is Kind.STOCK
    assert made_up.start_price == again.start_price
    listings = Listings(accept_any=True)
    assert listings.find("s0042") is listings.find("S0042")
    assert listings.find("AAPL").start_price == Listings().find("AAPL").start_price
    assert listings.find("") is None
