"""The typed items that a connector makes of frames: data events for the tables, notices about the connection."""

from __future__ import annotations

from typing import NamedTuple

import msgspec


class Frame(NamedTuple):
    """One WebSocket message as received, bytes untouched."""

    data: bytes
    received_at: int
    """Arrival, in nanoseconds since the Unix epoch."""
    connection: int
    """Ordinal of the connection that carried it, within one ingestion."""


class Tick(msgspec.Struct, frozen=True, gc=False):
    """One price event of one symbol."""

    symbol: str
    time: int
    """Event time as stamped by the provider, in nanoseconds since the Unix epoch."""
    price: float
    day_volume: int | None = None
    """Volume of the trading day so far, as the provider counts it: cumulative, not the size of this trade."""
    size: float | None = None
    """Size of this trade, where the provider sends trades."""
    bid: float | None = None
    ask: float | None = None
    exchange: str | None = None
    """Where it traded, as the provider numbers or names it; with the TRF behind a slash for off-exchange trades."""
    trade_id: str | None = None
    """The provider's own identity of the trade: unique per symbol, exchange and day. A tick that has one is stored
    once, however often it is sent."""


class Quote(msgspec.Struct, frozen=True, gc=False):
    """Best bid and offer of one symbol. A side that the provider left out, or sent as zero, is None."""

    symbol: str
    time: int
    """Event time as stamped by the provider, in nanoseconds since the Unix epoch."""
    bid: float | None = None
    bid_size: float | None = None
    ask: float | None = None
    ask_size: float | None = None
    exchange: str | None = None


class Bar(msgspec.Struct, frozen=True, gc=False):
    """An aggregate that the provider sent. The same symbol and window again is a correction: it replaces this one."""

    symbol: str
    start_time: int
    """Begin of the window, in nanoseconds since the Unix epoch."""
    end_time: int
    open: float | None
    high: float | None
    low: float | None
    close: float | None
    volume: float | None = None
    average_price: float | None = None
    """Volume-weighted average price of the window."""


class Rejected(msgspec.Struct, frozen=True, gc=False):
    """An event, or a whole frame, that cannot become a row. Kept with its reason; it never blocks its neighbours."""

    reason: str
    raw: bytes


class Control(msgspec.Struct, frozen=True, gc=False):
    """An event that carries no market data: a heartbeat, a subscription status."""

    kind: str


Event = Tick | Quote | Bar | Rejected | Control


class Authenticated(msgspec.Struct, frozen=True):
    """The provider has let this client in; now it may be asked for data."""


class Acknowledged(msgspec.Struct, frozen=True):
    """The provider streams these channels from now on; named as they were asked for."""

    channels: tuple[str, ...]


class ChannelsFailed(msgspec.Struct, frozen=True):
    """The provider will not stream these channels; each has the reason."""

    reasons: dict[str, str]


class Unsubscribed(msgspec.Struct, frozen=True):
    """The provider streams these channels no more, as it was asked."""

    channels: tuple[str, ...]


class NotEntitled(msgspec.Struct, frozen=True):
    """The provider refuses channels and does not say which: those of the oldest request that stay unanswered."""

    reason: str


class ProviderError(msgspec.Struct, frozen=True):
    """The provider complained, and the connection goes on."""

    message: str


class TryLater(msgspec.Struct, frozen=True):
    """The provider ends this connection; another one makes sense only after a while."""

    reason: str
    seconds: float


class Refused(msgspec.Struct, frozen=True):
    """The provider refuses this client: trying again with the same settings cannot help."""

    reason: str


class Silent(msgspec.Struct, frozen=True):
    """Nothing came by these channels for longer than their symbol's pace and calendar explain: seconds of silence."""

    seconds: dict[str, float]
    heard_after: dict[str, float] = {}
    """A moment before the last data of each, in seconds since the Unix epoch; 0 where there was none."""


class HeardAgain(msgspec.Struct, frozen=True):
    """Channels that had been reported as silent, and are no longer."""

    channels: tuple[str, ...]
    heard_by: dict[str, float] = {}
    """By when the first new data of each had come, in seconds since the Unix epoch."""


Notice = (
    Authenticated
    | Acknowledged
    | ChannelsFailed
    | Unsubscribed
    | NotEntitled
    | ProviderError
    | TryLater
    | Refused
    | Silent
    | HeardAgain
)
