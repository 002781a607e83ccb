"""The server's side of Twelve Data's WebSocket protocol: messages in, frames out.

Sources of the facts: Twelve Data docs (ws-overview, ws-real-time-price); the official clients (twelvedata-python 1.4.0,
twelvedata-go 1.0.11, twelvedata-node 1.2.7); frames captured from the live service (twelvedata-python issues 61, 62,
70, 71 and 77, soulgarden/twelvedata, borgoat/ex_twelve_data). Where docs and live frames differ, a setting decides.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Iterable, Sequence
from typing import Any

import msgspec

from ticks_standin.market.instruments import Instrument, Kind
from ticks_standin.market.listings import Listings
from ticks_standin.provider.session import Disconnect, Reply, Victim
from ticks_standin.settings import BadKeyMode, StandInSettings
from ticks_standin.twelve_data.events import PROVIDER, PriceSource, PriceSources, market_told

PATH = "/v1/quotes/price"
KEY_PARAMETER = "apikey"
KEY_HEADER = "X-TD-APIKEY"

_CANT_PARSE = {"status": "error", "messages": ["Cant parse message"]}

KINDS = {
    "stock": Kind.STOCK,
    "common stock": Kind.STOCK,
    "preferred stock": Kind.PREFERRED,
    "etf": Kind.ETF,
    "forex": Kind.CURRENCY,
    "physical currency": Kind.CURRENCY,
    "digital currency": Kind.CRYPTO,
    "index": Kind.INDEX,
    "commodity": Kind.COMMODITY,
}


class _SymbolObject(msgspec.Struct):
    symbol: str
    exchange: str | None = None
    mic_code: str | None = None
    type: str | None = None


class _Params(msgspec.Struct):
    symbols: str | list[str | _SymbolObject]


class _Action(msgspec.Struct):
    action: str
    params: _Params | None = None


_encoder = msgspec.json.Encoder()
_actions = msgspec.json.Decoder(_Action)


def refusal(mode: BadKeyMode) -> tuple[int, bytes]:
    """HTTP status and JSON body that refuse the upgrade of a wrong key.

    The official Node and Go clients note that the status varies: an error body with 200 at times, 401 or 403 at others;
    400 was reported too (twelvedata-python issue 19). The text is that of the REST API.
    """
    status = 200 if mode == "200+body" else int(mode)
    message = "**apikey** parameter is incorrect or not specified."
    return status, _encoder.encode({"code": 401, "message": message, "status": "error"})


class TwelveDataSession:
    """One client's session: its subscriptions, and the answer to each of its messages.

    ``subscribed`` holds the instruments in the order in which they were subscribed.
    """

    provider = PROVIDER
    login_timeout_s = None

    def __init__(
        self,
        settings: StandInSettings,
        listings: Listings,
        key: str = "",
        sources: PriceSources | None = None,
    ) -> None:
        """``sources`` are shared by all sessions: an instrument of two sessions ticks once."""
        self.key = key
        self.account: Hashable = (PROVIDER, key)
        self.idle_timeout_s = settings.idle_timeout_s
        self.subscribed: dict[Instrument, None] = {}
        self._sources = sources or PriceSources(settings, listings)
        self._settings = settings
        self._listings = listings
        self._received_at: deque[float] = deque()

    def greeting(self) -> Sequence[bytes]:
        """None: the server sends nothing before the client does."""
        return ()

    def overdue(self) -> Reply | None:
        """None: the key came with the connection."""
        return None

    def subscriptions(self) -> list[str]:
        """Symbols, with the exchange of a listing that the bare symbol does not mean."""
        return [instrument.name for instrument in self.subscribed]

    def symbols(self) -> Iterable[str]:
        """Symbols, with their exchange and without."""
        return (name for instrument in self.subscribed for name in (instrument.symbol, instrument.listing))

    def is_subscribed_to(self, topic: Hashable) -> bool:
        """The topic is the instrument itself: its symbol may be listed on several exchanges."""
        return topic in self.subscribed

    def has_channel(self, market: str, channel: str) -> bool:
        """Never: these are Polygon's."""
        return False

    def sources(self) -> Iterable[PriceSource]:
        """One per subscribed instrument."""
        for instrument in self.subscribed:
            yield self._sources.of(instrument)

    def batches(self, count: int) -> Sequence[int]:
        """One event is one frame."""
        return (1,) * count

    def wrap(self, payloads: Sequence[bytes]) -> bytes:
        """The event as it is."""
        (payload,) = payloads
        return payload

    def limit_victim(self) -> Victim:
        """One connection too many closes the previous ones (docs, ws-overview)."""
        return "old"

    def evicted(self) -> Disconnect:
        """No frame: users see a drop without a close frame (twelvedata-python issues 76 and 85)."""
        return Disconnect((), None)

    def too_slow(self) -> Disconnect:
        """No frame; the provider documents nothing."""
        return Disconnect((), None)

    def receive(self, message: str | bytes, now: float) -> Reply:
        """One frame answers a client's message; ``now`` is in seconds of a monotonic clock."""
        return Reply([self._answer(message, now)])

    def _answer(self, message: str | bytes, now: float) -> bytes:
        if not self._within_limit(now):
            return _encoder.encode(
                {"status": "error", "code": 429, "message": "You have sent too many events. Wait for the next minute."}
            )
        try:
            action = _actions.decode(message)
        except msgspec.DecodeError:
            return _status("subscribe", _CANT_PARSE)
        if action.action == "heartbeat":
            return _encoder.encode({"event": "heartbeat", "status": "ok"})
        if action.action == "reset":
            self.subscribed.clear()
            return _status("reset", {"status": "ok"})
        asked = _asked_for(action.params)
        if action.action == "subscribe" and asked:
            return self._subscribe(asked)
        if action.action == "unsubscribe" and asked:
            return self._unsubscribe(asked)
        return _status("subscribe", _CANT_PARSE)

    def _within_limit(self, now: float) -> bool:
        # Twelve Data allows 100 events a minute. What it answers to one more is not documented: an error is assumed.
        while self._received_at and now - self._received_at[0] >= 60.0:
            self._received_at.popleft()
        if len(self._received_at) >= self._settings.events_per_minute:
            return False
        self._received_at.append(now)
        return True

    def _find(self, asked: _SymbolObject) -> Instrument | None:
        kind = None
        if asked.type is not None:
            kind = KINDS.get(asked.type.lower())
            if kind is None:
                return None
        return self._listings.find(asked.symbol, exchange=asked.exchange, mic_code=asked.mic_code, kind=kind)

    def _subscribe(self, asked: list[_SymbolObject]) -> bytes:
        success: list[dict[str, str]] = []
        fails: list[dict[str, str]] = []
        for item in asked:
            instrument = self._find(item)
            if instrument is None:
                fails.append({"symbol": item.symbol})
            elif instrument.mic_code in self._settings.unauthorized_mics:
                message = f"You are not authorized to access {instrument.mic_code} data."
                fails.append({"symbol": item.symbol, "message": message})
            else:
                self.subscribed[instrument] = None
                success.append(self._status_item(instrument))
        return self._outcome("subscribe", success, fails)

    def _unsubscribe(self, asked: list[_SymbolObject]) -> bytes:
        success: list[dict[str, str]] = []
        fails: list[dict[str, str]] = []
        for item in asked:
            instrument = self._find(item)
            if instrument is None or instrument not in self.subscribed:
                fails.append({"symbol": item.symbol})
            else:
                del self.subscribed[instrument]
                success.append(self._status_item(instrument))
        return self._outcome("unsubscribe", success, fails)

    def _outcome(self, action: str, success: list[dict[str, str]], fails: list[dict[str, str]]) -> bytes:
        status = "ok" if not fails else "warning" if success else "error"
        empty: list[Any] | None = None if self._settings.fails_null else []
        return _status(action, {"status": status, "success": success or empty, "fails": fails or empty})

    def _status_item(self, instrument: Instrument) -> dict[str, str]:
        symbol, kind = instrument.symbol, instrument.kind
        told = market_told(instrument, self._listings, self._settings, status=True)
        exchange = told.exchange or ""
        if self._settings.status_style == "documented":
            exchange = "FOREX" if kind is Kind.CURRENCY else exchange
            return {"symbol": symbol, "exchange": exchange, "country": instrument.country, "type": kind.value}
        upper_snake = kind.name if kind is Kind.INDEX else kind.value.upper().replace(" ", "_")
        if kind is Kind.INDEX:
            return {"symbol": symbol, "type": upper_snake}
        if kind is Kind.CURRENCY:
            return {"symbol": symbol, "exchange": "PHYSICAL CURRENCY", "type": upper_snake}
        if kind is Kind.CRYPTO:
            return {"symbol": symbol, "exchange": exchange, "type": upper_snake}
        item = {"symbol": symbol}
        if told.exchange is not None:
            item["exchange"] = told.exchange
        if told.mic_code is not None:
            item["mic_code"] = told.mic_code
        return {**item, "country": instrument.country, "type": kind.value}


def _status(action: str, body: dict[str, Any]) -> bytes:
    return _encoder.encode({"event": f"{action}-status", **body})


def _asked_for(params: _Params | None) -> list[_SymbolObject]:
    """The symbols of an action in order: a comma list, or an array of strings and objects (Go client)."""
    if params is None:
        return []
    given = params.symbols.split(",") if isinstance(params.symbols, str) else params.symbols
    asked = []
    for item in given:
        if isinstance(item, _SymbolObject):
            asked.append(item)
        elif name := item.strip():
            # SYMBOL:EXCHANGE is accepted, SYMBOL:MIC is not (twelvedata-python issue 61).
            symbol, _, exchange = name.partition(":")
            asked.append(_SymbolObject(symbol, exchange or None))
    return asked
