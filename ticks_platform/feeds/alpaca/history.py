"""Alpaca's REST API for past data: trades, or bars of a minute for feeds without trades.

Sources: docs.alpaca.markets, «Historical Stock Data» and the OpenAPI description of `/v2/stocks/{symbol}/trades` and
`/bars` (`start` and `end` are in the page, 10,000 at most, `next_page_token`; `u`: `canceled`, `incorrect` for a trade
that was corrected, `corrected` for the one in its place; 200 requests a minute in the plan Basic, `feed`), «Market Data
FAQ» (403 for a wrong key, and for the last 15 minutes of SIP without its plan); a page with cancelled trades in
alpacahq/alpaca-trade-api-go.
Doubt: whether a corrected trade keeps the number of the incorrect one: both are read. What the API answers to an
unknown symbol: no results, or 400 or 422 with words about the symbol.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import quote, urlencode

import msgspec

from ticks_platform.feeds import complaints
from ticks_platform.feeds.alpaca.times import nanoseconds, written
from ticks_platform.feeds.alpaca.trades import Trade, Window, bar, trade
from ticks_platform.feeds.decoding import UNDECODABLE, OptionalFields
from ticks_platform.feeds.events import Control, Correction, Event, OfficialPrice, Rejected, Tick
from ticks_platform.feeds.history import (
    Header,
    History,
    HistoryAnswer,
    HistoryRequest,
    KeyRefusedError,
    Kind,
    NotEntitledError,
    NotYetAvailableError,
    Page,
    PermanentError,
    RateLimitedError,
    Span,
    TransientError,
    UnknownSymbolError,
    base_url,
    frames,
    is_page,
    retry_after,
)

API = "https://data.alpaca.markets"

_LIMIT = 10_000
"""Results per page; the provider's maximum."""
_DELAYED = 900.0
"""Seconds of the feed `delayed_sip`, and of a plan without the last 15 minutes of SIP."""
_TRADES, _BARS = "alpaca trades", "alpaca bars"
_FIRST = "-"
"""The cursor of the first page, which has no token."""


class _Body(msgspec.Struct):
    trades: msgspec.Raw = msgspec.Raw()
    bars: msgspec.Raw = msgspec.Raw()
    next_page_token: str | None = None
    message: Any = None


_decode_body = msgspec.json.Decoder(_Body).decode
_decode_results = msgspec.json.Decoder(list[msgspec.Raw] | dict[str, list[msgspec.Raw]] | None).decode
# Not strict: numbers may be texts.
_decode_trade = msgspec.json.Decoder(Trade, strict=False).decode
_decode_bar = msgspec.json.Decoder(Window, strict=False).decode
_trade_fields = OptionalFields(Trade, required=("t", "p"))
_bar_fields = OptionalFields(Window, required=("t", "o", "h", "l", "c"))


class AlpacaHistory(History):
    """`/v2/stocks/{symbol}/trades`, or `/bars` for feeds of bars alone."""

    requests_per_minute = 200  # the plan Basic
    results_per_page = _LIMIT

    def __init__(self, *, url: str, credentials: tuple[str, str], feed: str, kind: Kind) -> None:
        self._base = base_url(url, API, "alpaca.markets")
        self._credentials = credentials
        self._feed = "sip" if feed == "delayed_sip" else feed
        self.lag = _DELAYED if feed == "delayed_sip" else 0.0
        self.kind = kind
        self.has_corrections = kind == "trades"
        # An event's time and its arrival differ by the network's delay and between two clocks.
        self.margin = 10.0 if kind == "trades" else 0.0
        # A page holds minutes of trades, but days of bars.
        self.joins_within = 60.0 if kind == "trades" else 86_400.0

    def bars(self) -> AlpacaHistory | None:
        # Alpaca leaves other conditions out of its bars than the SIPs' rules do (forum.alpaca.markets, 18440), so a
        # true-up by them would find differences where nothing is missing. With `true_up: trades`, there is one.
        return self if self.kind == "bars" else None

    def first(self, span: Span) -> str:
        return _FIRST

    def request(self, span: Span, cursor: str) -> HistoryRequest:
        query = {"start": written(span.begin), "end": written(span.end - 1), "feed": self._feed}
        query |= {"limit": str(_LIMIT), "sort": "asc"}
        if self.kind == "bars":
            query |= {"timeframe": "1Min", "adjustment": "raw"}
        if cursor != _FIRST:
            query["page_token"] = cursor
        key_id, secret = self._credentials
        url = f"{self._base}/v2/stocks/{quote(span.symbol, safe='')}/{self.kind}?{urlencode(query)}"
        return HistoryRequest(url, {"APCA-API-KEY-ID": key_id, "APCA-API-SECRET-KEY": secret})

    def page(self, span: Span, cursor: str, answer: HistoryAnswer) -> Page:
        try:
            body = _decode_body(answer.body)
            results = _of_symbol(body.trades if self.kind == "trades" else body.bars, span.symbol)
        except UNDECODABLE as error:
            if answer.status == 200:
                raise TransientError(f"{span.symbol}: Alpaca sent an invalid response: {error}") from None
            body, results = _Body(), []
        if answer.status != 200:
            raise _error_of(answer, body, span.symbol)
        if body.next_page_token == cursor:
            raise TransientError(f"{span.symbol}: Alpaca named the current page as the next one")
        kept = [raw for raw in results if _is_within(span, raw)]
        header = Header(_TRADES if self.kind == "trades" else _BARS, span.symbol)
        return Page(frames(header, kept), len(kept), body.next_page_token or None)

    def decode(self, header: Header, results: list[msgspec.Raw]) -> list[Event]:
        if header.history == _BARS:
            return [_bar(header.symbol, bytes(result)) for result in results]
        found = [_trade(header.symbol, bytes(result)) for result in results]
        correct = {_data(event) for is_correct, events in found if is_correct for event in events}
        return [
            _UNCHANGED if correct and isinstance(event, Correction) and _data(event) in correct else event
            for _, events in found
            for event in events
        ]


