"""The stand-in feed server: connections in, ticks and answers out, faults on command."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter, deque
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs, urlsplit

import msgspec
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from ticks_platform.standin import commands, twelve_data
from ticks_platform.standin.account import Account, ConnectionAccount
from ticks_platform.standin.connection import Connection, frame
from ticks_platform.standin.instruments import Listings
from ticks_platform.standin.market import Market
from ticks_platform.standin.settings import StandInSettings
from ticks_platform.standin.stream import TickStream

_ENDED_CONNECTIONS_KEPT = 1_000
_CLOSE_TIMEOUT_S = 2.0
_POLL_S = 0.005

_logger = logging.getLogger(__name__)


class FeedServer:
    """The server itself, to be used on one asyncio loop: ``start``, then ``control`` as wanted, then ``stop``."""

    def __init__(self, settings: StandInSettings) -> None:
        self._settings = settings
        self._listings = Listings(accept_any=settings.accept_any_symbol)
        self._stream = TickStream(Market(settings.seed), settings.rate)
        self._connections: dict[int, Connection] = {}
        self._ended: deque[ConnectionAccount] = deque(maxlen=_ENDED_CONNECTIONS_KEPT)
        self._ended_frames = 0
        self._ended_symbols: Counter[str] = Counter()
        self._connections_made = 0
        self._servers: list[Server] = []
        self._port = settings.port
        self._running: asyncio.Task[None] | None = None

    @property
    def address(self) -> tuple[str, int]:
        """Host and port that the server listens on, once it has started."""
        return self._settings.host, self._port

    async def start(self) -> None:
        """Listen, and let the ticks flow.

        Raises:
            OSError: if the port cannot be had.
        """
        await self._listen()
        self._running = asyncio.create_task(self._stream.run())

    async def stop(self) -> None:
        """Drop every connection and free the port."""
        if self._running is not None:
            self._running.cancel()
        for connection in list(self._connections.values()):
            connection.abort()
        for server in self._servers:
            server.close()
        closing = [asyncio.ensure_future(server.wait_closed()) for server in self._servers]
        # A client that has connected and says nothing would hold this up until its opening handshake times out.
        await asyncio.wait(closing, timeout=_CLOSE_TIMEOUT_S)

    async def control(self, command: commands.Command) -> Any:
        """Do what a command says, and return its answer.

        Raises:
            StandInError: if it can't be done, in time where there is a limit.
        """
        match command:
            case commands.GetAccount():
                return self.account()
            case commands.DropConnections():
                return self._drop()
            case commands.CloseConnections(code, reason):
                return await self._close(code, reason)
            case commands.Mute(muted):
                return self._stream.mute(muted=muted)
            case commands.Accept(accepting):
                return await (self._listen() if accepting else self._stop_listening())
            case commands.Inject(frames):
                return self._inject(frames)
            case commands.SendExactly(ticks, timeout_s):
                return await self._send_exactly(ticks, timeout_s)
            case commands.WaitUntilSubscribed(symbols, timeout_s):
                return await self._wait_until_subscribed(set(symbols), timeout_s)

    def account(self) -> Account:
        """What was sent since the start."""
        live = [connection.account() for connection in self._connections.values()]
        symbols = self._ended_symbols.copy()
        for connection in live:
            symbols.update(connection.symbols)
        return Account(
            ticks=self._stream.ticks,
            frames=self._ended_frames + sum(connection.frames for connection in live),
            price_events=symbols.total(),
            symbols=dict(symbols),
            connections=sorted([*self._ended, *live], key=lambda connection: connection.number),
        )

    async def _listen(self) -> None:
        if self._servers and self._servers[-1].is_serving():
            return
        server = await serve(
            self._handle,
            self._settings.host,
            self._port,
            process_request=self._process_request,
            compression=None,
            # No ping of Twelve Data's server is documented: only clients ping.
            ping_interval=None,
            close_timeout=_CLOSE_TIMEOUT_S,
            max_size=self._settings.max_message_bytes,
            logger=_logger,
        )
        self._servers.append(server)
        self._port = next(iter(server.sockets)).getsockname()[1]

    async def _stop_listening(self) -> None:
        server = self._servers[-1]
        server.close(close_connections=False)
        while server.is_serving():
            await asyncio.sleep(_POLL_S)

    def _process_request(self, socket: ServerConnection, request: Request) -> Response | None:
        path = urlsplit(request.path).path
        if path == twelve_data.PATH:
            if twelve_data.accepts_key(_key_of(request), self._settings):
                return None
            return _json_response(*twelve_data.refusal(self._settings.bad_key_mode))
        if path == "/technical_indicators":
            # The constructor of the official Python client asks for it (twelvedata-python 1.4.0).
            return _json_response(200, b'{"data":{},"status":"ok"}')
        if path == "/health":
            account = self.account()
            unrecorded = [msgspec.structs.replace(connection, sent=[]) for connection in account.connections]
            account = msgspec.structs.replace(account, connections=unrecorded)
            return _json_response(200, msgspec.json.encode({"status": "ok", "account": account}))
        return _json_response(404, b'{"code":404,"message":"there is nothing here","status":"error"}')

    async def _handle(self, socket: ServerConnection) -> None:
        assert socket.request is not None  # it was processed, or this would not run
        key = _key_of(socket.request) or ""
        self._make_room(key)
        self._connections_made += 1
        session = twelve_data.Session(self._settings, self._listings)
        connection = Connection(self._connections_made, key, socket, session, self._settings)
        self._connections[connection.number] = connection
        connection.heard()
        try:
            async for message in socket:
                connection.heard()
                answer = session.receive(message, time.monotonic())
                connection.send(answer)
                self._stream.route(self._connections.values())
        except ConnectionClosed:
            pass
        finally:
            connection.stop_waiting()
            self._end(connection)

    def _make_room(self, key: str) -> None:
        # One connection too many closes the previous ones (docs, ws-overview); users see it as a drop without a close
        # frame (twelvedata-python issues 76 and 85).
        same_key = [connection for connection in self._connections.values() if connection.key == key]
        for connection in same_key[: max(len(same_key) + 1 - self._settings.max_connections, 0)]:
            connection.abort()
            self._end(connection)

    def _end(self, connection: Connection) -> None:
        if self._connections.pop(connection.number, None) is None:
            return
        account = connection.account()
        self._ended.append(account)
        self._ended_frames += account.frames
        self._ended_symbols.update(account.symbols)
        self._stream.route(self._connections.values())

    def _drop(self) -> int:
        dropped = list(self._connections.values())
        for connection in dropped:
            connection.abort()
            self._end(connection)
        return len(dropped)

    async def _close(self, code: int, reason: str) -> int:
        closed = list(self._connections.values())
        await asyncio.gather(*(connection.close(code, reason) for connection in closed))
        return len(closed)

    def _inject(self, frames: list[commands.RawFrame]) -> int:
        reached = [connection for connection in self._connections.values() if connection.session.subscribed]
        for connection in reached:
            for raw in frames:
                connection.queue(frame(raw.payload, text=raw.text), raw.payload)
            connection.flush()
        return len(reached)

    async def _send_exactly(self, ticks: int, timeout_s: float) -> None:
        before = self._stream.ticks
        try:
            await asyncio.wait_for(self._stream.send_exactly(ticks), timeout_s)
        except asyncio.TimeoutError:
            sent = self._stream.ticks - before
            raise commands.StandInError(
                f"{sent} of {ticks} ticks sent in {timeout_s:g} s: nobody subscribed, or one of them does not read"
            ) from None

    async def _wait_until_subscribed(self, symbols: set[str], timeout_s: float) -> None:
        deadline = time.monotonic() + timeout_s
        while missing := symbols - self._stream.subscribed_symbols():
            if time.monotonic() > deadline:
                raise commands.StandInError(f"nobody subscribed to {', '.join(sorted(missing))} within {timeout_s:g} s")
            await asyncio.sleep(_POLL_S)


def _key_of(request: Request) -> str | None:
    given = parse_qs(urlsplit(request.path).query).get(twelve_data.KEY_PARAMETER)
    return given[0] if given else request.headers.get(twelve_data.KEY_HEADER)


def _json_response(status: int, body: bytes) -> Response:
    headers = Headers({"Content-Type": "application/json", "Content-Length": str(len(body)), "Connection": "close"})
    return Response(status, HTTPStatus(status).phrase, headers, body)
