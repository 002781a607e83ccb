"""The Polygon.io connector: ``wss://socket.massive.com/stocks``. Since October 2025 the company is called Massive.

Sources of protocol facts: the official AsyncAPI description (massive-com/client-python, .massive/websocket.json), the
knowledge base (why-do-massive-websocket-disconnects-happen), the official clients, and frames and outcomes that users
of the live service published (jerbersoft/massivedotnet, Niqnil/rustrade, alpacahq/marketstore).
`events` decodes data frames.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Sequence
from typing import Any, Literal

import msgspec
from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from ticks_platform.feeds import complaints
from ticks_platform.feeds.calendars import ALWAYS, US_STOCKS, WEEKDAYS
from ticks_platform.feeds.columns import Decoded
from ticks_platform.feeds.connector import Connector, Conversation, HandshakeAnswer, Reaction
from ticks_platform.feeds.decoding import UNDECODABLE
from ticks_platform.feeds.events import (
    Acknowledged,
    Authenticated,
    ChannelsFailed,
    Event,
    NotEntitled,
    Notice,
    ProviderError,
    Refused,
    RequestRefused,
    TryLater,
    Unsubscribed,
)
from ticks_platform.feeds.polygon import events as polygon_events
from ticks_platform.feeds.polygon.corporate_actions import PolygonCorporateActions
from ticks_platform.feeds.polygon.history import PolygonHistory
from ticks_platform.feeds.polygon.names import currencies, subscribed, symbol_name
from ticks_platform.feeds.polygon.reference import PolygonReference
from ticks_platform.feeds.reference import Facts, pair

MAX_CONNECTIONS_PAUSE = 60.0
"""Seconds to wait after `max_connections`. The status comes after a successful authentication, and the provider may
close either connection: two clients that reconnect at once would close each other's connections in a loop."""

AUTH_TIMEOUT_PAUSE = 5.0
"""Seconds to wait after `auth_timeout`."""

CHANNELS: dict[str, tuple[str, ...]] = {
    "stocks": ("T", "Q", "A", "AM", "LULD"),
    "options": ("T", "Q", "A", "AM"),
    "indices": ("V", "A", "AM"),
    "crypto": ("XT", "XQ", "XA", "XAS"),
    "forex": ("C", "CA", "CAS"),
}
"""The channels of each market that are stored; the first is the default."""

_TICKS = ("T", "XT", "C", "V")
"""The channels whose events are ticks."""

_ROUNDING = 1e-9
"""Relative difference of sums of the same volumes. Bars of stocks follow the conditions of the trades."""

_NAMES = {
    "stocks": re.compile(r"[A-Za-z][A-Za-z0-9.]*"),
    "options": re.compile(r"O:[A-Za-z0-9._-]+"),
    "indices": re.compile(r"I:[A-Za-z0-9.:_^-]+"),
    "crypto": re.compile(r"[A-Za-z0-9._]+-[A-Za-z0-9._]+"),
    "forex": re.compile(r"[A-Z]{3}/[A-Z]{3}"),
}
"""How each market writes its symbols, of which ``*`` is all."""

_CALENDARS = {"crypto": ALWAYS, "forex": WEEKDAYS}

_INSTRUMENTS = {
    "stocks": Facts("stock", currency="USD"),
    "options": Facts("option", currency="USD"),
    "indices": Facts("index"),
}

_CHANNELS_PER_MESSAGE = 1000
"""Keeps messages far below 1 MB, the limit of a frame."""


