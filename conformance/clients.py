"""The four clients, each used as its users would, in a process that records every event it delivers.

Everything except `ClientProcess` runs in the child process.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import multiprocessing
import os
import threading
import time
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

from conformance.keys import Key, price_key, trade_key

OURS_TWELVE_DATA = "ours, Twelve Data"
QUICK_TWELVE_DATA = "ours, 2 s"
OFFICIAL_TWELVE_DATA = "twelvedata"
OURS_POLYGON = "ours, Polygon"
QUICK_POLYGON = "ours, Polygon, 2 s"
OFFICIAL_POLYGON = "massive"
CLIENTS = (
    OURS_TWELVE_DATA,
    QUICK_TWELVE_DATA,
    OFFICIAL_TWELVE_DATA,
    OURS_POLYGON,
    QUICK_POLYGON,
    OFFICIAL_POLYGON,
)
OURS = (OURS_TWELVE_DATA, QUICK_TWELVE_DATA, OURS_POLYGON, QUICK_POLYGON)
QUICK = (QUICK_TWELVE_DATA, QUICK_POLYGON)

PATIENCE = 2.0
"""Seconds without data that our clients in QUICK accept (`stale_after_seconds` of a feed), and after which they ask a
second time when the key was refused. The others of ours are as they ship, with the defaults of both."""

_HEARTBEAT = 10.0
_ANSWER_TIMEOUT = 90.0
_END_TIMEOUT = 5.0


def provider_of(client: str) -> str:
    """The provider of a client."""
    return "twelve_data" if client in (OURS_TWELVE_DATA, QUICK_TWELVE_DATA, OFFICIAL_TWELVE_DATA) else "polygon"


def patience_of(client: str) -> float:
    """Seconds without data that one of our clients accepts."""
    from ticks_platform.feeds.settings import FeedSettings

    return PATIENCE if client in QUICK else float(FeedSettings.model_fields["stale_after_seconds"].default)


def confirms_after(client: str) -> float:
    """Seconds after which one of our clients asks a second time when the key was refused."""
    from ticks_platform.feeds.transport.reconnect import CONFIRM_REFUSAL_AFTER

    return PATIENCE if client in QUICK else CONFIRM_REFUSAL_AFTER


class Errand(NamedTuple):
    """What a client has to stream."""

    url: str
    http_url: str
    key: str
    symbols: Sequence[str]
    """Symbols; for Polygon their trades, or channels if the name has a dot."""
    handling_s: float = 0.0
    """Seconds that its user needs for each event."""


class News(NamedTuple):
    """What a client delivered since the last request."""

    events: list[tuple[float, Key]]
    """Time in seconds since the epoch, and key."""
    ended: str | None
    """How it ended, if it did."""


class ClientProcess:
    """A client in a child process."""

    def __init__(self, client: str, errand: Errand) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_work, args=(client, errand, theirs), daemon=True)
        self._process.start()
        theirs.close()
        self.events: list[tuple[float, Key]] = []
        self.ended: str | None = None

    def look(self) -> None:
        """Fetch what is new. Raises RuntimeError if the process does not answer."""
        try:
            self._pipe.send(len(self.events))
            if not self._pipe.poll(_ANSWER_TIMEOUT):
                raise RuntimeError("the client's process does not answer")
            news: News = self._pipe.recv()
        except (EOFError, OSError) as error:
            raise RuntimeError("the client's process has ended") from error
        self.events += news.events
        self.ended = news.ended

    def close(self) -> None:
        """End the process, whatever the client does."""
        self._pipe.close()
        self._process.join(_END_TIMEOUT)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()


class _User:
    """The user of a client: records each event, and takes `handling_s` seconds for it."""

    def __init__(self, handling_s: float) -> None:
        self.events: list[tuple[float, Key]] = []
        self.ended: str | None = None
        self._handling_s = handling_s

    def take(self, key: Key | None) -> None:
        if key is not None:
            self.events.append((time.time(), key))
        if self._handling_s:
            time.sleep(self._handling_s)

    def run(self, stream: Callable[[], object]) -> None:
        """Stream in a thread, and record how it ends."""

        def streaming() -> None:
            try:
                stream()
            except BaseException as error:  # noqa: BLE001  (it is the result)
                self.ended = f"{type(error).__name__}: {error}"
            else:
                self.ended = "returned without an error"

        threading.Thread(target=streaming, name="client", daemon=True).start()


def _work(client: str, errand: Errand, pipe: Connection) -> None:
    logging.disable(logging.CRITICAL)
    user = _User(errand.handling_s)
    ours = functools.partial(_start_ours, client)
    official = {OFFICIAL_TWELVE_DATA: _start_twelvedata, OFFICIAL_POLYGON: _start_massive}
    start: Callable[[_User, Errand], Callable[[], None] | None] = official.get(client, ours)
    look = start(user, errand) or (lambda: None)
    with contextlib.suppress(EOFError, OSError):
        while True:
            seen = pipe.recv()
            look()
            pipe.send(News(user.events[seen:], user.ended))
    os._exit(0)  # clients leave threads running


def _start_ours(client: str, user: _User, errand: Errand) -> None:
    """Like the ingestion, but without the journal: frames are decoded at once, in the receiving thread."""
    from ticks_platform.feeds.calendars import calendar
    from ticks_platform.feeds.connector import Connector
    from ticks_platform.feeds.events import Frame, Tick
    from ticks_platform.feeds.polygon.connector import PolygonConnector
    from ticks_platform.feeds.transport.reconnect import FeedConnection
    from ticks_platform.feeds.transport.silence import SilenceDetector
    from ticks_platform.feeds.twelve_data.connector import TwelveDataConnector

    trades = "/v1/" not in errand.url
    kind = PolygonConnector if trades else TwelveDataConnector
    connector: Connector = kind(url=errand.url, api_key=errand.key)
    symbols = [symbol.rpartition(".")[2] if trades else symbol for symbol in errand.symbols]
    silence = SilenceDetector(dict.fromkeys(symbols, calendar("always")), patience=patience_of(client))

    def take(frames: Sequence[Frame]) -> None:
        ticks = [event for frame in frames for event in connector.decode(frame.data) if isinstance(event, Tick)]
        silence.record([tick.symbol for tick in ticks], until=time.time())
        silence.mark_decoded(time.time())
        for tick in ticks:
            if trades:
                user.take(trade_key(tick.symbol, tick.trade_id))
            else:
                user.take(price_key(tick.symbol, tick.time // 1_000_000_000, tick.price, tick.day_volume))

    feed = FeedConnection(
        connector,
        symbols=symbols,
        on_frames=take,
        on_change=lambda _: None,
        silence=silence,
        confirm_refusal_after=confirms_after(client),
    )
    user.run(feed.run)


def _start_twelvedata(user: _User, errand: Errand) -> Callable[[], None]:
    """With a heartbeat every ten seconds, which is its user's task."""
    from twelvedata import TDClient  # type: ignore[import-untyped]

    quiet = logging.getLogger("twelvedata-conformance")
    quiet.addHandler(logging.NullHandler())

    def take(event: dict[str, Any]) -> None:
        if isinstance(event, dict) and event.get("event") == "price" and isinstance(event.get("price"), float | int):
            user.take(price_key(event["symbol"], event["timestamp"], event["price"], event.get("day_volume")))

    client = TDClient(apikey=errand.key, base_url=errand.http_url)
    socket = client.websocket(symbols=list(errand.symbols), on_event=take, logger=quiet)
    socket.url = errand.url
    socket.connect()

    def beat() -> None:
        while True:
            time.sleep(_HEARTBEAT)
            socket.heartbeat()

    threading.Thread(target=beat, daemon=True).start()

    def look() -> None:
        """It has ended if its receiving thread has, and no new one has started."""
        receiver = socket.event_receiver
        if not receiver.is_alive():
            time.sleep(0.05)
            if receiver is socket.event_receiver and not receiver.is_alive():
                user.ended = "its receiving thread ended without an error"

    return look


def _start_massive(user: _User, errand: Errand) -> None:
    from massive import WebSocketClient  # type: ignore[import-untyped]

    def take(messages: list[Any]) -> None:
        for message in messages:
            good = message.event_type == "T" and message.price is not None
            user.take(trade_key(message.symbol, message.id) if good else None)

    channels = [symbol if "." in symbol else f"T.{symbol}" for symbol in errand.symbols]
    where = errand.http_url.removeprefix("http://")
    client = WebSocketClient(errand.key, feed=where, market="stocks", secure=False, subscriptions=channels)
    user.run(lambda: client.run(take))
