"""Twelve Data's REST API: bars of the prices that were made, the latest price, and its catalogs of symbols.

Sources of the facts: the provider's OpenAPI document and support articles 5203307 (a bar is available 0.3 to 2 minutes
after its end) and 5615854 (credits), the official client (twelvedata-python 1.4.0); error texts as users report them.
What no source confirms has a setting. If the market has hours, bars of US stocks are those of regular hours; with
``prepost=true`` extended hours are in them too, at four intervals, and without volume (docs of ``time_series``). That
other intervals leave them out all the same, and the text for a plan without them, are assumptions. Bars begin at whole
multiples of their length in UTC, days at the exchange's midnight.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timezone, tzinfo
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec
from websockets.datastructures import Headers

from ticks_standin.market.bars import UNITS
from ticks_standin.market.history import History
from ticks_standin.market.hours import TradingHours
from ticks_standin.market.instruments import Instrument, Kind
from ticks_standin.market.listings import Listings
from ticks_standin.provider.rest import Allowance, Answer, Question, RefusedError
from ticks_standin.provider.rest_bars import RestBar, Window, bars_of, day_after, is_served, of_days, of_length, to_ms
from ticks_standin.settings import StandInSettings
from ticks_standin.twelve_data import actions
from ticks_standin.twelve_data.actions import DIVIDENDS, SPLITS
from ticks_standin.twelve_data.catalogs import Catalogs
from ticks_standin.twelve_data.events import PROVIDER
from ticks_standin.twelve_data.session import KEY_HEADER, KEY_PARAMETER, KINDS

TIME_SERIES = "/time_series"
PRICE = "/price"
CONSTRUCTOR = "/technical_indicators"
"""What the constructor of the official Python client requests (twelvedata-python 1.4.0)."""

_MINUTES = {"1min": 1, "5min": 5, "15min": 15, "30min": 30, "1h": 60, "2h": 120, "4h": 240, "8h": 480}
_DAY = "1day"
_PREPOST = ("1min", "5min", "15min", "30min")
_MOST = 5_000
_USUAL = 30
_DAY_S = 86_400
_LONGEST_DAY_MS = 25 * 3_600_000
_MS = 1_000_000
_ZONES = {"TSX": "America/Toronto", "HKEX": "Asia/Hong_Kong", "NSE": "Asia/Kolkata"}
_PRICING = "https://twelvedata.com/pricing"

_encode = msgspec.json.Encoder().encode


class TwelveDataApi:
    """``/time_series``, ``/price``, ``/splits``, ``/dividends``, and the catalogs."""

    provider = PROVIDER

    def __init__(self, settings: StandInSettings, listings: Listings, history: History) -> None:
        self._hours = TradingHours(settings.market_hours, settings.regular_hours)
        self.delay_s = settings.twelve_data_rest_delay_s
        """Seconds from the end of a bar until it is served."""
        self._settings = settings
        self._listings = listings
        self._history = history
        self._catalogs = Catalogs(listings)
        self._minute = Allowance(settings.twelve_data_credits_per_minute, settings.rest_minute_s)
        self._day = Allowance(settings.twelve_data_credits_per_day, _DAY_S)

    def serves(self, path: str) -> bool:
        """These, and what the official client requests in its constructor."""
        return path in (TIME_SERIES, PRICE, SPLITS, DIVIDENDS, CONSTRUCTOR) or self._catalogs.serves(path)

    def needs_history(self, path: str) -> bool:
        """Bars and prices do."""
        return path in (TIME_SERIES, PRICE)

    def key(self, query: Mapping[str, str], headers: Headers) -> str | None:
        """In the query, or in one of two headers."""
        scheme, _, given = headers.get("Authorization", "").partition(" ")
        in_header = given if scheme.lower() == "apikey" else headers.get(KEY_HEADER)
        return query.get(KEY_PARAMETER) or in_header

    def unauthorized(self, key: str | None) -> RefusedError:
        """The same for a missing and for a wrong key."""
        return RefusedError(401, "**apikey** parameter is incorrect or not specified.")

    def error(self, refused: RefusedError) -> Answer:
        """The body has the status; the HTTP status depends on a setting."""
        status = 200 if self._settings.twelve_data_errors_in_200 else refused.status
        return Answer(status=status, body=_encode(_error(refused)))

    def admit(self, key: str, question: Question) -> dict[str, str]:
        """One credit per symbol, or per request for a catalog; a refused request uses credits too."""
        if question.path == CONSTRUCTOR:
            return {}
        cost = len(_symbols(question)) or 1
        for allowance, period in ((self._day, "day"), (self._minute, "current minute")):
            used, limit = allowance.use(key, cost, question.now_ms), allowance.limit
            if limit and used > limit:
                raise RefusedError(
                    429,
                    f"You have run out of API credits for the {period}. {used} API credits were used, with the current "
                    f"limit being {limit}. Wait for the next {period.split()[-1]} or consider switching to a higher "
                    f"tier plan at {_PRICING}",
                )
        headers = {"Api-credits-used": str(used)}
        return headers | ({"Api-credits-left": str(limit - used)} if limit else {})

    def answer(self, question: Question) -> Answer:
        """The answer for one symbol, or an object of answers by symbol."""
        if question.path == CONSTRUCTOR:
            return Answer(body=b'{"data":{},"status":"ok"}')
        if self._catalogs.serves(question.path):
            return self._catalogs.answer(question)
        symbols = _symbols(question)
        if not symbols:
            raise RefusedError(404, "**symbol** or **figi** parameter is missing or invalid.")
        one = {TIME_SERIES: self._time_series, PRICE: self._price}.get(question.path, self._splits_or_dividends)
        if len(symbols) == 1:
            return one(symbols[0], question)
        whole = Answer(body=b"", headers={"Is_batch": "true"}, subject=_subject(question))
        bodies: dict[str, msgspec.Raw] = {}
        for symbol in symbols:
            try:
                part = one(symbol, question)
            except RefusedError as refused:
                part = Answer(body=_encode(_error(refused)))
            bodies[symbol] = msgspec.Raw(part.body)
            whole.results += part.results
            whole.begins_ns, whole.ends_ns = part.begins_ns or whole.begins_ns, part.ends_ns or whole.ends_ns
            whole.first_ns = _of_both(min, whole.first_ns, part.first_ns)
            whole.last_ns = _of_both(max, whole.last_ns, part.last_ns)
        whole.body = _encode(bodies)
        return whole

    def _find(self, name: str, question: Question) -> Instrument:
        symbol, _, exchange = name.partition(":")
        kind = None
        if given := question.query.get("type"):
            kind = KINDS.get(given.lower())
        found = self._listings.find(
            symbol,
            exchange=exchange or question.query.get("exchange"),
            mic_code=question.query.get("mic_code"),
            kind=kind,
        )
        if found is None:
            raise RefusedError(
                400,
                f"**symbol** not found: {name}. Please specify it correctly according to API Documentation.",
            )
        if found.mic_code in self._settings.unauthorized_mics:
            raise RefusedError(403, f"You are not authorized to access {found.mic_code} data.")
        return found

    def _splits_or_dividends(self, name: str, question: Question) -> Answer:
        instrument = self._find(name, question)
        meta = _meta(instrument, "", _zone_of(instrument))
        return actions.answer(self._listings.actions, instrument, meta, question)

    def _price(self, name: str, question: Question) -> Answer:
        event = self._history.last(self._find(name, question))
        if event is None:
            raise _no_data()
        return Answer(body=_encode({"price": f"{event.price:.5f}"}), results=1)

    def _time_series(self, name: str, question: Question) -> Answer:
        instrument, query = self._find(name, question), question.query
        interval = query.get("interval", "")
        own_zone = _zone_of(instrument)
        zone = own_zone if interval == _DAY else _zone(query.get("timezone"), own_zone)
        window, length_ms = _window(interval, own_zone)
        begins, ends = (_moment(name, query.get(name), zone) for name in ("start_date", "end_date"))
        size = _size(query, dated=begins is not None or ends is not None)
        # end_date is the beginning of the last bar; whether that bar is included is not documented.
        last_ms = question.now_ms if ends is None else ends - (not self._settings.twelve_data_end_inclusive)
        first_ms = 0 if begins is None else begins
        # A day may have 25 hours; bars that begin later are left out below.
        end_ms = window(last_ms) + (length_ms or _LONGEST_DAY_MS)
        events = self._history.between(instrument, window(first_ms) * _MS if first_ms else 0, end_ms * _MS)
        keeps_hours = instrument.is_us_equity and self._hours.are_told
        extended = self._prepost(query, interval) if instrument.is_us_equity else False
        regular = [event for event in events if self._hours.is_regular(event.time_ns // _MS)] if keeps_hours else events
        volumes = {bar.start_ms: bar.volume for bar in bars_of(regular, window)}
        bars = bars_of(events if extended else regular, window)
        bars = [bar for bar in bars if first_ms <= bar.start_ms <= last_ms]
        bars = [bar for bar in bars if self._is_served(bar, length_ms, own_zone, question.now_ms)]
        descending = query.get("order", "desc").lower() != "asc"
        if len(bars) > size:
            newest = descending or self._settings.twelve_data_overfull == "newest"
            bars = bars[-size:] if newest else bars[:size]
        if question.fault is not None and question.fault.kind in ("short_page", "truncated"):
            bars = bars[-max(len(bars) // 2, 1) :] if descending else bars[: max(len(bars) // 2, 1)]
        if not bars and self._settings.twelve_data_no_data == "400":
            raise _no_data()
        nothing = 0 if self._settings.twelve_data_prepost_volume == "zero" else None
        adjusts = query.get("adjust", "splits").lower() in ("splits", "all")
        symbol, factor = instrument.symbol, self._listings.actions.split_factor
        for bar in bars if adjusts and instrument.is_us_equity else ():
            later = factor(symbol, bar.start_ms, question.now_ms)
            if later != 1:
                bar.open, bar.high, bar.low, bar.close = (
                    price * later for price in (bar.open, bar.high, bar.low, bar.close)
                )
                if bar.start_ms in volumes:
                    volumes[bar.start_ms] = round(volumes[bar.start_ms] / later)
        values = [
            _value(bar, volumes.get(bar.start_ms, nothing) if instrument.mean_size else None, zone, interval)
            for bar in (reversed(bars) if descending else bars)
        ]
        body = {"meta": _meta(instrument, interval, own_zone), "values": values, "status": "ok"}
        return Answer(
            body=_encode(body),
            subject=_subject(question),
            results=len(bars),
            begins_ns=None if begins is None else begins * _MS,
            ends_ns=None if ends is None else (last_ms + 1) * _MS,
            first_ns=bars[0].start_ms * _MS if bars else None,
            last_ns=bars[-1].start_ms * _MS if bars else None,
        )

    def _prepost(self, query: Mapping[str, str], interval: str) -> bool:
        """Whether bars of extended hours are in an answer."""
        if query.get("prepost", "false").lower() != "true":
            return False
        if not self._settings.twelve_data_prepost:
            raise RefusedError(
                403,
                "prepost is available exclusively with pro or ultra or venture or enterprise plans. Consider upgrading "
                f"your API Key now at {_PRICING}",
            )
        return interval in _PREPOST

    def _is_served(self, bar: RestBar, length_ms: int, zone: tzinfo, now_ms: int) -> bool:
        end_ms = bar.start_ms + length_ms
        if not length_ms:
            end_ms = to_ms(day_after(datetime.fromtimestamp(bar.start_ms / 1_000, zone)))
        return is_served(end_ms, now_ms, delay_s=self.delay_s, even_open=self._settings.rest_open_bar)


def _of_both(choose: Callable[..., int], one: int | None, other: int | None) -> int | None:
    given = [each for each in (one, other) if each is not None]
    return choose(given) if given else None


def _symbols(question: Question) -> list[str]:
    return [symbol.strip() for symbol in question.query.get("symbol", "").split(",") if symbol.strip()]


def _subject(question: Question) -> str:
    return f"{question.path} {','.join(_symbols(question))} {question.query.get('interval', '')}".strip()


def _error(refused: RefusedError) -> dict[str, Any]:
    return {"code": refused.status, "message": refused.message, "status": "error"}


def _no_data() -> RefusedError:
    return RefusedError(400, "No data is available on the specified dates. Try setting different start/end dates.")


def _zone_of(instrument: Instrument) -> tzinfo:
    if instrument.kind in (Kind.CURRENCY, Kind.CRYPTO):
        return timezone.utc
    return ZoneInfo(_ZONES.get(instrument.exchange or "", "America/New_York"))


def _zone(name: str | None, own: tzinfo) -> tzinfo:
    if name is None or name == "Exchange":
        return own
    if name == "UTC":
        return timezone.utc
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise RefusedError(400, f"Invalid **timezone** provided: {name}.") from None


def _window(interval: str, zone: tzinfo) -> tuple[Window, int]:
    """The window of a bar, and its length in milliseconds; 0 for a day, whose length varies."""
    if interval == _DAY:
        return of_days(zone), 0
    if interval not in _MINUTES:
        served = ", ".join([*_MINUTES, _DAY])
        raise RefusedError(400, f"Invalid **interval** provided: {interval}. Supported intervals: {served}")
    length = _MINUTES[interval] * 60_000
    return of_length(length), length


def _moment(name: str, text: str | None, zone: tzinfo) -> int | None:
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is not None:
        raise RefusedError(
            400, f"Invalid **{name}** provided: {text}. Use the format YYYY-MM-DD or YYYY-MM-DD hh:mm:ss."
        )
    return to_ms(moment.replace(tzinfo=zone))


def _size(query: Mapping[str, str], *, dated: bool) -> int:
    text = query.get("outputsize")
    if text is None:
        return _MOST if dated else _USUAL
    if not text.isdecimal() or not 1 <= int(text) <= _MOST:
        raise RefusedError(400, f"Invalid **outputsize** provided: {text}. It can be in range from 1 to {_MOST}.")
    return int(text)


def _meta(instrument: Instrument, interval: str, zone: tzinfo) -> dict[str, str]:
    meta = {"symbol": instrument.symbol, "interval": interval}
    if instrument.kind in (Kind.CURRENCY, Kind.CRYPTO):
        meta |= {"currency_base": instrument.currency_base or "", "currency_quote": instrument.currency_quote or ""}
    else:
        meta |= {"currency": instrument.currency or "", "exchange_timezone": str(zone)}
    optional = {"exchange": instrument.exchange, "mic_code": instrument.mic_code}
    return meta | {name: value for name, value in optional.items() if value} | {"type": instrument.kind.value}


def _value(bar: RestBar, volume: int | None, zone: tzinfo, interval: str) -> dict[str, str]:
    begins = datetime.fromtimestamp(bar.start_ms / 1_000, zone)
    value = {"datetime": begins.strftime("%Y-%m-%d" if interval == _DAY else "%Y-%m-%d %H:%M:%S")}
    value |= {name: f"{getattr(bar, name):.5f}" for name in ("open", "high", "low", "close")}
    if volume is not None:
        value["volume"] = str(volume // UNITS)
    return value
