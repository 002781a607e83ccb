"""Trades and best prices of Binance's spot markets, without an API key: ``wss://stream.binance.com:9443/stream``.

Sources: binance/binance-spot-api-docs, web-socket-streams.md: «General WSS information» (combined streams; a connection
lives for 24 hours; the server pings every 20 seconds), «WebSocket Limits» (5 messages a second from the client, pings
and pongs among them; 1,024 streams), «Live Subscribing» (`result` null is a success), «Server Shutdown», «Trade
Streams», «Aggregate Trade Streams», «Individual Symbol Book Ticker Streams» (which have no time: the arrival is taken);
and frames that clients published, of 2024 with the orders' numbers and of 2025 without them.
Doubt: errors are documented as `{"code", "msg", "id"}`, and clients read `{"error": {"code", "msg"}, "id"}`: both are
read. Whether a stream of an unknown market is refused: clients found that it is confirmed and silent, and then its
symbol counts as silent here. HTTP 451 to a country that Binance does not serve is users' knowledge, not documentation.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from typing import Any, Literal

import msgspec
from pydantic import BaseModel, ConfigDict, field_validator

from ticks_platform.feeds.binance.history import BinanceHistory
from ticks_platform.feeds.binance.names import currency, market
from ticks_platform.feeds.binance.trades import (
    Amount,
    Name,
    aggregate_fields,
    decode_aggregate,
    decode_trade,
    tick,
    trade_fields,
)
from ticks_platform.feeds.connector import Connector, Conversation, HandshakeAnswer, Reaction
from ticks_platform.feeds.decoding import UNDECODABLE, OptionalFields, repaired
from ticks_platform.feeds.events import (
    ARRIVAL,
    Acknowledged,
    ChannelsFailed,
    Control,
    Event,
    Notice,
    ProviderError,
    Quote,
    Rejected,
    RequestRefused,
    TryLater,
    Unsubscribed,
)
from ticks_platform.feeds.reference import Facts

_TRADE, _AGGREGATE, _BOOK, _SHUTDOWN = "trade", "aggTrade", "bookTicker", "serverShutdown"
_STORED = (_TRADE, _AGGREGATE, _BOOK)
_TICKS = (_TRADE, _AGGREGATE)

_CHANNELS_PER_MESSAGE = 300
"""With it, all streams that a connection may have are four messages, of five that are allowed in a second."""

_OTHER_COUNTRY = 451


class BinanceOptions(BaseModel):
    """The `options` of a feed."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    channels: tuple[Literal["trade", "aggTrade", "bookTicker"], ...] = ("trade",)
    """`trade` for each trade, or `aggTrade` for what one order took at one price; `bookTicker` for the best prices."""

    @field_validator("channels")
    @classmethod
    def _each_trade_once(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not value:
            raise ValueError("must name a channel: trade, aggTrade or bookTicker")
        if {_TRADE, _AGGREGATE}.issubset(value):
            raise ValueError("trade and aggTrade are the same trades: choose one of them")
        return value


class _Problem(msgspec.Struct):
    code: int | None = None
    msg: str = ""


class _Frame(msgspec.Struct):
    """A combined stream's event in `data`; or an answer to a request; or an event of a raw stream."""

    stream: str = ""
    data: msgspec.Raw = msgspec.Raw()
    id: int | None = None
    result: msgspec.Raw = msgspec.Raw()
    error: _Problem | None = None
    code: int | None = None
    msg: str = ""

    @property
    def problem(self) -> str | None:
        """What an answer complains of, if it does."""
        if self.error is not None:
            return self.error.msg or f"error {self.error.code}"
        return None if self.code is None else self.msg or f"error {self.code}"

    @property
    def is_answer(self) -> bool:
        return self.problem is not None or bool(bytes(self.result))


class _Kind(msgspec.Struct):
    e: str = ""
    u: int | None = None  # only best prices have it, which name no kind

    @property
    def name(self) -> str:
        return self.e or (_BOOK if self.u is not None else "")


class _BestPrices(msgspec.Struct):
    s: Name
    b: Amount | None = None
    B: Amount | None = None
    a: Amount | None = None
    A: Amount | None = None


_decode_frame = msgspec.json.Decoder(_Frame).decode
_decode_kind = msgspec.json.Decoder(_Kind).decode
_decode_prices = msgspec.json.Decoder(_BestPrices, strict=False).decode
_price_fields: OptionalFields[Any] = OptionalFields(_BestPrices, required=("s",))


class BinanceConversation(Conversation):
    def __init__(self) -> None:
        self._numbers = itertools.count(1)
        self._asked: dict[int, tuple[type[Acknowledged] | type[Unsubscribed], tuple[str, ...]]] = {}
        """What each request is about, by its number."""

    def subscribe(self, channels: Sequence[str]) -> Sequence[str]:
        return self._requests("SUBSCRIBE", channels, Acknowledged)

    def unsubscribe(self, channels: Sequence[str]) -> Sequence[str]:
        return self._requests("UNSUBSCRIBE", channels, Unsubscribed)

    def _requests(
        self, method: str, channels: Sequence[str], done: type[Acknowledged] | type[Unsubscribed]
    ) -> Sequence[str]:
        messages = []
        for begin in range(0, len(channels), _CHANNELS_PER_MESSAGE):
            names = tuple(channels[begin : begin + _CHANNELS_PER_MESSAGE])
            number = next(self._numbers)
            self._asked[number] = (done, names)
            messages.append(json.dumps({"method": method, "params": names, "id": number}))
        return messages

    def receive(self, frame: bytes) -> Reaction:
        try:
            read = _decode_frame(frame)
            if read.is_answer:
                return Reaction(notices=self._notices(read))
            kind = _decode_kind(bytes(read.data) or frame).name
        except UNDECODABLE:
            return Reaction()  # `decode` gets the same frame and rejects it with a reason
        if kind == _SHUTDOWN:
            return Reaction(notices=(TryLater("Binance is about to shut this server down", 0.0),))
        return Reaction(has_data=kind in _STORED)

    def _notices(self, answer: _Frame) -> tuple[Notice, ...]:
        done, names = self._asked.pop(answer.id or 0, (None, ()))
        if answer.problem is None:
            return () if done is None else (done(names),)
        if done is not Acknowledged:
            return (ProviderError(answer.problem),)
        if len(names) == 1:
            return (ChannelsFailed({names[0]: answer.problem}),)
        return (RequestRefused(answer.problem),)


class Binance(Connector):
    requires_key = False
    spare_connections = True
    channels_per_connection = 1024
    messages_per_minute = 240  # 5 in a second with pings and pongs, of which there are some 10 in a minute

    Options = BinanceOptions

    def __init__(self, *, url: str | None, api_key: str | None, options: Any = None) -> None:
        super().__init__(url=url, api_key=api_key, options=options)
        self._channels = BinanceOptions.model_validate(options or {}).channels

    @classmethod
    def live_url(cls, options: BinanceOptions) -> str:
        return "wss://stream.binance.com:9443/stream"

    def converse(self) -> BinanceConversation:
        return BinanceConversation()

    def refusal(self, answer: HandshakeAnswer) -> str | None:
        # There is no key that may be wrong: a 403 is a firewall's.
        if answer.status == _OTHER_COUNTRY:
            return "Binance does not serve the country of this machine's address (HTTP 451)"
        return None

    def channels(self, symbol: str) -> tuple[str, ...]:
        return tuple(f"{market(symbol).lower()}@{channel}" for channel in self._channels)

    def tick_channels(self, symbol: str) -> tuple[str, ...]:
        channels = self.channels(symbol)
        return tuple(channel for channel in channels if channel.rpartition("@")[2] in _TICKS) or channels

    @property
    def carries_ticks(self) -> bool:
        return not set(_TICKS).isdisjoint(self._channels)

    def symbol_of(self, symbol: str) -> str:
        return market(symbol)

    def instrument(self, symbol: str) -> Facts:
        return Facts("crypto", currency=currency(symbol))

    def history(self) -> BinanceHistory | None:
        if not self.carries_ticks:
            return None
        return BinanceHistory(url=self.url, aggregated=_AGGREGATE in self._channels)

    def decode(self, frame: bytes) -> list[Event]:
        try:
            return [_event(frame, frame)]
        except UNDECODABLE as error:
            try:
                return [_event(repaired(frame) or b"", frame)]
            except UNDECODABLE:
                return [Rejected(f"malformed frame: {error}", frame)]


def _event(readable: bytes, frame: bytes) -> Event:
    """The event of a frame, which is `readable` after it was repaired. Raises one of UNDECODABLE."""
    read = _decode_frame(readable)
    if read.is_answer:
        return Control("answer")
    data = bytes(read.data) or readable
    kind = _decode_kind(data).name
    if kind == _TRADE:
        trade, malformed = _read(data, decode_trade, trade_fields)
        return tick(trade.symbol, trade, malformed)
    if kind == _AGGREGATE:
        trade, malformed = _read(data, decode_aggregate, aggregate_fields)
        return tick(trade.symbol, trade, malformed) if trade.symbol else Rejected("trade without a symbol", frame)
    if kind == _BOOK:
        prices, malformed = _read(data, _decode_prices, _price_fields)
        return _quote(prices, malformed)
    return Control(kind) if kind else Rejected("neither an event nor an answer", frame)


def _read(data: bytes, decode: Any, fields: OptionalFields[Any]) -> tuple[Any, tuple[str, ...]]:
    """An event, and its optional fields that cannot be read. Raises one of UNDECODABLE."""
    try:
        return decode(data), ()
    except UNDECODABLE:
        return fields.decode(data)


def _quote(prices: _BestPrices, malformed: tuple[str, ...]) -> Quote:
    """An empty side has a price of zero."""
    bid, ask = prices.b or None, prices.a or None
    return Quote(
        prices.s,
        ARRIVAL,
        bid,
        prices.B if bid else None,
        ask,
        prices.A if ask else None,
        malformed=malformed or None,
    )
