"""Makes Twelve Data's price events of the market's ticks."""

from __future__ import annotations

import msgspec
from msgspec import UNSET, UnsetType

from ticks_standin.market.bars import UNITS
from ticks_standin.market.events import Event
from ticks_standin.market.instruments import Instrument
from ticks_standin.market.walk import Tick

PROVIDER = "twelve_data"

_encode = msgspec.json.Encoder().encode


class PriceEvent(msgspec.Struct, tag_field="event", tag="price", kw_only=True, gc=False):
    """A price event; fields are in the provider's order, for every class of instrument.

    Docs and live frames agree on the order (ws-real-time-price; twelvedata-python issues 61 and 62; ws-tools).
    """

    symbol: str
    currency: str | UnsetType = UNSET
    currency_base: str | UnsetType = UNSET
    currency_quote: str | UnsetType = UNSET
    exchange: str | UnsetType = UNSET
    mic_code: str | UnsetType = UNSET
    type: str
    timestamp: int
    price: float
    bid: float | UnsetType = UNSET
    ask: float | UnsetType = UNSET
    day_volume: int | UnsetType = UNSET


def price_event(tick: Tick) -> bytes:
    """The JSON of the price event of one tick: one event is one frame."""
    instrument = tick.instrument
    return _encode(
        PriceEvent(
            symbol=instrument.symbol,
            currency=instrument.currency or UNSET,
            currency_base=instrument.currency_base or UNSET,
            currency_quote=instrument.currency_quote or UNSET,
            exchange=instrument.exchange or UNSET,
            mic_code=instrument.mic_code or UNSET,
            type=instrument.kind.value,
            timestamp=tick.timestamp,
            price=tick.price,
            bid=UNSET if tick.bid is None else tick.bid,
            ask=UNSET if tick.ask is None else tick.ask,
            day_volume=UNSET if tick.day_volume is None else tick.day_volume,
        )
    )


class PriceSource:
    """The price events of one instrument."""

    def __init__(self, instrument: Instrument) -> None:
        self.instrument = instrument
        self.order = (instrument.symbol, instrument.exchange or "", PROVIDER)
        self.name = f"price.{instrument.symbol}"
        self._day_volume = 0

    def events(self, tick: Tick, time_ms: int) -> list[Event]:
        """One event a tick, stamped by the tick itself: the provider gives whole seconds."""
        volume = 0
        if tick.day_volume is not None:
            # A lower day volume is the first one of another day.
            volume = tick.day_volume - (self._day_volume if tick.day_volume >= self._day_volume else 0)
            self._day_volume = tick.day_volume
        time_ns = tick.timestamp * 1_000_000_000
        return [
            Event(
                price_event(tick),
                self.name,
                self.instrument.symbol,
                self.instrument,
                time_ns=time_ns,
                price=tick.price,
                volume=volume * UNITS,
            )
        ]
