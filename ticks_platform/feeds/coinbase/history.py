"""Coinbase Exchange's REST API for past trades, without an API key.

Sources: docs.cdp.coinbase.com/exchange: «Get product trades» (`GET /products/{product_id}/trades`), «Pagination»
(newest first, 1,000 at most; `after` is a trade_id, and the page has older ones) and «REST rate limits» (10 requests a
second by IP for public endpoints, 429 beyond).
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, NamedTuple
from urllib.parse import quote

import msgspec

from ticks_platform.feeds.coinbase.trades import Trade, tick
from ticks_platform.feeds.decoding import UNDECODABLE, OptionalFields
from ticks_platform.feeds.events import Event, Rejected
from ticks_platform.feeds.history import (
    Header,
    History,
    HistoryAnswer,
    HistoryRequest,
    Page,
    PermanentError,
    RateLimitedError,
    Span,
    TransientError,
    UnknownSymbolError,
    base_url,
    frames,
    is_page,
)
from ticks_platform.retry_after import retry_after
from ticks_platform.timestamps import to_nanoseconds

API = "https://api.exchange.coinbase.com"

_LIMIT = 1000
"""Trades per page; the provider's maximum."""
_PAUSE = 5.0
"""Seconds without a request after a 429 that names no time: the limit is by second."""

_TRADES, _NEWEST = "coinbase trades", "newest"


class _Place(NamedTuple):
    """Where the next page is. Trades can be asked for by number alone: a search comes first, then they are read.

    The 1,000 trades before a number include all numbers that are at most 1,000 lower, also if some were left out.
    """

    newest: int
    """The newest trade when the search began; later ones are not of the interval."""
    after: int
    """The page has the trades before this number."""
    low: int
    """All trades up to this number are before the interval, or were read."""
    high: int
    """All trades from this number on are not before the interval; 0 once they are read."""
    step: int
    """Pages of the search so far."""

    @classmethod
    def of(cls, cursor: str) -> _Place:
        return cls(*map(int, cursor.split(" ")))

    def cursor(self) -> str:
        return " ".join(map(str, self))


class _Numbered(msgspec.Struct):
    trade_id: Annotated[int, msgspec.Meta(ge=1, lt=2**62)]
    time: Annotated[datetime, msgspec.Meta(tz=True)]


class _Problem(msgspec.Struct):
    message: Any = None


class _Found(NamedTuple):
    number: int
    time: int
    """Nanoseconds since the Unix epoch."""
    raw: msgspec.Raw


_decode_page = msgspec.json.Decoder(list[msgspec.Raw]).decode
_decode_numbered = msgspec.json.Decoder(_Numbered, strict=False).decode
_decode_problem = msgspec.json.Decoder(_Problem).decode
# Not strict: price and size are strings.
_decode_trade = msgspec.json.Decoder(Trade, strict=False).decode
_optional_fields = OptionalFields(Trade, required=("price", "time"))


class CoinbaseHistory(History):
    """`/products/{product_id}/trades`: the trades themselves, with the ids that they have on the WebSocket."""

    kind = "trades"
    requests_per_minute = 300  # half of the limit, which others behind the same address share
    delay = 5.0
    margin = 10.0  # an event's time and its arrival differ by the network's delay and between two clocks
    joins_within = 60.0
    results_per_page = _LIMIT

    def __init__(self, *, url: str) -> None:
        self._base = base_url(url, API, "ws-feed.exchange.coinbase.com")

    def first(self, span: Span) -> str:
        return _NEWEST

    def request(self, span: Span, cursor: str) -> HistoryRequest:
        after = "" if cursor == _NEWEST else f"&after={_Place.of(cursor).after}"
        return HistoryRequest(f"{self._base}/products/{quote(span.symbol, safe='')}/trades?limit={_LIMIT}{after}", {})

    def page(self, span: Span, cursor: str, answer: HistoryAnswer) -> Page:
        if answer.status != 200:
            raise _error_of(answer, span.symbol)
        try:
            results = _decode_page(answer.body)
        except UNDECODABLE as error:
            raise TransientError(f"Coinbase sent an invalid response: {error}") from None
        trades, odd = _numbered(results)
        if odd and not trades:
            raise PermanentError(f"{span.symbol}: Coinbase sent trades without a trade_id or a time")
        if cursor == _NEWEST:
            if not trades:
                return Page([], 0, None)
            newest = trades[-1].number
            place = _Place(newest, newest + 1, 0, newest + 1, 0)
        else:
            place = _Place.of(cursor)
        if place.high:
            place = _search(span, place, trades)
            if place.high or not (trades and trades[0].number <= place.low + 1):
                return Page([], 0, place.cursor())
        unread = [trade for trade in trades if trade.number > place.low]
        raws = [trade.raw for trade in unread if span.begin <= trade.time < span.end] + odd
        low = place.after - 1
        is_last = low >= place.newest or any(trade.time >= span.end for trade in unread)
        return Page(
            frames(Header(_TRADES, span.symbol), raws),
            len(raws),
            None if is_last else _reading(place._replace(low=low)).cursor(),
        )

    def decode(self, header: Header, results: list[msgspec.Raw]) -> list[Event]:
        return [_event(header.symbol, bytes(result)) for result in results]


