"""Polygon.io's (Massive's) REST API for past data: trades, or one-minute bars for feeds without trades.

Sources: the official OpenAPI description and clients (massive-com/client-python 2.9.1), the knowledge base
(how-do-i-page-through-all-the-trades), polygon-io/issues 41 (milliseconds on the WebSocket, nanoseconds here), 303
(429) and 306 (which corrections occur), NYSE's TAQ codes for `correction`, and error bodies that users published.
"""

from __future__ import annotations

import copy
from typing import Annotated, Any
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

import msgspec
from msgspec import Meta

from ticks_platform.feeds import complaints
from ticks_platform.feeds.decoding import UNDECODABLE, Finite, OptionalFields
from ticks_platform.feeds.events import Bar, Control, Correction, Event, Rejected, Tick, with_malformed
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
from ticks_platform.feeds.polygon.names import rest_ticker
from ticks_platform.feeds.polygon.trades import exchange_name, official_price, trade_id
from ticks_platform.feeds.trade_ids import NO_IDENTITY
from ticks_platform.feeds.us_stocks.conditions import packaged_rules
from ticks_platform.timestamps import MILLISECOND, MINUTE

_LIMIT = 50_000
"""Results per page; the provider's maximum."""
_DELAYED = 900.0
"""Delay of the cluster `delayed` in seconds."""

_NOTHING = msgspec.Raw()

_Time = Annotated[int, Meta(ge=0, le=2**63 - 1)]


class _Trade(msgspec.Struct, gc=False):
    """`decimal_size` is the exact size in fractions of shares. Crypto has no SIP, hence no `sip_timestamp`.

    `correction`: 1 a trade that was corrected late, with its correct data; 7 a trade that was marked erroneous later;
    8 a trade that was cancelled later; 10 and 11 the messages that cancelled or marked one; 12 the message that
    corrected one, with the incorrect data. All of them have the id of the trade.
    """

    price: Finite | None = None
    size: Finite | None = None
    decimal_size: Finite | None = None
    id: str | int | None = None
    exchange: int | None = None
    trf_id: int | None = None
    sip_timestamp: _Time | None = None
    participant_timestamp: _Time | None = None
    conditions: msgspec.Raw = _NOTHING
    tape: Any = None
    correction: int | None = None


class _Bar(msgspec.Struct, gc=False):
    t: _Time | None = None
    o: Finite | None = None
    h: Finite | None = None
    l: Finite | None = None  # noqa: E741
    c: Finite | None = None
    v: Finite | None = None
    vw: Finite | None = None


class Body(msgspec.Struct):
    """An error has its text in `message` or in `error`."""

    status: str | None = None
    results: list[msgspec.Raw] | None = None
    next_url: str | None = None
    message: str | None = None
    error: str | None = None


# Not strict: `decimal_size` is a string.
_decode_trade = msgspec.json.Decoder(_Trade, strict=False).decode
_decode_bar = msgspec.json.Decoder(_Bar, strict=False).decode
_trade_fields = OptionalFields(_Trade, required=("price", "sip_timestamp"))
_bar_fields = OptionalFields(_Bar, required=("t", "o", "h", "l", "c"))
decode_body = msgspec.json.Decoder(Body).decode

_HAS_CORRECT_DATA, _HAS_INCORRECT_DATA = 1, 12
_CANCELLED_TRADES, _CANCEL_MESSAGES = (7, 8), (10, 11)
_WITHDRAWN = (*_CANCELLED_TRADES, *_CANCEL_MESSAGES, _HAS_INCORRECT_DATA)

_RULES = packaged_rules()

_TRADES, _BARS = "polygon trades", "polygon bars"


