"""A provider's WebSocket server on loopback that does what a test says, and a feed's connection that is watched."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from http import HTTPStatus

from typing_extensions import Self
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.sync.server import Server, ServerConnection, serve

from ticks_platform.backoff import Backoff
from ticks_platform.feeds.connector import Connector
from ticks_platform.feeds.events import Acknowledged, ChannelsFailed, Frame, Notice
from ticks_platform.feeds.transport.reconnect import FeedConnection
from ticks_platform.feeds.transport.silence import SilenceDetector
from ticks_platform.feeds.transport.state import Change

TIMEOUT = 30.0
"""Longest wait for anything, in seconds; only failures take this long."""

_BACKOFF_BASE, _BACKOFF_CAP = 0.01, 0.05
"""Seconds: a test has no time for the waits that spare a provider."""

Answer = Callable[[Sequence[str]], Iterable[bytes]]
"""What the provider answers to a client's last message, of all those that it sent on this connection."""


def wait_until(condition: Callable[[], object], what: str | Callable[[], str]) -> None:
    """Return once the condition is true. Raises AssertionError after half a minute, with the words of `what`."""
    begin = time.monotonic()
    while not condition():
        if time.monotonic() > begin + TIMEOUT:
            raise AssertionError(f"not within {TIMEOUT:g} s: {what if isinstance(what, str) else what()}")
        time.sleep(0.002)


