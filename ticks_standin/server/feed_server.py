"""The stand-in feed server: connections in, ticks and answers out."""

from __future__ import annotations

import asyncio
import itertools
import logging
import random
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Literal, cast
from urllib.parse import parse_qs, urlsplit

import msgspec
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from ticks_standin.account import Account
from ticks_standin.errors import StandInError
from ticks_standin.market.events import Source
from ticks_standin.market.history import History
from ticks_standin.market.listings import Listings
from ticks_standin.market.walk import Market
from ticks_standin.polygon.events import CHANNELS, EventMaker
from ticks_standin.polygon.session import PolygonSession, market_of
from ticks_standin.polygon.tape import Tape
from ticks_standin.provider.keys import Keys
from ticks_standin.provider.session import Disconnect, Session
from ticks_standin.server.connection import Connection
from ticks_standin.server.connections import Connections
from ticks_standin.server.faults import StreamFaults
from ticks_standin.server.load import LoadGenerator
from ticks_standin.server.replay import recorded, replay
from ticks_standin.server.rest import RestApis, http_response
from ticks_standin.server.stream import Past, TickStream
from ticks_standin.server.transport import Acceptor, FeedSocket
from ticks_standin.settings import StandInSettings
from ticks_standin.twelve_data.events import PriceSources
from ticks_standin.twelve_data.session import KEY_HEADER, KEY_PARAMETER, PATH, TwelveDataSession, refusal

Silence = Literal["never", "upgrade", "greeting"]

_CLOSE_TIMEOUT_S = 2.0
_POLL_S = 0.005

_logger = logging.getLogger(__name__)


