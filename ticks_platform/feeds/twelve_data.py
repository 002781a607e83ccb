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

from ticks_platform.feeds.connector import Connector, Conversation, Endpoint, HandshakeAnswer, Reaction
from ticks_platform.feeds.events import (
    Acknowledged,
    Control,
    Event,
    Notice,
    ProviderError,
    Refused,
    Rejected,
    SymbolsFailed,
    Tick,
)

URL = "wss://ws.twelvedata.com/v1/quotes/price"

HEARTBEAT_INTERVAL = 10.0
"""Seconds; «every 10 seconds or so» (ws-overview). The server drops silent clients after some minutes."""

_KEY_TROUBLE = re.compile(r"api[\s_-]?key|unauthor|forbidden|invalid token", re.IGNORECASE)
"""What the official Node and Go clients take as a refusal of the key, whatever the HTTP status."""


class _Price(msgspec.Struct, gc=False):
    """A ``price`` event; ``timestamp`` is in whole seconds UTC, the other optional fields depend on the asset class."""

    event: str | None = None
    symbol: str | None = None
    timestamp: int | None = None
    price: float | None = None
    day_volume: float | None = None
    bid: float | None = None
    ask: float | None = None


class _Item(msgspec.Struct):
    symbol: str
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


class _Kind(msgspec.Struct):
    event: str | None = None


_decode_price = msgspec.json.Decoder(_Price, strict=False).decode
_decode_status = msgspec.json.Decoder(_Status, strict=False).decode
_decode_kind = msgspec.json.Decoder(_Kind).decode
_encode = msgspec.json.Encoder().encode

_NANOSECONDS = 1_000_000_000


class TwelveDataConversation(Conversation):
    """Subscribe in one message, then heartbeat; the server says nothing until it is spoken to."""

    heartbeat_interval = HEARTBEAT_INTERVAL

    def __init__(self, symbols: Sequence[str]) -> None:
        self._symbols = tuple(symbols)
        # A status item names the bare symbol, though the request may have named SYMBOL:EXCHANGE.
        self._pending = {_bare(symbol) for symbol in symbols}

    def opening(self) -> Sequence[str]:
        return [_message("subscribe", symbols=",".join(self._symbols))]

    def heartbeat(self) -> str:
        return '{"action":"heartbeat"}'

    def unacknowledged(self) -> frozenset[str]:
        return frozenset(self._pending)

    def receive(self, frame: bytes) -> Reaction:
        try:
            kind = _decode_kind(frame).event
            if kind == "price":
                return Reaction(has_data=True)
            status = _decode_status(frame)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            return Reaction()  # the loader decodes the same frame and rejects it with its reason
        if kind == "subscribe-status":
            return Reaction(notices=self._on_subscribe_status(status))
        if status.status == "error":
            return Reaction(notices=(_complaint(status),))
        return Reaction()

    def _on_subscribe_status(self, status: _Status) -> tuple[Notice, ...]:
        notices: list[Notice] = []
        if status.success:
            acknowledged = tuple(item.symbol for item in status.success)
            self._pending.difference_update(_bare(symbol) for symbol in acknowledged)
            notices.append(Acknowledged(acknowledged))
        if status.fails:
            reasons = {item.symbol: item.message or "unknown symbol, or not in your plan" for item in status.fails}
            self._pending.difference_update(_bare(symbol) for symbol in reasons)
            notices.append(SymbolsFailed(reasons))
        if status.status == "error" and not notices:
            notices.append(_complaint(status))
        return tuple(notices)


class TwelveDataConnector(Connector):
    """Real-time prices of stocks, indices, forex and crypto. One event a frame, stamped in whole seconds."""

    def endpoint(self) -> Endpoint:
        # The key goes in the header that the documentation offers for it, so that no URL ever carries a secret.
        headers = {"X-TD-APIKEY": self._api_key} if self._api_key else {}
        return Endpoint(self._url, headers, self._url.partition("?")[0])

    def refusal(self, answer: HandshakeAnswer) -> str | None:
        body: dict[str, Any] = {}
        try:
            decoded = msgspec.json.decode(answer.body) if answer.body else {}
            body = decoded if isinstance(decoded, dict) else {}
        except (msgspec.MsgspecError, UnicodeDecodeError):
            pass
        message = str(body.get("message", ""))
        if answer.status in (401, 403) or body.get("code") in (401, 403) or _KEY_TROUBLE.search(message):
            return f"Twelve Data refused the API key (HTTP {answer.status}{': ' + message if message else ''})"
        return None

    def converse(self) -> TwelveDataConversation:
        return TwelveDataConversation(self.symbols)

    def decode(self, frame: bytes) -> list[Event]:
        try:
            event = _decode_price(frame)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            return [Rejected(f"malformed frame: {error}", frame)]
        if event.event != "price":
            return [Control(event.event or "unnamed")]
        if event.symbol is None or event.timestamp is None or event.price is None:
            missing = [name for name in ("symbol", "timestamp", "price") if getattr(event, name) is None]
            return [Rejected(f"price event without {', '.join(missing)}", frame)]
        volume = event.day_volume
        return [
            Tick(
                event.symbol,
                event.timestamp * _NANOSECONDS,
                event.price,
                None if volume is None else int(volume),
                None,
                event.bid,
                event.ask,
            )
        ]


def _bare(symbol: str) -> str:
    return symbol.partition(":")[0].upper()


def _complaint(status: _Status) -> Notice:
    message = "; ".join(status.messages or ()) or status.message or "unspecified error"
    if status.code in (401, 403) or _KEY_TROUBLE.search(message):
        return Refused(f"Twelve Data refused the API key ({message})")
    return ProviderError(message)


def _message(action: str, **params: str) -> str:
    return _encode({"action": action, "params": params}).decode()
