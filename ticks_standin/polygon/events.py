"""Makes Polygon's events of the market's ticks.

Sources of the facts: the official specification (.massive/websocket.json, 33 channels) and docs, the official Python
client (massive 2.9.1), the knowledge base (time stamps, late bars), and captures of the live service of 2026
(massivedotnet, rustrade). Where they differ, a setting decides. Times are in milliseconds of UNIX time.
"""

from __future__ import annotations

import random
import time
from typing import Any, NamedTuple

import msgspec
from msgspec import UNSET

from ticks_standin.errors import StandInError
from ticks_standin.market.bars import UNITS, Bars
from ticks_standin.market.events import ALL, Event
from ticks_standin.market.hours import TradingHours
from ticks_standin.market.instruments import Instrument, Kind
from ticks_standin.market.listings import Listings
from ticks_standin.market.walk import Tick
from ticks_standin.polygon import options
from ticks_standin.polygon.bar_events import BAR_CHANNELS, BarEvents
from ticks_standin.polygon.conditions import in_a_minute, in_the_day
from ticks_standin.polygon.halts import halt_event
from ticks_standin.polygon.prints import EXCHANGES, TRF, PlainPrints, Print, Prints
from ticks_standin.polygon.trades import Corrections, Trade, decimal_size
from ticks_standin.settings import StandInSettings

PROVIDER = "polygon"

CHANNELS: dict[str, tuple[str, ...]] = {
    "stocks": ("T", "Q", "A", "AM", "LULD", "NOI", "FMV", "LV"),
    "options": ("T", "Q", "A", "AM", "FMV", "LV"),
    "forex": ("C", "CA", "CAS", "FMV", "LV"),
    "crypto": ("XT", "XQ", "XA", "XAS", "XL2", "FMV", "LV"),
    "indices": ("V", "A", "AM"),
}
"""The topics of each market. A subscription to one that has no events here is acknowledged too."""

_DRIVEN_BY = {
    "stocks": {"T": "T", "Q": "Q", "A": "T", "AM": "T"},
    "forex": {"C": "C", "CA": "C", "CAS": "C"},
    "crypto": {"XT": "XT", "XQ": "XQ", "XA": "XT", "XAS": "XT"},
    "indices": {"V": "V", "A": "V", "AM": "V"},
    "options": {"T": "T", "Q": "Q"},
}
# The events that the bars of a channel are made of: trades, or quotes or values where a market has no trades.

_DAY_MS = 86_400_000
_PRIMARY = {"XNYS": 10, "ARCX": 11, "XNGS": 12}
_CRYPTO_EXCHANGES = (1, 1, 2, 6, 23)

_encode = msgspec.json.Encoder().encode


class _Made(NamedTuple):
    """An event's JSON, and what it adds to bars: see :class:`Event`. ``print`` is that of a trade of a stock."""

    payload: bytes
    price: float | None = None
    volume: int = 0
    sets: int = ALL
    sets_day: int = ALL
    print: Print | None = None


class Source:
    """One channel of one instrument."""

    def __init__(self, maker: EventMaker, market: str, channel: str, instrument: Instrument) -> None:
        self.instrument = instrument
        self.symbol = ticker(instrument, market)
        self.name = f"{channel}.{self.symbol}"
        self.names = frozenset({self.name, instrument.symbol, self.symbol})
        self.order = (instrument.symbol, instrument.exchange or "", PROVIDER, channel)
        self.topic = (market, channel, self.symbol)
        self.market = market
        self.sequence = 0
        # A generator of its own: the n-th print of a symbol does not depend on what else is traded.
        self._random = random.Random(f"{maker.seed}/{self.symbol}/{channel}")  # noqa: S311
        self.prints = maker.prints(instrument, self._random)
        self.corrections = Corrections(self._random)
        self._maker = maker
        self._make = {
            "T": maker.option_trade if market == "options" else maker.trade,
            "Q": maker.option_quote if market == "options" else maker.quote,
            "C": maker.forex_quote,
            "XT": maker.crypto_trade,
            "XQ": maker.crypto_quote,
            "V": maker.value,
        }[channel]

    def events(self, tick: Tick, time_ms: int) -> list[Event]:
        """One event a tick, and the records of earlier trades that were corrected by now, which are not sent."""
        made = self._make(self, tick, time_ms)
        event = Event(
            made.payload,
            self.name,
            self.symbol,
            self.topic,
            time_ns=time_ms * 1_000_000,
            price=made.price,
            volume=made.volume,
            sets=made.sets,
            sets_day=made.sets_day,
            closes=made.print.closes if made.print else 0,
        )
        self._maker.count_in(self, event, time_ms)
        if self.market == "options" and made.volume and self._maker.has_twin():
            return [event, self._maker.twin(self, event)]
        if made.print is not None and made.print.fate:
            self.corrections.expect(event, made.print)
        return [event, *self.corrections.due(time_ms)]


