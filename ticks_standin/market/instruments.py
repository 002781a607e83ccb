"""The instruments of the synthetic market."""

from __future__ import annotations

import random
from dataclasses import dataclass
from enum import Enum


class Kind(str, Enum):
    """Class of an instrument; the value is the ``type`` that Twelve Data's price events carry."""

    STOCK = "Common Stock"
    ETF = "ETF"
    CURRENCY = "Physical Currency"
    CRYPTO = "Digital Currency"
    INDEX = "Index"


@dataclass(frozen=True, slots=True, eq=False)
class Instrument:
    """One listing, compared by identity: the same symbol on two exchanges is two instruments.

    ``volatility`` is the standard deviation of the log return of one tick; ``spread`` the bid-ask spread as a share of
    the price, 0 if the feed gives no quotes; ``mean_size`` the mean traded quantity of a tick, 0 if it gives no
    volume.
    """

    symbol: str
    kind: Kind
    start_price: float
    exchange: str | None = None
    mic_code: str | None = None
    country: str = ""
    currency: str | None = None
    currency_base: str | None = None
    currency_quote: str | None = None
    decimals: int = 2
    volatility: float = 1e-4
    spread: float = 0.0
    mean_size: float = 0.0


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
        # Price events without mic_code (documented), and without day_volume (seen live in 2022), are stocks too.
        Instrument("RY", Kind.STOCK, 168.9, "TSX", None, "Canada", currency="CAD", mean_size=80.0),
        Instrument("SHOP", Kind.STOCK, 108.2, "TSX", None, "Canada", currency="CAD"),
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
    ]


class Listings:
    """Finds instruments by the names that clients use. ``accept_any`` makes up a stock for each unknown symbol."""

    def __init__(self, *, accept_any: bool = False) -> None:
        self._accept_any = accept_any
        self._by_symbol: dict[str, list[Instrument]] = {}
        for instrument in _listed():
            self._by_symbol.setdefault(instrument.symbol.upper(), []).append(instrument)

    def all(self) -> list[Instrument]:
        """All listings, made-up ones included."""
        return [instrument for listed in self._by_symbol.values() for instrument in listed]

    def find(
        self, symbol: str, *, exchange: str | None = None, mic_code: str | None = None, kind: Kind | None = None
    ) -> Instrument | None:
        """The first listing of ``symbol`` that matches what is given, case-insensitively; None if none does."""
        listed = self._by_symbol.get(symbol.upper(), [])
        for instrument in listed:
            if (
                (exchange is None or (instrument.exchange or "").upper() == exchange.upper())
                and (mic_code is None or instrument.mic_code == mic_code.upper())
                and (kind is None or instrument.kind is kind)
            ):
                return instrument
        if not self._accept_any or not symbol:
            return None
        # A string seeds Random the same way in every process, which hash() does not.
        price = round(random.Random(symbol).uniform(10, 500), 2)  # noqa: S311
        made_up = _stock(symbol, price, exchange or "NASDAQ", mic_code or "XNGS")
        self._by_symbol.setdefault(symbol.upper(), []).append(made_up)
        return made_up
