"""The Twelve Data connector: real-time prices over ``wss://ws.twelvedata.com/v1/quotes/price``.

Sources of protocol facts: Twelve Data's WebSocket documentation (ws-overview, ws-real-time-price), the official clients
(twelvedata-python 1.4.0, twelvedata-node 1.2.7, twelvedata-go 1.0.11), and frames that users of the live service
published. Where these disagree, all variants are accepted.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from operator import methodcaller
from typing import Any

import msgspec

from ticks_platform.feeds import complaints
from ticks_platform.feeds.calendars import ALWAYS, US_STOCKS, WEEKDAYS
from ticks_platform.feeds.columns import Decoded
from ticks_platform.feeds.connector import (
    AskedSymbol,
    Connector,
    Conversation,
    Endpoint,
    HandshakeAnswer,
    Reaction,
)
from ticks_platform.feeds.decoding import UNDECODABLE
from ticks_platform.feeds.events import (
    Acknowledged,
    ChannelsFailed,
    Event,
    Notice,
    ProviderError,
    Refused,
    RequestRefused,
    Unsubscribed,
)
from ticks_platform.feeds.reference import Facts, pair
from ticks_platform.feeds.twelve_data import exchanges
from ticks_platform.feeds.twelve_data.corporate_actions import TwelveDataCorporateActions
from ticks_platform.feeds.twelve_data.events import (
    decode,
    decode_kind,
    decode_many,
    decode_many_named,
    decode_named,
)
from ticks_platform.feeds.twelve_data.history import TwelveDataHistory
from ticks_platform.feeds.twelve_data.names import Misfit, Names, Place, symbol_name
from ticks_platform.feeds.twelve_data.reference import TwelveDataReference

URL = "wss://ws.twelvedata.com/v1/quotes/price"

HEARTBEAT_INTERVAL = 10.0
"""Seconds; "every 10 seconds or so" (ws-overview). The server drops silent clients after some minutes."""


class _Item(msgspec.Struct):
    symbol: str | None = None
    exchange: str | None = None
    mic_code: str | None = None
    message: str | None = None


class _Status(msgspec.Struct):
    """A control event. On the live service, ``success`` and ``fails`` are lists, null or absent."""

    event: str | None = None
    status: str | None = None
    success: list[_Item] | None = None
    fails: list[_Item] | None = None
    messages: list[str] | None = None
    message: str | None = None
    code: int | None = None
    symbol: str | None = None

    @property
    def text(self) -> str:
        """What it says, if anything."""
        return "; ".join(self.messages or ()) or self.message or ""

    @property
    def is_error(self) -> bool:
        return (self.status or "").lower() == "error"


_decode_status = msgspec.json.Decoder(_Status, strict=False).decode
_encode = msgspec.json.Encoder().encode

_is_price = methodcaller("startswith", b'{"event":"price",')
"""Whether a frame begins as the service writes prices."""

_HAS_DATA = Reaction(has_data=True)


class TwelveDataConversation(Conversation):
    """Subscribes in one message, then sends heartbeats. The server sends no greeting."""

    heartbeat_interval = HEARTBEAT_INTERVAL

    def __init__(self) -> None:
        # Channels by bare symbol, since a response may name thousands of symbols.
        self._requested: dict[str, dict[str, None]] = {}
        self._ended: dict[str, dict[str, None]] = {}
        self._acknowledged: set[str] = set()
        self._unanswered: set[str] = set()
        self._is_accepted = False

    def subscribe(self, channels: Sequence[str]) -> Sequence[str]:
        for channel in channels:
            self._requested.setdefault(_bare(channel), {})[channel] = None
        self._unanswered.update(channels)
        return [_message("subscribe", symbols=",".join(channels))]

    def unsubscribe(self, channels: Sequence[str]) -> Sequence[str]:
        for channel in channels:
            self._requested.get(_bare(channel), {}).pop(channel, None)
            self._ended.setdefault(_bare(channel), {})[channel] = None
        self._acknowledged.difference_update(channels)
        self._unanswered.difference_update(channels)
        return [_message("unsubscribe", symbols=",".join(channels))]

    def heartbeat(self) -> str:
        return '{"action":"heartbeat"}'

    def to_read(self, frames: Sequence[bytes]) -> Iterable[int]:
        if all(map(_is_price, frames)):
            return ()
        return [place for place, frame in enumerate(frames) if not _is_price(frame)]

    def receive(self, frame: bytes) -> Reaction:
        if _is_price(frame):
            return _HAS_DATA  # as the service writes prices: the receiving thread does not parse them
        try:
            kind = decode_kind(frame)
            if kind == "price":
                return _HAS_DATA
            status = _decode_status(frame)
        except UNDECODABLE:
            return Reaction()  # the loader decodes the same frame and rejects it with a reason
        if kind == "subscribe-status":
            return Reaction(notices=self._on_subscribe_status(status))
        if kind == "unsubscribe-status" and not status.is_error:
            stopped = tuple(channel for item in status.success or () for channel in self._stopped(item))
            return Reaction(notices=(Unsubscribed(stopped),) if stopped else ())
        if status.is_error:
            return Reaction(notices=(self._on_error(status),))
        return Reaction()

    def _on_subscribe_status(self, status: _Status) -> tuple[Notice, ...]:
        notices: list[Notice] = []
        acknowledged = tuple(channel for item in status.success or () for channel in self._channels(item))
        if acknowledged:
            self._acknowledged.update(acknowledged)
            self._is_accepted = True
            notices.append(Acknowledged(acknowledged))
        reasons = {
            channel: item.message or "unknown symbol, or not in your plan"
            for item in status.fails or ()
            for channel in self._failed(item)
        }
        if reasons:
            notices.append(ChannelsFailed(reasons))
        self._unanswered.difference_update(acknowledged, reasons)
        if status.is_error and not notices:
            notices.append(self._on_error(status, of_subscription=True))
        return tuple(notices)

    def _on_error(self, status: _Status, *, of_subscription: bool = False) -> Notice:
        """An error is about the key, about a symbol that it names, about a subscription, or nothing of these."""
        message = status.text or "unspecified error"
        about = self._channels(_Item(status.symbol)) if status.symbol else self._named(status.text)
        if about:
            self._unanswered.difference_update(about)
            return ChannelsFailed(dict.fromkeys(about, message))
        if not self._is_accepted and _is_about_the_key(status.text, status.code):
            return Refused(f"Twelve Data refused the API key ({message})")
        is_limit = complaints.is_subscription_limit(message) and status.code != 429
        if self._unanswered and (is_limit or (of_subscription and not complaints.passes(message))):
            return RequestRefused(message, is_limit=is_limit)
        return ProviderError(message)

    def _named(self, message: str) -> Sequence[str]:
        """The requested channels that a text names."""
        channels = {channel: (channel,) for same in self._requested.values() for channel in same}
        known = {bare: tuple(same) for bare, same in self._requested.items()} | channels
        name = complaints.named(message, known)
        return () if name is None else known[name]

    def _channels(self, item: _Item) -> Sequence[str]:
        """The requested channels that a status item is about."""
        return _about(item, self._requested) or ((item.symbol,) if item.symbol else ())

    def _failed(self, item: _Item) -> Sequence[str]:
        """As `_channels`. An item that may be about several is not about those that stream already."""
        channels = self._channels(item)
        unanswered = tuple(channel for channel in channels if channel not in self._acknowledged)
        return unanswered or channels

    def _stopped(self, item: _Item) -> Sequence[str]:
        """The channels that an item of an unsubscribe status is about."""
        stopped = _about(item, self._ended)
        for channel in stopped:
            del self._ended[_bare(channel)][channel]
        return stopped or self._channels(item)


def _about(item: _Item, channels: Mapping[str, Mapping[str, None]]) -> tuple[str, ...]:
    """Those of the channels, by bare symbol, that a status item is about.

    It names the bare symbol in upper case, whether SYMBOL or SYMBOL:EXCHANGE was requested.
    """
    same = channels.get(_bare(item.symbol), {}) if item.symbol else {}
    if not item.symbol or len(same) < 2:
        return tuple(same)
    found = Names(AskedSymbol(channel) for channel in same).find(Place(item.symbol, item.exchange, item.mic_code, None))
    # An item that names no listing, or none that was asked for, is taken to be about each.
    return tuple(same) if isinstance(found, Misfit) else (found,)


class TwelveDataConnector(Connector):
    """Real-time prices of stocks, indices, forex and crypto. One event per frame; times are whole seconds."""

    messages_per_minute = 100  # the support's FAQ; the documentation says "up to 100 events from the client-side"

    def __init__(self, *, url: str | None, api_key: str | None, options: Mapping[str, Any] | None = None) -> None:
        super().__init__(url=url, api_key=api_key, options=options)
        self._symbols: tuple[AskedSymbol, ...] = ()
        self._names: Names | None = None

    @classmethod
    def live_url(cls, options: Any) -> str:
        return URL

    def endpoint(self) -> Endpoint:
        # The documentation also offers a header for the key: no URL contains a secret.
        headers = {"X-TD-APIKEY": self.api_key} if self.api_key else {}
        return Endpoint(self.url, headers, self.url.partition("?")[0])

    def refusal(self, answer: HandshakeAnswer) -> str | None:
        try:
            body = _decode_status(answer.body)
        except UNDECODABLE:
            body = _Status()
        # A page of a firewall, or a 403, says nothing of the key: a plan or an address is refused so, too.
        if answer.status >= 500 or answer.is_page or not _is_about_the_key(body.text, answer.status, body.code):
            return None
        return f"Twelve Data refused the API key (HTTP {answer.status}{': ' + body.text if body.text else ''})"

    def converse(self) -> TwelveDataConversation:
        return TwelveDataConversation()

    def channels(self, symbol: str) -> tuple[str, ...]:
        return (symbol_name(symbol),)

    def symbol_of(self, symbol: str) -> str:
        return symbol_name(symbol)

    def former_names(self, symbol: str) -> tuple[str, ...]:
        # Coverage was under feeds.yaml's spelling without the exchange, ticks under that of the prices.
        bare = symbol.partition(":")[0].strip()
        return tuple(name for name in dict.fromkeys((bare, bare.upper())) if name != symbol_name(symbol))

    def use_symbols(self, symbols: Sequence[AskedSymbol]) -> None:
        asked = {symbol_name(each.symbol) for each in symbols}
        # A listing that was dropped beside its bare symbol may be in frames that wait, which must not become the bare
        # one's.
        dropped = [
            each
            for each in self._symbols
            if (name := symbol_name(each.symbol)) not in asked
            and (bare := _bare(name)) in asked
            and any(symbol_name(other.symbol) == bare for other in self._symbols)
        ]
        names = Names([*symbols, *dropped])
        self._symbols = (*symbols, *dropped)
        self._names = None if names.are_plain else names

    def calendar(self, symbol: str) -> str:
        ticker, _, exchange = symbol_name(symbol).partition(":")
        base, slash, quote = ticker.partition("/")
        if slash:
            # What is no pair of currencies, nor a commodity, is taken for crypto: closed days of a market that trades
            # would hide gaps, while silence of one that is closed is told.
            if pair(base, quote).asset_class != "crypto":
                return WEEKDAYS
            return exchanges.calendar(exchange) if exchange else ALWAYS
        # A bare symbol is of the US.
        return exchanges.calendar(exchange) if exchange else "XNYS"

    def instrument(self, symbol: str) -> Facts:
        # A symbol without a slash is a stock, a fund or an index.
        base, slash, quote = symbol_name(symbol).partition(":")[0].partition("/")
        return pair(base, quote) if slash else Facts()

    def reference(self) -> TwelveDataReference:
        return TwelveDataReference(url=self.url, api_key=self.api_key)

    def hours(self, symbol: str) -> str:
        # The WebSocket sends extended hours of the exchanges of the US (support article 5195429).
        ticker, _, exchange = symbol_name(symbol).partition(":")
        is_us_stock = "/" not in ticker and (not exchange or exchanges.is_of_us(exchange))
        return US_STOCKS if is_us_stock else super().hours(symbol)

    def history(self) -> TwelveDataHistory:
        return TwelveDataHistory(url=self.url, api_key=self.api_key, names=self._names)

    def corporate_actions(self) -> TwelveDataCorporateActions:
        return TwelveDataCorporateActions(url=self.url, api_key=self.api_key)

    def decode(self, frame: bytes) -> list[Event]:
        names = self._names
        return decode(frame) if names is None else decode_named(frame, names)

    def decode_many(self, frames: Sequence[bytes]) -> Decoded | None:
        names = self._names
        return decode_many(frames) if names is None else decode_many_named(frames, names)


def _bare(symbol: str) -> str:
    return symbol.partition(":")[0].upper()


def _is_about_the_key(message: str, *codes: int | None) -> bool:
    """Whether an error is what only a wrong key gets.

    The official clients take any 401 and 403, and any text about a key, for a refused one. Their texts of limits name
    the key too ("your API key has run out of API credits"), and those of plans say "not authorized".
    """
    if 429 in codes:
        return False
    if complaints.is_wrong_key(message):
        return True
    return 401 in codes and not complaints.passes(message) and not complaints.is_about_data(message)


def _message(action: str, **params: str) -> str:
    return _encode({"action": action, "params": params}).decode()
