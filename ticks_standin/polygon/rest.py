"""Polygon's REST API: trades, bars and tickers.

Sources of the facts: the official docs and Python client (massive 2.9.1), the knowledge base (paging of trades), issues
41 (milliseconds on the WebSocket, nanoseconds here) and 303 (429) of polygon-io/issues; error bodies as users report
them. What no source confirms has a setting. Bars begin at whole multiples of their length in UTC, days at midnight of
``polygon_rest_timezone``.
"""

from __future__ import annotations

import base64
import re
import secrets
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

import msgspec
from websockets.datastructures import Headers

from ticks_standin.market.bars import MINUTE_MS
from ticks_standin.market.history import History
from ticks_standin.market.listings import Listings
from ticks_standin.polygon.actions import SplitsAndDividends, adjusted
from ticks_standin.polygon.events import PROVIDER
from ticks_standin.polygon.rest_results import bar_result, trade_result
from ticks_standin.polygon.tickers import Tickers, limit_of, packed, plain, unpacked
from ticks_standin.provider.rest import Allowance, Answer, Question, RefusedError
from ticks_standin.provider.rest_bars import (
    FOREVER_NS,
    Window,
    bars_of,
    day_after,
    is_served,
    of_days,
    of_length,
    to_ms,
)
from ticks_standin.settings import StandInSettings

_TRADES = re.compile(r"/v3/trades/([^/]+)")
_AGGS = re.compile(r"/v2/aggs/ticker/([^/]+)/range/(\d+)/(\w+)/([^/]+)/([^/]+)")
_LENGTHS_MS = {"second": 1_000, "minute": MINUTE_MS, "hour": 60 * MINUTE_MS, "day": 0}
_PREFIXES = {"X": "crypto", "C": "forex", "I": "indices", "O": "options"}
_BAR_CHANNELS = {"stocks": "T", "crypto": "XT", "forex": "C", "indices": "V", "options": "T"}
_TRADE_CHANNELS = {"stocks": "T", "crypto": "XT", "options": "T"}
_COMPARISONS = ("gte", "gt", "lte", "lt")
_MOST = 50_000
_MS = 1_000_000
_PRICING = "https://polygon.io/pricing"
_NOT_ENTITLED = f"You are not entitled to this data. Please upgrade your plan at {_PRICING}"
_TOO_MANY = (
    "You've exceeded the maximum requests per minute, please wait or upgrade your subscription to continue. " + _PRICING
)

_encode = msgspec.json.Encoder().encode


class _Position(msgspec.Struct, array_like=True):
    """Where a next page begins: the query of the first page, and time and number of the last trade that was served."""

    asked: dict[str, str]
    time_ns: int
    number: int


_position = msgspec.json.Decoder(_Position).decode


