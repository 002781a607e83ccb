"""Twelve Data's REST API of the past: bars of a minute, since it tells nobody its ticks again.

Facts are from the OpenAPI document (api.twelvedata.com/doc/swagger/openapi.json), the support articles 5203307 (a bar
is there 0.3 to 2 minutes after its end) and 5615854 (credits), the official client (twelvedata-python 1.4.0), and
answers that users of the live service published. All numbers are strings. Errors may come with HTTP status 200.
"""

from __future__ import annotations

import sys
from datetime import datetime, timedelta, timezone
from typing import Annotated
from urllib.parse import urlencode

import msgspec
from msgspec import Meta

from ticks_platform.feeds.events import Bar, Event, Rejected
from ticks_platform.feeds.history import (
    UNDECODABLE,
    Header,
    History,
    HistoryAnswer,
    HistoryRequest,
    KeyRefusedError,
    NotEntitledError,
    Page,
    PermanentError,
    RateLimitedError,
    Span,
    TransientError,
    UnknownSymbolError,
    base_url,
    frames,
    seconds_to_next_minute,
)
from ticks_platform.timestamps import EPOCH

API = "https://api.twelvedata.com"

_MINUTE = 60_000_000_000
_MOST = 5000
"""Bars of one answer, at the most that the provider gives."""
_KIND = "twelve_data bars"

_Finite = Annotated[float, Meta(ge=-sys.float_info.max, le=sys.float_info.max)]


class _Value(msgspec.Struct, gc=False):
    datetime: str | None = None
    open: _Finite | None = None
    high: _Finite | None = None
    low: _Finite | None = None
    close: _Finite | None = None
    volume: _Finite | None = None


class _Body(msgspec.Struct):
    status: str | None = None
    code: int | None = None
    message: str | None = None
    values: list[msgspec.Raw] | None = None


_decode_value = msgspec.json.Decoder(_Value, strict=False).decode
_decode_body = msgspec.json.Decoder(_Body, strict=False).decode


class TwelveDataHistory(History):
    """`/time_series` of one minute, one symbol a request: that is one credit.

    It has no pages: a cursor is the minute to go on at. What is missing at the end of an answer is asked for once more,
    since an answer may hold less than there is, and the newest minutes come late.
    """

    kind = "bars"
    requests_per_minute = 8  # the Basic plan's credits
    requests_per_day = 800
    delay = 180.0
    joins_within = 86_400.0

    def __init__(self, *, url: str, api_key: str | None) -> None:
        self._base = base_url(url, API, "twelvedata.com")
        self._api_key = api_key or ""

    def first(self, span: Span) -> str:
        return str(span.begin // _MINUTE)

    def request(self, span: Span, cursor: str) -> HistoryRequest:
        begin, end = _window(span, cursor)
        symbol, _, exchange = span.asked.partition(":")
        query = {
            "symbol": symbol,
            **({"exchange": exchange} if exchange else {}),
            "interval": "1min",
            "start_date": _text(begin),
            "end_date": _text(end),
            "timezone": "UTC",
            "order": "asc",
            "outputsize": _MOST,
        }
        return HistoryRequest(f"{self._base}/time_series?{urlencode(query)}", {"X-TD-APIKEY": self._api_key})

    def page(self, span: Span, cursor: str, answer: HistoryAnswer) -> Page:
        try:
            body = _decode_body(answer.body)
        except UNDECODABLE as error:
            if answer.status == 200:
                raise TransientError(f"Twelve Data's answer is not what it should be: {error}") from None
            body = _Body(status="error", code=answer.status)
        begin, end = _window(span, cursor)
        values: list[tuple[int | None, msgspec.Raw]] = []
        if answer.status != 200 or (body.status or "").lower() == "error":
            trouble = _trouble(answer, body, span)
            if trouble is not None:
                raise trouble
        elif body.values is None:
            raise TransientError("Twelve Data's answer has no values")
        else:
            # Whether the bar at the end belongs to an answer is not documented; it is not wanted.
            dated = [(_minute(raw), raw) for raw in body.values]
            values = [(minute, raw) for minute, raw in dated if minute is None or begin <= minute < end]
        last = max((minute for minute, _ in values if minute is not None), default=None)
        upcoming = end if last is None or last + 1 >= end else last + 1
        return Page(
            frames(Header(_KIND, span.symbol), (raw for _, raw in values)),
            len(values),
            str(upcoming) if upcoming < -(-span.end // _MINUTE) else None,
        )

    def decode(self, header: Header, results: list[msgspec.Raw]) -> list[Event]:
        return [_bar(header.symbol, result) for result in results]


def _window(span: Span, cursor: str) -> tuple[int, int]:
    """The minutes that a request is for, half-open, since the epoch; there is room for the bar at the end."""
    begin = int(cursor)
    return begin, min(begin + _MOST - 1, -(-span.end // _MINUTE))


def _text(minute: int) -> str:
    return (EPOCH + timedelta(minutes=minute)).strftime("%Y-%m-%d %H:%M:%S")


def _minute(raw: msgspec.Raw) -> int | None:
    """When a bar begins, in minutes since the epoch; None when it does not say."""
    try:
        value = _decode_value(raw)
        begin = datetime.fromisoformat(value.datetime or "").replace(tzinfo=timezone.utc)
    except (*UNDECODABLE, ValueError):
        return None
    return (begin - EPOCH) // timedelta(minutes=1)


def _bar(symbol: str, raw: msgspec.Raw) -> Event:
    minute = _minute(raw)
    if minute is None:
        return Rejected("a bar without a usable time, or malformed", bytes(raw))
    value = _decode_value(raw)
    begin = minute * _MINUTE
    return Bar(symbol, begin, begin + _MINUTE, value.open, value.high, value.low, value.close, value.volume)


def _trouble(answer: HistoryAnswer, body: _Body, span: Span) -> Exception | None:
    """What an error means; None when it means that there are no bars."""
    code = body.code or answer.status
    reason = f"Twelve Data answered {code}: {body.message or 'nothing more'}"
    lower = reason.lower()
    if code == 429:
        # The day's credits come back at midnight; what was asked meanwhile would be refused, and counted.
        return RateLimitedError(reason, seconds=3600.0 if "for the day" in lower else seconds_to_next_minute(answer))
    if code == 400 and "no data is available" in lower:
        return None
    if code == 401:
        return KeyRefusedError(reason)
    if code in (403, 402):
        return NotEntitledError(f"{span.symbol}: {reason}")
    if (code == 404 or code == 400) and "symbol" in lower:
        return UnknownSymbolError(f"{span.symbol}: {reason}")
    if code == 408 or code >= 500:
        return TransientError(reason)
    return PermanentError(f"{span.symbol}: {reason}")
