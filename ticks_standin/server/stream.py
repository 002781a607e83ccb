"""The stream of ticks: what is traded, at which rate, and who is sent it."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import NamedTuple

from ticks_standin.market.events import Event, Feed, Source
from ticks_standin.market.history import History, now_ms
from ticks_standin.market.hours import TradingHours
from ticks_standin.market.walk import Market
from ticks_standin.server.connection import Connection
from ticks_standin.server.faults import StreamFaults

_MS = 1_000_000
_TURN_S = 0.002
_BATCH = 500
_CATCH_UP_S = 5.0
_UNREAD_LIMIT = 1 << 20
_BARS_TURN_S = 0.02


class Past(NamedTuple):
    """What a channel has of the time before its first subscription."""

    seconds: float
    rate: float
    """Ticks per second."""


class TickStream:
    """Makes ticks of what somebody is subscribed to, and sends each to its subscribers.

    What has no subscriber is not traded, so that the rate asked for is the rate sent. With a history the market runs by
    itself: what was ever subscribed, or is ``traded`` from the start, is traded whether anybody is subscribed or not,
    and the events of a muted stream or silent symbol are made and kept, but not sent. Stocks outside their ``hours``
    are not traded at all.
    """

    def __init__(
        self,
        market: Market,
        rate: float,
        feeds: Sequence[Feed],
        history: History,
        hours: TradingHours,
        traded: Iterable[Source] = (),
        past: Past | None = None,
    ) -> None:
        self.ticks = 0
        self._past = past
        self._history = history
        self._hours = hours
        self._ever_traded = set(traded)
        self._market = market
        self._rate = rate
        self._feeds = feeds
        self._muted = False
        self._silent: set[str] = set()
        self._halted: set[str] = set()
        self._flowing = asyncio.Event()
        self._subscribers: dict[Hashable, list[Connection]] = {}
        self._traded: list[Source] = []
        self._around_the_clock: list[Source] = []
        self._trade(self._ever_traded)
        self._connections: list[Connection] = []
        self._faults: StreamFaults | None = None
        self._rng = random.Random(0)  # noqa: S311
        self._set_flowing()

    def route(self, connections: Iterable[Connection]) -> None:
        """Recompute what is traded, and who gets it, from the subscriptions of all connections."""
        self._connections = [connection for connection in connections if connection.session.subscriptions()]
        self._subscribers = {}
        sources = {source for connection in self._connections for source in connection.session.sources()}
        if self._history.kept:
            new = sources - self._ever_traded
            self._ever_traded |= sources
            if new and self._past is not None:
                self._trade_past(self._past, new)
            audible = iter(self._ever_traded)
        else:
            audible = (source for source in sources if not self._silent & source.names)
        self._trade(source for source in audible if source.instrument.symbol not in self._halted)
        self._set_flowing()

    def _trade(self, sources: Iterable[Source]) -> None:
        # Clients subscribe in any order (the official one sends a set): the market's draws must not depend on it.
        self._traded = sorted(sources, key=lambda source: source.order)
        self._around_the_clock = [source for source in self._traded if not source.instrument.is_us_equity]

    def _traded_at(self, time_ms: int) -> list[Source]:
        return self._traded if self._hours.is_open(time_ms) else self._around_the_clock

    def subscribed(self) -> set[str]:
        """The symbols and channels that somebody is subscribed to."""
        held: set[str] = set()
        for connection in self._connections:
            held.update(connection.session.subscriptions(), connection.session.symbols())
        return held

    def mute(self, *, muted: bool) -> None:
        """Stop the ticks, or start them again; with a history only the sending stops."""
        self._muted = muted
        self._set_flowing()

    def silence(self, symbols: set[str]) -> None:
        """Replace the silent symbols and channels, of which no ticks are made. Call :meth:`route` afterwards."""
        self._silent = symbols

    def halt(self, symbols: set[str], *, resume: bool) -> None:
        """Make no ticks of these symbols, or make them again. Call :meth:`route` afterwards."""
        self._halted = self._halted - symbols if resume else self._halted | symbols

    def set_faults(self, faults: StreamFaults | None) -> None:
        """Give ticks wrong times from now on, or right ones again."""
        self._faults = faults
        self._rng = random.Random(f"{faults.seed if faults else 0}/stream")  # noqa: S311

    def _set_flowing(self) -> None:
        if self._traded and (self._history.kept or not self._muted):
            self._flowing.set()
        else:
            self._flowing.clear()

    async def run(self) -> None:
        """Send ticks at the rate, until cancelled. Catches up after a delay of up to 5 seconds."""
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

    async def run_bars(self) -> None:
        """Send bars as they become due, until cancelled."""
        while True:
            await asyncio.sleep(_BARS_TURN_S)
            if self._history.kept or not self._muted:
                self.send_bars(unfinished=False)

    def send_bars(self, *, unfinished: bool) -> int:
        """Send the bars that are due; with ``unfinished``, all that are new or changed. Returns how many."""
        bars = [event for feed in self._feeds for event in feed.due(now_ms(), unfinished=unfinished)]
        self.send(bars)
        return len(bars)

    def send(self, events: Sequence[Event]) -> None:
        """Send events that are not of ticks."""
        now = now_ms()
        for event in events:
            self._history.keep(event, now)
            self._deliver(event)
        if events:
            self._flush()

    async def send_exactly(self, ticks: int) -> None:
        """Send this many ticks as fast as the slowest subscriber reads, besides those that the rate asks for.

        Waits while nobody is subscribed, and while the stream is muted, unless there is a history; and while the market
        is closed. Nothing is held back at the end.
        """
        left = ticks
        while left:
            await self._flowing.wait()
            made = self._emit(min(left, _BATCH))
            left -= made
            await self.caught_up()
            if not made:
                await asyncio.sleep(_TURN_S)
        for connection in self._connections:
            connection.release()

    def trade_unheard(self, ticks: int, begins_ms: int, ends_ms: int) -> bool:
        """Make this many ticks evenly over a past half-open interval, and send them to nobody.

        Those that fall into hours in which the market is closed are left out. Returns whether anything is traded.
        """
        if not self._traded:
            return False
        self._history.since_ms = min(self._history.since_ms, begins_ms)
        self._make_past(self._traded_at, ticks, begins_ms, ends_ms)
        return True

    def _trade_past(self, past: Past, new: Iterable[Source]) -> None:
        """Make the past of sources that are traded from now on.

        What the history has of others stays as complete as it is: where it begins later, so does this past.
        """
        sources = sorted(new, key=lambda source: source.order)
        around_the_clock = [source for source in sources if not source.instrument.is_us_equity]
        ends_ms = now_ms()
        begins_ms = ends_ms - round(past.seconds * 1_000)
        if self._history.is_empty:
            self._history.since_ms = min(self._history.since_ms, begins_ms)
        begins_ms = max(begins_ms, self._history.since_ms)
        seconds = (ends_ms - begins_ms) / 1_000
        ticks = int(min(past.rate * len(sources) * seconds, self._history.limit / 2))
        self._make_past(
            lambda at_ms: sources if self._hours.is_open(at_ms) else around_the_clock, ticks, begins_ms, ends_ms
        )

    def _make_past(
        self, traded_at: Callable[[int], Sequence[Source]], ticks: int, begins_ms: int, ends_ms: int
    ) -> None:
        market = self._market
        for number in range(ticks):
            at_ms = begins_ms + (ends_ms - begins_ms) * number // ticks
            traded = traded_at(at_ms)
            if not traded:
                continue
            source = traded[market.draw(len(traded))]
            self.ticks += 1
            for event in source.events(market.tick(source.instrument, at_ms // 1_000), at_ms):
                self._history.keep(event, at_ms)
        for feed in self._feeds:
            for event in feed.due(ends_ms):
                self._history.keep(event, ends_ms)

    async def play(self, events: Sequence[Event], *, send: bool) -> None:
        """Keep past events that have their nanoseconds, and send them as fast as the slowest subscriber reads."""
        if events:
            self._history.since_ms = min(self._history.since_ms, events[0].time_ns // _MS)
        for at in range(0, len(events), _BATCH):
            for event in events[at : at + _BATCH]:
                self._history.keep(event, event.time_ns // _MS, exact=True)
                if send:
                    self._deliver(event)
            self._flush()
            await self.caught_up()
        for connection in self._connections:
            connection.release()

    async def caught_up(self) -> None:
        """Yield to other tasks, and wait for subscribers that have much left to read."""
        await asyncio.sleep(0)
        while any(connection.is_behind(_UNREAD_LIMIT) for connection in self._connections):
            await asyncio.sleep(_TURN_S)

    def _emit(self, count: int) -> int:
        """Send this many ticks, none while the market is closed; returns how many."""
        market, faults = self._market, self._faults
        now, history = now_ms(), self._history
        traded = self._traded_at(now)
        if not traded:
            return 0
        kept = history.kept
        odd = ""
        for _ in range(count):
            source = traded[market.draw(len(traded))]
            at_ms = now
            if faults is not None:
                shift, odd = faults.shift_ms(self._rng)
                at_ms += shift
            for event in source.events(market.tick(source.instrument, at_ms // 1_000), at_ms):
                event.odd = odd
                if kept:
                    history.keep(event, now)
                self._deliver(event)
        self._flush()
        self.ticks += count
        return count

    def _deliver(self, event: Event) -> None:
        if event.record or (self._muted and self._history.kept):
            return
        subscribers = self._subscribers.get(event.topic)
        if subscribers is None:
            subscribers = [each for each in self._connections if each.session.is_subscribed_to(event.topic)]
            self._subscribers[event.topic] = subscribers
        for connection in subscribers:
            connection.offer(event)

    def _flush(self) -> None:
        for connection in self._connections:
            connection.flush()
