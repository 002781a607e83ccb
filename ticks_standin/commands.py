"""The commands of a running stand-in: one method each, with all that there is to know of it.

Those that change or tell what the market made are in ``market_commands``.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

from ticks_standin.account import Account, RestRequest
from ticks_standin.errors import StandInError
from ticks_standin.market_commands import MarketCommands
from ticks_standin.provider.rest import RestFault, RestFaultKind
from ticks_standin.remote import command
from ticks_standin.server.connections import Moment
from ticks_standin.server.faults import StreamFaults
from ticks_standin.server.feed_server import Silence
from ticks_standin.server.framing import RawFrame, frame
from ticks_standin.server.replay import recorded, replay

_Done = TypeVar("_Done")

_POLL_S = 0.005
_TURNS_TO_ANSWER = 20


class Commands(MarketCommands):
    """What a test can make a running stand-in do, and ask it.

    Each method runs in the event loop of the server, wherever it is called: see :class:`RemoteControl`. ``connection``
    is a number in the account; None means all connections, and where it says so, those to come.
    """

    @command()
    async def account(self) -> Account:
        """What was sent so far, and to whom."""
        return self._server.account()

    @command()
    async def requests(self, path: str = "") -> list[RestRequest]:
        """The last REST requests, up to 10,000, whose path begins with ``path``, in the order of arrival."""
        return self._server.rest.requests(path)

    @command()
    async def fail_requests(
        self,
        kind: RestFaultKind = "status",
        requests: int = 1,
        path: str = "",
        *,
        status: int = 500,
        seconds: float = 30.0,
    ) -> None:
        """Answer the next ``requests`` REST requests whose path begins with ``path`` with a fault.

        ``kind`` is one of: an error of this HTTP ``status``; the same in a body that comes with 200 (``error_in_200``);
        silence for ``seconds`` before the answer (``hang``); half a body (``cut``); a body that is not JSON
        (``garbage``); half a page, whose rest another page gives (``short_page``), or none does (``truncated``).
        Twelve Data has no pages: both of the last give half of the bars.
        """
        self._server.rest.fail(RestFault(kind, requests, path, status, seconds))

    @command()
    async def heal_requests(self) -> None:
        """Answer all REST requests without faults again."""
        self._server.rest.heal()

    @command()
    async def delay_rest(self, seconds: float, provider: str | None = None) -> None:
        """From now on let REST serve the newest data only after ``seconds``, in place of the delay in the settings."""
        self._server.rest.delay(seconds, provider)

    @command()
    async def drop_connections(self, connection: int | None = None) -> int:
        """Drop connections without a close frame; returns how many."""
        chosen = self._server.connections.chosen(connection)
        for each in chosen:
            self._server.connections.drop(each)
        return len(chosen)

    @command()
    async def drop_next(self, connections: int = 1, when: Moment = "subscribed", code: int | None = None) -> None:
        """Drop this many connections to come, as soon as they are connected (and greeted), or have subscribed.

        Without a close frame, or with one of this code.
        """
        self._server.connections.drop_next(connections, when, code)

    @command()
    async def close_connections(self, code: int = 1000, reason: str = "", connection: int | None = None) -> int:
        """Close connections with a closing handshake of this code; returns how many."""
        chosen = self._server.connections.chosen(connection)
        await asyncio.gather(*(each.close(code, reason) for each in chosen))
        return len(chosen)

    @command()
    async def go_mute(self, connection: int | None = None) -> None:
        """Send no more events, but still answer pings and actions. For all, no ticks are made meanwhile."""
        if connection is None:
            self._server.stream.mute(muted=True)
        else:
            self._mute(connection, muted=True)

    @command()
    async def unmute(self, connection: int | None = None) -> None:
        """Send events again, from now on."""
        if connection is None:
            self._server.stream.mute(muted=False)
        self._mute(connection, muted=False)

    def _mute(self, connection: int | None, *, muted: bool) -> None:
        for each in self._server.connections.chosen(connection):
            each.muted = muted

    @command()
    async def freeze(self, connection: int | None = None) -> None:
        """Stop without a FIN: open connections stay open, and nothing more is sent or answered, pings included."""
        for each in self._server.connections.chosen(connection):
            each.freeze(frozen=True)

    @command()
    async def thaw(self, connection: int | None = None) -> None:
        """Go on, and answer first what arrived meanwhile. Events of that time are not sent afterwards."""
        chosen = self._server.connections.chosen(connection)
        for each in chosen:
            each.answering_first = True
            each.freeze(frozen=False)
        # From the bytes to the answer it takes some turns of the event loop.
        for _ in range(_TURNS_TO_ANSWER):
            await asyncio.sleep(0)
        for each in chosen:
            each.answering_first = False

    @command()
    async def silence(self, *symbols: str, connection: int | None = None) -> None:
        """Send no more events of these symbols, or channels as in ``T.AAPL``; for all, also on connections to come."""
        self._server.silence(symbols, connection)

    @command()
    async def unsilence(self, connection: int | None = None) -> None:
        """Send the events of all symbols again."""
        self._server.silence((), connection)

    @command()
    async def halt(self, *symbols: str, resume: bool = False) -> None:
        """Halt the trading of these stocks, or resume it. Channel LULD tells, as for symbols listed on Nasdaq only."""
        self._server.halt(symbols, resume=resume)

    @command()
    async def drip(self, bytes_per_s: float | None, connection: int | None = None) -> None:
        """Limit open connections to this many bytes per second; None ends the limit."""
        for each in self._server.connections.chosen(connection):
            each.drip(bytes_per_s)

    @command()
    async def set_faults(self, faults: StreamFaults | None, connection: int | None = None) -> None:
        """Make the stream faulty, of connections to come too if it is for all; None makes it correct again.

        Events that the faults before held back are sent first.
        """
        self._server.set_faults(faults, connection)

    @command()
    async def pause_accepting(self) -> None:
        """Close the port: new connections are refused by the system. Open ones stay."""
        await self._server.stop_listening()

    @command()
    async def resume_accepting(self) -> None:
        """Listen on the same port again."""
        await self._server.listen()

    @command()
    async def accept_silently(self, missing: Silence = "upgrade") -> None:
        """Accept connections to come, and then stay silent.

        Without the ``upgrade`` they are TCP connections and no more; without ``greeting`` they are upgraded, and pings
        are answered, but no message ever is. ``never`` greets and answers connections to come again.
        """
        self._server.accept_silently(missing)

    @command()
    async def go_away(self, seconds: float) -> None:
        """Close the port and drop all connections; come back after ``seconds``. Returns once it is gone."""
        await self._server.go_away(seconds)

    @command()
    async def kill_slow_consumers(self, unread_bytes: int = 0) -> int:
        """End the connections that leave more than this unread just now, as the provider does; returns how many."""
        connections = self._server.connections
        slow = [each for each in connections if each.unread > unread_bytes]
        for each in slow:
            connections.disconnect(each, each.session.too_slow())
        return len(slow)

    @command()
    async def limit_connections(self, maximum: int) -> int:
        """Allow this many connections per key from now on; returns how many were over it, oldest first, and ended."""
        return self._server.connections.limit(maximum)

    @command()
    async def revoke_keys(self, *keys: str, drop: bool = False) -> None:
        """Refuse these keys from now on, or all if none is given; with ``drop``, drop their connections too."""
        server = self._server
        server.keys.revoke(keys)
        for each in server.connections:
            if drop and not server.keys.accepts(each.session.key):
                server.connections.drop(each)

    @command()
    async def restore_keys(self) -> None:
        """Accept the keys of the settings again."""
        self._server.keys.restore()

    @command()
    async def send_raw(self, frames: list[RawFrame], connection: int | None = None) -> int:
        """Send frames as :meth:`RemoteControl.inject` does."""
        reached = [each for each in self._server.connections.chosen(connection) if each.session.subscriptions()]
        for each in reached:
            for raw in frames:
                each.queue(raw.payload, frame(raw.payload, text=raw.text))
            each.flush()
        return len(reached)

    @command()
    async def send_exactly(self, ticks: int, timeout_s: float = 30.0) -> None:
        """Send exactly this many ticks as fast as the slowest subscriber reads, then stop (``rate`` should be 0).

        Each is of a symbol that somebody is subscribed to, and one event: a price event, a trade or a quote; bars come
        besides. Waits while nobody is subscribed, or the market is closed, for ``timeout_s`` seconds in all.
        """
        stream, before = self._server.stream, self._server.stream.ticks
        await _within(
            timeout_s,
            stream.send_exactly(ticks),
            lambda: (
                f"{stream.ticks - before} of {ticks} ticks sent in {timeout_s:g} s: "
                "nobody subscribed, or one of them does not read"
            ),
        )

    @command()
    async def send_bars(self) -> int:
        """Send all bars that changed since they were sent, also those whose window is not over; returns how many."""
        return self._server.stream.send_bars(unfinished=True)

    @command()
    async def load(self, events_per_s: float) -> None:
        """Send trades of a full tape at this rate, to Polygon clients of stock trades; 0 stops them.

        Clients of ``T.*`` get all of it, others what they are subscribed to. Symbols and frame sizes are settings.
        """
        self._server.load.set_rate(events_per_s)

    @command()
    async def send_tape(self, events: int, timeout_s: float = 60.0) -> None:
        """Send exactly this many trades of the full tape, as fast as the slowest of its clients reads."""
        load, before = self._server.load, self._server.load.events
        await _within(
            timeout_s,
            load.send_exactly(events),
            lambda: (
                f"{load.events - before} of {events} trades sent in {timeout_s:g} s: "
                "nobody subscribed to trades, or one does not read"
            ),
        )

    @command()
    async def replay(
        self, file: Path, speed: float = 1.0, *, data_only: bool = True, timeout_s: float = 3_600.0
    ) -> int:
        """Send the frames of a journal at ``speed`` times the recorded pace; returns how many once all are sent.

        A speed of 0 is as fast as the subscribers read. Each gets the frames of its protocol, whatever it has
        subscribed to; statuses and acknowledgements are left out unless ``data_only`` is false.
        """
        frames, subscribers = recorded(file), self._server.subscribers
        replaying = replay(frames, speed=speed, subscribers=subscribers, data_only=data_only)
        return await _within(timeout_s, replaying, lambda: f"{file} was not sent to its end within {timeout_s:g} s")

    @command()
    async def wait_until_subscribed(self, *symbols: str, timeout_s: float = 60.0) -> None:
        """Wait until each of these symbols, or channels as in ``T.AAPL``, has a subscriber."""
        deadline = time.monotonic() + timeout_s
        while missing := set(symbols) - self._server.stream.subscribed():
            if time.monotonic() > deadline:
                raise StandInError(f"nobody subscribed to {', '.join(sorted(missing))} within {timeout_s:g} s")
            await asyncio.sleep(_POLL_S)


async def _within(timeout_s: float, work: Awaitable[_Done], problem: Callable[[], str]) -> _Done:
    try:
        return await asyncio.wait_for(work, timeout_s)
    except asyncio.TimeoutError:
        raise StandInError(problem()) from None
