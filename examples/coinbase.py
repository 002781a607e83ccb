"""The trades of Coinbase Exchange's public feed, without a key: `provider: examples.coinbase.Coinbase`."""

import json
from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from typing import Annotated, Any

import msgspec

from ticks_platform.feeds.connector import Connector, Conversation, Reaction
from ticks_platform.feeds.events import Acknowledged, ChannelsFailed, Control, Event, ProviderError, Rejected, Tick

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_TRADES = ("match", "last_match")  # the second is the last trade before the subscription
_UNDECODABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
_Amount = Annotated[float, msgspec.Meta(ge=0, lt=1e300)]  # neither NaN nor infinity, which a string may spell


class _Message(msgspec.Struct):
    type: str
    message: str = ""
    reason: str = ""
    channels: list[dict[str, Any]] = []


class _Trade(msgspec.Struct):
    product_id: str
    trade_id: int
    price: _Amount
    size: _Amount
    time: Annotated[datetime, msgspec.Meta(tz=True)]


class CoinbaseConversation(Conversation):
    def subscribe(self, channels: Sequence[str]) -> Sequence[str]:
        # One message each: a product that does not exist makes its whole message fail.
        return [json.dumps({"type": "subscribe", "product_ids": [name], "channels": ["matches"]}) for name in channels]

    def unsubscribe(self, channels: Sequence[str]) -> Sequence[str]:
        return [json.dumps({"type": "unsubscribe", "product_ids": list(channels), "channels": ["matches"]})]

    def receive(self, frame: bytes) -> Reaction:
        try:
            message = msgspec.json.decode(frame, type=_Message)
        except _UNDECODABLE:
            return Reaction()  # `decode` gets the same frame, and rejects it with a reason
        if message.type == "subscriptions":  # always all that this connection has by now
            names = tuple(name for channel in message.channels for name in channel.get("product_ids", ()))
            return Reaction(notices=(Acknowledged(names),) if names else ())
        if message.type == "error":
            name, known, _ = message.reason.partition(" is not a valid product")
            complaint = ProviderError(f"{message.message}: {message.reason}")
            return Reaction(notices=(ChannelsFailed({name: message.reason}) if known else complaint,))
        return Reaction(has_data=message.type in _TRADES)


class Coinbase(Connector):
    requires_key = False
    spare_connections = True

    @classmethod
    def live_url(cls, options: Any) -> str:
        return "wss://ws-feed.exchange.coinbase.com"

    def converse(self) -> CoinbaseConversation:
        return CoinbaseConversation()

    def decode(self, frame: bytes) -> list[Event]:
        try:
            kind = msgspec.json.decode(frame, type=_Message).type
            if kind not in _TRADES:
                return [Control(kind)]
            trade = msgspec.json.decode(frame, type=_Trade, strict=False)  # numbers come as strings
        except _UNDECODABLE as error:
            return [Rejected(f"malformed frame: {error}", frame)]
        at = (trade.time - _EPOCH) // timedelta(microseconds=1) * 1000
        return [Tick(trade.product_id, at, trade.price, size=trade.size, trade_id=str(trade.trade_id))]
