"""The interface of a connector: one provider's protocol without I/O. Bytes in, messages and events out.

A provider is one subclass of `Connector` and one of `Conversation`. The transport (`ticks_platform.feeds.transport`)
connects, pings, reconnects, keeps the rate limit, repeats unacknowledged subscriptions and watches the clock for all
providers; a connector only writes and reads messages. See docs/connectors.md.
"""

from __future__ import annotations

import abc
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

from pydantic import BaseModel, ConfigDict

from ticks_platform.feeds.calendars import ALWAYS, REGULAR
from ticks_platform.feeds.columns import Decoded
from ticks_platform.feeds.corporate_actions import CorporateActions
from ticks_platform.feeds.events import Event, Notice
from ticks_platform.feeds.history import History
from ticks_platform.feeds.reference import Facts, Reference


class Endpoint(NamedTuple):
    """Where to connect. The URL and the headers may contain the API key: log `public_url`, never them."""

    url: str
    headers: dict[str, str]
    public_url: str


class AskedSymbol(NamedTuple):
    """A symbol of feeds.yaml, as far as decoding depends on it."""

    symbol: str
    """As feeds.yaml spells it."""
    currency: str | None = None
    """The currency of its prices, if feeds.yaml names one."""


class HandshakeAnswer(NamedTuple):
    """An HTTP response that did not upgrade to a WebSocket."""

    status: int
    body: bytes
    headers: Mapping[str, str] = {}
    """Names are in lower case."""

    @property
    def is_page(self) -> bool:
        """Whether the body is a page for people: a firewall, a proxy or a balancer answers so, an API does not."""
        return self.body.lstrip()[:1] == b"<"


class Reaction(NamedTuple):
    """What a frame means for its connection."""

    has_data: bool = False
    notices: tuple[Notice, ...] = ()
    replies: tuple[str, ...] = ()


class Conversation(abc.ABC):
    """The protocol state of one connection. A reconnect starts a new conversation."""

    heartbeat_interval: float | None = None
    """Seconds between heartbeats that the provider requires of the client; None if it requires none."""

    authenticates: bool = False
    """Whether the provider must confirm with `Authenticated` before the client may subscribe."""

    def opening(self) -> Sequence[str]:
        """Messages to send as soon as the connection is open, such as the API key."""
        return ()

    @abc.abstractmethod
    def subscribe(self, channels: Sequence[str]) -> Sequence[str]:
        """Messages that subscribe to these channels."""

    @abc.abstractmethod
    def unsubscribe(self, channels: Sequence[str]) -> Sequence[str]:
        """Messages that unsubscribe from these channels."""

    @abc.abstractmethod
    def receive(self, frame: bytes) -> Reaction:
        """Read as much of a frame as the connection's state depends on. Must not raise on bad input."""

    def to_read(self, frames: Sequence[bytes]) -> Iterable[int]:
        """Of several frames that arrived together, the places of those that `receive` has to read, in order.

        By default all. Of each of the others, `receive` would return ``Reaction(has_data=True)``: for feeds with
        thousands of frames per second, it is cheaper to tell that of many at once.
        """
        return range(len(frames))

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "receive" in cls.__dict__ and "to_read" not in cls.__dict__:
            # What an inherited one says is about the inherited `receive`.
            cls.to_read = Conversation.to_read  # type: ignore[method-assign]

    def heartbeat(self) -> str:
        """The heartbeat message; called only if `heartbeat_interval` is set."""
        raise NotImplementedError