def _numbered(results: list[msgspec.Raw]) -> tuple[list[_Found], list[msgspec.Raw]]:
    """The trades in order of their numbers, and the results that have no number or no time."""
    trades, odd = [], []
    for raw in results:
        try:
            item = _decode_numbered(raw)
        except UNDECODABLE:
            odd.append(raw)
        else:
            trades.append(_Found(item.trade_id, to_nanoseconds(item.time), raw))
    return sorted(trades, key=lambda trade: trade.number), odd


def _search(span: Span, place: _Place, trades: list[_Found]) -> _Place:
    """Where to look next for the begin of the interval, or where to read from: `after` is this page's then, if it has
    the first trade that is to be read."""
    low, high = place.low, place.high
    before = [trade.number for trade in trades if trade.time < span.begin]
    if not trades or len(before) == len(trades):
        low = max(low, place.after - 1)
    else:
        low = max([low, *before])
        high = min(trade.number for trade in trades if trade.time >= span.begin)
    if high - low <= _LIMIT:
        if trades and trades[0].number <= low + 1:
            return place._replace(low=low, high=0)
        return _reading(place._replace(low=low))
    middle = (low + high) // 2
    if place.step % 3 < 2 and len(trades) > 1 and trades[-1].time > trades[0].time:
        # By the pace of this page. Every third time the middle, so that the search ends whatever the pace.
        pace = (trades[-1].number - trades[0].number) / (trades[-1].time - trades[0].time)
        guess = trades[0].number + round((span.begin - trades[0].time) * pace) + _LIMIT // 2
        middle = min(max(guess, low + 2), high - 1)
    return place._replace(after=middle, low=low, high=high, step=place.step + 1)


def _reading(place: _Place) -> _Place:
    """The page with the trades right after `low`."""
    return place._replace(after=min(place.low + 1 + _LIMIT, place.newest + 1), high=0)


def _event(symbol: str, raw: bytes) -> Event:
    """The same as the connector decodes from the WebSocket, so that a trade that came both ways is recognised."""
    try:
        return tick(symbol, _decode_trade(raw))
    except UNDECODABLE:
        try:
            return tick(symbol, *_optional_fields.decode(raw))
        except UNDECODABLE as error:
            return Rejected(f"malformed trade: {error}", raw)


def _error_of(answer: HistoryAnswer, what: str) -> Exception:
    """The error of a response; `what` was asked for."""
    try:
        message = _decode_problem(answer.body).message
    except UNDECODABLE:
        message = None
    reason = f"Coinbase answered {answer.status}: {message or 'no message'}"
    if answer.status == 429:
        seconds = retry_after(answer.headers)
        return RateLimitedError(reason, seconds=_PAUSE if seconds is None else seconds)
    if is_page(answer) or answer.status in (408, 425) or answer.status >= 500:
        return TransientError(f"{what}: {reason}")
    if answer.status == 404:
        return UnknownSymbolError(f"{what}: {reason}")
    return PermanentError(f"{what}: {reason}")
