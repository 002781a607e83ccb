"""The Twelve Data connector: real-time prices over ``wss://ws.twelvedata.com/v1/quotes/price``.

Protocol facts are from Twelve Data's WebSocket documentation (ws-overview, ws-real-time-price), from the source of its
official clients (twelvedata-python 1.4.0, twelvedata-node 1.2.7, twelvedata-go 1.0.11), and from frames that users of
the live service published; where these disagree, all variants are accepted.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import msgspec

from ticks_platform.feeds.columns import Decoded
from ticks_platform.feeds.connector import Connector, Conversation, Endpoint, HandshakeAnswer, Reaction
from ticks_platform.feeds.events import (
    Acknowledged,
    ChannelsFailed,
    Event,
    Notice,
    ProviderError,
    Refused,
    Unsubscribed,
)
from ticks_platform.feeds.twelve_data.events import UNDECODABLE, decode, decode_kind, decode_many
from ticks_platform.feeds.twelve_data.history import TwelveDataHistory

URL = "wss://ws.twelvedata.com/v1/quotes/price"

HEARTBEAT_INTERVAL = 10.0
"""Seconds; «every 10 seconds or so» (ws-overview). The server drops silent clients after some minutes."""

_KEY_TROUBLE = re.compile(r"api[\s_-]?key|unauthor|forbidden|invalid token", re.IGNORECASE)
"""What the official Node and Go clients take as a refusal of the key, whatever the HTTP status."""


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


_decode_status = msgspec.json.Decoder(_Status, strict=False).decode
_encode = msgspec.json.Encoder().encode

_PRICE_PREFIX = b'{"event":"price",'
_HAS_DATA = Reaction(has_data=True)


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
            kind = decode_kind(frame)
            if kind == "price":
                return _HAS_DATA
            status = _decode_status(frame)
        except UNDECODABLE:
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
        except UNDECODABLE:
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
        return decode(frame)

    def decode_many(self, frames: Sequence[bytes]) -> Decoded | None:
        return decode_many(frames)


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
