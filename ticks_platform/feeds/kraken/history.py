"""Kraken's REST API for past trades, without an API key.

Sources: docs.kraken.com, «Get Recent Trades» (`GET /0/public/Trades`: oldest first after `since`, 1,000 at most; `last`
is the `since` of the next page); support.kraken.com, «How to retrieve historical time and sales» (`since` is in
nanoseconds, and all of a market's history is there) and «What are the API rate limits» (public calls by address and
pair, once a second); errors come with status 200, in `error`.
Doubt: whether `since` itself is in the page, and whether a page may end between trades at one time; all are right
here. Whether the WebSocket cuts or rounds a time to microseconds, of which the REST API has more digits; they are cut,
and a trade is recognised by its number anyway.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, NamedTuple
from urllib.parse import quote

import msgspec

from ticks_platform.feeds.decoding import UNDECODABLE
from ticks_platform.feeds.events import Event, Rejected, Tick
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
from ticks_platform.feeds.kraken.names import rest_pair
from ticks_platform.retry_after import retry_after

API = "https://api.kraken.com"

_LIMIT = 1000
"""Trades per page; the provider's maximum."""
_PAUSE = 5.0
"""Seconds without a request after a refusal that names no time."""
_LATEST = 9_000_000_000
"""Seconds since the Unix epoch that nanoseconds in 64 bits can hold, about."""
_TRADES = "kraken trades"
_LAST = "last"

Amount = Annotated[float, msgspec.Meta(ge=0, lt=1e300)]


class _Place(NamedTuple):
    """Where a page begins."""

    since: int
    """Nanoseconds since the Unix epoch."""
    number: int
    """The last trade that was read, 0 before the first: trades at one time may be on two pages."""

    @classmethod
    def of(cls, cursor: str) -> _Place:
        return cls(*map(int, cursor.split(" ")))

    def cursor(self) -> str:
        return " ".join(map(str, self))


class _Trade(msgspec.Struct, array_like=True):
    price: Amount
    volume: Amount
    time: Decimal  # seconds, of which a float would lose digits
    side: str = ""
    order_type: str = ""
    miscellaneous: str = ""
    trade_id: Annotated[int, msgspec.Meta(ge=0)] | None = None

    def __post_init__(self) -> None:
        if not (self.time.is_finite() and 0 < self.time < _LATEST):
            raise ValueError("the time is out of range")

    @property
    def nanoseconds(self) -> int:
        """Its time as the WebSocket has it."""
        return int(self.time * 1_000_000) * 1000


class _Body(msgspec.Struct):
    error: list[str] = []
    result: dict[str, msgspec.Raw] = {}


_decode_body = msgspec.json.Decoder(_Body).decode
_decode_results = msgspec.json.Decoder(list[msgspec.Raw]).decode
# Not strict: prices, volumes and `last` are texts.
_decode_trade = msgspec.json.Decoder(_Trade, strict=False).decode
_decode_last = msgspec.json.Decoder(int, strict=False).decode


class KrakenHistory(History):
    """`/0/public/Trades`: the trades themselves, with the numbers that they have on the WebSocket."""

    kind = "trades"
    requests_per_minute = 30  # half of the limit, which others behind the same address share
    delay = 5.0
    margin = 10.0  # an event's time and its arrival differ by the network's delay and between two clocks
    joins_within = 60.0
    results_per_page = _LIMIT

    def __init__(self, *, url: str) -> None:
        self._base = base_url(url, API, "ws.kraken.com")

    def first(self, span: Span) -> str:
        return _Place(span.begin - 1, 0).cursor()

    def request(self, span: Span, cursor: str) -> HistoryRequest:
        pair = quote(rest_pair(span.symbol), safe="")
        url = f"{self._base}/0/public/Trades?pair={pair}&since={_Place.of(cursor).since}&count={_LIMIT}"
        return HistoryRequest(url, {})

    def page(self, span: Span, cursor: str, answer: HistoryAnswer) -> Page:
        place = _Place.of(cursor)
        results, last = _results(answer, span.symbol)
        raws: list[msgspec.Raw] = []
        number, ends, is_numbered = place.number, False, False
        for raw in results:
            try:
                trade = _decode_trade(raw)
            except UNDECODABLE:
                raws.append(raw)  # `decode` rejects it with a reason
                continue
            is_numbered = trade.trade_id is not None
            if trade.trade_id is not None:
                if trade.trade_id <= place.number:
                    continue
                number = max(number, trade.trade_id)
            ends = ends or trade.nanoseconds >= span.end
            if span.begin <= trade.nanoseconds < span.end:
                raws.append(raw)
        since = last
        if is_numbered and number > place.number:
            # The page may end between trades at one time: that time is asked for again, and its trades are known.
            since = max(last - 1, place.since)
        has_more = not ends and bool(results) and (since, number) > place
        following = _Place(since, number).cursor() if has_more else None
        return Page(frames(Header(_TRADES, span.symbol), raws), len(raws), following)

    def decode(self, header: Header, results: list[msgspec.Raw]) -> list[Event]:
        return [_event(header.symbol, bytes(result)) for result in results]


def _event(symbol: str, raw: bytes) -> Event:
    """The same as the connector decodes from the WebSocket, so that a trade that came both ways is recognised."""
    try:
        trade = _decode_trade(raw)
    except UNDECODABLE as error:
        return Rejected(f"malformed trade: {error}", raw)
    number = None if trade.trade_id is None else str(trade.trade_id)
    return Tick(symbol, trade.nanoseconds, trade.price, size=trade.volume, trade_id=number)


def _results(answer: HistoryAnswer, symbol: str) -> tuple[list[msgspec.Raw], int]:
    """The trades of an answer, and where the next page begins. Raises a HistoryError."""
    body = _Body()
    try:
        body = _decode_body(answer.body)
    except UNDECODABLE as error:
        if answer.status == 200:
            raise TransientError(f"Kraken sent an invalid response: {error}") from None
    if answer.status != 200 or body.error:
        raise _error_of(answer, body.error, symbol)
    try:
        # The pair has yet another name in the result, such as XXBTZUSD.
        (results,) = (_decode_results(value) for name, value in body.result.items() if name != _LAST)
        return results, _decode_last(body.result[_LAST])
    except (*UNDECODABLE, KeyError, ValueError) as error:
        raise TransientError(f"{symbol}: Kraken sent an answer without trades: {error}") from None


def _error_of(answer: HistoryAnswer, errors: list[str], symbol: str) -> Exception:
    told = "; ".join(errors) or "no message"
    reason = f"Kraken answered {answer.status}: {told}"
    words = told.lower()
    if answer.status == 429 or "rate limit" in words or "too many requests" in words or "throttled" in words:
        seconds = retry_after(answer.headers)
        return RateLimitedError(reason, seconds=_PAUSE if seconds is None else seconds)
    if "unknown asset pair" in words:
        return UnknownSymbolError(f"{symbol}: {reason}")
    passes = "eservice" in words or "internal error" in words
    if passes or is_page(answer) or answer.status in (408, 425) or answer.status >= 500:
        return TransientError(f"{symbol}: {reason}")
    return PermanentError(f"{symbol}: {reason}")
