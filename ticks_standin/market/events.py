"""Events of the market, and where they come from."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Sequence
from typing import Protocol

import msgspec

from ticks_standin.market.instruments import Instrument
from ticks_standin.market.walk import Tick

NOTHING, VOLUME, RANGE, ALL = range(4)
"""What a trade may change in bars: nothing; volume; high and low too; open and close too. Each includes the former."""


class Amendment(msgspec.Struct, gc=False):
    """A trade that was taken back, or corrected, after it was sent; ``known_ns`` is when, in nanoseconds of UNIX time.

    ``code`` is the provider's. A corrected trade has its right ``payload``, ``price`` and ``volume``; one that was
    taken back has none.
    """

    code: int
    known_ns: int
    payload: bytes = b""
    price: float | None = None
    volume: int = 0


class Event(msgspec.Struct, gc=False):
    """One event of the market in a provider's JSON.

    ``name`` is what the account counts it as: channel and symbol, as in ``T.AAPL`` or ``price.AAPL``; ``listing`` is
    the symbol with its exchange, where the provider has several. ``topic`` decides who gets it. ``framed`` holds the
    frame of an event that is a frame of its own, made once for all subscribers. ``odd`` is late or future when its time
    is wrong on purpose. ``time_ns`` is its own time in nanoseconds of UNIX time, wrong times included. ``price`` and
    ``volume`` (in 1/``UNITS`` of bars.py) are what it adds to bars; without a price it adds nothing. ``sets`` is what
    it may change in bars within the day, ``sets_day`` in the bar of the day. ``closes`` is above 0 if it says the
    official close of the day: 2 corrects 1. ``amendment`` tells what became of it later. A ``record`` above 0 is the
    provider's code of a correction: such an event is in REST only, and is never sent. ``number`` and ``made_ms`` are
    set by the history.
    """

    payload: bytes
    name: str
    symbol: str
    topic: Hashable
    listing: str = ""
    framed: bytes = b""
    odd: str = ""
    time_ns: int = 0
    price: float | None = None
    volume: int = 0
    sets: int = ALL
    sets_day: int = ALL
    closes: int = 0
    amendment: Amendment | None = None
    record: int = 0
    number: int = 0
    made_ms: int = 0

    def is_of(self, names: Collection[str]) -> bool:
        """Whether one of these names, of channels or symbols, means it."""
        return self.name in names or self.symbol in names or self.listing in names


class Source(Protocol):
    """One instrument on one provider's feed: each of its ticks is one event for each subscriber."""

    @property
    def instrument(self) -> Instrument:
        """What has to tick."""

    @property
    def name(self) -> str:
        """The name of its events."""

    @property
    def names(self) -> frozenset[str]:
        """The names that mean its events: of its channel, its symbol, and its symbol with the exchange."""

    @property
    def order(self) -> tuple[str, ...]:
        """Its place among all sources, whatever the order of subscribing."""

    def events(self, tick: Tick, time_ms: int) -> Sequence[Event]:
        """The events of a tick that happened at ``time_ms``, in milliseconds of UNIX time."""


class Feed(Protocol):
    """What a provider sends besides the events of ticks: bars, once they are due."""

    def due(self, now_ms: int, *, unfinished: bool = False) -> Sequence[Event]:
        """The events to send by now; with ``unfinished``, also those that are not due yet."""