class LiveServer:
    """A WebSocket server on loopback, within a ``with`` block. It sends what it is told to, and ends connections so.

    Each connection gets the `greeting`, and the `answer` to each of its messages. What is sent goes to the newest
    connection; `accepted` counts them, `refused` the handshakes that were answered with plain HTTP.
    """

    def __init__(self, answer: Answer, *, greeting: Iterable[bytes] = ()) -> None:
        self.accepted = 0
        self.refused = 0
        self.said: list[str] = []
        """All messages of all clients, in order."""
        self._answer = answer
        self._greeting = tuple(greeting)
        self._refusals: list[tuple[int, float | None]] = []
        self._newest: ServerConnection | None = None
        self._server: Server = serve(
            self._serve, "127.0.0.1", 0, process_request=self._handshake, compression=None, max_size=None
        )
        self._thread = threading.Thread(target=self._server.serve_forever, name="kit-server", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join(TIMEOUT)
        self.drop()

    @property
    def url(self) -> str:
        """Its address."""
        return f"ws://127.0.0.1:{self._server.socket.getsockname()[1]}"

    def send(self, *frames: bytes) -> None:
        """Send whole frames, as text. Raises ConnectionClosed if the client has gone."""
        for frame in frames:
            self._connection.send(frame.decode())

    def half(self, frame: bytes) -> None:
        """Send the first half of a frame, and end the connection."""
        header = bytes((0x81, 126)) + len(frame).to_bytes(2, "big")
        self._connection.socket.sendall(header + frame[: len(frame) // 2])
        self.drop()

    def drop(self) -> None:
        """End the connection without a word, as a router does that was switched off."""
        if self._newest is not None:
            with contextlib.suppress(OSError):
                self._newest.socket.shutdown(socket.SHUT_RDWR)

    def close(self, code: int = 1012, reason: str = "service restart") -> None:
        """End the connection with a close frame."""
        self._connection.close(code, reason)

    def refuse(self, times: int = 1, *, status: int = 503, retry_after: float | None = None) -> None:
        """Answer the next handshakes with plain HTTP."""
        self._refusals += [(status, retry_after)] * times

    @property
    def _connection(self) -> ServerConnection:
        assert self._newest is not None, "no client has connected"
        return self._newest

    def _handshake(self, connection: ServerConnection, _: Request) -> Response | None:
        if not self._refusals:
            return None
        status, seconds = self._refusals.pop(0)
        self.refused += 1
        response = connection.respond(HTTPStatus(status), "not now\n")
        if seconds is not None:
            response.headers["Retry-After"] = f"{seconds:g}"
        return response

    def _serve(self, connection: ServerConnection) -> None:
        said: list[str] = []
        with contextlib.suppress(ConnectionClosed, OSError):
            self._newest = connection
            self.accepted += 1
            for frame in self._greeting:
                connection.send(frame.decode())
            for message in connection:
                said.append(message if isinstance(message, str) else message.decode())
                self.said.append(said[-1])
                for frame in self._answer(said):
                    connection.send(frame.decode())


class Stream:
    """A feed's connection to a server, within a ``with`` block, and everything that it passed on."""

    def __init__(self, connector: Connector, symbols: Sequence[str], *, silence: SilenceDetector | None = None) -> None:
        """`silence` detects symbols without data; without it, only a dead peer is detected."""
        self.frames: list[Frame] = []
        self.changes: list[Change] = []
        self.failure: BaseException | None = None
        """What ended it by itself."""
        self.channels = frozenset(channel for symbol in symbols for channel in connector.channels(symbol))
        self._silence = silence
        self._connection = FeedConnection(
            connector,
            symbols=symbols,
            on_frames=self._receive,
            on_change=self.changes.append,
            backoff=Backoff(base=_BACKOFF_BASE, cap=_BACKOFF_CAP, seed=1),
            silence=silence,
        )
        self._thread = threading.Thread(target=self._run, name="kit-stream", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.stop()
        self._thread.join(TIMEOUT)
        assert not self._thread.is_alive(), "the connection did not stop"

    def wait_for(self, frames: Sequence[bytes]) -> None:
        """Wait until these frames have arrived, each as often as it is named."""
        sent = Counter(frames)
        wait_until(
            lambda: self.failure or sent <= Counter(self.received),
            lambda: f"{(sent - Counter(self.received)).total()} of {len(frames)} frames; {self._told()}",
        )
        self._raise_failure()

    def wait_for_subscription(self, *, after: int = 0) -> int:
        """Wait until a connection with a number above `after` has all channels; returns its number."""
        wait_until(
            lambda: self.failure or self.subscribed() > after,
            lambda: f"the provider's confirmation of {', '.join(sorted(self.channels))}; {self._told()}",
        )
        self._raise_failure()
        return self.subscribed()

    def subscribed(self) -> int:
        """The number of the last connection of which all channels were confirmed; 0 if there was none."""
        confirmed: dict[int, set[str]] = {}
        for change in list(self.changes):
            if isinstance(change.notice, Acknowledged):
                confirmed.setdefault(change.connection, set()).update(change.notice.channels)
        return max((number for number, channels in confirmed.items() if channels >= self.channels), default=0)

    @property
    def notices(self) -> list[Notice]:
        """What the provider said of the connection, in order."""
        return [change.notice for change in list(self.changes) if change.notice is not None]

    @property
    def confirmed(self) -> set[str]:
        """The channels that the provider confirmed."""
        return {name for notice in self.notices if isinstance(notice, Acknowledged) for name in notice.channels}

    @property
    def failed(self) -> dict[str, str]:
        """The channels that the provider refused, or did not confirm, with the reasons."""
        refused = [notice.reasons for notice in self.notices if isinstance(notice, ChannelsFailed)]
        return {channel: reason for reasons in refused for channel, reason in reasons.items()}

    @property
    def received(self) -> list[bytes]:
        """All frames so far, in order."""
        return [frame.data for frame in list(self.frames)]

    def _receive(self, frames: Sequence[Frame]) -> None:
        self.frames += frames
        if self._silence is not None:
            self._silence.mark_decoded(frames[-1].received_at / 1e9)

    def _run(self) -> None:
        try:
            self._connection.run()
        except BaseException as error:  # noqa: BLE001  (raised in the test's thread)
            self.failure = error

    def _raise_failure(self) -> None:
        if self.failure is not None:
            raise AssertionError(f"the connection ended: {self.failure}; {self._told()}") from self.failure

    def _told(self) -> str:
        """All changes, for the message of a failure."""
        return " | ".join(f"{change.connection} {change.state.value}: {change.detail}" for change in list(self.changes))


def _drop(server: LiveServer, _: bytes) -> None:
    server.drop()


def _half_frame(server: LiveServer, frame: bytes) -> None:
    server.half(frame)


def _close_frame(server: LiveServer, _: bytes) -> None:
    server.close()


def _refusals(server: LiveServer, _: bytes) -> None:
    server.refuse(2)
    server.drop()


FAULTS: dict[str, Callable[[LiveServer, bytes], None]] = {
    "a dropped connection": _drop,
    "half a frame": _half_frame,
    "a close frame": _close_frame,
    "refused handshakes": _refusals,
}
"""Ways in which a connection ends, by their names. The frame is the one that half is sent of."""
