"""What a tick may change in a candle: the bits of `stocks_real_time.updates`.

Three facts are kept apart. The conditions of a trade decide the bits 1 to 4; the market takes a trade back with
`CANCELLED`; feeds.yaml makes a feed secondary with `SECONDARY`. Candles take a value only from ticks that have its bit
and neither of the last two. None (NULL in the table) means `ALL`.
"""

from __future__ import annotations

OPEN_CLOSE = 1
"""It may set the open and the close."""
HIGH_LOW = 2
"""It may set the high and the low."""
VOLUME = 4
"""Its size counts, and so does its volume of the day."""
CANCELLED = 8
"""The market took it back, or corrected it: the corrected trade is a tick of its own."""
SECONDARY = 16
"""Its feed is not the one that makes the candles of its symbol."""

ALL = OPEN_CLOSE | HIGH_LOW | VOLUME
