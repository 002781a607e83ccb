"""The Polygon.io connector; the company is called Massive since October 2025: ``wss://socket.massive.com/stocks``.

Protocol facts are from the official AsyncAPI description (massive-com/client-python, .massive/websocket.json), the
knowledge base (why-do-massive-websocket-disconnects-happen), the official clients, and from frames and outcomes that
users of the live service published (jerbersoft/massivedotnet, Niqnil/rustrade, alpacahq/marketstore).
What a frame of data becomes is in `polygon_events`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import msgspec
from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from ticks_platform.feeds.columns import Decoded
from ticks_platform.feeds.connector import Connector, Conversation, Reaction
from ticks_platform.feeds.events import (
    Acknowledged,
    Authenticated,
    Event,
    NotEntitled,
    Notice,
    ProviderError,
    Refused,
    TryLater,
    Unsubscribed,
)
from ticks_platform.feeds.polygon import events as polygon_events
from ticks_platform.feeds.polygon.history import PolygonHistory

MAX_CONNECTIONS_PAUSE = 60.0
"""Seconds to wait after `max_connections`. The status comes after a successful authentication, and the provider may end
either of the two connections: clients that came back at once have chased each other without pause."""

AUTH_TIMEOUT_PAUSE = 5.0

CHANNELS: dict[str, tuple[str, ...]] = {
    "stocks": ("T", "Q", "A", "AM"),
    "options": ("T", "Q", "A", "AM"),
    "indices": ("V", "A", "AM"),
    "crypto": ("XT", "XQ", "XA", "XAS"),
    "forex": ("C", "CA", "CAS"),
}
"""The channels of each market that become rows; the first is the default."""

_TICKS = ("T", "XT", "C", "V")
"""The channels whose events become ticks."""

_CALENDARS = {"crypto": "always", "forex": "24/5"}

_SYMBOLS_IN_A_MESSAGE = 1000
"""Keeps messages far below the megabyte that a frame may have."""


class PolygonOptions(BaseModel):
    """What a feed's `options` may say."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    market: Literal["stocks", "options", "indices", "crypto", "forex"] = "stocks"
    channels: tuple[str, ...] = ()
    """What to stream of each symbol, such as T for trades and AM for minute bars; by default the market's trades, or
    what it has in their place."""
    cluster: str = Field("socket", pattern=r"^[a-z][a-z0-9-]*$")
    """First part of the host: `socket` for real time, `delayed` for 15 minutes ago, and the others of your plan."""
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
    # Whatever they are: an odd event must not hide a status beside it.
    ev: Any = None
    status: Any = None
    message: Any = None


_decode_statuses = msgspec.json.Decoder(list[_Status]).decode
_encode = msgspec.json.Encoder().encode

_HAS_DATA = Reaction(has_data=True)
_NOTHING = Reaction()


class PolygonConversation(Conversation):
    """Authenticate, then subscribe; one status for each channel, except where the provider has nothing to say."""

    authenticates = True

    def __init__(self, api_key: str) -> None:
        self._api_key = api_key

    def opening(self) -> Sequence[str]:
        return [_message("auth", self._api_key)]

    def subscribe(self, channels: Sequence[str]) -> Sequence[str]:
        return _in_parts("subscribe", channels)

    def unsubscribe(self, channels: Sequence[str]) -> Sequence[str]:
        return _in_parts("unsubscribe", channels)

    def receive(self, frame: bytes) -> Reaction:
        if b'"status"' not in frame:
            return _HAS_DATA if b'"ev"' in frame else _NOTHING
        try:
            events = _decode_statuses(frame)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return _NOTHING  # the loader decodes the same frame and rejects it with its reason
        notices = [_notice(event) for event in events if event.ev == "status"]
        return Reaction(
            has_data=len(notices) < len(events), notices=tuple(notice for notice in notices if notice is not None)
        )


class PolygonConnector(Connector):
    """Trades, quotes and bars of one market. One socket is one market; frames hold many events."""

    Options = PolygonOptions

    def __init__(self, *, url: str | None, api_key: str | None, options: Any = None) -> None:
        super().__init__(url=url, api_key=api_key, options=options)
        self._options = PolygonOptions.model_validate(options or {})

    @classmethod
    def live_url(cls, options: PolygonOptions) -> str:
        return f"wss://{options.cluster}.{options.domain}/{options.market}"

    def converse(self) -> PolygonConversation:
        return PolygonConversation(self.api_key or "")

    def decode(self, frame: bytes) -> list[Event]:
        return polygon_events.decode(frame)

    def decode_many(self, frames: Sequence[bytes]) -> Decoded | None:
        return polygon_events.decode_many(frames)

    def channels(self, symbol: str) -> tuple[str, ...]:
        options = self._options
        return tuple(f"{channel}.{symbol}" for channel in options.channels or CHANNELS[options.market][:1])

    def tick_channels(self, symbol: str) -> tuple[str, ...]:
        channels = self.channels(symbol)
        return tuple(channel for channel in channels if channel.partition(".")[0] in _TICKS) or channels

    def symbol_of(self, symbol: str) -> str:
        # Pairs are subscribed to with a slash, a hyphen or neither; quotes always name them with a slash.
        if self._options.market != "forex":
            return symbol
        plain = symbol.replace("-", "/")
        return f"{plain[:3]}/{plain[3:]}" if len(plain) == 6 and plain.isalpha() else plain

    def calendar(self, symbol: str) -> str:
        return _CALENDARS.get(self._options.market, "XNYS")

    def history(self) -> PolygonHistory | None:
        options = self._options
        channels = options.channels or CHANNELS[options.market][:1]
        if {"Q", "XQ", "A", "XAS", "CAS"}.issuperset(channels):
            return None
        return PolygonHistory(
            url=self.url,
            api_key=self.api_key,
            market=options.market,
            domain=options.domain,
            cluster=options.cluster,
            kind="trades" if {"T", "XT"}.intersection(channels) else "bars",
        )


def _notice(event: _Status) -> Notice | None:
    status, message = str(event.status or ""), str(event.message or "").strip()
    if status == "connected":
        return None
    if status == "auth_success":
        return Authenticated()
    if status == "success":
        # «unsubscribed to», sic.
        for beginning, kind in (("subscribed to:", Acknowledged), ("unsubscribed to:", Unsubscribed)):
            if message.startswith(beginning):
                names = message[len(beginning) :].split(",")
                return kind(tuple(name for part in names if (name := part.strip())))
        return None
    if status == "auth_failed":
        return Refused(f"Polygon refused the API key ({message or status})")
    if status == "auth_timeout":
        return TryLater(f"Polygon did not see the API key in time ({message or status})", AUTH_TIMEOUT_PAUSE)
    if status == "max_connections":
        return TryLater(
            "Polygon allows no more connections to this account "
            f"({message or status}): end the other one, or ask them for more",
            MAX_CONNECTIONS_PAUSE,
        )
    if status == "error" and message.lower().startswith("not authorized"):
        return NotEntitled("not authorized: your plan does not include it")
    return ProviderError(f"{status}: {message}" if message else status)


def _in_parts(action: str, channels: Sequence[str]) -> list[str]:
    return [
        _message(action, ",".join(channels[begin : begin + _SYMBOLS_IN_A_MESSAGE]))
        for begin in range(0, len(channels), _SYMBOLS_IN_A_MESSAGE)
    ]


def _message(action: str, params: str) -> str:
    return _encode({"action": action, "params": params}).decode()
