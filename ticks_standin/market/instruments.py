"""The instruments of the synthetic market."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Kind(str, Enum):
    """Class of an instrument; the value is the ``type`` that Twelve Data's price events carry."""

    STOCK = "Common Stock"
    PREFERRED = "Preferred Stock"
    ETF = "ETF"
    CURRENCY = "Physical Currency"
    CRYPTO = "Digital Currency"
    INDEX = "Index"
    COMMODITY = "Commodity"


@dataclass(frozen=True, slots=True, eq=False)
class Instrument:
    """One listing, compared by identity: the same symbol on two exchanges is two instruments.

    ``volatility`` is the standard deviation of the log return of one tick; ``spread`` the bid-ask spread as a share of
    the price, 0 if the feed gives no quotes; ``mean_size`` the mean traded quantity of a tick, 0 if it gives no
    volume. With a ``step`` prices move by steps of this standard deviation in place of log returns, and return to the
    ``start_price``; only with ``below_zero`` they go below the smallest price.

    ``title`` is its name in full. ``secondary`` is set if another listing has the same symbol and comes first: a bare
    symbol means that one.
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
    step: float = 0.0
    below_zero: bool = False
    title: str = ""
    secondary: bool = False

    @property
    def is_us_equity(self) -> bool:
        """Whether it is a stock or an ETF of the US exchanges, which keep their hours."""
        return self.kind in (Kind.STOCK, Kind.PREFERRED, Kind.ETF) and self.country == "United States"

    @property
    def listing(self) -> str:
        """Symbol and exchange, as in ``RY:TSX``; the symbol alone if there is no exchange."""
        return f"{self.symbol}:{self.exchange}" if self.exchange else self.symbol

    @property
    def name(self) -> str:
        """What the account calls it: the symbol alone for the listing that a bare symbol means."""
        return self.listing if self.secondary else self.symbol
