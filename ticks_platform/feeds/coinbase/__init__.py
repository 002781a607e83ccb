"""Coinbase Exchange's public feed of trades, which needs no key: `connector` is all of it.

The shortest complete connector, and so the one to begin from when you write your own.
"""

from ticks_platform.feeds.coinbase.connector import Coinbase

__all__ = ["Coinbase"]
