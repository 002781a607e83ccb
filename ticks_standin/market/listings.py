"""What is listed in the synthetic market, and how it is found by the names that clients use."""

from __future__ import annotations

import random
from dataclasses import replace

from ticks_standin.market.actions import Actions
from ticks_standin.market.instruments import Instrument, Kind

_TITLES = {
    "AAPL": "Apple Inc.",
    "MSFT": "Microsoft Corporation",
    "NVDA": "NVIDIA Corporation",
    "AMZN": "Amazon.com, Inc.",
    "TSLA": "Tesla, Inc.",
    "GOOGL": "Alphabet Inc.",
    "META": "Meta Platforms, Inc.",
    "AMD": "Advanced Micro Devices, Inc.",
    "NFLX": "Netflix, Inc.",
    "INTC": "Intel Corporation",
    "JPM": "JPMorgan Chase & Co.",
    "XOM": "Exxon Mobil Corporation",
    "KO": "The Coca-Cola Company",
    "RY": "Royal Bank of Canada",
    "SHOP": "Shopify Inc.",
    "VOD": "Vodafone Group Plc",
    "AVZ": "AVZ Minerals Limited",
    "BACpB": "Bank of America Corporation Preferred Series B",
    "1211": "BYD Company Limited",
    "SPY": "SPDR S&P 500 ETF Trust",
    "SPX": "S&P 500",
    "NSEI": "NIFTY 50",
    "CL1": "Crude Oil WTI Futures",
}


def _stock(symbol: str, price: float, exchange: str = "NASDAQ", mic_code: str | None = "XNGS") -> Instrument:
    return Instrument(
        symbol,
        Kind.STOCK,
        price,
        exchange,
        mic_code,
        "United States",
        currency="USD",
        volatility=1.2e-4,
        mean_size=120.0,
    )


def _currency(symbol: str, price: float, base: str, quote: str, decimals: int, volatility: float) -> Instrument:
    return Instrument(
        symbol,
        Kind.CURRENCY,
        price,
        currency=symbol.partition("/")[2],
        currency_base=base,
        currency_quote=quote,
        decimals=decimals,
        volatility=volatility,
        spread=1.2e-4,
    )


def _crypto(symbol: str, price: float, base: str, exchange: str, spread: float) -> Instrument:
    return Instrument(
        symbol,
        Kind.CRYPTO,
        price,
        exchange,
        currency_base=base,
        currency_quote="US Dollar",
        volatility=2e-4,
        spread=spread,
        mean_size=0.4,
    )


def _index(symbol: str, price: float, exchange: str, country: str, currency: str) -> Instrument:
    return Instrument(
        symbol, Kind.INDEX, price, exchange, country=country, currency=currency, decimals=1, volatility=4e-5
    )


def _listed() -> list[Instrument]:
    """The first listing of a symbol is the one that a bare symbol means."""
    return [
        _stock("AAPL", 227.5),
        _stock("MSFT", 421.3),
        _stock("NVDA", 128.4),
        _stock("AMZN", 186.9),
        _stock("TSLA", 249.1),
        _stock("GOOGL", 165.2),
        _stock("META", 572.8),
        _stock("AMD", 162.0),
        _stock("NFLX", 709.6),
        _stock("INTC", 23.4),
        _stock("JPM", 211.7, "NYSE", "XNYS"),
        _stock("XOM", 117.3, "NYSE", "XNYS"),
        _stock("KO", 71.5, "NYSE", "XNYS"),
        _stock("RY", 124.6, "NYSE", "XNYS"),
        Instrument("RY", Kind.STOCK, 168.9, "TSX", "XTSE", "Canada", currency="CAD", mean_size=80.0),
        # Price events without mic_code (documented), and without day_volume (seen live in 2022), are stocks too.
        Instrument("SHOP", Kind.STOCK, 108.2, "TSX", None, "Canada", currency="CAD"),
        _stock("VOD", 9.61),
        # London's prices are in pence, which the currency tells by its lower-case p.
        Instrument("VOD", Kind.STOCK, 72.34, "LSE", "XLON", "United Kingdom", currency="GBp", mean_size=900.0),
        # Its prices have few steps: from 0.004 to the next is a quarter.
        Instrument(
            "AVZ",
            Kind.STOCK,
            0.004,
            "ASX",
            "XASX",
            "Australia",
            currency="AUD",
            decimals=3,
            step=2.5e-4,
            mean_size=50_000.0,
        ),
        # A preferred share: Polygon's tickers have its lower-case p.
        replace(_stock("BACpB", 25.4, "NYSE", "XNYS"), kind=Kind.PREFERRED),
        Instrument("1211", Kind.STOCK, 283.0, "HKEX", "XHKG", "China", currency="HKD", mean_size=200.0),
        Instrument("SPY", Kind.ETF, 571.2, "NYSE", "ARCX", "United States", currency="USD", mean_size=300.0),
        _crypto("BTC/USD", 63_250.0, "Bitcoin", "Coinbase Pro", 2e-5),
        _crypto("BTC/USD", 63_251.0, "Bitcoin", "Binance", 0.0),
        _crypto("ETH/USD", 2_614.0, "Ethereum", "Coinbase Pro", 4e-5),
        _crypto("SOL/USD", 152.3, "Solana", "Coinbase Pro", 8e-5),
        _currency("EUR/USD", 1.10345, "Euro", "US Dollar", 5, 2e-5),
        _currency("GBP/USD", 1.31772, "British Pound", "US Dollar", 5, 2e-5),
        _currency("USD/JPY", 146.812, "US Dollar", "Japanese Yen", 3, 3e-5),
        _currency("XAU/USD", 2_652.4, "Gold Spot", "US Dollar", 2, 4e-5),
        _currency("XAG/USD", 31.16, "Silver Spot", "US Dollar", 4, 8e-5),
        _index("SPX", 5_738.2, "CBOE", "United States", "USD"),
        _index("NSEI", 25_790.9, "NSE", "India", "INR"),
        # As crude oil of April 2020: it is above zero, below, and at zero.
        Instrument(
            "CL1",
            Kind.COMMODITY,
            0.4,
            "NYMEX",
            "XNYM",
            "United States",
            currency="USD",
            step=0.35,
            below_zero=True,
            mean_size=3.0,
        ),
    ]