class NoOptions(BaseModel):
    """The options of a connector that has none."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Connector(abc.ABC):
    """One provider's protocol."""

    requires_key: ClassVar[bool] = True

    messages_per_minute: ClassVar[int | None] = None
    """Messages that the provider accepts from one connection per minute; None if it has no limit."""

    channels_per_connection: ClassVar[int | None] = None
    """Channels that the provider accepts on one connection; symbols beyond it are spread over several. None if it has
    no limit that holds for every plan."""

    spare_connections: ClassVar[bool] = False
    """Whether every plan of the provider allows a second connection for the same data."""

    find_url: Callable[[], str] | None = None
    """Where the server is now, asked before each connection after the first; for one that may be started again at
    another address, as the stand-in. Must not raise."""

    Options: ClassVar[type[BaseModel]] = NoOptions
    """The model of a feed's `options` in feeds.yaml for this connector."""

    def __init__(self, *, url: str | None, api_key: str | None, options: Mapping[str, Any] | None = None) -> None:
        """`url` replaces the provider's own address. Raises pydantic.ValidationError."""
        self.url = url or self.live_url(self.Options.model_validate(options or {}))
        self.api_key = api_key

    @classmethod
    @abc.abstractmethod
    def live_url(cls, options: Any) -> str:
        """The provider's own address for these validated options."""

    @abc.abstractmethod
    def converse(self) -> Conversation:
        """The conversation of a new connection."""

    @abc.abstractmethod
    def decode(self, frame: bytes) -> list[Event]:
        """Decode a frame into events, in the frame's order.

        Returns `Rejected` for what cannot be decoded, so that the caller can account for every byte. Must not raise.
        """

    def decode_many(self, frames: Sequence[bytes]) -> Decoded | None:
        """Decode ordinary frames at once, several times faster than one by one; None to have `decode` called for each.

        Optional. The result must equal that of `decode`; `columns.decode_lines` helps.
        """
        return None

    def endpoint(self) -> Endpoint:
        """Where to connect, and with which headers."""
        return Endpoint(self.url, {}, self.url.partition("?")[0])

    def refusal(self, answer: HandshakeAnswer) -> str | None:
        """Why the provider refuses this client, if this response says so; None if a retry may succeed.

        The client asks once more before the feed ends: see `Refused`.
        """
        if answer.status in (401, 403) and not answer.is_page:
            return f"the provider refused this client (HTTP {answer.status})"
        return None

    def channels(self, symbol: str) -> tuple[str, ...]:
        """The channels of a symbol, named as the provider's acknowledgements name them."""
        return (symbol,)

    def tick_channels(self, symbol: str) -> tuple[str, ...]:
        """The channels that carry a symbol's ticks, or all if none does. While one is not acknowledged, it is a gap."""
        return self.channels(symbol)

    def symbol_of(self, symbol: str) -> str:
        """The name of a symbol of feeds.yaml: what ticks, coverage, gaps and repair call it.

        It is feeds.yaml's name in the provider's spelling of letters, so that spellings of one symbol have one name.
        """
        return symbol

    def former_names(self, symbol: str) -> tuple[str, ...]:
        """What earlier releases called a symbol of feeds.yaml, where that differs from `symbol_of`."""
        return ()

    def use_symbols(self, symbols: Sequence[AskedSymbol]) -> None:  # noqa: B027  (optional)
        """Note the feed's symbols, if decoding depends on them: a provider may send one ticker for several listings.

        Called before anything is decoded, and again when the symbols change in a running ingestion, from another thread
        than decodes. Raises ValueError, which says why, if they cannot be told apart.
        """

    @property
    def bar_tolerance(self) -> float:
        """Relative difference that is usual between candles of its ticks and the provider's bars of the same minutes.

        A rounding error where both are made of the same trades by the same rules, which the ticks' `updates` carry.
        """
        return 0.01

    @property
    def has_trade_rules(self) -> bool:
        """Whether its ticks' `conditions` are numbers of the rules of US stock trades (docs/conditions.md)."""
        return False

    @property
    def carries_ticks(self) -> bool:
        """Whether any channel of its symbols carries ticks, rather than quotes or bars alone."""
        return True

    def many_names(self, symbol: str) -> re.Pattern[str] | None:
        """A pattern of the names that ticks carry, if a symbol of feeds.yaml stands for many; None if it is one."""
        return None

    def calendar(self, symbol: str) -> str:
        """The calendar of a symbol's market, unless feeds.yaml names one. It decides when silence is suspicious."""
        return ALWAYS

    def hours(self, symbol: str) -> str:
        """When the provider sends data of a symbol, unless feeds.yaml says so: at other times, none can be missing.

        `regular` for the hours of `calendar(symbol)`, `always`, or an interval in that calendar's own time, such as
        `04:00-20:00`.
        """
        return REGULAR

    def history(self) -> History | None:
        """The provider's API for past data, or None if it has none."""
        return None

    def corporate_actions(self) -> CorporateActions | None:
        """The provider's API for splits and dividends, or None if it has none."""
        return None

    def instrument(self, symbol: str) -> Facts:
        """What its market lets expect of a symbol's instrument. feeds.yaml and reference data say it better."""
        return Facts()

    def reference(self) -> Reference | None:
        """The provider's API for reference data, or None if it has none."""
        return None