def ticker(instrument: Instrument, market: str) -> str:
    """Polygon's name of an instrument on the WebSocket: AAPL, BTC-USD, EUR/USD, I:SPX."""
    if market == "crypto":
        return instrument.symbol.replace("/", "-")
    return f"I:{instrument.symbol}" if market == "indices" else instrument.symbol


class EventMaker:
    """Makes the events of all clients: two clients of one channel get the same events."""

    def __init__(self, settings: StandInSettings, listings: Listings, first_id: int | None = None) -> None:
        """Ids follow ``first_id``; those after None are ones that no earlier stand-in of the day had."""
        self._fractional_share = settings.polygon_fractional_share
        self.seed = settings.seed
        """Seed of all that is drawn."""
        self.hours = TradingHours(settings.market_hours, settings.regular_hours)
        """When stocks are traded."""
        self._settings = settings
        self._listings = listings
        self._random = random.Random(f"{settings.seed}/polygon")  # noqa: S311
        self._sources: dict[tuple[str, str, Instrument], Source] = {}
        self._bars = Bars(
            delay_ms=round(settings.polygon_bar_delay_s * 1_000), memory_ms=round(settings.polygon_bar_memory_s * 1_000)
        )
        self._bar_events = BarEvents(settings, self._random)
        self._with_bars: set[Source] = set()
        # Ids are unique per day, also over restarts of the stand-in on that day.
        self._next_id = (time.time_ns() // 1_000_000 % _DAY_MS) * 1_000_000 if first_id is None else first_id
        self._first_sequence = self._next_id // 1_000
        self._halts = 0
        self._options: dict[str, Instrument] = {}

    def be_fractional(self, share: float) -> None:
        """Give at least this share of the stock trades to come a size that is not whole."""
        self._fractional_share = max(share, self._settings.polygon_fractional_share)

    def prints(self, instrument: Instrument, draw: random.Random, *, auctions: bool = True) -> Prints | PlainPrints:
        """The prints of an instrument, if it is a stock: those of a real tape, or plain ones."""
        if self._settings.polygon_tape == "plain":
            return PlainPrints(draw)
        tape, primary = _tape(instrument), _PRIMARY.get(instrument.mic_code or "", 12)
        taken_back = self._settings.polygon_taken_back
        return Prints(
            instrument.start_price,
            primary=primary,
            tape=tape,
            draw=draw,
            hours=self.hours,
            taken_back=taken_back,
            auctions=auctions,
            unknown=self._settings.polygon_unknown_conditions,
        )

    def count_in(self, source: Source, event: Event, time_ms: int) -> None:
        """Add a trade to the bars of a source, if it has bars."""
        if source in self._with_bars and event.price is not None:
            self._bars.add(source, event.price, event.volume, time_ms, sets=event.sets, sets_day=event.sets_day)

    def sources(self, market: str, channel: str, symbol: str) -> list[Source]:
        """The sources that have to tick for a subscription; none for an unknown ticker."""
        driver = _DRIVEN_BY[market].get(channel)
        if driver is None:
            return []
        found = [self._source(market, driver, instrument) for instrument in self._instruments(market, symbol)]
        if channel in BAR_CHANNELS.get(market, ()):
            self._with_bars.update(found)
        return found

    def _source(self, market: str, channel: str, instrument: Instrument) -> Source:
        key = (market, channel, instrument)
        source = self._sources.get(key)
        if source is None:
            source = self._sources[key] = Source(self, market, channel, instrument)
            source.sequence = self._first_sequence
        return source

    def _instruments(self, market: str, symbol: str) -> list[Instrument]:
        if market == "options":
            made = self._options.get(symbol) or options.option(symbol)
            if made is not None:
                self._options[symbol] = made
            return [] if made is None else [made]
        if symbol == "*":
            return [instrument for instrument in self._listings.all() if _is_on(instrument, market)]
        name = symbol.removeprefix("I:") if market == "indices" else symbol.replace("-", "/")
        if market == "stocks":
            name = symbol
        kind = {"forex": Kind.CURRENCY, "crypto": Kind.CRYPTO, "indices": Kind.INDEX}.get(market)
        # Tickers are case-sensitive: preferred shares differ by a lower-case p (BACpB), and pairs are in upper case.
        found = self._listings.find_exactly(name, kind) if kind or market == "stocks" else None
        return [found] if found and _is_on(found, market) else []

    def _sequence(self, source: Source) -> int:
        step = 1 + int(self._random.random() * 9)
        if self._random.random() < self._settings.polygon_backward_q:
            return source.sequence - step + 1
        source.sequence += step
        return source.sequence

    def trade(self, source: Source, tick: Tick, time_ms: int) -> _Made:
        """A trade of a stock."""
        settings, draw = self._settings, self._random.random
        made = source.prints.next(tick.price, tick.size, time_ms, fractional=self._fractional_share)
        self._next_id += 1
        off_exchange = made.exchange == TRF
        sent_ms = time_ms - made.lag_ms
        payload = _encode(
            Trade(
                sym=source.symbol,
                x=made.exchange,
                i=str(self._next_id),
                z=_tape(source.instrument),
                p=made.price,
                s=made.volume // UNITS,
                ds=decimal_size(made.volume) if settings.polygon_decimal_sizes else UNSET,
                c=made.conditions or UNSET,
                t=time_ms,
                pt=sent_ms - int(draw() * 4) if settings.polygon_participant_time else UNSET,
                q=self._sequence(source),
                trfi=201 if off_exchange else UNSET,
                trft=time_ms - int(draw() * 40) if off_exchange else UNSET,
            )
        )
        sets = in_a_minute(made.conditions, self.hours.is_regular(time_ms))
        return _Made(payload, made.price, made.volume, sets, in_the_day(made.conditions), made)

    def option_trade(self, source: Source, tick: Tick, time_ms: int) -> _Made:
        """A trade of an option."""
        return _Made(*options.trade(source.symbol, tick.price, time_ms, self._sequence(source), self._random))

    def option_quote(self, source: Source, tick: Tick, time_ms: int) -> _Made:
        """The best bid and offer of an option."""
        return _Made(options.quote(source.symbol, tick.price, time_ms, self._sequence(source), self._random))

    def has_twin(self) -> bool:
        """Whether the next trade of an option comes twice in its millisecond."""
        return self._random.random() < self._settings.polygon_option_twins

    def twin(self, source: Source, event: Event) -> Event:
        """Another trade that only its sequence number tells apart."""
        payload = options.twin(event.payload, self._sequence(source))
        return Event(
            payload,
            event.name,
            event.symbol,
            event.topic,
            time_ns=event.time_ns + 1,
            price=event.price,
            volume=event.volume,
        )

    def quote(self, source: Source, tick: Tick, time_ms: int) -> _Made:
        """The best bid and offer of a stock; one side may be missing, or zero."""
        draw = self._random.random
        half = max(tick.price * 1e-4, 0.01)
        quote: dict[str, Any] = {
            "ev": "Q",
            "sym": source.symbol,
            "bx": EXCHANGES[4 + int(draw() * (len(EXCHANGES) - 4))],
            "bp": round(tick.price - half, 2),
            "bs": 1 + int(draw() * 20),
            "ax": EXCHANGES[4 + int(draw() * (len(EXCHANGES) - 4))],
            "ap": round(tick.price + half, 2),
            "as": 1 + int(draw() * 20),
            "c": 1,
        }
        if draw() < self._settings.polygon_one_sided_share:
            side = "b" if draw() < 0.5 else "a"
            for field in (f"{side}x", f"{side}p", f"{side}s"):
                if draw() < 0.5:
                    quote[field] = 0
                else:
                    del quote[field]
        if draw() < 0.3:
            quote["i"] = [604]
        quote["t"] = time_ms
        if self._settings.polygon_participant_time:
            quote["pt"] = time_ms - int(draw() * 3)
        quote |= {"q": self._sequence(source), "z": _tape(source.instrument)}
        return _Made(_encode(quote))

    def forex_quote(self, source: Source, tick: Tick, time_ms: int) -> _Made:
        """A quote of a currency pair; ``p`` is the pair, not a price."""
        assert tick.bid is not None
        exchange = 48 if self._settings.polygon_numeric_forex_exchange else "48"
        quote = {"ev": "C", "p": source.symbol, "x": exchange, "a": tick.ask, "b": tick.bid, "t": time_ms}
        # Bars of currencies are made of quotes; that they are made of the bid is an assumption.
        return _Made(_encode(quote), tick.bid, UNITS)

    def crypto_trade(self, source: Source, tick: Tick, time_ms: int) -> _Made:
        """A trade of a crypto currency: sizes have up to eight decimals, condition 1 is a sell, 2 a buy."""
        draw = self._random.random
        volume = max(round(tick.size * UNITS), 1)
        self._next_id += 1
        payload = _encode(
            {
                "ev": "XT",
                "pair": source.symbol,
                "p": tick.price,
                "t": time_ms,
                "s": volume / UNITS,
                "c": [1 + int(draw() * 2)],
                "i": self._next_id if self._settings.polygon_numeric_crypto_ids else str(self._next_id),
                "x": _CRYPTO_EXCHANGES[int(draw() * len(_CRYPTO_EXCHANGES))],
                "r": time_ms + int(draw() * 150),
            }
        )
        return _Made(payload, tick.price, volume)

    def crypto_quote(self, source: Source, tick: Tick, time_ms: int) -> _Made:
        """The best bid and offer of one crypto exchange."""
        draw = self._random.random
        bid = tick.price if tick.bid is None else tick.bid
        ask = tick.price if tick.ask is None else tick.ask
        payload = _encode(
            {
                "ev": "XQ",
                "pair": source.symbol,
                "bp": bid,
                "bs": round(draw() * 3, 8),
                "ap": ask,
                "as": round(draw() * 3, 8),
                "t": time_ms,
                "x": _CRYPTO_EXCHANGES[int(draw() * len(_CRYPTO_EXCHANGES))],
                "r": time_ms + int(draw() * 150),
            }
        )
        return _Made(payload)

    def halt(self, symbol: str, time_ns: int, *, resume: bool) -> Event | None:
        """The event that trading of a stock was halted, or resumed; None if it is not listed on Nasdaq.

        Raises StandInError if the symbol is no stock.
        """
        found = self._instruments("stocks", symbol)
        if symbol == "*" or not found:
            raise StandInError(f"{symbol} is no stock of the stand-in")
        self._halts += 1
        return halt_event(found[0], _tape(found[0]), time_ns, self._first_sequence + self._halts, resume=resume)

    def value(self, source: Source, tick: Tick, time_ms: int) -> _Made:
        """The value of an index; its ticker is in ``T``, which of other events only LULD and NOI have."""
        return _Made(_encode({"ev": "V", "val": tick.price, "T": source.symbol, "t": time_ms}), tick.price)

    def due(self, now_ms: int, *, unfinished: bool = False) -> list[Event]:
        """The bars that are due: new ones, and those that late trades have changed."""
        return [
            self._bar_events.event(source, bar, day)
            for source, bar, day in self._bars.due(now_ms, unfinished=unfinished)
            if isinstance(source, Source)
        ]


def _tape(instrument: Instrument) -> int:
    return {"XNYS": 1, "XNGS": 3}.get(instrument.mic_code or "", 2)


def _is_on(instrument: Instrument, market: str) -> bool:
    kind = instrument.kind
    if market == "stocks":
        return instrument.is_us_equity
    return kind is {"forex": Kind.CURRENCY, "crypto": Kind.CRYPTO, "indices": Kind.INDEX}.get(market)