class PolygonHistory(History):
    """`/v3/trades`, or `/v2/aggs` for forex and indices, whose ticks are not trades."""

    requests_per_minute = 5  # the free plan
    delay = 60.0
    reach_days = 730.0  # the free plan has two years
    results_per_page = _LIMIT

    def __init__(self, *, url: str, api_key: str | None, market: str, domain: str, cluster: str, kind: Kind) -> None:
        self._base = base_url(url, f"https://api.{domain}", "massive.com", "polygon.io")
        self._api_key = api_key or ""
        self._market = market
        self.lag = _DELAYED if cluster == "delayed" else 0.0
        self._of_kind(kind)

    def _of_kind(self, kind: Kind) -> None:
        self.kind = kind
        # Only trades of stocks have the field `correction`.
        self.has_corrections = kind == "trades" and self._market == "stocks"
        # An event's time and its arrival differ by the network's delay and between two clocks.
        self.margin = 10.0 if kind == "trades" else 0.0
        # A page holds minutes of trades, but days of bars.
        self.joins_within = 60.0 if kind == "trades" else 86_400.0

    def bars(self) -> PolygonHistory:
        bars = copy.copy(self)
        bars._of_kind("bars")
        return bars

    def first(self, span: Span) -> str:
        ticker = quote(rest_ticker(span.asked, self._market), safe="")
        if self.kind == "trades":
            query = {
                "timestamp.gte": span.begin,
                "timestamp.lt": span.end,
                "order": "asc",
                "sort": "timestamp",
                "limit": _LIMIT,
            }
            return f"/v3/trades/{ticker}?{urlencode(query)}"
        begin, end = span.begin // MILLISECOND, (span.end - 1) // MILLISECOND
        query = {"adjusted": "false", "sort": "asc", "limit": _LIMIT}
        return f"/v2/aggs/ticker/{ticker}/range/1/minute/{begin}/{end}?{urlencode(query)}"

    def request(self, span: Span, cursor: str) -> HistoryRequest:
        return HistoryRequest(self._base + cursor, {"Authorization": f"Bearer {self._api_key}"})

    def page(self, span: Span, cursor: str, answer: HistoryAnswer) -> Page:
        try:
            body = decode_body(answer.body)
        except UNDECODABLE as error:
            if answer.status == 200:
                raise TransientError(f"Polygon sent an invalid response: {error}") from None
            body = Body()
        if answer.status != 200:
            raise error_of(answer, body, span.symbol)
        upcoming = cursor_of(body.next_url) if body.next_url else None
        if upcoming == cursor:
            raise TransientError("Polygon named the current page as the next one")
        results = body.results or []
        header = Header(_TRADES if self.kind == "trades" else _BARS, span.symbol)
        return Page(frames(header, results), len(results), upcoming)

    def decode(self, header: Header, results: list[msgspec.Raw]) -> list[Event]:
        if header.history == _BARS:
            return [_bar(header.symbol, bytes(result)) for result in results]
        events = [event for result in results for event in trade(header.symbol, bytes(result), self._market)]
        return without_equal_data(events)


def without_equal_data(events: list[Event]) -> list[Event]:
    """The events, without corrections whose incorrect data equal the correct ones."""
    kept = {_kept(event) for event in events if isinstance(event, Correction) and event.kept_price is not None}
    return [_UNCHANGED if kept and _incorrect(event) in kept else event for event in events]