class FeedServer:
    """The server itself, for one asyncio loop: ``start`` it, use its parts, ``stop`` it."""

    def __init__(self, settings: StandInSettings) -> None:
        self.keys = Keys(settings)
        self.connections = Connections(settings.max_connections, self.route)
        self._missing: Silence = "never"
        self._silent: set[str] = set()
        self._faults: StreamFaults | None = None
        self._settings = settings
        self._listings = Listings(accept_any=settings.accept_any_symbol)
        self.actions = self._listings.actions
        """The splits and dividends that are announced."""
        self._polygon_events = EventMaker(settings, self._listings)
        rate = 0.0 if settings.replay else settings.rate
        self._price_sources = PriceSources(settings, self._listings)
        self.history = History(settings.history_events)
        self._hours = self._polygon_events.hours
        past = Past(settings.past_s, settings.past_rate) if settings.past_s else None
        self.stream = TickStream(
            Market(settings.seed), rate, [self._polygon_events], self.history, self._hours, self._traded(), past
        )
        self.load = LoadGenerator(self._tape, self.connections, self.history, self._hours)
        self.rest = RestApis(settings, self.keys, self._listings, self.history)
        self._acceptor = Acceptor()
        self._servers: list[Server] = []
        self._port = settings.port
        self._tasks: set[asyncio.Task[None]] = set()
        self.started_ns = time.time_ns()
        """When it was made, in nanoseconds of UNIX time: no other server of a machine was at that moment."""
        self.last_request_at = time.monotonic()
        """Time of the last connection or HTTP request, on the monotonic clock."""

    def _traded(self) -> Iterator[Source]:
        """What is traded from the start. Raises StandInError if a channel of the settings is not one."""
        for channel in sorted(self._settings.traded):
            topic, _, symbol = channel.partition(".")
            markets = (name for name, topics in CHANNELS.items() if topic in topics)
            market = "options" if symbol.startswith("O:") else next(markets, None)
            sources: list[Source] = []
            if market is not None:
                sources += self._polygon_events.sources(market, topic, symbol)
            elif topic == "price" and (instrument := self._listings.find_listing(symbol)):
                sources.append(self._price_sources.of(instrument))
            if not sources:
                raise StandInError(f"nothing is traded on channel {channel}, which the setting traded names")
            yield from sources

    @property
    def address(self) -> tuple[str, int]:
        """Host and port that the server listens on, once it has started."""
        return self._settings.host, self._port

    async def start(self) -> None:
        """Listen, and begin to send ticks.

        Raises:
            OSError: if the port is taken.
            StandInError: if the journal to replay cannot be read.
        """
        frames: Iterable[tuple[int, bytes]] = ()
        if self._settings.replay:
            # The first frame is read now, so that a file that cannot be replayed is an error of the start.
            rest = recorded(Path(self._settings.replay))
            frames = itertools.chain([first] if (first := next(rest, None)) else [], rest)
        await self.listen()
        self.load.set_rate(self._settings.load_rate)
        running = (self.stream.run(), self.stream.run_bars(), self.load.run(), self._replay(frames))
        self._tasks |= {asyncio.create_task(each) for each in running}

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
            real=settings.polygon_tape == "real",
            hours=self._hours,
        )

    async def stop(self) -> None:
        """Drop every connection and free the port."""
        self.rest.stop()
        for task in self._tasks:
            task.cancel()
        # Before connections end: a client that sees its end must not be accepted again.
        await self.stop_listening()
        for connection in self.connections:
            connection.abort()
        self._acceptor.abort_all()
        closing = [asyncio.ensure_future(server.wait_closed()) for server in self._servers]
        await asyncio.wait(closing, timeout=_CLOSE_TIMEOUT_S)

    def account(self) -> Account:
        """What was sent since the start."""
        return self.connections.account(self.stream.ticks + self.load.events)

    def route(self) -> None:
        """Recompute who gets which events, after a change of subscriptions."""
        self.stream.route(self.connections)

    def accept_silently(self, missing: Silence) -> None:
        """Never give connections to come the upgrade or the greeting, or treat them as usual again."""
        self._missing = missing
        self._acceptor.silent = missing == "upgrade"

    def silence(self, symbols: Sequence[str], connection: int | None) -> None:
        """Send no more events of these symbols or channels, besides those that are silent; without any, send all."""
        if connection is None:
            self._silent = self._silent | set(symbols) if symbols else set()
            self.stream.silence(self._silent)
        for each in self.connections.chosen(connection):
            each.silent = each.silent | set(symbols) if symbols else set()
        self.route()

    def halt(self, symbols: Sequence[str], *, resume: bool) -> None:
        """Make no ticks of these stocks, or make them again, and tell the subscribers of it.

        Raises StandInError if one is no stock.
        """
        events = [self._polygon_events.halt(symbol, time.time_ns(), resume=resume) for symbol in symbols]
        self.stream.halt(set(symbols), resume=resume)
        self.route()
        self.stream.send([event for event in events if event is not None])

    def set_faults(self, faults: StreamFaults | None, connection: int | None) -> None:
        """Make streams faulty; for all connections wrong times are given to ticks, so that bars are made of them."""
        chosen = self.connections.chosen(connection)
        if connection is None:
            self._faults = faults
            self.stream.set_faults(faults)
            self._polygon_events.be_fractional(faults.fractional if faults else 0.0)
            faults = faults.without_times() if faults else None
        for each in chosen:
            each.set_faults(faults)

    async def listen(self) -> None:
        """Open the port, if it is closed. Raises OSError if it is taken."""
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
            # A client may be slow, or be kept waiting on purpose.
            open_timeout=None,
            close_timeout=_CLOSE_TIMEOUT_S,
            max_size=self._settings.max_message_bytes,
            logger=_logger,
            create_connection=cast(type[ServerConnection], self._acceptor.create),
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
        """Close the port and drop all connections, and listen again after ``seconds``."""
        await self.stop_listening()
        for connection in self.connections:
            self.connections.drop(connection)
        self._acceptor.abort_all()
        coming_back = asyncio.create_task(self._come_back(seconds))
        self._tasks.add(coming_back)
        coming_back.add_done_callback(self._tasks.discard)

    async def _come_back(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        await self.listen()

    async def _process_request(self, socket: ServerConnection, request: Request) -> Response | None:
        self.last_request_at = time.monotonic()
        path = urlsplit(request.path).path
        # /stocks and /indices are feeds of Polygon, and REST of Twelve Data: hosts of their own, but for here.
        if market_of(path) is not None and "Upgrade" in request.headers:
            return None
        if path == PATH:
            if self.keys.accepts(_key_of(request)):
                return None
            return http_response(*refusal(self._settings.bad_key_mode))
        if path == "/health":
            account = self.account()
            unrecorded = [msgspec.structs.replace(each, sent=[], malformed=[]) for each in account.connections]
            account = msgspec.structs.replace(account, connections=unrecorded)
            since = {"started_ns": self.started_ns, "history_since_ms": self.history.since_ms}
            return http_response(200, msgspec.json.encode({"status": "ok", **since, "account": account}))
        answered = await self.rest.respond(request, self.address)
        return answered or http_response(404, b'{"code":404,"message":"there is nothing here","status":"error"}')

    def _session(self, request: Request, number: int) -> Session:
        market = market_of(urlsplit(request.path).path)
        if market is None:
            return TwelveDataSession(self._settings, self._listings, _key_of(request) or "", self._price_sources)
        rng = random.Random(f"{self._settings.seed}/frames/{number}")  # noqa: S311
        return PolygonSession(self._settings, self._polygon_events, self.keys, market, rng)

    async def _handle(self, socket: ServerConnection) -> None:
        assert socket.request is not None  # it was processed, or this would not run
        self.connections.made += 1
        session = self._session(socket.request, self.connections.made)
        connection = Connection(self.connections.made, cast(FeedSocket, socket), session, self._settings, self.history)
        connection.pongs_only = self._missing == "greeting"
        connection.silent = set(self._silent)
        self.connections.add(connection)
        try:
            connection.restart_idle_timer()
            connection.expect_login()
            connection.send(*session.greeting())
            self.connections.make_room(connection)
            self.connections.drop_if_due(connection, "connected")
            async for message in socket:
                connection.restart_idle_timer()
                self._answer(connection, message)
        except ConnectionClosed:
            pass
        finally:
            connection.cancel_timers()
            self.connections.end(connection)

    def _answer(self, connection: Connection, message: str | bytes) -> None:
        session = connection.session
        subscribed_before = bool(session.subscriptions())
        reply = session.receive(message, time.monotonic())
        if connection.disconnecting:
            return
        if reply.drop:
            self.connections.disconnect(connection, Disconnect(reply.frames, None))
            return
        connection.send(*reply.frames)
        if session.subscriptions() and not subscribed_before and self._faults is not None:
            # Not before: only now its key is known, and the repeated events that it is subscribed to.
            connection.set_faults(self._faults.without_times(), self.connections.recent_events(connection))
        self.connections.make_room(connection)
        if session.subscriptions():
            self.connections.drop_if_due(connection, "subscribed")
        self.route()


def _key_of(request: Request) -> str | None:
    given = parse_qs(urlsplit(request.path).query).get(KEY_PARAMETER)
    return given[0] if given else request.headers.get(KEY_HEADER)
