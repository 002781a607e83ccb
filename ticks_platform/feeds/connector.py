"""What a provider's protocol has to say, free of I/O: bytes in, actions and events out.

A connector is subclassed once per provider. The transport (`ticks_platform.feeds.connection`) connects, pings,
reconnects and watches the clock for all of them; a connector only knows what to say and what was said.
"""

from __future__ import annotations

import abc
from collections.abc import Sequence
from typing import NamedTuple

from ticks_platform.feeds.events import Event, Notice


class Endpoint(NamedTuple):
    """Where to connect. The URL and the headers may carry the API key: never log them, log `public_url`."""

    url: str
    headers: dict[str, str]
    public_url: str


class HandshakeAnswer(NamedTuple):
    """An HTTP answer that did not upgrade to a WebSocket."""

    status: int
    body: bytes


class Reaction(NamedTuple):
    """What a frame means for the connection it came by."""

    has_data: bool = False
    notices: tuple[Notice, ...] = ()
    replies: tuple[str, ...] = ()


class Conversation(abc.ABC):
    """One connection's worth of protocol state. A reconnect starts a new conversation."""

    heartbeat_interval: float | None = None
    """Seconds between heartbeats that the client owes the provider, or None where it owes none."""

    @abc.abstractmethod
    def opening(self) -> Sequence[str]:
        """Messages to send as soon as the connection stands."""

    @abc.abstractmethod
    def receive(self, frame: bytes) -> Reaction:
        """Look at a frame only as far as the connection's life depends on it. Never raises on bad input."""

    @abc.abstractmethod
    def unacknowledged(self) -> frozenset[str]:
        """Symbols asked for that the provider has neither acknowledged nor failed."""

    def heartbeat(self) -> str:
        """The heartbeat message; called only where `heartbeat_interval` is set."""
        raise NotImplementedError


class Connector(abc.ABC):
    """One provider's protocol."""

    requires_key: bool = True

    def __init__(self, *, url: str, api_key: str | None, symbols: Sequence[str]) -> None:
        self._url = url
        self._api_key = api_key
        self.symbols = tuple(symbols)

    @abc.abstractmethod
    def endpoint(self) -> Endpoint:
        """Where to connect and with which headers."""

    @abc.abstractmethod
    def refusal(self, answer: HandshakeAnswer) -> str | None:
        """Why the provider refuses this client, when this answer means that; None when trying again may help."""

    @abc.abstractmethod
    def converse(self) -> Conversation:
        """Begin a new connection's conversation."""

    @abc.abstractmethod
    def decode(self, frame: bytes) -> list[Event]:
        """Decode a frame into events, in the frame's order.

        What cannot be decoded comes back as `Rejected`, so that the caller can account for every byte; never raises.
        """
