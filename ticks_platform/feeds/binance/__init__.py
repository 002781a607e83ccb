"""Binance's public feed of spot trades and best prices, which needs no key: `connector` is the WebSocket, `history` the
REST API.

Written from public documentation and published recordings; it was never run against Binance itself. What these leave
open is marked with «Doubt» where it matters.
"""

from ticks_platform.feeds.binance.connector import Binance

__all__ = ["Binance"]
