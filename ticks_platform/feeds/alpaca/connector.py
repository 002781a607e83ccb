"""Alpaca's stream of US stocks: ``wss://stream.data.alpaca.markets/v2/iex``.

Sources: docs.alpaca.markets: «WebSocket Stream» (messages, errors 400 to 410 and 500, one connection in most plans,
the whole list of subscriptions as the answer to each change) and «Real-time Stock Data» (channels and their fields,
corrections and cancels with `trades`, codes of statuses); the official clients (alpacahq/alpaca-py, and
alpaca-trade-api-go, which also knows 411) and frames that clients published, of SIP in October 2026 among them.
Doubt: whether an unknown symbol is refused; the documentation has 400 for a symbol of invalid format only, and what is
confirmed and stays silent counts as silent here. Whether feeds without statuses refuse them (410), or the plan (409).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from typing import Any, Literal, NamedTuple

import msgspec
from pydantic import BaseModel, ConfigDict, field_validator

from ticks_platform.feeds.alpaca import events as alpaca_events
from ticks_platform.feeds.alpaca.history import AlpacaHistory
from ticks_platform.feeds.calendars import ALWAYS, US_STOCKS
from ticks_platform.feeds.connector import Connector, Conversation, HandshakeAnswer, Reaction
from ticks_platform.feeds.decoding import UNDECODABLE
from ticks_platform.feeds.events import (
    Acknowledged,
    Authenticated,
    Event,
    Notice,
    ProviderError,
    Refused,
    RequestRefused,
    TryLater,
    Unsubscribed,
)
from ticks_platform.feeds.reference import Facts

CONNECTION_LIMIT_PAUSE = 60.0
"""Seconds to wait while another connection has the plan's only place: two clients would refuse each other in a loop."""
AUTH_TIMEOUT_PAUSE = 5.0
"""Seconds to wait after the provider did not receive the key in time."""

_CHANNELS = ("trades", "quotes", "bars", "updatedBars", "statuses")
_IEX_HOURS = "08:00-17:00"
"""When IEX trades, in New York: iextrading.com, «Trading Hours»."""
_TEST_SYMBOL = "FAKEPACA"
_SYMBOLS_PER_MESSAGE = 1000