def trade(symbol: str, raw: bytes, market: str) -> list[Event]:
    """The same as `events` decodes from the WebSocket, so that a trade that came both ways is recognised; and what the
    market corrected, which the WebSocket does not tell."""
    malformed: tuple[str, ...] = ()
    try:
        item = _decode_trade(raw)
    except UNDECODABLE:
        try:
            item, malformed = _trade_fields.decode(raw)
        except UNDECODABLE as error:
            return [Rejected(f"malformed trade: {error}", raw)]
    time = item.participant_timestamp if item.sip_timestamp is None else item.sip_timestamp
    if time is None or item.price is None:
        return [Rejected("trade without a time or a price", raw)]
    # The WebSocket has whole milliseconds; the same trade needs the same time.
    at = time // MILLISECOND * MILLISECOND
    size = item.size if item.decimal_size is None else item.decimal_size
    exchange = exchange_name(item.exchange, item.trf_id)
    conditions = _RULES.read(bytes(item.conditions))
    has_rules = market == "stocks"
    if has_rules and conditions.official is not None:
        if item.correction in _WITHDRAWN:
            return [Control("withdrawn official price")]
        return [official_price(symbol, at, conditions.official, item.price, size, exchange, item.tape)]
    tick = Tick(
        symbol,
        at,
        item.price,
        None,
        size,
        None,
        None,
        exchange,
        trade_id(item.id),
        _RULES.updates(conditions, at) if has_rules else None,
        None if market == "crypto" else conditions.ids,
        (*malformed, *(conditions.malformed or ())) or None,
    )
    if item.correction in (None, 0):
        return [tick]
    generated = time if item.participant_timestamp is None else item.participant_timestamp
    return _corrected(tick, item.correction, generated // MILLISECOND * MILLISECOND, raw)


def _corrected(tick: Tick, code: int, time: int, raw: bytes) -> list[Event]:
    """The events of a trade with a correction. `time` is when its exchange generated it."""
    if tick.trade_id is None:
        return [tick] if code == _HAS_CORRECT_DATA else [Rejected("correction of a trade without an id", raw)]
    named = (tick.symbol, time, tick.exchange, tick.trade_id)
    source = f"REST correction {code}"
    # An id that says nothing would name other trades too.
    data = (tick.price, tick.size, tick.conditions or ()) if tick.trade_id in NO_IDENTITY else ()
    if code == _HAS_CORRECT_DATA:
        kept = Correction(
            *named,
            "corrected",
            source,
            kept_price=tick.price,
            kept_size=tick.size,
            kept_conditions=tick.conditions or (),
        )
        return [kept, tick]
    if code == _HAS_INCORRECT_DATA:
        return [Correction(*named, "corrected", source, tick.price, tick.size, tick.conditions or ())]
    if code in _CANCELLED_TRADES:
        return [tick, Correction(*named, "cancelled", source, *data)]
    if code in _CANCEL_MESSAGES:
        return [Correction(*named, "cancelled", source, *data)]
    return [Rejected(f"trade with unknown correction {code}", raw)]


_UNCHANGED = Control("correction of nothing that is stored")
"""In place of incorrect data that equal the correct ones: they would take the correct trade back."""


def _kept(event: Correction) -> tuple[object, ...]:
    """A corrected trade, with its correct data."""
    conditions = frozenset(event.kept_conditions or ())
    return event.symbol, event.exchange, event.trade_id, event.kept_price, event.kept_size, conditions


def _incorrect(event: Event) -> tuple[object, ...] | None:
    """A corrected trade, with its incorrect data; None of any other event."""
    if not isinstance(event, Correction) or event.price is None:
        return None
    conditions = frozenset(event.conditions or ())
    return event.symbol, event.exchange, event.trade_id, event.price, event.size, conditions


def _bar(symbol: str, raw: bytes) -> Event:
    malformed: tuple[str, ...] = ()
    try:
        item = _decode_bar(raw)
    except UNDECODABLE:
        try:
            item, malformed = _bar_fields.decode(raw)
        except UNDECODABLE as error:
            return Rejected(f"malformed bar: {error}", raw)
    if item.t is None:
        return Rejected("bar without a time", raw)
    begin = item.t * MILLISECOND
    bar = Bar(symbol, begin, begin + MINUTE, item.o, item.h, item.l, item.c, item.v, item.vw)
    return with_malformed(bar, malformed)


def cursor_of(next_url: str) -> str:
    """Path and query of the next page, without the host: the key must not be sent to another one."""
    parts = urlsplit(next_url)
    query = urlencode([(name, value) for name, value in parse_qsl(parts.query) if name.lower() != "apikey"])
    return f"{parts.path}?{query}"


def error_of(answer: HistoryAnswer, body: Body, what: str) -> Exception:
    """The error of a response; `what` was asked for."""
    reason = f"Polygon answered {answer.status}: {body.message or body.error or body.status or 'no message'}"
    lower = reason.lower()
    if answer.status == 429:
        return RateLimitedError(reason, seconds=retry_after(answer))
    if is_page(answer):
        return TransientError(f"{what}: {reason} (a page, which is not of Polygon's API)")
    if answer.status in (401, 403):
        if "timeframe" in lower:
            # Plans without real time have data after minutes, the free plan after a day.
            return NotYetAvailableError(reason)
        about_data = "not_authorized" in lower or complaints.is_about_data(body.message or body.error or "")
        if answer.status == 403 or about_data:
            return NotEntitledError(f"{what}: {reason}")
        return KeyRefusedError(reason)
    if answer.status == 404:
        return UnknownSymbolError(f"{what}: {reason}")
    if answer.status in (408, 413, 425, 499) or answer.status >= 500:
        return TransientError(reason)
    return PermanentError(f"{what}: {reason}")
