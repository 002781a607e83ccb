"""The stand-in feed server: connections in, ticks and answers out."""

from __future__ import annotations

import asyncio
import itertools
import logging
import random
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import cast
from urllib.parse import parse_qs, urlsplit

import msgspec
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from ticks_standin import polygon, twelve_data
from ticks_standin.account import Account
from ticks_standin.commands import Silence, StandInError
from ticks_standin.connection import Connection
from ticks_standin.connections import Connections
from ticks_standin.faults import Misbehaviour
from ticks_standin.history import History
from ticks_standin.instruments import Instrument, Listings
from ticks_standin.keys import Keys
from ticks_standin.load import LoadGenerator
from ticks_standin.market import Market
from ticks_standin.polygon_events import CHANNELS, EventMaker
from ticks_standin.replay import recorded, replay
from ticks_standin.rest import RestApis, http_response
from ticks_standin.session import Farewell, Session, Source
from ticks_standin.settings import StandInSettings
from ticks_standin.stream import TickStream
from ticks_standin.tape import Tape
from ticks_standin.transport import Doorkeeper, FeedSocket

_CLOSE_TIMEOUT_S = 2.0
_POLL_S = 0.005

_logger = logging.getLogger(__name__)


class FeedServer:
    """The server itself, to be used on one asyncio loop: ``start``, then use its parts as wanted, then ``stop``."""

    def __init__(self, settings: StandInSettings) -> None:
        self.keys = Keys(settings)
        self.polygon_events: EventMaker
        self.stream: TickStream
        self.connections = Connections(settings.max_connections, self.route)
        self.silence: Silence = "never"
        """What new connections never get."""
        self.silent: set[str] = set()
        """Symbols and channels of which nobody gets events."""
        self.misbehaviour: Misbehaviour | None = None
        """That of all connections, also those to come."""
        self._settings = settings
        self._listings = Listings(accept_any=settings.accept_any_symbol)
        self.polygon_events = EventMaker(settings, self._listings)
        rate = 0.0 if settings.replay else settings.rate
        self._price_sources: dict[Instrument, twelve_data.PriceSource] = {}
        self.history = History(settings.history_events)
        self.stream = TickStream(Market(settings.seed), rate, [self.polygon_events], self.history, self._traded())
        self.load = LoadGenerator(self._tape, self.connections, self.history)
        self.rest = RestApis(settings, self.keys, self._listings, self.history)
        self._doorkeeper = Doorkeeper()
        self._servers: list[Server] = []
        self._port = settings.port
        self._running: set[asyncio.Task[None]] = set()
        self.started_ns = time.time_ns()
        """When it was made, in nanoseconds of UNIX time: no other server of a machine was at that moment."""
        self.heard_at = time.monotonic()
        """When somebody connected last, or asked something by HTTP, on the monotonic clock."""

    def _traded(self) -> Iterator[Source]:
        """What is traded from the start. Raises StandInError if a channel of the settings is not one."""
        for channel in sorted(self._settings.traded):
            topic, _, symbol = channel.partition(".")
            market = next((name for name, topics in CHANNELS.items() if topic in topics), None)
            sources: list[Source] = []
            if market is not None:
                sources += self.polygon_events.sources(market, topic, symbol)
            elif topic == "price" and (instrument := self._listings.find(symbol)):
                sources.append(self._price_sources.setdefault(instrument, twelve_data.PriceSource(instrument)))
            if not sources:
                raise StandInError(f"nothing is traded on channel {channel}, which the setting traded names")
            yield from sources

    @property
    def address(self) -> tuple[str, int]:
        """Host and port that the server listens on, once it has started."""
        return self._settings.host, self._port

    async def start(self) -> None:
        """Listen, and let the ticks flow.

        Raises:
            OSError: if the port cannot be had.
            StandInError: if the journal to replay cannot be read.
        """
        frames: Iterable[tuple[int, bytes]] = ()
        if self._settings.replay:
            # The first one is read at once: a file that cannot be replayed is said now, and not to nobody later.
            rest = recorded(Path(self._settings.replay))
            frames = itertools.chain([first] if (first := next(rest, None)) else [], rest)
        await self.listen()
        self.load.set_rate(self._settings.load_rate)
        running = (self.stream.run(), self.stream.run_bars(), self.load.run(), self._replay(frames))
        self._running |= {asyncio.create_task(each) for each in running}

    async def _replay(self, frames: Iterable[tuple[int, bytes]]) -> None:
        await replay(frames, speed=self._settings.replay_speed, subscribers=self.subscribers)

    def subscribers(self) -> list[Connection]:
        """The connections that have a subscription."""
        return [connection for connection in self.connections if connection.session.subscriptions()]

    def _tape(self) -> Tape:
        settings = self._settings
        return Tape(
            symbols=settings.load_symbols,
            frame_max=settings.load_frame_max,
            seed=settings.seed,
            # Ids are unique per day, also over restarts on that day; those of the market's trades have fewer digits.
            first_id=10**16 + (time.time_ns() // 1_000_000 % 86_400_000) * 10**7,
            avoid=frozenset(instrument.symbol for instrument in self._listings.all()),
        )

    async def stop(self) -> None:
        """Drop every connection and free the port."""
        self.rest.stop()
        for task in self._running:
            task.cancel()
        for connection in self.connections:
            connection.abort()
        self._doorkeeper.abort_all()
        for server in self._servers:
            server.close()
        closing = [asyncio.ensure_future(server.wait_closed()) for server in self._servers]
        await asyncio.wait(closing, timeout=_CLOSE_TIMEOUT_S)

    def account(self) -> Account:
        """What was sent since the start."""
        return self.connections.account(self.stream.ticks + self.load.events)

    def route(self) -> None:
        """Take note of changed subscriptions."""
        self.stream.route(self.connections)

    def leave_unheard(self, missing: Silence) -> None:
        """Stay mute towards connections to come, or no longer."""
        self.silence = missing
        self._doorkeeper.silent = missing == "upgrade"

    async def listen(self) -> None:
        """Open the port, if it is closed. Raises OSError if it cannot be had."""
        if self._servers and self._servers[-1].is_serving():
            return
        server = await serve(
            self._handle,
            self._settings.host,
            self._port,
            process_request=self._process_request,
            compression=None,
            # No ping of either provider's server is documented: only clients ping.
            ping_interval=None,
            # How long a client may take, or is left waiting on purpose, is nothing to cut short.
            open_timeout=None,
            close_timeout=_CLOSE_TIMEOUT_S,
            max_size=self._settings.max_message_bytes,
            logger=_logger,
            create_connection=cast(type[ServerConnection], self._doorkeeper.socket),
        )
        self._servers.append(server)
        self._port = next(iter(server.sockets)).getsockname()[1]

    async def stop_listening(self) -> None:
        """Close the port; open connections stay."""
        server = self._servers[-1]
        server.close(close_connections=False)
        while server.is_serving():
            await asyncio.sleep(_POLL_S)

    async def go_away(self, seconds: float) -> None:
        """Close the port and drop all connections, and listen again after so many seconds."""
        await self.stop_listening()
        for connection in self.connections:
            self.connections.drop(connection)
        self._doorkeeper.abort_all()
        coming_back = asyncio.create_task(self._come_back(seconds))
        self._running.add(coming_back)
        coming_back.add_done_callback(self._running.discard)

    async def _come_back(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        await self.listen()

    async def _process_request(self, socket: ServerConnection, request: Request) -> Response | None:
        self.heard_at = time.monotonic()
        path = urlsplit(request.path).path
        if polygon.market_of(path) is not None:
            return None
        if path == twelve_data.PATH:
            if self.keys.accepts(_key_of(request)):
                return None
            return http_response(*twelve_data.refusal(self._settings.bad_key_mode))
        if path == "/health":
            account = self.account()
            unrecorded = [msgspec.structs.replace(each, sent=[], malformed=[]) for each in account.connections]
            account = msgspec.structs.replace(account, connections=unrecorded)
            since = {"started_ns": self.started_ns, "history_since_ms": self.history.since_ms}
            return http_response(200, msgspec.json.encode({"status": "ok", **since, "account": account}))
        answered = await self.rest.respond(request, self.address)
        return answered or http_response(404, b'{"code":404,"message":"there is nothing here","status":"error"}')

    def _session(self, request: Request, number: int) -> Session:
        market = polygon.market_of(urlsplit(request.path).path)
        if market is None:
            return twelve_data.Session(self._settings, self._listings, _key_of(request) or "", self._price_sources)
        chances = random.Random(f"{self._settings.seed}/frames/{number}")  # noqa: S311
        return polygon.Session(self._settings, self.polygon_events, self.keys, market, chances)

    async def _handle(self, socket: ServerConnection) -> None:
        assert socket.request is not None  # it was processed, or this would not run
        self.connections.made += 1
        session = self._session(socket.request, self.connections.made)
        connection = Connection(self.connections.made, cast(FeedSocket, socket), session, self._settings, self.history)
        connection.speechless = self.silence == "greeting"
        connection.silent = set(self.silent)
        self.connections.add(connection)
        try:
            connection.heard()
            connection.expect_login()
            connection.send(*session.greeting())
            self.connections.make_room(connection)
            self.connections.drop_if_due(connection, "connected")
            async for message in socket:
                connection.heard()
                self._answer(connection, message)
        except ConnectionClosed:
            pass
        finally:
            connection.stop_waiting()
            self.connections.end(connection)

    def _answer(self, connection: Connection, message: str | bytes) -> None:
        session = connection.session
        subscribed_before = bool(session.subscriptions())
        reply = session.receive(message, time.monotonic())
        if connection.leaving:
            return
        if reply.drop:
            self.connections.leave(connection, Farewell(reply.frames, None))
            return
        connection.send(*reply.frames)
        if session.subscriptions() and not subscribed_before and self.misbehaviour is not None:
            # Only now is its key known for sure, and what it wants to hear again.
            misbehaviour, repeated = self.misbehaviour.without_times(), self.connections.recent_events(connection)
            connection.misbehave(misbehaviour, repeated)
        self.connections.make_room(connection)
        if session.subscriptions():
            self.connections.drop_if_due(connection, "subscribed")
        self.route()


def _key_of(request: Request) -> str | None:
    given = parse_qs(urlsplit(request.path).query).get(twelve_data.KEY_PARAMETER)
    return given[0] if given else request.headers.get(twelve_data.KEY_HEADER)
