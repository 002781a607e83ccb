"""Kraken's public feed of spot trades, which needs no key: `connector` is the WebSocket, `history` the REST API.

Written from public documentation and published recordings; it was never run against Kraken itself. What these leave
open is marked with «Doubt» where it matters.
"""

from ticks_platform.feeds.kraken.connector import Kraken

__all__ = ["Kraken"]
