"""What a provider's protocol has to say, free of I/O: bytes in, actions and events out.

A provider is one subclass of `Connector` and one of `Conversation`. The transport (`ticks_platform.feeds.transport`)
connects, pings, reconnects, keeps to the rate limit, asks again for what was not acknowledged and watches the clock for
all of them; a connector only knows what to say and what was said. See docs/connectors.md.
"""

from __future__ import annotations

import abc
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

from pydantic import BaseModel, ConfigDict

from ticks_platform.feeds.columns import Decoded
from ticks_platform.feeds.events import Event, Notice
from ticks_platform.feeds.history import History


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

    authenticates: bool = False
    """Whether the provider has to say `Authenticated` before it may be asked for data."""

    def opening(self) -> Sequence[str]:
        """Messages to send as soon as the connection stands, such as the one that carries the key."""
        return ()

    @abc.abstractmethod
    def subscribe(self, channels: Sequence[str]) -> Sequence[str]:
        """Messages that ask for these channels."""

    @abc.abstractmethod
    def unsubscribe(self, channels: Sequence[str]) -> Sequence[str]:
        """Messages that give these channels up."""

    @abc.abstractmethod
    def receive(self, frame: bytes) -> Reaction:
        """Look at a frame only as far as the connection's life depends on it. Never raises on bad input."""

    def heartbeat(self) -> str:
        """The heartbeat message; called only where `heartbeat_interval` is set."""
        raise NotImplementedError


class NoOptions(BaseModel):
    """The options of a connector that has none."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Connector(abc.ABC):
    """One provider's protocol."""

    requires_key: ClassVar[bool] = True

    messages_per_minute: ClassVar[int | None] = None
    """How many messages the provider takes of one connection in a minute, or None where it sets no limit."""

    spare_connections: ClassVar[bool] = False
    """Whether the provider lets every client have a second connection for the same data, with any plan."""

    Options: ClassVar[type[BaseModel]] = NoOptions
    """What `options` of a feed in feeds.yaml may say to this connector."""

    def __init__(self, *, url: str | None, api_key: str | None, options: Mapping[str, Any] | None = None) -> None:
        """`url` is where to connect instead of the provider's own address. Raises pydantic.ValidationError."""
        self.url = url or self.live_url(self.Options.model_validate(options or {}))
        self.api_key = api_key

    @classmethod
    @abc.abstractmethod
    def live_url(cls, options: Any) -> str:
        """The provider's own address, given the validated options."""

    @abc.abstractmethod
    def converse(self) -> Conversation:
        """Begin a new connection's conversation."""

    @abc.abstractmethod
    def decode(self, frame: bytes) -> list[Event]:
        """Decode a frame into events, in the frame's order.

        What cannot be decoded comes back as `Rejected`, so that the caller can account for every byte; never raises.
        """

    def decode_many(self, frames: Sequence[bytes]) -> Decoded | None:
        """Decode ordinary frames at once, several times faster than one by one; None when `decode` has to look at each.

        Optional. It returns just what `decode` does for these frames, or None; `columns.decode_lines` helps.
        """
        return None

    def endpoint(self) -> Endpoint:
        """Where to connect and with which headers."""
        return Endpoint(self.url, {}, self.url.partition("?")[0])

    def refusal(self, answer: HandshakeAnswer) -> str | None:
        """Why the provider refuses this client, when this answer means that; None when trying again may help."""
        if answer.status in (401, 403):
            return f"the provider refused this client (HTTP {answer.status})"
        return None

    def channels(self, symbol: str) -> tuple[str, ...]:
        """What to subscribe to for a symbol, as the provider's acknowledgements name it."""
        return (symbol,)

    def tick_channels(self, symbol: str) -> tuple[str, ...]:
        """Those of the channels of a symbol that bring its ticks, or all where none does: without them it is a gap."""
        return self.channels(symbol)

    def symbol_of(self, symbol: str) -> str:
        """What the ticks call a symbol of feeds.yaml."""
        return symbol

    def calendar(self, symbol: str) -> str:
        """The calendar by which the silence of a symbol is judged, where feeds.yaml names none."""
        return "always"

    def history(self) -> History | None:
        """What can be asked of the provider about the past, or None where nothing can."""
        return None
