"""Trades of Kraken's spot markets, without an API key: ``wss://ws.kraken.com/v2``.

Sources: docs.kraken.com, «Spot WebSocket v2»: «Trades» (`trade`: a snapshot of the last 50 trades, then updates of one
trade or several; `trade_id` is a sequence number, unique per book), «Heartbeat», «Status»; and recordings that clients
published (the answer to an unknown pair names it in `symbol`).
Doubt: whether `symbol` is in every refusal; requests are numbered, so that it is not needed. Whether a second
subscription to a pair is refused; the refusal is taken for the confirmation that it is.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any

import msgspec

from ticks_platform.feeds.connector import Connector, Conversation, HandshakeAnswer, Reaction
from ticks_platform.feeds.decoding import UNDECODABLE, OptionalFields, repaired
from ticks_platform.feeds.events import (
    Acknowledged,
    ChannelsFailed,
    Control,
    Event,
    ProviderError,
    Rejected,
    Tick,
    Unsubscribed,
)
from ticks_platform.feeds.kraken.history import KrakenHistory
from ticks_platform.feeds.kraken.names import pair
from ticks_platform.feeds.reference import Facts
from ticks_platform.timestamps import to_nanoseconds

_TRADES = "trade"
_ALREADY = "already subscribed"

Amount = Annotated[float, msgspec.Meta(ge=0, lt=1e300)]  # excludes NaN and infinity


class _Kind(msgspec.Struct):
    channel: str = ""
    method: str = ""


class _Answer(msgspec.Struct):
    method: str
    success: bool = False
    req_id: int | None = None
    symbol: str = ""
    error: str = ""


class _Batch(msgspec.Struct):
    channel: str
    data: list[msgspec.Raw]


class _Trade(msgspec.Struct):
    symbol: Annotated[str, msgspec.Meta(min_length=1)]
    price: Amount
    timestamp: Annotated[datetime, msgspec.Meta(tz=True)]
    qty: Amount | None = None
    trade_id: int | str | None = None


_decode_kind = msgspec.json.Decoder(_Kind).decode
_decode_answer = msgspec.json.Decoder(_Answer).decode
_decode_batch = msgspec.json.Decoder(_Batch).decode
# Not strict: numbers are numbers in v2, and were texts in v1.
_decode_trade = msgspec.json.Decoder(_Trade, strict=False).decode
_optional_fields = OptionalFields(_Trade, required=("symbol", "price", "timestamp"))


class KrakenConversation(Conversation):
    def __init__(self) -> None:
        self._numbers = itertools.count(1)
        self._asked: dict[int, str] = {}
        """The pair of each request, by its number."""

    def subscribe(self, channels: Sequence[str]) -> Sequence[str]:
        # With the last trades: those of a short outage come with them.
        return [self._request("subscribe", name, snapshot=True) for name in channels]

    def unsubscribe(self, channels: Sequence[str]) -> Sequence[str]:
        return [self._request("unsubscribe", name) for name in channels]

    def _request(self, method: str, name: str, **parameters: bool) -> str:
        number = next(self._numbers)
        self._asked[number] = name
        params = {"channel": _TRADES, "symbol": [name], **parameters}
        return json.dumps({"method": method, "params": params, "req_id": number})

    def receive(self, frame: bytes) -> Reaction:
        try:
            kind = _decode_kind(frame)
            if kind.channel:
                return Reaction(has_data=kind.channel == _TRADES)
            answer = _decode_answer(frame)
        except UNDECODABLE:
            return Reaction()  # `decode` gets the same frame and rejects it with a reason
        name = self._asked.pop(answer.req_id or 0, answer.symbol)
        if answer.method == "subscribe" and name:
            if answer.success or _ALREADY in answer.error.lower():
                return Reaction(notices=(Acknowledged((name,)),))
            return Reaction(notices=(ChannelsFailed({name: answer.error or "refused without a reason"}),))
        if answer.method == "unsubscribe" and name:
            return Reaction(notices=(Unsubscribed((name,)),))
        return Reaction(notices=(ProviderError(answer.error),) if answer.error else ())


class Kraken(Connector):
    requires_key = False
    spare_connections = True

    @classmethod
    def live_url(cls, options: Any) -> str:
        return "wss://ws.kraken.com/v2"

    def converse(self) -> KrakenConversation:
        return KrakenConversation()

    def refusal(self, answer: HandshakeAnswer) -> str | None:
        return None  # there is no key that may be wrong

    def channels(self, symbol: str) -> tuple[str, ...]:
        return (self.symbol_of(symbol),)

    def symbol_of(self, symbol: str) -> str:
        return pair(symbol)

    def instrument(self, symbol: str) -> Facts:
        return Facts("crypto", currency=self.symbol_of(symbol).partition("/")[2] or None)

    def history(self) -> KrakenHistory:
        return KrakenHistory(url=self.url)

    def decode(self, frame: bytes) -> list[Event]:
        try:
            return _events(frame, frame)
        except UNDECODABLE as error:
            try:
                return _events(repaired(frame) or b"", frame)
            except UNDECODABLE:
                return [Rejected(f"malformed frame: {error}", frame)]


def _events(readable: bytes, frame: bytes) -> list[Event]:
    """The events of a frame, which is `readable` after it was repaired. Raises one of UNDECODABLE."""
    kind = _decode_kind(readable)
    if kind.channel == _TRADES:
        return [_event(bytes(raw)) for raw in _decode_batch(readable).data] or [Control(_TRADES)]
    name = kind.channel or kind.method
    return [Control(name) if name else Rejected("neither a channel nor an answer", frame)]


def _event(raw: bytes) -> Event:
    malformed: tuple[str, ...] = ()
    try:
        trade = _decode_trade(raw)
    except UNDECODABLE:
        try:
            trade, malformed = _optional_fields.decode(raw)
        except UNDECODABLE as error:
            return Rejected(f"malformed trade: {error}", raw)
    return Tick(
        trade.symbol,
        to_nanoseconds(trade.timestamp),
        trade.price,
        size=trade.qty,
        trade_id=None if trade.trade_id in (None, "") else str(trade.trade_id),
        malformed=malformed or None,
    )
