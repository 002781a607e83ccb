"""What a provider's protocol is to the server: conversations with clients, and sources of events. Without I/O."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from typing import Literal, NamedTuple, Protocol

import msgspec

from ticks_standin.instruments import Instrument
from ticks_standin.market import Tick

Victim = Literal["old", "new"]


class Event(msgspec.Struct, gc=False):
    """One event of the market in a provider's JSON.

    ``name`` is what the account counts it as: channel and symbol, as in ``T.AAPL`` or ``price.AAPL``; ``topic`` decides
    who gets it; ``framed`` holds the frame of an event that is a frame of its own, made once for all subscribers;
    ``odd`` is late or future when its time is wrong on purpose. ``time_ns`` is its own time, in nanoseconds of UNIX
    time, which makes it late or future too; ``price`` and ``volume`` (in 1/``UNITS`` of bars.py) are what bars take of
    it: an event that no bar takes anything of has a price of 0. ``number`` and ``made_ms`` are the history's.
    """

    payload: bytes
    name: str
    symbol: str
    topic: Hashable
    framed: bytes = b""
    odd: str = ""
    time_ns: int = 0
    price: float = 0.0
    volume: int = 0
    number: int = 0
    made_ms: int = 0


class Source(Protocol):
    """What one instrument gives on one provider's feed: each tick of it is one event for each subscriber."""

    @property
    def instrument(self) -> Instrument:
        """What has to tick."""

    @property
    def name(self) -> str:
        """The name of its events."""

    @property
    def order(self) -> tuple[str, ...]:
        """Its place among all sources, whatever the order of subscribing."""

    def events(self, tick: Tick, time_ms: int) -> Sequence[Event]:
        """The events of a tick that happened at ``time_ms``, in milliseconds of UNIX time."""


class Feed(Protocol):
    """What a provider sends besides the events of ticks: bars, when their time has come."""

    def due(self, now_ms: int, *, unfinished: bool = False) -> Sequence[Event]:
        """The events that are to be sent by now; with ``unfinished``, also those whose time has not come."""


class Reply(NamedTuple):
    """Frames that answer a client; with ``drop``, the connection then ends without a close frame."""

    frames: Sequence[bytes] = ()
    drop: bool = False


class Farewell(NamedTuple):
    """Last frames of a connection, and the code of its close frame: None ends it without one."""

    frames: Sequence[bytes]
    code: int | None


class Session(Protocol):
    """One client's conversation."""

    @property
    def provider(self) -> str:
        """Whose protocol it is."""

    @property
    def key(self) -> str:
        """The API key that it was let in with; empty before."""

    @property
    def account(self) -> Hashable | None:
        """Whose limit of connections it counts towards; None while towards nobody's."""

    @property
    def idle_timeout_s(self) -> float | None:
        """Seconds without a message of the client until it is dropped."""

    @property
    def login_timeout_s(self) -> float | None:
        """Seconds from the connection until :meth:`overdue` is asked."""

    def greeting(self) -> Sequence[bytes]:
        """Frames that the server sends first."""

    def receive(self, message: str | bytes, now: float) -> Reply:
        """The answer to a client's message; ``now`` is in seconds of a monotonic clock."""

    def overdue(self) -> Reply | None:
        """What follows when the time to log in is over; None if the client has logged in."""

    def subscriptions(self) -> list[str]:
        """What the client is subscribed to, in the provider's terms, in the order of subscribing."""

    def symbols(self) -> Iterable[str]:
        """The symbols among the subscriptions."""

    def wants(self, topic: Hashable) -> bool:
        """Whether events of this topic are for this client."""

    def has_channel(self, market: str, channel: str) -> bool:
        """Whether anything of this channel of a market of Polygon's is subscribed."""

    def sources(self) -> Iterable[Source]:
        """What has to tick for this client."""

    def batches(self, count: int) -> Sequence[int]:
        """How many of the next ``count`` events go into each frame."""

    def wrap(self, payloads: Sequence[bytes]) -> bytes:
        """One frame of the JSON of some events."""

    def limit_victim(self) -> Victim:
        """Which connection ends when there is one too many."""

    def evicted(self) -> Farewell:
        """How it ends as one connection too many."""

    def too_slow(self) -> Farewell:
        """How it ends when it leaves too much unread."""