class PolygonApi:
    """``/v3/trades/{ticker}``, ``/v2/aggs/ticker/{ticker}/range/…``, ``/v3/reference/tickers``, splits and dividends.

    Trades tell what became of them by ``correction``; bars leave out what was taken back, which no text of the provider
    says (its SIP obliges it to), and have what was corrected.
    """

    provider = PROVIDER

    def __init__(self, settings: StandInSettings, listings: Listings, history: History) -> None:
        self.delay_s = settings.polygon_rest_delay_s
        """Seconds from a trade, or from the end of a bar, until it is served."""
        self._settings = settings
        self._history = history
        self._tickers = Tickers(listings)
        self._actions = listings.actions
        self._splits_and_dividends = SplitsAndDividends(listings.actions)
        self._zone = ZoneInfo(settings.polygon_rest_timezone)
        self._minute = Allowance(settings.polygon_requests_per_minute, settings.rest_minute_s)

    def serves(self, path: str) -> bool:
        """These, and reference data."""
        return bool(_TRADES.fullmatch(path) or _AGGS.fullmatch(path) or not self.needs_history(path))

    def needs_history(self, path: str) -> bool:
        """All but reference data."""
        return not (self._tickers.serves(path) or self._splits_and_dividends.serves(path))

    def key(self, query: Mapping[str, str], headers: Headers) -> str | None:
        """In the query, or as a bearer token."""
        scheme, _, given = headers.get("Authorization", "").partition(" ")
        return query.get("apiKey") or (given if scheme.lower() == "bearer" else None)

    def unauthorized(self, key: str | None) -> RefusedError:
        """The text depends on whether it is missing or wrong."""
        return RefusedError(401, "Unknown API Key" if key else "API Key was not provided")

    def error(self, refused: RefusedError) -> Answer:
        """It has a ``message`` for what a plan does not include, an ``error`` for everything else."""
        what = {"message": refused.message} if refused.kind else {"error": refused.message}
        body = {"status": refused.kind or "ERROR", "request_id": secrets.token_hex(16), **what}
        return Answer(status=refused.status, body=_encode(body))

    def admit(self, key: str, question: Question) -> dict[str, str]:
        """Every request counts as one; no header says how many are left."""
        used, limit = self._minute.use(key, 1, question.now_ms), self._minute.limit
        if limit and used > limit:
            raise RefusedError(429, _TOO_MANY)
        return {}

    def answer(self, question: Question) -> Answer:
        """Trades, bars or tickers."""
        if self._tickers.serves(question.path):
            self._entitle("reference")
            return self._tickers.answer(question)
        if self._splits_and_dividends.serves(question.path):
            self._entitle("actions")
            return self._splits_and_dividends.answer(question)
        if found := _TRADES.fullmatch(question.path):
            self._entitle("trades")
            return self._trades(found[1], question)
        found = _AGGS.fullmatch(question.path)
        assert found is not None  # it serves nothing else
        self._entitle("aggs")
        return self._aggs(question, *found.groups())

    def _entitle(self, what: str) -> None:
        if what in self._settings.polygon_rest_unentitled:
            raise RefusedError(403, _NOT_ENTITLED, "NOT_AUTHORIZED")

    def _trades(self, ticker: str, question: Question) -> Answer:
        after = None
        asked = {name: text for name, text in question.query.items() if name not in ("apiKey", "cursor")}
        if cursor := question.query.get("cursor"):
            after = _decoded(cursor)
            asked = after.asked
        begins_ns, ends_ns = self._interval(asked)
        descending, limit = _order(asked, "order", "desc"), limit_of(asked, 1_000, _MOST)
        if asked.get("sort", "timestamp") != "timestamp":
            raise RefusedError(400, "sort must be timestamp")
        if after is not None:
            begins_ns, ends_ns = (begins_ns, after.time_ns) if descending else (after.time_ns, ends_ns)
        market, symbol = _named(ticker)
        topic = (market, _TRADE_CHANNELS.get(market), symbol)
        # Without a delay everything is served, events of the future included.
        until_ns = min(ends_ns, (question.now_ms - round(self.delay_s * 1_000) + 1) * _MS) if self.delay_s else ends_ns
        # Another trade may have the same nanosecond as the last one of the page before.
        made = self._history.between(topic, begins_ns, until_ns + (after is not None and descending))
        known_ns = self._known_ns(question)
        if descending:
            made.reverse()
        if after is not None:
            mark = (after.time_ns, after.number)
            keys = [(each.time_ns, each.number) for each in made]
            made = [each for each, key in zip(made, keys, strict=True) if (key < mark if descending else key > mark)]
        page = made[:limit]
        fault = question.fault.kind if question.fault is not None else ""
        if fault in ("short_page", "truncated"):
            page = page[: max(len(page) // 2, 1)]
        body: dict[str, Any] = {"results": [trade_result(event, market, known_ns) for event in page]}
        body |= {"status": "OK", "request_id": secrets.token_hex(16)}
        if len(page) < len(made) and fault != "truncated":
            position = _Position(asked, page[-1].time_ns, page[-1].number)
            body["next_url"] = f"{question.base_url}{question.path}?{urlencode({'cursor': _encoded(position)})}"
        times = [event.time_ns for event in page]
        return Answer(
            body=_encode(body),
            subject=f"/v3/trades/{ticker}",
            asked=asked,
            results=len(page),
            begins_ns=begins_ns,
            ends_ns=ends_ns,
            first_ns=min(times, default=None),
            last_ns=max(times, default=None),
        )

    def _interval(self, asked: Mapping[str, str]) -> tuple[int, int]:
        """The half-open interval in nanoseconds that the timestamps of a query mean; a date means the whole day."""
        begins, ends = 0, FOREVER_NS
        for name, text in asked.items():
            field, _, comparison = name.partition(".")
            if field != "timestamp" or comparison not in ("", *_COMPARISONS):
                continue
            first, after = self._moment(name, text)
            if comparison in ("", "gte", "gt"):
                begins = max(begins, after if comparison == "gt" else first)
            if comparison in ("", "lte", "lt"):
                ends = min(ends, first if comparison == "lt" else after)
        return begins, max(begins, ends)

    def _moment(self, name: str, text: str) -> tuple[int, int]:
        """Beginning of what a timestamp means, and its exclusive end: a nanosecond or a day later."""
        if text.isdecimal():
            return int(text), int(text) + 1
        day = self._day(text)
        if day is None:
            raise RefusedError(400, f"{name} must be a date as YYYY-MM-DD or a timestamp in nanoseconds, not {text!r}")
        return to_ms(day) * _MS, to_ms(day_after(day)) * _MS

    def _day(self, text: str) -> datetime | None:
        try:
            return datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=self._zone)
        except ValueError:
            return None

    def _aggs(self, question: Question, ticker: str, count: str, span: str, begin: str, end: str) -> Answer:
        query = dict(question.query)
        if cursor := query.get("cursor"):
            query |= unpacked(cursor)
        window, base, length_ms = self._window(int(count), span)
        first_ms, last_ms = self._bound(begin, ends=False), self._bound(end, ends=True)
        descending, limit = _order(query, "sort", "asc"), limit_of(query, 5_000, _MOST)
        market, symbol = _named(ticker)
        made = self._history.between(
            (market, _BAR_CHANNELS[market], symbol), window(first_ms) * _MS, self._end(window(last_ms), length_ms) * _MS
        )
        bars = [
            bar
            for bar in bars_of(made, window, base, of_day=not length_ms, known_ns=self._known_ns(question))
            if self._is_served(self._end(bar.start_ms, length_ms), question)
        ]
        if descending:
            bars.reverse()
        # The limit counts the base bars (seconds, minutes or days) that bars are made of, not the bars.
        taken, queried = 0, 0
        for bar in bars:
            number = bar.bases if length_ms else 1
            if taken and queried + number > limit:
                break
            taken, queried = taken + 1, queried + number
        page = bars[:taken]
        fault = question.fault.kind if question.fault is not None else ""
        if fault in ("short_page", "truncated"):
            page = page[: max(len(page) // 2, 1)]
        body: dict[str, Any] = {
            "ticker": ticker,
            "queryCount": queried,
            "resultsCount": len(page),
            "adjusted": adjusted(query),
            "status": "OK",
            "request_id": secrets.token_hex(16),
            "count": len(page),
        }
        if page:
            factors = [self._factor(market, symbol, bar.start_ms, query, question) for bar in page]
            body["results"] = [bar_result(bar, market, factor) for bar, factor in zip(page, factors, strict=True)]
        if len(page) < len(bars) and fault != "truncated":
            rest = bars[len(page)].start_ms
            left = (begin, str(rest)) if descending else (str(rest), end)
            kept = {"limit": str(limit), "sort": "desc" if descending else "asc"}
            kept |= {"adjusted": query["adjusted"]} if "adjusted" in query else {}
            path = f"/v2/aggs/ticker/{ticker}/range/{count}/{span}/{left[0]}/{left[1]}"
            body["next_url"] = f"{question.base_url}{path}?{urlencode({'cursor': packed(kept)})}"
        starts = [bar.start_ms * _MS for bar in page]
        return Answer(
            body=_encode(body),
            subject=f"/v2/aggs/ticker/{ticker}/range/{count}/{span}",
            results=len(page),
            begins_ns=first_ms * _MS,
            ends_ns=(last_ms + 1) * _MS,
            first_ns=min(starts, default=None),
            last_ns=max(starts, default=None),
        )

    def _factor(self, market: str, symbol: str, start_ms: int, query: Mapping[str, str], question: Question) -> float:
        """What prices of a bar are multiplied by, and volumes divided."""
        if market != "stocks" or not adjusted(query):
            return 1.0
        return self._actions.split_factor(symbol, start_ms, question.now_ms)

    def _window(self, count: int, span: str) -> tuple[Window, Window, int]:
        """Windows of a bar and of the base bars that it is made of, and its length in milliseconds; 0 for a day."""
        if span not in _LENGTHS_MS or count < 1 or (span == "day" and count > 1):
            raise RefusedError(400, f"the stand-in serves bars of some seconds, minutes or hours, and of 1 day: {span}")
        if span == "day":
            # Of minutes, so that a minute without prices gives none to its day.
            return of_days(self._zone), of_length(MINUTE_MS), 0
        length_ms = count * _LENGTHS_MS[span]
        return of_length(length_ms), of_length(_LENGTHS_MS["second" if span == "second" else "minute"]), length_ms

    def _end(self, start_ms: int, length_ms: int) -> int:
        if length_ms:
            return start_ms + length_ms
        return to_ms(day_after(datetime.fromtimestamp(start_ms / 1_000, self._zone)))

    def _is_served(self, end_ms: int, question: Question) -> bool:
        return is_served(end_ms, question.now_ms, delay_s=self.delay_s, even_open=self._settings.rest_open_bar)

    def _known_ns(self, question: Question) -> int:
        """Until when a correction must have come to be in an answer."""
        return (question.now_ms - round(self.delay_s * 1_000)) * _MS if self.delay_s else FOREVER_NS

    def _bound(self, text: str, *, ends: bool) -> int:
        if text.isdecimal():
            return int(text)
        day = self._day(text)
        if day is None:
            raise RefusedError(400, f"from and to are dates as YYYY-MM-DD or timestamps in milliseconds, not {text!r}")
        return to_ms(day_after(day)) - 1 if ends else to_ms(day)


def _named(ticker: str) -> tuple[str, str]:
    """The market of a ticker, and its name on the WebSocket: X:BTCUSD is BTC-USD there, C:EURUSD is EUR/USD."""
    prefix, colon, name = ticker.partition(":")
    market = _PREFIXES.get(prefix) if colon else "stocks"
    if market is None:
        return "stocks", ticker
    if market in ("crypto", "forex"):
        plain = name.replace("-", "").replace("/", "")
        return market, f"{plain[:-3]}{'-' if market == 'crypto' else '/'}{plain[-3:]}"
    return market, ticker


def _order(query: Mapping[str, str], name: str, usual: str) -> bool:
    given = query.get(name, usual)
    if given not in ("asc", "desc"):
        raise RefusedError(400, f"{name} must be asc or desc, not {given!r}")
    return given == "desc"


def _encoded(position: _Position) -> str:
    return base64.urlsafe_b64encode(_encode(position)).decode().rstrip("=")


def _decoded(cursor: str) -> _Position:
    try:
        return _position(plain(cursor))
    except msgspec.DecodeError:
        raise RefusedError(400, "cursor is not one that was given") from None
