"""The Twelve Data connector: real-time prices over ``wss://ws.twelvedata.com/v1/quotes/price``.

Protocol facts are from Twelve Data's WebSocket documentation (ws-overview, ws-real-time-price), from the source of its
official clients (twelvedata-python 1.4.0, twelvedata-node 1.2.7, twelvedata-go 1.0.11), and from frames that users of
the live service published; where these disagree, all variants are accepted.
"""

from __future__ import annotations

import contextlib
import re
import sys
from collections.abc import Sequence
from operator import attrgetter
from typing import Annotated, Any

import msgspec
import numpy as np
from msgspec import Meta

from ticks_platform.feeds.columns import Decoded, TickColumns, decode_lines, floats
from ticks_platform.feeds.connector import Connector, Conversation, Endpoint, HandshakeAnswer, Reaction
from ticks_platform.feeds.events import (
    Acknowledged,
    ChannelsFailed,
    Control,
    Event,
    Notice,
    ProviderError,
    Refused,
    Rejected,
    Tick,
    Unsubscribed,
)
from ticks_platform.feeds.twelve_data.history import TwelveDataHistory

URL = "wss://ws.twelvedata.com/v1/quotes/price"

HEARTBEAT_INTERVAL = 10.0
"""Seconds; «every 10 seconds or so» (ws-overview). The server drops silent clients after some minutes."""

_KEY_TROUBLE = re.compile(r"api[\s_-]?key|unauthor|forbidden|invalid token", re.IGNORECASE)
"""What the official Node and Go clients take as a refusal of the key, whatever the HTTP status."""


# The limits keep what passes within the types of `Tick`; the decoder checks them in C. Times have to fit 64 bits of
# nanoseconds. NaN and infinity are not JSON, but a string may spell them, and neither is within the limits of a float.
_TIME_LIMIT = (2**63 - 1) // 1_000_000_000
_IntegerSeconds = Annotated[int, Meta(ge=-_TIME_LIMIT, le=_TIME_LIMIT)]
_FractionalSeconds = Annotated[float, Meta(ge=-_TIME_LIMIT, le=_TIME_LIMIT)]
_Finite = Annotated[float, Meta(ge=-sys.float_info.max, le=sys.float_info.max)]
_BigInt = Annotated[float, Meta(ge=-(2.0**63), lt=2.0**63)]


class _Price(msgspec.Struct, gc=False):
    """A ``price`` event; ``timestamp`` is in seconds UTC, the other optional fields depend on the asset class."""

    event: str | None = None
    symbol: str | None = None
    timestamp: _IntegerSeconds | _FractionalSeconds | None = None
    price: _Finite | None = None
    day_volume: _BigInt | None = None
    bid: _Finite | None = None
    ask: _Finite | None = None


class _Item(msgspec.Struct):
    symbol: str | None = None
    exchange: str | None = None
    message: str | None = None


class _Status(msgspec.Struct):
    """A control event. ``success`` and ``fails`` are lists, null or absent on the live service."""

    event: str | None = None
    status: str | None = None
    success: list[_Item] | None = None
    fails: list[_Item] | None = None
    messages: list[str] | None = None
    message: str | None = None
    code: int | None = None

    @property
    def is_error(self) -> bool:
        return (self.status or "").lower() == "error"


class _Kind(msgspec.Struct):
    event: str | None = None


_price_decoder = msgspec.json.Decoder(_Price, strict=False)
_decode_price = _price_decoder.decode
_decode_status = msgspec.json.Decoder(_Status, strict=False).decode
_decode_kind = msgspec.json.Decoder(_Kind).decode
_encode = msgspec.json.Encoder().encode

_PRICE_PREFIX = b'{"event":"price",'
_HAS_DATA = Reaction(has_data=True)

_NANOSECONDS = 1_000_000_000

_UNDECODABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""What msgspec raises on bad input; the last of them when it is nested too deeply."""


class TwelveDataConversation(Conversation):
    """Subscribe in one message, then heartbeat; the server says nothing until it is spoken to."""

    heartbeat_interval = HEARTBEAT_INTERVAL

    def __init__(self) -> None:
        self._asked: dict[str, dict[str, None]] = {}
        # By bare symbol: answers name thousands of symbols at once.

    def subscribe(self, channels: Sequence[str]) -> Sequence[str]:
        for channel in channels:
            self._asked.setdefault(_bare(channel), {})[channel] = None
        return [_message("subscribe", symbols=",".join(channels))]

    def unsubscribe(self, channels: Sequence[str]) -> Sequence[str]:
        return [_message("unsubscribe", symbols=",".join(channels))]

    def heartbeat(self) -> str:
        return '{"action":"heartbeat"}'

    def receive(self, frame: bytes) -> Reaction:
        if frame.startswith(_PRICE_PREFIX):
            return _HAS_DATA  # as the service writes them; spares the receiving thread the parsing
        try:
            kind = _decode_kind(frame).event
            if kind == "price":
                return _HAS_DATA
            status = _decode_status(frame)
        except _UNDECODABLE:
            return Reaction()  # the loader decodes the same frame and rejects it with its reason
        if kind == "subscribe-status":
            return Reaction(notices=self._on_subscribe_status(status))
        if kind == "unsubscribe-status" and not status.is_error:
            gone = tuple(channel for item in status.success or () for channel in self._named(item))
            return Reaction(notices=(Unsubscribed(gone),) if gone else ())
        if status.is_error:
            return Reaction(notices=(_complaint(status),))
        return Reaction()

    def _on_subscribe_status(self, status: _Status) -> tuple[Notice, ...]:
        notices: list[Notice] = []
        acknowledged = tuple(channel for item in status.success or () for channel in self._named(item))
        if acknowledged:
            notices.append(Acknowledged(acknowledged))
        reasons = {
            channel: item.message or "unknown symbol, or not in your plan"
            for item in status.fails or ()
            for channel in self._named(item)
        }
        if reasons:
            notices.append(ChannelsFailed(reasons))
        if status.is_error and not notices:
            notices.append(_complaint(status))
        return tuple(notices)

    def _named(self, item: _Item) -> Sequence[str]:
        """What a status item answers, as it was asked for.

        It names the bare symbol, in capitals, though SYMBOL:EXCHANGE may have been asked for, in any letters.
        """
        if not item.symbol:
            return ()
        bare = _bare(item.symbol)
        same = list(self._asked.get(bare, ()))
        if len(same) > 1 and item.exchange:
            exact = [channel for channel in same if channel.upper() == f"{bare}:{item.exchange.upper()}"]
            return exact or [channel for channel in same if ":" not in channel] or same
        return same or (item.symbol,)


class TwelveDataConnector(Connector):
    """Real-time prices of stocks, indices, forex and crypto. One event a frame, stamped in whole seconds."""

    messages_per_minute = 100  # the support's FAQ; the documentation says «up to 100 events from the client-side»

    @classmethod
    def live_url(cls, options: Any) -> str:
        return URL

    def endpoint(self) -> Endpoint:
        # The key goes in the header that the documentation offers for it, so that no URL ever carries a secret.
        headers = {"X-TD-APIKEY": self.api_key} if self.api_key else {}
        return Endpoint(self.url, headers, self.url.partition("?")[0])

    def refusal(self, answer: HandshakeAnswer) -> str | None:
        try:
            body = _decode_status(answer.body)
        except _UNDECODABLE:
            body = _Status()
        message = body.message or ""
        if answer.status >= 500 or not _is_about_the_key(message, answer.status, body.code):
            return None
        return f"Twelve Data refused the API key (HTTP {answer.status}{': ' + message if message else ''})"

    def converse(self) -> TwelveDataConversation:
        return TwelveDataConversation()

    def symbol_of(self, symbol: str) -> str:
        return symbol.partition(":")[0]

    def calendar(self, symbol: str) -> str:
        # The list of symbols does not tell currencies from crypto; feeds.yaml may.
        return "24/5" if "/" in symbol else "XNYS"

    def history(self) -> TwelveDataHistory:
        return TwelveDataHistory(url=self.url, api_key=self.api_key)

    def decode(self, frame: bytes) -> list[Event]:
        try:
            event = _decode_price(frame)
        except _UNDECODABLE as error:
            return [_not_a_price(frame, error)]
        if event.event != "price":
            if event.event is None and event.price is not None:
                return [Rejected("a price without an event name", frame)]
            return [Control(event.event or "unnamed")]
        if not event.symbol or event.timestamp is None or event.price is None:
            missing = [name for name in ("symbol", "timestamp", "price") if getattr(event, name) in (None, "")]
            return [Rejected(f"price event without {', '.join(missing)}", frame)]
        timestamp, volume = event.timestamp, event.day_volume
        return [
            Tick(
                event.symbol,
                timestamp * _NANOSECONDS if isinstance(timestamp, int) else _nanoseconds(timestamp),
                event.price,
                None if volume is None else int(volume),
                None,
                event.bid,
                event.ask,
            )
        ]

    def decode_many(self, frames: Sequence[bytes]) -> Decoded | None:
        items = decode_lines(_price_decoder.decode_lines, frames)
        if items is None or set(map(attrgetter("event"), items)) != {"price"}:
            return None
        symbols, times, prices = (list(map(attrgetter(field), items)) for field in ("symbol", "timestamp", "price"))
        if not all(symbols) or set(map(type, times)) != {int} or None in prices:
            return None
        volume, bid, ask = (floats(list(map(attrgetter(field), items))) for field in ("day_volume", "bid", "ask"))
        return Decoded(
            TickColumns(
                symbols,
                np.array(times, np.int64) * _NANOSECONDS,
                np.array(prices, np.float64),
                day_volume=None if volume is None else np.trunc(volume),
                bid=bid,
                ask=ask,
            ),
            [1] * len(items),
        )


def _nanoseconds(seconds: float) -> int:
    """Fractions of a second are not documented; the whole ones are kept exact, which one product would not."""
    whole, fraction = divmod(seconds, 1.0)
    return int(whole) * _NANOSECONDS + round(fraction * _NANOSECONDS)


def _not_a_price(frame: bytes, error: Exception) -> Event:
    """What a frame is that cannot be decoded as a price event; only those that claim to be one have to look like it."""
    with contextlib.suppress(*_UNDECODABLE):
        kind = _decode_kind(frame).event
        if kind is not None and kind != "price":
            return Control(kind)
    return Rejected(f"malformed frame: {error}", frame)


def _bare(symbol: str) -> str:
    return symbol.partition(":")[0].upper()


def _complaint(status: _Status) -> Notice:
    message = "; ".join(status.messages or ()) or status.message or "unspecified error"
    if _is_about_the_key(message, status.code):
        return Refused(f"Twelve Data refused the API key ({message})")
    return ProviderError(message)


def _is_about_the_key(message: str, *codes: int | None) -> bool:
    # Being told to wait may mention the key too ("API credits"): that passes.
    if 429 in codes:
        return False
    return 401 in codes or 403 in codes or _KEY_TROUBLE.search(message) is not None


def _message(action: str, **params: str) -> str:
    return _encode({"action": action, "params": params}).decode()
