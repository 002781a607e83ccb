"""The flow of ticks: what is traded, at which pace, to whom."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable

from ticks_platform.standin.connection import Connection, frame
from ticks_platform.standin.instruments import Instrument
from ticks_platform.standin.market import Market
from ticks_platform.standin.twelve_data import price_event

_TURN_S = 0.002
_BATCH = 500
_CATCH_UP_S = 5.0
_UNREAD_LIMIT = 1 << 20


class TickStream:
    """Makes ticks of the symbols that somebody is subscribed to, and sends each to its subscribers.

    Symbols without a subscriber are not traded, so that the rate asked for is the rate sent.
    """

    def __init__(self, market: Market, rate: float) -> None:
        self.ticks = 0
        self._market = market
        self._rate = rate
        self._muted = False
        self._flowing = asyncio.Event()
        self._subscribers: dict[Instrument, list[Connection]] = {}
        self._traded: list[Instrument] = []
        self._connections: list[Connection] = []

    def route(self, connections: Iterable[Connection]) -> None:
        """Take note of the subscriptions of all connections."""
        self._connections = [connection for connection in connections if connection.session.subscribed]
        self._subscribers = {}
        for connection in self._connections:
            for instrument in connection.session.subscribed:
                self._subscribers.setdefault(instrument, []).append(connection)
        # Clients subscribe in any order (the official one sends a set): the market's draws must not depend on it.
        self._traded = sorted(self._subscribers, key=lambda instrument: (instrument.symbol, instrument.exchange or ""))
        self._set_flowing()

    def subscribed_symbols(self) -> set[str]:
        """The symbols that somebody is subscribed to."""
        return {instrument.symbol for instrument in self._traded}

    def mute(self, *, muted: bool) -> None:
        """Stop the ticks, or let them flow again."""
        self._muted = muted
        self._set_flowing()

    def _set_flowing(self) -> None:
        if self._traded and not self._muted:
            self._flowing.set()
        else:
            self._flowing.clear()

    async def run(self) -> None:
        """Send ticks at the rate, until cancelled. What a busy loop delayed is caught up, for up to 5 seconds."""
        if not self._rate:
            return
        while True:
            await self._flowing.wait()
            start = time.monotonic()
            sent = 0
            while self._flowing.is_set():
                elapsed = time.monotonic() - start
                due = int(elapsed * self._rate) - sent
                if due > self._rate * _CATCH_UP_S + 1:
                    break
                if due:
                    count = min(due, _BATCH)
                    self._emit(count)
                    sent += count
                delay = (sent + 1) / self._rate - elapsed
                await asyncio.sleep(0 if due > _BATCH else max(delay, _TURN_S))

    async def send_exactly(self, ticks: int) -> None:
        """Send this many ticks as fast as the slowest subscriber reads, besides those that the rate asks for.

        Waits while nobody is subscribed, and while the stream is muted.
        """
        left = ticks
        while left:
            await self._flowing.wait()
            count = min(left, _BATCH)
            self._emit(count)
            left -= count
            await asyncio.sleep(0)
            while any(connection.unread > _UNREAD_LIMIT for connection in self._connections):
                await asyncio.sleep(_TURN_S)

    def _emit(self, count: int) -> None:
        subscribers = self._subscribers
        for tick in self._market.ticks(self._traded, count, int(time.time())):
            payload = price_event(tick)
            framed = frame(payload)
            instrument = tick.instrument
            for connection in subscribers[instrument]:
                connection.queue(framed, payload, instrument.symbol)
        for connection in self._connections:
            connection.flush()
        self.ticks += count
