"""Halts of trading, as channel LULD of stocks tells them.

The channel has price bands, and indicators: 17 is a halt, 18 a resumption, of symbols that are listed on Nasdaq only
(docs of the channel). Times are nanoseconds (capture of 2026-09-08), where the documentation says milliseconds.
"""

from __future__ import annotations

import msgspec

from ticks_standin.market.events import Event
from ticks_standin.market.instruments import Instrument

_HALT, _RESUME = 17, 18
_NASDAQ = 3


def halt_event(instrument: Instrument, tape: int, time_ns: int, sequence: int, *, resume: bool) -> Event | None:
    """The event of a halt or a resumption; None for a tape that tells none."""
    if tape != _NASDAQ:
        return None
    symbol, price = instrument.symbol, instrument.start_price
    fields = {
        "ev": "LULD",
        "T": symbol,
        "h": round(price * 1.1, 2),
        "l": round(price * 0.9, 2),
        "i": [_RESUME if resume else _HALT],
        "z": tape,
        "t": time_ns,
        "q": sequence,
    }
    return Event(msgspec.json.encode(fields), f"LULD.{symbol}", symbol, ("stocks", "LULD", symbol), time_ns=time_ns)