class AlpacaOptions(BaseModel):
    """The `options` of a feed."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    feed: Literal["iex", "sip", "delayed_sip", "test"] = "iex"
    """`sip` for all exchanges, `delayed_sip` for the same 15 minutes late, `iex` for the exchange IEX alone, which each
    plan has; `test` for the symbol FAKEPACA, which is always traded."""
    channels: tuple[Literal["trades", "quotes", "bars", "updatedBars", "statuses"], ...] = ("trades",)
    """Trades come with their corrections and cancels; bars are of a minute, and `updatedBars` are those that a late
    trade changed; statuses are halts."""

    @field_validator("channels")
    @classmethod
    def _some(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not value:
            raise ValueError(f"must name a channel: {', '.join(_CHANNELS)}")
        return value


class _Credentials(NamedTuple):
    key_id: str
    secret: str

    @classmethod
    def of(cls, api_key: str | None) -> _Credentials:
        key_id, _, secret = (api_key or "").strip().partition(":")
        return cls(key_id.strip(), secret.strip())


class _Control(msgspec.Struct):
    # Any: a message with an unexpected type must not hide another one in the same frame.
    T: Any = None
    msg: Any = None
    code: Any = None
    trades: Any = None
    quotes: Any = None
    bars: Any = None
    updatedBars: Any = None  # noqa: N815
    statuses: Any = None


_decode = msgspec.json.Decoder(list[_Control]).decode


class AlpacaConversation(Conversation):
    """Authenticates, then subscribes. Each answer lists all that is subscribed to."""

    authenticates = True

    def __init__(self, credentials: _Credentials) -> None:
        self._credentials = credentials
        self._leaving: set[str] = set()

    def opening(self) -> Sequence[str]:
        return [json.dumps({"action": "auth", "key": self._credentials.key_id, "secret": self._credentials.secret})]

    def subscribe(self, channels: Sequence[str]) -> Sequence[str]:
        self._leaving.difference_update(channels)
        return _messages("subscribe", channels)

    def unsubscribe(self, channels: Sequence[str]) -> Sequence[str]:
        self._leaving.update(channels)
        return _messages("unsubscribe", channels)

    def receive(self, frame: bytes) -> Reaction:
        try:
            messages = _decode(frame)
        except UNDECODABLE:
            return Reaction()  # `decode` gets the same frame and rejects it with a reason
        notices = tuple(notice for message in messages for notice in self._notices(message))
        has_data = any(_is_text(message.T) and message.T in alpaca_events.STORED for message in messages)
        return Reaction(has_data=has_data, notices=notices)

    def _notices(self, message: _Control) -> Iterable[Notice]:
        if message.T == "success":
            return (Authenticated(),) if message.msg == "authenticated" else ()
        if message.T == "subscription":
            return self._subscribed(message)
        if message.T == "error":
            return (self._trouble(message.code, str(message.msg or "no message")),)
        return ()

    def _subscribed(self, message: _Control) -> Iterable[Notice]:
        lists = {channel: getattr(message, channel) for channel in _CHANNELS}
        names = [
            f"{channel}.{symbol}"
            for channel, listed in lists.items()
            if isinstance(listed, list)
            for symbol in listed
            if _is_text(symbol)
        ]
        left = self._leaving.difference(names)
        self._leaving -= left
        if names:
            yield Acknowledged(tuple(name for name in names if name not in self._leaving))
        if left:
            yield Unsubscribed(tuple(sorted(left)))

    def _trouble(self, code: object, told: str) -> Notice:
        reason = f"Alpaca says {told} ({code})"
        if code == 402:
            if not self._credentials.secret:
                reason += "; the key has to be the key's id and its secret, with a colon between them"
            return Refused(reason)
        if code in (409, 411):
            return Refused(f"{reason}: this plan does not include the feed; choose another one in `options.feed`")
        if code == 404:
            return TryLater(reason, AUTH_TIMEOUT_PAUSE)
        if code == 406:
            return TryLater(
                f"{reason}: most plans allow one connection to a feed; close the other one", CONNECTION_LIMIT_PAUSE
            )
        if code in (400, 405, 410):
            return RequestRefused(reason, is_limit=code == 405)
        return ProviderError(reason)


class Alpaca(Connector):
    """Trades, quotes, bars and halts of US stocks; a frame holds many messages."""

    Options = AlpacaOptions

    def __init__(self, *, url: str | None, api_key: str | None, options: Any = None) -> None:
        super().__init__(url=url, api_key=api_key, options=options)
        self._options = AlpacaOptions.model_validate(options or {})

    @classmethod
    def live_url(cls, options: AlpacaOptions) -> str:
        return f"wss://stream.data.alpaca.markets/v2/{options.feed}"

    def converse(self) -> AlpacaConversation:
        return AlpacaConversation(_Credentials.of(self.api_key))

    def refusal(self, answer: HandshakeAnswer) -> str | None:
        # The key comes after the handshake: a 403 is a firewall's, or about this machine's address.
        return None if answer.status == 403 else super().refusal(answer)

    def decode(self, frame: bytes) -> list[Event]:
        return alpaca_events.decode(frame)

    def channels(self, symbol: str) -> tuple[str, ...]:
        return tuple(f"{channel}.{self.symbol_of(symbol)}" for channel in self._options.channels)

    def tick_channels(self, symbol: str) -> tuple[str, ...]:
        channels = self.channels(symbol)
        return tuple(channel for channel in channels if channel.startswith("trades.")) or channels

    @property
    def has_trade_rules(self) -> bool:
        return True

    @property
    def carries_ticks(self) -> bool:
        return "trades" in self._options.channels

    def many_names(self, symbol: str) -> re.Pattern[str] | None:
        return re.compile(r"[A-Z][A-Z0-9./-]*") if symbol == "*" else None

    def symbol_of(self, symbol: str) -> str:
        return symbol.upper()

    def calendar(self, symbol: str) -> str:
        return ALWAYS if self._options.feed == "test" else "XNYS"

    def hours(self, symbol: str) -> str:
        feed = self._options.feed
        return super().hours(symbol) if feed == "test" else _IEX_HOURS if feed == "iex" else US_STOCKS

    def instrument(self, symbol: str) -> Facts:
        return Facts() if self.symbol_of(symbol) == _TEST_SYMBOL else Facts("stock", currency="USD")

    def history(self) -> AlpacaHistory | None:
        channels = self._options.channels
        if self._options.feed == "test" or {"quotes", "statuses"}.issuperset(channels):
            return None
        return AlpacaHistory(
            url=self.url,
            credentials=_Credentials.of(self.api_key),
            feed=self._options.feed,
            kind="trades" if "trades" in channels else "bars",
        )


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _messages(action: str, channels: Sequence[str]) -> list[str]:
    messages = []
    for begin in range(0, len(channels), _SYMBOLS_PER_MESSAGE):
        lists: dict[str, list[str]] = {}
        for name in channels[begin : begin + _SYMBOLS_PER_MESSAGE]:
            channel, _, symbol = name.partition(".")
            lists.setdefault(channel, []).append(symbol)
        messages.append(json.dumps({"action": action, **lists}))
    return messages
