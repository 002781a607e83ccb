"""The load generator: trades of a full tape, at a rate or as fast as clients read."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable

import msgspec

from ticks_standin.market.bars import UNITS
from ticks_standin.market.events import Event
from ticks_standin.market.history import History, now_ms
from ticks_standin.market.hours import TradingHours
from ticks_standin.polygon.conditions import in_a_minute, in_the_day
from ticks_standin.polygon.tape import Tape, TapeFrame
from ticks_standin.server.connection import Connection
from ticks_standin.server.framing import frame

_TURN_S = 0.002
_BATCH = 2_000
_CATCH_UP_S = 2.0
_POLL_S = 0.01
_UNREAD_LIMIT = 4 << 20

_EVERYTHING = ("stocks", "T", "*")


class _BarFields(msgspec.Struct, gc=False):
    """The fields of a trade that bars are made of."""

    p: float
    t: int
    ds: str
    c: tuple[int, ...] = ()


_bar_fields = msgspec.json.Decoder(_BarFields).decode


class LoadGenerator:
    """Sends trades of a tape: whole frames to clients of ``T.*``, to others the trades that they are subscribed to."""

    def __init__(
        self, tape: Callable[[], Tape], connections: Iterable[Connection], history: History, hours: TradingHours
    ) -> None:
        """``tape`` makes the tape when it is first needed; it is silent outside the ``hours``."""
        self._hours = hours
        self._history = history
        self.events = 0
        self._make_tape = tape
        self._tape: Tape | None = None
        self._names: list[str] = []
        self._connections = connections
        self._taking_all: dict[int, tuple[int, bool]] = {}
        """By number of a connection: how many channels it had when it was looked at, and whether it takes all."""
        self._rate = 0.0
        self._changed = asyncio.Event()

    def set_rate(self, events_per_s: float) -> None:
        """Send this many trades per second from now on."""
        self._rate = events_per_s
        self._changed.set()

    async def run(self) -> None:
        """Send at the rate, until cancelled. Without subscribers no trade is made.

        With a history the tape continues without subscribers, once there has been one.
        """
        while True:
            self._changed.clear()
            if not self._rate:
                await self._changed.wait()
                continue
            start, sent = time.monotonic(), 0
            while not self._changed.is_set():
                due = int((time.monotonic() - start) * self._rate) - sent
                if not self._is_active():
                    await asyncio.sleep(_POLL_S)
                    start, sent = time.monotonic(), 0
                elif due > self._rate * _CATCH_UP_S:
                    start, sent = time.monotonic(), 0
                else:
                    sent += self._emit(min(due, _BATCH))
                    await asyncio.sleep(0 if due > _BATCH else _TURN_S)

    async def send_exactly(self, events: int) -> None:
        """Send this many trades of the tape as fast as the slowest of its clients reads."""
        left = events
        while left:
            clients = self._clients()
            if not self._is_active():
                await asyncio.sleep(_POLL_S)
            elif any(each.is_behind(_UNREAD_LIMIT) for each in clients):
                await asyncio.sleep(_TURN_S)
            else:
                left -= self._emit(min(left, _BATCH))
                await asyncio.sleep(0)
        for connection in self._clients():
            connection.release()

    def _is_active(self) -> bool:
        heard = bool(self._clients()) or (self._history.kept and self._tape is not None)
        return heard and self._hours.is_open(now_ms())

    def _clients(self) -> list[Connection]:
        return [each for each in self._connections if each.session.has_channel("stocks", "T")]

    def _emit(self, count: int) -> int:
        if self._tape is None:
            self._tape = self._make_tape()
            self._names = [f"T.{symbol}" for symbol in self._tape.symbols]
        clients = self._clients()
        whole = [each for each in clients if each.takes_shared_frames and self._takes_all(each)]
        part = [each for each in clients if each not in whole]
        names = self._names
        now = now_ms()
        for made in self._tape.frames(count, now):
            events = self._events(made) if part or self._history.kept else []
            for event in events:
                self._history.keep(event, now)
            if whole:
                payload = f"[{','.join(made.trades)}]".encode()
                framed, sent = frame(payload), [names[symbol] for symbol in made.symbols]
                numbers = [event.number for event in events]
                for connection in whole:
                    connection.queue(payload, framed, sent, numbers=numbers)
            for event in events:
                for connection in part:
                    if connection.session.is_subscribed_to(event.topic):
                        connection.offer(event)
        for connection in clients:
            connection.flush()
        self.events += count
        return count

    def _takes_all(self, connection: Connection) -> bool:
        """Whether a client gets every trade: of ``T.*``, or of each symbol of the tape."""
        session = connection.session
        if session.is_subscribed_to(_EVERYTHING):
            return True
        count = len(session.subscriptions())
        if count < len(self._names):
            return False
        known, takes_all = self._taking_all.get(connection.number, (0, False))
        if known != count:
            assert self._tape is not None
            takes_all = all(session.is_subscribed_to(("stocks", "T", symbol)) for symbol in self._tape.symbols)
            self._taking_all[connection.number] = count, takes_all
        return takes_all

    def _events(self, made: TapeFrame) -> list[Event]:
        assert self._tape is not None
        symbols, events = self._tape.symbols, []
        for trade, number in zip(made.trades, made.symbols, strict=True):
            payload, symbol = trade.encode(), symbols[number]
            event = Event(payload, self._names[number], symbol, ("stocks", "T", symbol))
            if self._history.kept:
                fields = _bar_fields(payload)
                event.time_ns, event.price = fields.t * 1_000_000, fields.p
                event.volume = round(float(fields.ds) * UNITS)
                event.sets = in_a_minute(fields.c, self._hours.is_regular(fields.t))
                event.sets_day = in_the_day(fields.c)
            events.append(event)
        return events
