"""The old place of the connector of Coinbase, which is built in: `provider: coinbase`."""

from ticks_platform.feeds.coinbase import Coinbase

__all__ = ["Coinbase"]
