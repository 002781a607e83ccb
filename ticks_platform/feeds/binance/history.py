"""Binance's REST API for past trades, without an API key.

Sources: binance/binance-spot-api-docs: rest-api.md («Old trade lookup»: `fromId`, 1,000 at most, oldest first, a
weight of 25; «Compressed/Aggregate trades list»: `fromId` and `startTime` are in the page, a weight of 4; «IP Limits»:
429, and 418 after more requests than that, both with `Retry-After`; 403 is a firewall), enums.md (a weight of 6,000 a
minute) and errors.md; binance/binance-public-data issue 376 (old trades are not there any more).
Trades can be asked for by number alone: an aggregated trade of the interval's begin names the first one.
Doubt: up to when trades go back: a gap that begins with trades which are not there any more is unrepairable. Whether
the times of the trades of one order may differ: the search begins a second early, so that it does not matter.
"""

from __future__ import annotations

import contextlib
from typing import Any, NamedTuple
from urllib.parse import urlencode, urlsplit

import msgspec

from ticks_platform.feeds.binance.trades import (
    AggregateTrade,
    PastTrade,
    decode_aggregate,
    decode_past,
    nanoseconds,
    past_aggregate_fields,
    past_fields,
    tick,
)
from ticks_platform.feeds.decoding import UNDECODABLE
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
    retry_after,
)
from ticks_platform.timestamps import MILLISECOND, SECOND

API = "https://api.binance.com"

_LIMIT = 1000
"""Trades per page; the provider's maximum."""
_TRADES, _AGGREGATES = "binance trades", "binance aggTrades"
_FIND, _BEGIN, _NEXT = "find", "begin", "next"
_UNKNOWN_SYMBOL, _TOO_MANY = -1121, (-1003, -1015)
_PASSES = (-1000, -1001, -1006, -1007, -1008, -1016)
"""Errors of the server itself."""


class _Place(NamedTuple):
    """Where a page begins: at a trade's number, or, to find the first one, nowhere yet."""

    step: str
    number: int = 0

    @classmethod
    def of(cls, cursor: str) -> _Place:
        step, _, number = cursor.partition(" ")
        return cls(step, int(number or 0))

    def cursor(self) -> str:
        return f"{self.step} {self.number}"


class _Problem(msgspec.Struct):
    code: int | None = None
    msg: str = ""


_decode_results = msgspec.json.Decoder(list[msgspec.Raw]).decode
_decode_problem = msgspec.json.Decoder(_Problem).decode


