"""Twelve Data's REST API for past data: one-minute bars, since it offers no past ticks.

Sources: the OpenAPI document (api.twelvedata.com/doc/swagger/openapi.json), the support articles 5203307 (a bar is
available 0.3 to 2 minutes after its end), 5195429 (extended hours) and 5615854 (credits), the official client
(twelvedata-python 1.4.0), and responses that users of the live service published. All numbers are strings. Errors may
have HTTP status 200.
"""

from __future__ import annotations

import copy
from datetime import datetime, timedelta, timezone
from typing import Any
from urllib.parse import urlencode

import msgspec

from ticks_platform.feeds import complaints
from ticks_platform.feeds.decoding import UNDECODABLE, Finite, OptionalFields
from ticks_platform.feeds.events import Bar, Event, Rejected, with_malformed
from ticks_platform.feeds.history import (
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
    is_page,
    retry_after,
)
from ticks_platform.feeds.twelve_data.names import Misfit, Names, Place, symbol_name
from ticks_platform.timestamps import EPOCH, MINUTE

API = "https://api.twelvedata.com"

_LIMIT = 5000
"""Bars per response; the provider's maximum."""
_KIND, _EXTENDED = "twelve_data bars", "twelve_data extended bars"


class _Value(msgspec.Struct, gc=False):
    datetime: str | None = None
    open: Finite | None = None
    high: Finite | None = None
    low: Finite | None = None
    close: Finite | None = None
    volume: Finite | None = None


class _Meta(msgspec.Struct):
    # Any: a value of another type must not spoil the bars.
    exchange: Any = None
    mic_code: Any = None
    currency: Any = None


class _Body(msgspec.Struct):
    status: str | None = None
    code: int | None = None
    message: str | None = None
    values: list[msgspec.Raw] | None = None
    meta: _Meta | None = None


_value_decoder = msgspec.json.Decoder(_Value, strict=False)
_value_fields = OptionalFields(_Value, required=("datetime", "open", "high", "low", "close"))
_decode_body = msgspec.json.Decoder(_Body, strict=False).decode


