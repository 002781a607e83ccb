"""Binance's names of markets: both assets in one word, such as ``BTCUSDT``; its streams write them in lower case.

Source: binance/binance-spot-api-docs, web-socket-streams.md («All symbols for streams are lowercase») and rest-api.md.
"""

from __future__ import annotations

import re

_SEPARATORS = re.compile("[-/_ ]")

_QUOTES = (
    *("USDT", "USDC", "FDUSD", "TUSD", "BUSD", "USD1", "EURI", "DAI"),
    *("BTC", "ETH", "BNB", "XRP", "DOGE", "TRX"),
    *("EUR", "GBP", "TRY", "BRL", "JPY", "AUD", "ARS", "COP", "CZK", "MXN", "PLN", "RON", "UAH", "ZAR", "USD"),
)
"""What a market that is written in one word may end with."""


def market(symbol: str) -> str:
    """The name of a symbol of feeds.yaml: ``btc-usdt`` and ``BTC/USDT`` are ``BTCUSDT``."""
    return _SEPARATORS.sub("", symbol).upper()


def currency(symbol: str) -> str | None:
    """The unit of a market's prices, as far as its name tells."""
    written = _SEPARATORS.split(symbol.upper())
    if len(written) == 2 and all(written):
        return written[1]
    return next((quote for quote in _QUOTES if symbol.upper().endswith(quote) and symbol.upper() != quote), None)