class BinanceHistory(History):
    """`/api/v3/historicalTrades`, or `/api/v3/aggTrades` for a feed of these, with the numbers of the WebSocket."""

    kind = "trades"
    requests_per_minute = 120  # half of the limit, which others behind the same address share
    delay = 5.0
    margin = 10.0  # an event's time and its arrival differ by the network's delay and between two clocks
    joins_within = 60.0
    results_per_page = _LIMIT

    def __init__(self, *, url: str, aggregated: bool) -> None:
        self._base = base_url(url, API, "binance.com", "binance.vision")
        self._aggregated = aggregated
        # Times have to be those of the WebSocket.
        in_microseconds = "timeunit=microsecond" in urlsplit(url).query.lower()
        self._headers = {"X-MBX-TIME-UNIT": "MICROSECOND"} if in_microseconds else {}

    def first(self, span: Span) -> str:
        return _Place(_FIND).cursor()

    def request(self, span: Span, cursor: str) -> HistoryRequest:
        place = _Place.of(cursor)
        query: dict[str, Any] = {"symbol": span.symbol}
        path = "aggTrades" if self._aggregated or place.step == _FIND else "historicalTrades"
        if place.step == _FIND:
            early = 0 if self._aggregated else SECOND
            query |= {"startTime": (span.begin - early) // MILLISECOND, "limit": _LIMIT if self._aggregated else 1}
        else:
            query |= {"fromId": place.number, "limit": _LIMIT}
        return HistoryRequest(f"{self._base}/api/v3/{path}?{urlencode(query)}", self._headers)

    def page(self, span: Span, cursor: str, answer: HistoryAnswer) -> Page:
        place = _Place.of(cursor)
        results = _results(answer, span.symbol)
        if place.step == _FIND and not self._aggregated:
            return _found(span, results)
        raws: list[msgspec.Raw] = []
        numbers, ends = [], False
        for raw in results:
            try:
                trade = (decode_aggregate if self._aggregated else decode_past)(raw)
            except UNDECODABLE:
                try:
                    trade, _ = (past_aggregate_fields if self._aggregated else past_fields).decode(bytes(raw))
                except UNDECODABLE:
                    raws.append(raw)  # `decode` rejects it with a reason
                    continue
            at = nanoseconds(trade.time)
            ends = ends or at >= span.end
            if trade.id is not None:
                numbers.append(trade.id)
            if span.begin <= at < span.end:
                raws.append(raw)
        if results and not numbers:
            raise PermanentError(f"{span.symbol}: Binance sent trades without numbers")
        if place.step == _BEGIN and min(numbers, default=place.number) > place.number:
            raise PermanentError(f"{span.symbol}: Binance has no trades before number {min(numbers)} any more")
        following = max(numbers, default=0) + 1
        is_last = ends or not results or following <= place.number
        cursor_after = None if is_last else _Place(_NEXT, following).cursor()
        header = Header(_AGGREGATES if self._aggregated else _TRADES, span.symbol)
        return Page(frames(header, raws), len(raws), cursor_after)

    def decode(self, header: Header, results: list[msgspec.Raw]) -> list[Event]:
        return [_event(header, bytes(result)) for result in results]


def _found(span: Span, results: list[msgspec.Raw]) -> Page:
    """Where to read from, by the aggregated trade at the begin of an interval. Raises a HistoryError."""
    if not results:
        return Page([], 0, None)
    try:
        found: AggregateTrade = decode_aggregate(results[0])
    except UNDECODABLE as error:
        raise PermanentError(f"{span.symbol}: Binance sent an aggregated trade that cannot be read: {error}") from None
    if found.first is None:
        raise PermanentError(f"{span.symbol}: Binance sent an aggregated trade without the number of its first trade")
    if nanoseconds(found.time) >= span.end:
        return Page([], 0, None)
    return Page([], 0, _Place(_BEGIN, found.first).cursor())


def _event(header: Header, raw: bytes) -> Event:
    """The same as the connector decodes from the WebSocket, so that a trade that came both ways is recognised."""
    aggregated = header.history == _AGGREGATES
    trade: AggregateTrade | PastTrade
    malformed: tuple[str, ...] = ()
    try:
        trade = decode_aggregate(raw) if aggregated else decode_past(raw)
    except UNDECODABLE:
        try:
            trade, malformed = (past_aggregate_fields if aggregated else past_fields).decode(raw)
        except UNDECODABLE as error:
            return Rejected(f"malformed trade: {error}", raw)
    return tick(header.symbol, trade, malformed)


def _results(answer: HistoryAnswer, symbol: str) -> list[msgspec.Raw]:
    """The trades of an answer. Raises a HistoryError."""
    if answer.status != 200:
        raise _error_of(answer, symbol)
    try:
        return _decode_results(answer.body)
    except UNDECODABLE as error:
        raise TransientError(f"{symbol}: Binance sent an invalid response: {error}") from None


def _error_of(answer: HistoryAnswer, symbol: str) -> Exception:
    problem = _Problem()
    with contextlib.suppress(*UNDECODABLE):
        problem = _decode_problem(answer.body)
    reason = f"Binance answered {answer.status}: {problem.msg or 'no message'}"
    if answer.status in (418, 429) or problem.code in _TOO_MANY:
        return RateLimitedError(reason, seconds=retry_after(answer))
    if problem.code == _UNKNOWN_SYMBOL:
        return UnknownSymbolError(f"{symbol}: {reason}")
    is_firewall = answer.status == 403 and problem.code is None
    if is_page(answer) or is_firewall or answer.status in (408, 425) or answer.status >= 500 or problem.code in _PASSES:
        return TransientError(f"{symbol}: {reason}")
    return PermanentError(f"{symbol}: {reason}")
