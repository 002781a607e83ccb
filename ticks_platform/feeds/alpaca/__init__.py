"""Alpaca's market data of US stocks, which needs a key: `connector` is the WebSocket, `events` its data, `history` the
REST API.

Written from public documentation, the official clients and published recordings; it was never run against Alpaca
itself. What these leave open is marked with «Doubt» where it matters.
"""

from ticks_platform.feeds.alpaca.connector import Alpaca

__all__ = ["Alpaca"]
