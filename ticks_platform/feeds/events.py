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


class Rejected(msgspec.Struct, frozen=True, gc=False):
    """An event, or a whole frame, that cannot become a row. Kept with its reason; it never blocks its neighbours."""

    reason: str
    raw: bytes


class Control(msgspec.Struct, frozen=True, gc=False):
    """An event that carries no market data: a heartbeat, a subscription status."""

    kind: str


Event = Tick | Rejected | Control


class Acknowledged(msgspec.Struct, frozen=True):
    """The provider streams these symbols from now on."""

    symbols: tuple[str, ...]


class SymbolsFailed(msgspec.Struct, frozen=True):
    """The provider will not stream these symbols; each has the provider's reason."""

    reasons: dict[str, str]


class ProviderError(msgspec.Struct, frozen=True):
    """The provider complained, and the connection goes on."""

    message: str


class Refused(msgspec.Struct, frozen=True):
    """The provider refuses this client: trying again with the same settings cannot help."""

    reason: str


Notice = Acknowledged | SymbolsFailed | ProviderError | Refused
