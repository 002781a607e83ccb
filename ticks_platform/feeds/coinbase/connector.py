"""Trades of Coinbase Exchange's public feed, without an API key: ``wss://ws-feed.exchange.coinbase.com``."""

import json
from collections.abc import Sequence
from typing import Any

import msgspec

from ticks_platform.feeds.coinbase.history import CoinbaseHistory
from ticks_platform.feeds.coinbase.trades import Trade, tick
from ticks_platform.feeds.connector import Connector, Conversation, HandshakeAnswer, Reaction
from ticks_platform.feeds.decoding import UNDECODABLE, OptionalFields, repaired
from ticks_platform.feeds.events import Acknowledged, ChannelsFailed, Control, Event, ProviderError, Rejected
from ticks_platform.feeds.reference import Facts

_TRADES = ("match", "last_match")  # last_match is the last trade before the subscription


class _Kind(msgspec.Struct):
    type: str


class _Channel(msgspec.Struct):
    product_ids: list[str] = []


class _Message(_Kind):
    message: str = ""
    reason: str = ""
    channels: list[_Channel] = []


class _Trade(Trade, kw_only=True):
    product_id: str


_optional_fields = OptionalFields(_Trade, required=("product_id", "price", "time"))


class CoinbaseConversation(Conversation):
    def subscribe(self, channels: Sequence[str]) -> Sequence[str]:
        # One message per product: an unknown product makes its whole message fail.
        return [json.dumps({"type": "subscribe", "product_ids": [name], "channels": ["matches"]}) for name in channels]

    def unsubscribe(self, channels: Sequence[str]) -> Sequence[str]:
        return [json.dumps({"type": "unsubscribe", "product_ids": list(channels), "channels": ["matches"]})]

    def receive(self, frame: bytes) -> Reaction:
        try:
            message = msgspec.json.decode(frame, type=_Message)
        except UNDECODABLE:
            return Reaction()  # `decode` gets the same frame and rejects it with a reason
        if message.type == "subscriptions":  # lists all products of this connection so far
            names = tuple(name for channel in message.channels for name in channel.product_ids if name)
            return Reaction(notices=(Acknowledged(names),) if names else ())
        if message.type == "error":
            name, known, _ = message.reason.partition(" is not a valid product")
            complaint = ProviderError(f"{message.message}: {message.reason}")
            return Reaction(notices=(ChannelsFailed({name: message.reason}) if name and known else complaint,))
        return Reaction(has_data=message.type in _TRADES)


class Coinbase(Connector):
    requires_key = False
    spare_connections = True

    @classmethod
    def live_url(cls, options: Any) -> str:
        return "wss://ws-feed.exchange.coinbase.com"

    def converse(self) -> CoinbaseConversation:
        return CoinbaseConversation()

    def refusal(self, answer: HandshakeAnswer) -> str | None:
        return None  # there is no key that may be wrong

    def channels(self, symbol: str) -> tuple[str, ...]:
        return (self.symbol_of(symbol),)

    def symbol_of(self, symbol: str) -> str:
        # Other providers write a slash.
        return symbol.upper().replace("/", "-")

    def former_names(self, symbol: str) -> tuple[str, ...]:
        return () if symbol == self.symbol_of(symbol) else (symbol,)

    def instrument(self, symbol: str) -> Facts:
        return Facts("crypto", currency=self.symbol_of(symbol).partition("-")[2] or None)

    def history(self) -> CoinbaseHistory:
        return CoinbaseHistory(url=self.url)

    def decode(self, frame: bytes) -> list[Event]:
        malformed: tuple[str, ...] = ()
        try:
            kind = msgspec.json.decode(frame, type=_Kind).type
            if kind not in _TRADES:
                return [Control(kind)]
            trade = msgspec.json.decode(frame, type=_Trade, strict=False)  # numbers are strings
        except UNDECODABLE as error:
            try:
                trade, malformed = _without_odd_fields(frame)
            except UNDECODABLE:
                return [Rejected(f"malformed frame: {error}", frame)]
        return [tick(trade.product_id, trade, malformed)]


def _without_odd_fields(frame: bytes) -> tuple[_Trade, tuple[str, ...]]:
    """A trade, and the optional fields that cannot be read. Raises one of UNDECODABLE."""
    readable = repaired(frame) or frame
    if msgspec.json.decode(readable, type=_Kind).type not in _TRADES:
        raise msgspec.ValidationError("not a trade")
    try:
        return msgspec.json.decode(readable, type=_Trade, strict=False), ()
    except UNDECODABLE:
        return _optional_fields.decode(readable)