class Listings:
    """Finds instruments by the names that clients use. ``accept_any`` makes up a stock for each unknown symbol."""

    def __init__(self, *, accept_any: bool = False) -> None:
        self._accept_any = accept_any
        self.actions = Actions()
        """The splits and dividends that are announced."""
        self._by_symbol: dict[str, list[Instrument]] = {}
        for instrument in _listed():
            self._add(instrument)

    def _add(self, instrument: Instrument) -> Instrument:
        listed = self._by_symbol.setdefault(instrument.symbol, [])
        title = f"{instrument.currency_base} - {instrument.currency_quote}"
        if not instrument.currency_base:
            title = _TITLES.get(instrument.symbol, f"{instrument.symbol} Inc.")
        instrument = replace(instrument, title=title, secondary=bool(listed))
        listed.append(instrument)
        return instrument

    def all(self) -> list[Instrument]:
        """All listings, made-up ones included."""
        return [instrument for listed in self._by_symbol.values() for instrument in listed]

    def listed_as(self, symbol: str) -> list[Instrument]:
        """All listings of a symbol in upper case, the one that a bare symbol means first."""
        return self._by_symbol.get(symbol.upper(), [])

    def find(
        self, symbol: str, *, exchange: str | None = None, mic_code: str | None = None, kind: Kind | None = None
    ) -> Instrument | None:
        """The first listing that matches what is given, in upper case whatever case is given; None if none does."""
        for instrument in self.listed_as(symbol):
            if (
                (exchange is None or (instrument.exchange or "").upper() == exchange.upper())
                and (mic_code is None or instrument.mic_code == mic_code.upper())
                and (kind is None or instrument.kind is kind)
            ):
                return instrument
        if not self._accept_any or kind not in (None, Kind.STOCK):
            return None
        return self.make_up(symbol.upper(), exchange or "NASDAQ", (mic_code or "XNGS").upper())

    def find_listing(self, name: str) -> Instrument | None:
        """The listing that a name means, as ``RY:TSX`` or ``RY``; None if there is none."""
        symbol, _, exchange = name.partition(":")
        return self.find(symbol, exchange=exchange or None)

    def find_exactly(self, symbol: str, kind: Kind | None = None) -> Instrument | None:
        """The first listing of a symbol in these letters: BACpB is not BACPB; None if there is none."""
        listed = (each for each in self._by_symbol.get(symbol, []) if kind is None or each.kind is kind)
        found = next(listed, None)
        if found is None and self._accept_any and kind is None:
            return self.make_up(symbol, "NASDAQ", "XNGS")
        return found

    def start_at(self, symbol: str, factor: float) -> None:
        """Multiply the prices at which the listings of a symbol begin."""
        listed = self._by_symbol.get(symbol, [])
        listed[:] = [replace(each, start_price=round(each.start_price * factor, each.decimals)) for each in listed]

    def make_up(self, symbol: str, exchange: str, mic_code: str) -> Instrument | None:
        """Another listing, of a made-up US stock; None for an empty symbol."""
        if not symbol:
            return None
        # A string seeds Random the same way in every process, which hash() does not.
        price = round(random.Random(symbol).uniform(10, 500), 2)  # noqa: S311
        return self._add(_stock(symbol, price, exchange, mic_code))
