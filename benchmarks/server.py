"""A WebSocket server in a separate process, which prepares its frames and sends them on request."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection

from websockets.asyncio.server import ServerConnection, serve

from benchmarks.children import Child, child
from benchmarks.frames import Tape, stamped
from ticks_standin.server.framing import frame

_UNREAD_LIMIT = 1 << 20
_CHUNK = 1 << 16


class FrameServer:
    """Controls the server."""

    def __init__(self, process: Child, port: int) -> None:
        self._process = process
        self.url = f"ws://127.0.0.1:{port}/"

    def wait_for_client(self) -> None:
        """Wait until a client has subscribed."""
        self._process.send("await client")
        self._process.answer()

    def send_all(self) -> float:
        """Send all frames as fast as they are read; returns the time of the first byte, in seconds since the epoch.

        Does not wait until they are sent.
        """
        self._process.send("send")
        return float(self._process.answer())


@contextlib.contextmanager
def frame_server(tape: Tape | None, *, subscribes: bool = True) -> Iterator[FrameServer]:
    """Run a server with these frames, or with none; `subscribes` tells whether the client says what it wants."""
    with child(_main, tape, subscribes) as process:
        yield FrameServer(process, process.answer())


def _main(pipe: Connection, tape: Tape | None, subscribes: bool) -> None:
    asyncio.run(_serve(pipe, tape, subscribes))


async def _serve(pipe: Connection, tape: Tape | None, subscribes: bool) -> None:
    chunks = _chunks(tape) if tape else []
    clients: asyncio.Queue[ServerConnection] = asyncio.Queue()

    async def handle(connection: ServerConnection) -> None:
        if subscribes:
            await connection.recv()
        if tape and tape.per_frame == 1:
            success = [{"symbol": name} for name in tape.names()]
            await connection.send(json.dumps({"event": "subscribe-status", "status": "ok", "success": success}))
        await clients.put(connection)
        with contextlib.suppress(Exception):
            async for _ in connection:
                pass  # heartbeats

    async with serve(handle, "127.0.0.1", 0, compression=None, ping_interval=None) as server:
        pipe.send(server.sockets[0].getsockname()[1])
        client: ServerConnection | None = None
        while True:
            try:
                order = await asyncio.to_thread(pipe.recv)
            except EOFError:
                return
            if order == "await client":
                client = await clients.get()
                pipe.send("here")
            elif client is not None:
                pipe.send(time.time())
                await _send(client, chunks)


async def _send(client: ServerConnection, chunks: list[bytes]) -> None:
    transport = client.transport
    for chunk in chunks:
        transport.write(stamped(chunk, time.time_ns() // 1_000_000))
        while transport.get_write_buffer_size() > _UNREAD_LIMIT:
            await asyncio.sleep(0.001)


def _chunks(tape: Tape) -> list[bytes]:
    chunks: list[bytes] = []
    parts: list[bytes] = []
    size = 0
    for data in tape.unstamped():
        parts.append(frame(data))
        size += len(data)
        if size >= _CHUNK:
            chunks.append(b"".join(parts))
            parts, size = [], 0
    return [*chunks, b"".join(parts)]
