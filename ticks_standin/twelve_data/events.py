"""Makes Twelve Data's price events of the market's ticks."""

from __future__ import annotations

from typing import NamedTuple

import msgspec
from msgspec import UNSET, UnsetType

from ticks_standin.market.bars import UNITS
from ticks_standin.market.events import Event
from ticks_standin.market.instruments import Instrument
from ticks_standin.market.listings import Listings
from ticks_standin.market.walk import Tick
from ticks_standin.settings import StandInSettings

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


class Market(NamedTuple):
    """What events and acknowledgements say of where an instrument is listed: right, wrong, or nothing."""

    exchange: str | None
    mic_code: str | None


def market_told(instrument: Instrument, listings: Listings, settings: StandInSettings, *, status: bool) -> Market:
    """What is told in the items of a ``status``, or in price events.

    Users have seen wrong codes (twelvedata-python issue 61), and neither code nor exchange (issues 62, 70 and 71).
    """
    exchange, mic_code = instrument.exchange, instrument.mic_code
    if settings.twelve_data_wrong_mic_code and mic_code is not None:
        others = [
            each.mic_code for each in listings.listed_as(instrument.symbol) if each.mic_code not in (None, mic_code)
        ]
        mic_code = others[0] if others else "XNYS" if mic_code != "XNYS" else "XNAS"
    omitted = settings.twelve_data_status_omits if status else settings.twelve_data_omits
    return Market(
        None if "exchange" in omitted else exchange,
        None if "mic_code" in omitted else mic_code,
    )


def price_event(tick: Tick, market: Market) -> bytes:
    """The JSON of the price event of one tick: one event is one frame."""
    instrument = tick.instrument
    return _encode(
        PriceEvent(
            symbol=instrument.symbol,
            currency=instrument.currency or UNSET,
            currency_base=instrument.currency_base or UNSET,
            currency_quote=instrument.currency_quote or UNSET,
            exchange=market.exchange or UNSET,
            mic_code=market.mic_code or UNSET,
            type=instrument.kind.value,
            timestamp=tick.timestamp,
            price=tick.price,
            bid=UNSET if tick.bid is None else tick.bid,
            ask=UNSET if tick.ask is None else tick.ask,
            day_volume=UNSET if tick.day_volume is None else tick.day_volume,
        )
    )


class PriceSource:
    """The price events of one listing."""

    def __init__(self, instrument: Instrument, market: Market) -> None:
        self.instrument = instrument
        self.order = (instrument.symbol, instrument.exchange or "", PROVIDER)
        self.name = f"price.{instrument.name}"
        self.names = frozenset({self.name, instrument.name, instrument.listing})
        self._market = market
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
                price_event(tick, self._market),
                self.name,
                self.instrument.name,
                self.instrument,
                listing=self.instrument.listing,
                time_ns=time_ns,
                price=tick.price,
                volume=volume * UNITS,
            )
        ]


class PriceSources:
    """The price events of all listings: one that two sessions have subscribed to ticks once."""

    def __init__(self, settings: StandInSettings, listings: Listings) -> None:
        self._settings = settings
        self._listings = listings
        self._made: dict[Instrument, PriceSource] = {}

    def of(self, instrument: Instrument) -> PriceSource:
        """Those of one listing."""
        source = self._made.get(instrument)
        if source is None:
            market = market_told(instrument, self._listings, self._settings, status=False)
            source = self._made[instrument] = PriceSource(instrument, market)
        return source