class TwelveDataHistory(History):
    """`/time_series` at one minute. A request is for one symbol and costs one credit.

    There are no pages: a cursor is the minute to continue at. Minutes missing at the end of a response are requested
    once more, since a response may be incomplete and the newest minutes come late.
    """

    kind = "bars"
    requests_per_minute = 8  # the Basic plan's credits
    requests_per_day = 800
    delay = 180.0
    joins_within = 86_400.0
    results_per_page = _LIMIT

    def __init__(self, *, url: str, api_key: str | None, names: Names | None = None) -> None:
        """`names` are given if bars may be of another listing than the one that is asked for."""
        self._names = names
        self._base = base_url(url, API, "twelvedata.com")
        self._api_key = api_key or ""
        self._prepost = False

    def outside_regular_hours(self) -> TwelveDataHistory:
        """With `prepost=true`: for US stocks, with the plan Pro; 04:00 to 20:00 in New York of what is a day old."""
        extended = copy.copy(self)
        extended._prepost = True
        extended.delay = 86_400.0
        return extended

    def first(self, span: Span) -> str:
        return str(span.begin // MINUTE)

    def request(self, span: Span, cursor: str) -> HistoryRequest:
        begin, end = _window(span, cursor)
        symbol, _, exchange = symbol_name(span.asked).partition(":")
        query = {
            "symbol": symbol,
            **({"exchange": exchange} if exchange else {}),
            "interval": "1min",
            "start_date": _format_minute(begin),
            "end_date": _format_minute(end),
            "timezone": "UTC",
            "order": "asc",
            "outputsize": _LIMIT,
            **({"prepost": "true"} if self._prepost else {}),
            # Ticks are as they were traded. By default every bar before a split is divided by it.
            "adjust": "none",
        }
        return HistoryRequest(f"{self._base}/time_series?{urlencode(query)}", {"X-TD-APIKEY": self._api_key})

    def page(self, span: Span, cursor: str, answer: HistoryAnswer) -> Page:
        try:
            body = _decode_body(answer.body)
        except UNDECODABLE as invalid:
            if answer.status == 200:
                raise TransientError(f"Twelve Data sent an invalid response: {invalid}") from None
            body = _Body(status="error", code=answer.status)
        begin, end = _window(span, cursor)
        values: list[tuple[int | None, msgspec.Raw]] = []
        if answer.status != 200 or (body.status or "").lower() == "error":
            error = error_of(answer, body.code, body.message, span.symbol)
            if error is not None:
                raise error
        elif body.values is None:
            raise TransientError("Twelve Data sent a response without values")
        else:
            self._check_listing(span, body.meta)
            # Whether a response includes the bar that begins at the end is not documented; it is dropped.
            dated = [(_minute(raw), raw) for raw in body.values]
            values = [(minute, raw) for minute, raw in dated if minute is None or begin <= minute < end]
        last = max((minute for minute, _ in values if minute is not None), default=None)
        upcoming = end if last is None or last + 1 >= end else last + 1
        return Page(
            frames(Header(_EXTENDED if self._prepost else _KIND, span.symbol), (raw for _, raw in values)),
            len(values),
            str(upcoming) if upcoming < -(-span.end // MINUTE) else None,
        )

    def _check_listing(self, span: Span, meta: _Meta | None) -> None:
        """Raise PermanentError if the bars are of another listing, as far as the response tells."""
        if self._names is None or meta is None or not (meta.exchange or meta.mic_code):
            return
        found = self._names.find(Place(span.symbol.partition(":")[0], meta.exchange, meta.mic_code, meta.currency))
        if isinstance(found, Misfit):
            raise PermanentError(f"{span.symbol}: Twelve Data sent bars of another listing: {found.reason}")
        if found != span.symbol:
            raise PermanentError(f"{span.symbol}: Twelve Data sent bars of {found}")

    def decode(self, header: Header, results: list[msgspec.Raw]) -> list[Event]:
        return [_bar(header.symbol, result, extended=header.history == _EXTENDED) for result in results]


def _window(span: Span, cursor: str) -> tuple[int, int]:
    """The half-open interval of a request, in minutes since the epoch; it leaves room for the bar at the end."""
    begin = int(cursor)
    return begin, min(begin + _LIMIT - 1, -(-span.end // MINUTE))


def _format_minute(minute: int) -> str:
    return (EPOCH + timedelta(minutes=minute)).strftime("%Y-%m-%d %H:%M:%S")


def _minute(raw: msgspec.Raw) -> int | None:
    """Start of a bar in minutes since the epoch; None if it has none."""
    try:
        value, _ = _decode_value(raw)
        begin = datetime.fromisoformat(value.datetime or "").replace(tzinfo=timezone.utc)
    except (*UNDECODABLE, ValueError):
        return None
    return (begin - EPOCH) // timedelta(minutes=1)


def _bar(symbol: str, raw: msgspec.Raw, *, extended: bool) -> Event:
    minute = _minute(raw)
    if minute is None:
        return Rejected("malformed bar, or bar without a valid time", bytes(raw))
    value, malformed = _decode_value(raw)
    begin = minute * MINUTE
    # Bars of extended hours have no volume; a zero stands for it.
    volume = value.volume or None if extended else value.volume
    bar = Bar(symbol, begin, begin + MINUTE, value.open, value.high, value.low, value.close, volume)
    return with_malformed(bar, malformed)


def _decode_value(raw: msgspec.Raw) -> tuple[_Value, tuple[str, ...]]:
    """A bar, and the fields that cannot be read. Raises one of UNDECODABLE."""
    try:
        return _value_decoder.decode(raw), ()
    except UNDECODABLE:
        return _value_fields.decode(bytes(raw))


def error_of(answer: HistoryAnswer, code: int | None, message: str | None, what: str) -> Exception | None:
    """The error of a response; None if it says that there is no data. `what` was asked for."""
    code = code or answer.status
    reason = f"Twelve Data answered {code}: {message or 'no message'}"
    lower = reason.lower()
    if code == 429:
        # The day's credits return at midnight; requests until then would be refused and counted.
        return RateLimitedError(reason, seconds=3600.0 if "for the day" in lower else retry_after(answer))
    if is_page(answer):
        return TransientError(f"{what}: {reason} (a page, which is not of Twelve Data's API)")
    if code == 400 and "no data is available" in lower:
        return None
    if code == 401 and not complaints.is_about_data(message or ""):
        return KeyRefusedError(reason)
    if code in (401, 402, 403) or (code == 400 and "plan" in lower):
        return NotEntitledError(f"{what}: {reason}")
    if (code == 404 or code == 400) and "symbol" in lower:
        return UnknownSymbolError(f"{what}: {reason}")
    if code == 408 or code >= 500:
        return TransientError(reason)
    return PermanentError(f"{what}: {reason}")