class _Time(msgspec.Struct):
    t: str


_decode_time = msgspec.json.Decoder(_Time).decode


def _is_within(span: Span, raw: msgspec.Raw) -> bool:
    """Whether a result is of the span; `decode` rejects one without a time."""
    try:
        return span.begin <= nanoseconds(_decode_time(raw).t) < span.end
    except (*UNDECODABLE, ValueError):
        return True


def _of_symbol(raw: msgspec.Raw, symbol: str) -> list[msgspec.Raw]:
    """The results, which the endpoint for several symbols has by symbol. Raises one of UNDECODABLE."""
    if not bytes(raw):
        return []
    results = _decode_results(raw)
    if isinstance(results, dict):
        results = results.get(symbol)
    return results or []


_UNCHANGED = Control("correction of nothing that is stored")
"""In place of an incorrect trade that equals the correct one: it would take that back."""


def _data(event: Event) -> tuple[object, ...] | None:
    """What a correction names, or a trade has; None of any other event."""
    if not isinstance(event, Tick | Correction):
        return None
    return event.exchange, event.trade_id, event.price, event.size, frozenset(event.conditions or ())


def _trade(symbol: str, raw: bytes) -> tuple[bool, list[Event]]:
    """Whether it is in place of an incorrect one; and the same events as the connector decodes from the WebSocket, so
    that a trade that came both ways is recognised."""
    malformed: tuple[str, ...] = ()
    try:
        try:
            item = _decode_trade(raw)
        except UNDECODABLE:
            item, malformed = _trade_fields.decode(raw)
        found = trade(symbol, item, malformed)
    except (*UNDECODABLE, ValueError) as error:
        return False, [Rejected(f"malformed trade: {error}", raw)]
    if item.u in (None, "", "corrected"):
        return item.u == "corrected", [found]
    if item.u not in ("canceled", "incorrect"):
        return False, [Rejected(f"trade with unknown update {item.u!r}", raw)]
    if isinstance(found, OfficialPrice):
        return False, [Control("withdrawn official price")]
    if found.trade_id is None:
        return False, [Rejected("correction of a trade without an id", raw)]
    named = (symbol, found.time, found.exchange, found.trade_id)
    if item.u == "canceled":
        return False, [found, Correction(*named, "cancelled", "REST canceled", found.price, found.size)]
    data = (found.price, found.size, found.conditions or ())
    return False, [found, Correction(*named, "corrected", "REST incorrect", *data)]


def _bar(symbol: str, raw: bytes) -> Event:
    malformed: tuple[str, ...] = ()
    try:
        try:
            item = _decode_bar(raw)
        except UNDECODABLE:
            item, malformed = _bar_fields.decode(raw)
        return bar(symbol, item, malformed)
    except (*UNDECODABLE, ValueError) as error:
        return Rejected(f"malformed bar: {error}", raw)


def _error_of(answer: HistoryAnswer, body: _Body, symbol: str) -> Exception:
    message = str(body.message or "no message").strip()
    reason = f"Alpaca answered {answer.status}: {message}"
    words = message.lower()
    if answer.status == 429:
        return RateLimitedError(reason, seconds=retry_after(answer))
    if is_page(answer):
        return TransientError(f"{symbol}: {reason} (a page, which is not of Alpaca's API)")
    if answer.status == 403 and "recent" in words:
        # Without the plan for real-time SIP, its last 15 minutes are missing.
        return NotYetAvailableError(reason)
    if answer.status in (401, 403):
        if complaints.is_about_data(message):
            return NotEntitledError(f"{symbol}: {reason}")
        return KeyRefusedError(reason)
    if answer.status == 404 or (answer.status in (400, 422) and "symbol" in words):
        return UnknownSymbolError(f"{symbol}: {reason}")
    if answer.status in (408, 425) or answer.status >= 500:
        return TransientError(f"{symbol}: {reason}")
    return PermanentError(f"{symbol}: {reason}")