class PolygonOptions(BaseModel):
    """The `options` of a feed."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    market: Literal["stocks", "options", "indices", "crypto", "forex"] = "stocks"
    channels: tuple[str, ...] = ()
    """Channels of each symbol, such as T for trades and AM for minute bars; by default the market's trades, or its
    quotes or values if it has no trades."""
    cluster: str = Field("socket", pattern=r"^[a-z][a-z0-9-]*$")
    """First part of the host: `socket` for real time, `delayed` for 15 minutes late, or another one of your plan."""
    domain: Literal["massive.com", "polygon.io"] = "massive.com"

    @field_validator("channels")
    @classmethod
    def _channels_of_the_market(cls, value: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        market = info.data.get("market")
        known = CHANNELS.get(market, value) if market else value
        unknown = [channel for channel in value if channel not in known]
        if unknown:
            raise ValueError(f"{market} has no channel {', '.join(unknown)}; it has {', '.join(known)}")
        return value


class _Status(msgspec.Struct):
    # Any: an event with an unexpected type must not hide a status in the same frame.
    ev: Any = None
    status: Any = None
    message: Any = None


_decode_statuses = msgspec.json.Decoder(list[_Status]).decode
_encode = msgspec.json.Encoder().encode

_HAS_DATA = Reaction(has_data=True)
_NOTHING = Reaction()


class PolygonConversation(Conversation):
    """Authenticates, then subscribes. The provider confirms most channels with one status each."""

    authenticates = True

    def __init__(self, api_key: str) -> None:
        self._api_key = api_key
        self._requested: set[str] = set()

    def opening(self) -> Sequence[str]:
        return [_message("auth", self._api_key)]

    def subscribe(self, channels: Sequence[str]) -> Sequence[str]:
        self._requested.update(channels)
        return _messages("subscribe", channels)

    def unsubscribe(self, channels: Sequence[str]) -> Sequence[str]:
        return _messages("unsubscribe", channels)

    def to_read(self, frames: Sequence[bytes]) -> Iterable[int]:
        return [place for place, frame in enumerate(frames) if b'"status"' in frame or b'"ev"' not in frame]

    def receive(self, frame: bytes) -> Reaction:
        if b'"status"' not in frame:
            return _HAS_DATA if b'"ev"' in frame else _NOTHING
        try:
            events = _decode_statuses(frame)
        except UNDECODABLE:
            return _NOTHING  # the loader decodes the same frame and rejects it with a reason
        notices = [_notice(event, self._requested) for event in events if event.ev == "status"]
        return Reaction(
            has_data=len(notices) < len(events), notices=tuple(notice for notice in notices if notice is not None)
        )


class PolygonConnector(Connector):
    """Trades, quotes and bars of one market per connection; a frame holds many events."""

    Options = PolygonOptions

    def __init__(self, *, url: str | None, api_key: str | None, options: Any = None) -> None:
        super().__init__(url=url, api_key=api_key, options=options)
        self._options = PolygonOptions.model_validate(options or {})

    @classmethod
    def live_url(cls, options: PolygonOptions) -> str:
        return f"wss://{options.cluster}.{options.domain}/{options.market}"

    def converse(self) -> PolygonConversation:
        return PolygonConversation(self.api_key or "")

    def refusal(self, answer: HandshakeAnswer) -> str | None:
        # The key comes after the handshake: a 403 is a firewall's, or about this machine's address.
        return None if answer.status == 403 else super().refusal(answer)

    def decode(self, frame: bytes) -> list[Event]:
        return polygon_events.decode(frame, self._options.market)

    def decode_many(self, frames: Sequence[bytes]) -> Decoded | None:
        return polygon_events.decode_many(frames, self._options.market)

    def channels(self, symbol: str) -> tuple[str, ...]:
        options = self._options
        written = subscribed(symbol, options.market)
        return tuple(f"{channel}.{written}" for channel in options.channels or CHANNELS[options.market][:1])

    @property
    def has_trade_rules(self) -> bool:
        """Whether rules are known of what its trades may change, by their conditions: those of US stocks."""
        return self._options.market == "stocks"

    def tick_channels(self, symbol: str) -> tuple[str, ...]:
        channels = self.channels(symbol)
        return tuple(channel for channel in channels if channel.partition(".")[0] in _TICKS) or channels

    def symbol_of(self, symbol: str) -> str:
        return symbol_name(symbol, self._options.market)

    def former_names(self, symbol: str) -> tuple[str, ...]:
        former = currencies(symbol) if self._options.market == "forex" else symbol
        return () if former == self.symbol_of(symbol) else (former,)

    @property
    def bar_tolerance(self) -> float:
        options = self._options
        channels = options.channels or CHANNELS[options.market][:1]
        return _ROUNDING if options.market == "stocks" and "T" in channels else super().bar_tolerance

    @property
    def carries_ticks(self) -> bool:
        channels = self._options.channels or CHANNELS[self._options.market][:1]
        return not set(_TICKS).isdisjoint(channels)

    def many_names(self, symbol: str) -> re.Pattern[str] | None:
        return _NAMES[self._options.market] if symbol == "*" else None

    def calendar(self, symbol: str) -> str:
        return _CALENDARS.get(self._options.market, "XNYS")

    def instrument(self, symbol: str) -> Facts:
        market = self._options.market
        if market in ("crypto", "forex"):
            base, _, quote = self.symbol_of(symbol).replace("-", "/").partition("/")
            return pair(base, quote)
        return _INSTRUMENTS[market]

    def reference(self) -> PolygonReference:
        options = self._options
        return PolygonReference(url=self.url, api_key=self.api_key, market=options.market, domain=options.domain)

    def hours(self, symbol: str) -> str:
        return US_STOCKS if self._options.market == "stocks" else super().hours(symbol)

    def history(self) -> PolygonHistory | None:
        options = self._options
        channels = options.channels or CHANNELS[options.market][:1]
        if {"Q", "XQ", "A", "XAS", "CAS", "LULD"}.issuperset(channels):
            return None
        return PolygonHistory(
            url=self.url,
            api_key=self.api_key,
            market=options.market,
            domain=options.domain,
            cluster=options.cluster,
            kind="trades" if {"T", "XT"}.intersection(channels) else "bars",
        )

    def corporate_actions(self) -> PolygonCorporateActions | None:
        if self._options.market != "stocks":
            return None
        return PolygonCorporateActions(url=self.url, api_key=self.api_key, domain=self._options.domain)


def _notice(event: _Status, requested: Container[str]) -> Notice | None:
    status, message = str(event.status or ""), str(event.message or "").strip()
    if status == "connected":
        return None
    if status == "auth_success":
        return Authenticated()
    if status == "success":
        # The provider does write "unsubscribed to".
        for beginning, kind in (("subscribed to:", Acknowledged), ("unsubscribed to:", Unsubscribed)):
            if message.startswith(beginning):
                names = message[len(beginning) :].split(",")
                return kind(tuple(name for part in names if (name := part.strip())))
        return None
    if status == "auth_failed":
        if complaints.passes(message):
            return TryLater(f"Polygon cannot authenticate this client now ({message})", AUTH_TIMEOUT_PAUSE)
        return Refused(f"Polygon refused the API key ({message or status})")
    if status == "auth_timeout":
        return TryLater(f"Polygon did not receive the API key in time ({message or status})", AUTH_TIMEOUT_PAUSE)
    if status == "max_connections":
        return TryLater(
            f"Polygon's connection limit for this account is reached ({message or status}): "
            "close the other connection, or ask Polygon for a higher limit",
            MAX_CONNECTIONS_PAUSE,
        )
    about = complaints.named(message, requested)
    if about is not None:
        return ChannelsFailed({about: message})
    if complaints.is_subscription_limit(f"{status.replace('_', ' ')} {message}"):
        # Seen in September 2026, with a status of its own; the whole message is refused.
        return RequestRefused(message or status, is_limit=True)
    if status == "error" and message.lower().startswith("not authorized"):
        return NotEntitled("not authorized: your plan does not include this channel")
    return ProviderError(f"{status}: {message}" if message else status)


def _messages(action: str, channels: Sequence[str]) -> list[str]:
    return [
        _message(action, ",".join(channels[begin : begin + _CHANNELS_PER_MESSAGE]))
        for begin in range(0, len(channels), _CHANNELS_PER_MESSAGE)
    ]


def _message(action: str, params: str) -> str:
    return _encode({"action": action, "params": params}).decode()
