"""Names of Polygon's symbols: what its WebSocket calls them, whichever of the provider's spellings feeds.yaml has.

The REST API writes pairs as X:BTCUSD and C:EURUSD, and users subscribe to XT.X:BTC-USD and C.C:EUR-USD, as older
documentation has it; events say BTC-USD and EUR/USD. Those of indices and options always begin with I: and O:. Symbols
of stocks tell case apart: BACpB is a preferred stock, BACPB is not.
"""

from __future__ import annotations

_PREFIXES = {"crypto": "X:", "forex": "C:", "indices": "I:", "options": "O:"}

_QUOTES = ("USDT", "USDC", "USD", "EUR", "GBP", "JPY", "AUD", "CAD", "CHF", "BTC", "ETH")
"""What a pair of crypto that is written in one word may end with."""


def symbol_name(symbol: str, market: str) -> str:
    """The name of a symbol of feeds.yaml, which events carry."""
    prefix = _PREFIXES.get(market)
    if prefix is None or symbol == "*":
        return symbol
    plain = _without_prefix(symbol, prefix)
    if market == "crypto":
        return _coins(plain.upper())
    return currencies(plain.upper()) if market == "forex" else prefix + plain


def subscribed(symbol: str, market: str) -> str:
    """A symbol of feeds.yaml as its channels name it: pairs of currencies may be written in one word there."""
    if market != "forex" or symbol == "*":
        return symbol_name(symbol, market)
    return _without_prefix(symbol, _PREFIXES[market]).upper()


def rest_ticker(symbol: str, market: str) -> str:
    """The REST API's name of a symbol: X:BTCUSD for the WebSocket's BTC-USD, C:EURUSD for EUR/USD."""
    name = symbol_name(symbol, market)
    if market in ("crypto", "forex"):
        return _PREFIXES[market] + name.replace("-", "").replace("/", "")
    return name


def currencies(symbol: str) -> str:
    """A pair of currencies with a slash, as quotes write it."""
    plain = symbol.replace("-", "/")
    return f"{plain[:3]}/{plain[3:]}" if len(plain) == 6 and plain.isalpha() else plain


def _coins(symbol: str) -> str:
    if not symbol.isalnum():
        return symbol.replace("/", "-")
    quote = next((quote for quote in _QUOTES if symbol.endswith(quote) and symbol != quote), "")
    return f"{symbol.removesuffix(quote)}-{quote}" if quote else symbol


def _without_prefix(symbol: str, prefix: str) -> str:
    return symbol[len(prefix) :] if symbol[: len(prefix)].upper() == prefix else symbol
