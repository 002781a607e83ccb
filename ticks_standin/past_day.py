"""A whole past day of US stocks, made in a second: the frames of Polygon's WebSocket, and what its REST API says of it.

For proofs of what is made of the frames: trades and bars come of the same events by the stand-in's own rules.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from datetime import date, datetime, time, timedelta
from typing import Any

import msgspec

from ticks_standin.market.actions import Dividend, Split
from ticks_standin.market.bars import UNITS
from ticks_standin.market.events import Event
from ticks_standin.market.history import History
from ticks_standin.market.hours import EXTENDED_HOURS, NEW_YORK, TradingHours
from ticks_standin.market.listings import Listings
from ticks_standin.market.walk import Market
from ticks_standin.polygon.events import EventMaker
from ticks_standin.polygon.rest import PolygonApi
from ticks_standin.polygon.tape import names
from ticks_standin.polygon.trades import decode_trade
from ticks_standin.provider.rest import Question
from ticks_standin.provider.rest_bars import FOREVER_NS
from ticks_standin.settings import PolygonTape, StandInSettings

_MS = 1_000_000
_MINUTE_MS = 60_000
_REGULAR_SHARE, _BEFORE_SHARE = 0.85, 0.07
_ON_NYSE = 0.4
_WITHOUT_AUCTIONS = 0.05
_CORRECTED_AFTER_MS = 15 * _MINUTE_MS
_AUCTIONS_MS = (400, 401, 402)
_FIRST_ID = 10**9
_EVERYTHING = 10**12


class TakenBack(msgspec.Struct, frozen=True, kw_only=True):
    """A trade that was sent and later cancelled (``code`` 8), marked erroneous (7) or corrected (1).

    ``minute_ms`` is the beginning of its minute, ``known_ms`` when the correction came; both of UNIX time.
    """

    symbol: str
    trade_id: str
    exchange: int
    code: int
    minute_ms: int
    known_ms: int


class PastDay:
    """One trading day of some symbols, from 04:00 to 20:00 in New York, or to 17:00 on a half day.

    The same arguments give the same day.

    >>> day = PastDay(date(2026, 3, 3), symbols=500)
    >>> for received_ns, frame in day.frames(): ...
    >>> day.bars("A"), day.day_bar("A"), day.trades("A")
    """

    def __init__(
        self,
        day: date,
        *,
        symbols: int | Sequence[str] = 500,
        prints: tuple[int, int] = (60, 200),
        seed: int = 7,
        taken_back: float = 0.002,
        tape: PolygonTape = "real",
        actions: Sequence[Split | Dividend] = (),
    ) -> None:
        """Make it.

        Args:
            day: a day on which the exchanges are open.
            symbols: how many made-up symbols, or which symbols.
            prints: prints of a symbol, at least and at most; never fewer than eight.
            seed: seed of everything that is drawn.
            taken_back: share of the prints that are cancelled or corrected later.
            tape: ``real`` or ``plain``, as the setting ``polygon_tape``.
            actions: splits and dividends. Prices begin as splits until this day make them; so days before and after a
                split differ by it.

        Raises:
            ValueError: if the exchanges are closed on that day.
        """
        settings = StandInSettings(
            seed=seed,
            accept_any_symbol=True,
            polygon_tape=tape,
            polygon_taken_back=taken_back,
            market_hours=EXTENDED_HOURS,
            history_events=_EVERYTHING,
        )
        self.day = day
        """The day in New York."""
        self._random = random.Random(f"{seed}/{day}")  # noqa: S311
        noon_ms, hours = _ms(day, time(12)), TradingHours(EXTENDED_HOURS)
        extended, regular = hours.market(noon_ms), hours.regular(noon_ms)
        if extended is None or regular is None:
            raise ValueError(f"the US stock exchanges are closed on {day}")
        self.extended, self.regular = extended, regular
        """Hours in which there is trade, and the regular ones among them."""
        self._market = Market(seed)
        self._listings = Listings(accept_any=True)
        self._maker = EventMaker(settings, self._listings, _FIRST_ID)
        self.symbols = list(names(symbols, frozenset())) if isinstance(symbols, int) else list(symbols)
        """The symbols, in no particular order."""
        self._splits = [each for each in actions if isinstance(each, Split) and each.on <= day]
        for action in actions:
            self._listings.actions.announce(action)
        made = [event for symbol in self.symbols for event in self._made(symbol, prints)]
        made.sort(key=lambda event: event.time_ns)
        self.history = History(_EVERYTHING)
        """The events, with their nanoseconds."""
        for event in made:
            self.history.keep(event, event.time_ns // _MS)
        made.sort(key=lambda event: event.time_ns)
        self.events: list[Event] = made
        """All events in the order of their times, also the records of corrections, which only REST has."""
        self._api = PolygonApi(settings, self._listings, self.history)

    def _made(self, symbol: str, prints: tuple[int, int]) -> Iterator[Event]:
        if self._random.random() < _ON_NYSE:
            self._listings.make_up(symbol, "NYSE", "XNYS")
        for split in self._splits:
            if split.symbol == symbol and self._listings.find_exactly(symbol) is not None:
                self._listings.start_at(symbol, split.old / split.new)
        (source,) = self._maker.sources("stocks", "T", symbol)
        if self._random.random() < _WITHOUT_AUCTIONS:
            source.prints = self._maker.prints(source.instrument, self._random, auctions=False)
        for time_ms in self._times(self._random.randint(*prints)):
            yield from source.events(self._market.tick(source.instrument, time_ms // 1_000), time_ms)
        yield from source.corrections.due()

    def _times(self, number: int) -> list[int]:
        """Times of that many prints: more of them near the open and the close, some in extended hours."""
        draw, (opens, closes), (begins, ends) = self._random, self.regular, self.extended
        times = {opens - _MINUTE_MS}
        for at in (opens, closes):
            times |= {at + after for after in _AUCTIONS_MS}
        times.add(closes + _CORRECTED_AFTER_MS)
        while len(times) < number:
            where = draw.random()
            if where < _REGULAR_SHARE:
                times.add(opens + int(draw.betavariate(0.6, 0.6) * (closes - opens - 1)))
            elif where < _REGULAR_SHARE + _BEFORE_SHARE:
                times.add(begins + int(draw.random() * (opens - begins)))
            else:
                times.add(closes + int(draw.random() * (ends - closes)))
        return sorted(times)

    def frames(self, most: int = 30) -> Iterator[tuple[int, bytes]]:
        """The frames of the WebSocket in the order of time, each of up to ``most`` trades.

        With the time at which it is received: that of its last trade, in nanoseconds of UNIX time.
        """
        draw = random.Random(f"{self.day}/frames")  # noqa: S311
        sent = [event for event in self.events if not event.record]
        at = 0
        while at < len(sent):
            frame = sent[at : at + int((most + 1) ** draw.random())]
            at += len(frame)
            yield frame[-1].time_ns, b"[" + b",".join(event.payload for event in frame) + b"]"

    def trades(self, symbol: str) -> list[dict[str, Any]]:
        """The ``results`` of ``/v3/trades/{symbol}`` in the order of time, with all corrections."""
        return self._results(f"/v3/trades/{symbol}", {"order": "asc", "limit": "50000"})

    def bars(self, symbol: str, span: str = "minute", *, adjusted: bool = False) -> list[dict[str, Any]]:
        """The ``results`` of ``/v2/aggs`` for bars of one ``second``, ``minute``, ``hour`` or ``day``.

        As they were traded, or ``adjusted`` for the splits until two days later.
        """
        path = f"/v2/aggs/ticker/{symbol}/range/1/{span}/{self.day}/{self.day}"
        return self._results(path, {"limit": "50000", "adjusted": str(adjusted).lower()})

    def splits(self) -> list[dict[str, Any]]:
        """The ``results`` of ``/stocks/v1/splits``."""
        return self._results("/stocks/v1/splits", {"limit": "5000"})

    def dividends(self) -> list[dict[str, Any]]:
        """The ``results`` of ``/stocks/v1/dividends``."""
        return self._results("/stocks/v1/dividends", {"limit": "5000"})

    def volumes(self, symbol: str) -> dict[int, float]:
        """Volume of each minute that has any, also of those without a bar; by its beginning in ms of UNIX time."""
        found: dict[int, int] = {}
        for event in self.history.between(("stocks", "T", symbol), 0, FOREVER_NS):
            amendment = event.amendment
            volume = event.volume if amendment is None else amendment.volume
            if event.sets and volume:
                minute_ms = event.time_ns // _MS // _MINUTE_MS * _MINUTE_MS
                found[minute_ms] = found.get(minute_ms, 0) + volume
        return {minute_ms: volume / UNITS for minute_ms, volume in found.items()}

    def day_bar(self, symbol: str) -> dict[str, Any] | None:
        """The bar of the day: prices of regular hours, closing at the official close, and the volume of all hours.

        None if no trade may form a price.
        """
        bars = self.bars(symbol, "day")
        return bars[0] if bars else None

    def taken_back(self) -> list[TakenBack]:
        """The trades that were cancelled or corrected later, in the order of their times."""
        found = []
        for event in self.events:
            if event.amendment is not None:
                trade = decode_trade(event.payload)
                found.append(
                    TakenBack(
                        symbol=event.symbol,
                        trade_id=trade.i,
                        exchange=trade.x,
                        code=event.amendment.code,
                        minute_ms=trade.t - trade.t % _MINUTE_MS,
                        known_ms=event.amendment.known_ns // _MS,
                    )
                )
        return found

    def _results(self, path: str, query: dict[str, str]) -> list[dict[str, Any]]:
        tomorrow = _ms(self.day + timedelta(days=2), time())
        body = msgspec.json.decode(self._api.answer(Question(path, query, "", tomorrow)).body)
        assert "next_url" not in body, f"more than one page of {path}"
        found: list[dict[str, Any]] = body.get("results", [])
        return found


def _ms(day: date, at: time) -> int:
    return round(datetime.combine(day, at, NEW_YORK).timestamp()) * 1_000
