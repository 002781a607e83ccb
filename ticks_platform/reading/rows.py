"""Ticks, quotes, bars, gaps and symbols as DataFrames."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ticks_platform.reading.arguments import Every, Moment, ReadingError, Symbols, TimeZone, interval, time_range
from ticks_platform.reading.known_symbols import find_symbols
from ticks_platform.reading.results import Kind, Result, To, read
from ticks_platform.reading.source import From, Source
from ticks_platform.timescale import sql_files

_TICK: dict[str, Kind] = {
    "time": "time",
    "symbol": "category",
    "price": "float",
    "size": "float",
    "day_volume": "float",
    "bid": "float",
    "ask": "float",
    "exchange": "category",
    "trade_id": "string",
    "feed": "category",
    "received_at": "time",
    "updates": "integer",
    "conditions": "list",
    "tick_id": "string",
}
_QUOTE: dict[str, Kind] = {
    "time": "time",
    "symbol": "category",
    "bid": "float",
    "bid_size": "float",
    "ask": "float",
    "ask_size": "float",
    "exchange": "category",
    "feed": "category",
    "received_at": "time",
    "quote_id": "string",
}
_BAR: dict[str, Kind] = {
    "bucket": "time",
    "symbol": "category",
    "open": "float",
    "high": "float",
    "low": "float",
    "close": "float",
    "volume": "float",
    "average_price": "float",
    "feed": "category",
    "received_at": "time",
}
_GAP: dict[str, Kind] = {
    "begins_at": "time",
    "ends_at": "time",
    "symbol": "category",
    "feed": "category",
    "cause": "category",
    "state": "category",
    "rows_repaired": "count",
    "detail": "string",
    "found_at": "time",
    "changed_at": "time",
}
_STATES = ("open", "repaired", "unrepairable", "ignored")

_SYMBOL: dict[str, Kind] = {
    "symbol": "string",
    "name": "string",
    "asset_class": "category",
    "mic": "category",
    "currency": "category",
    "tick_size": "float",
    "may_be_negative": "boolean",
    "calendar": "category",
    "hours": "category",
    "feeds": "string",
    "is_streamed": "boolean",
}


def ticks(
    symbols: Symbols = None,
    start: Moment = None,
    end: Moment = None,
    *,
    feed: str | None = None,
    cancelled: bool = False,
    secondary: bool = False,
    tz: TimeZone = "UTC",
    to: To = "pandas",
    chunksize: int | None = None,
    database: From = None,
) -> Any:
    """Ticks, in the order of their candles: of event time, and then of arrival.

    :param start: the first event time; by default that of the first tick.
    :param end: the event time before which they are; by default there is no end.
    :param feed: those of one feed.
    :param cancelled: also those that the market took back, which no candle is made of: bit 8 of `updates`.
    :param secondary: also those of secondary feeds, which no candle is made of: bit 16 of `updates`.
    :returns: index ``time``, aware. Columns: ``symbol`` (category), ``price``, ``size``, ``day_volume``, ``bid``,
        ``ask`` (float64), ``exchange`` (category), ``trade_id`` (string), ``feed`` (category), ``received_at``,
        ``updates`` (Int64; empty stands for 7), ``conditions`` (string: codes with commas between), ``tick_id``
        (string).

    The other parameters and errors are those of `candles`.
    """
    chosen = {"feed": feed, "cancelled": cancelled, "secondary": secondary}
    return _read(
        "queries/reading/ticks.sql", _TICK, ("time", "place"), symbols, start, end, chosen, tz, to, chunksize, database
    )


def quotes(
    symbols: Symbols = None,
    start: Moment = None,
    end: Moment = None,
    *,
    feed: str | None = None,
    tz: TimeZone = "UTC",
    to: To = "pandas",
    chunksize: int | None = None,
    database: From = None,
) -> Any:
    """Best bids and offers, in order of event time, and then of arrival. Parameters are those of `ticks`.

    :returns: index ``time``, aware. Columns: ``symbol`` (category), ``bid``, ``bid_size``, ``ask``, ``ask_size``
        (float64; sizes in the provider's unit), ``exchange``, ``feed`` (category), ``received_at``, ``quote_id``
        (string).
    """
    return _read(
        "queries/reading/quotes.sql",
        _QUOTE,
        ("time", "quote_id"),
        symbols,
        start,
        end,
        {"feed": feed},
        tz,
        to,
        chunksize,
        database,
    )


def bars(
    symbols: Symbols = None,
    every: Every = "1m",
    start: Moment = None,
    end: Moment = None,
    *,
    feed: str | None = None,
    tz: TimeZone = "UTC",
    to: To = "pandas",
    chunksize: int | None = None,
    database: From = None,
) -> Any:
    """The provider's bars of a length, in order of their begin. Parameters are those of `candles`.

    :returns: index ``bucket``, aware. Columns: ``symbol`` (category), ``open``, ``high``, ``low``, ``close``,
        ``volume``, ``average_price`` (float64), ``feed`` (category), ``received_at``.
    """
    chosen = {"feed": feed, "every": interval(every)}
    return _read(
        "queries/reading/bars.sql",
        _BAR,
        ("bucket", "symbol", "feed"),
        symbols,
        start,
        end,
        chosen,
        tz,
        to,
        chunksize,
        database,
    )


def gaps(
    symbols: Symbols = None,
    start: Moment = None,
    end: Moment = None,
    *,
    feed: str | None = None,
    state: str | None = None,
    tz: TimeZone = "UTC",
    to: To = "pandas",
    chunksize: int | None = None,
    database: From = None,
) -> Any:
    """The intervals in which a symbol was not received though data could have been sent, in order of their begin.

    :param start: they end after it.
    :param end: they begin before it.
    :param state: ``open``, ``repaired``, ``unrepairable`` or ``ignored``.
    :returns: index ``begins_at``, aware, by arrival. Columns: ``ends_at`` (NaT while it lasts), ``symbol``, ``feed``,
        ``cause``, ``state`` (category), ``rows_repaired`` (int64), ``detail`` (string), ``found_at``, ``changed_at``.

    The other parameters and errors are those of `candles`.
    """
    if state not in (None, *_STATES):
        raise ReadingError(f"state={state!r} is no state of a gap: {', '.join(map(repr, _STATES))}")
    chosen = {"feed": feed, "state": state}
    order = ("begins_at", "symbol", "feed")
    return _read("queries/reading/gaps.sql", _GAP, order, symbols, start, end, chosen, tz, to, chunksize, database)


def symbols(*, to: To = "pandas", database: From = None) -> Any:
    """The symbols that feeds have or had, or that somebody described.

    :returns: index ``symbol`` (string). Columns: ``name`` (string), ``asset_class``, ``mic``, ``currency`` (category),
        ``tick_size`` (float64), ``may_be_negative`` (bool), ``calendar``, ``hours`` (category), ``feeds`` (string: with
        commas between), ``is_streamed`` (bool: a feed of feeds.yaml has it now).
    """
    result = Result(sql_files.compose("queries/reading/symbols.sql"), _SYMBOL, {}, ("symbol",))
    return read(Source(database), result, to=to, tz="UTC", chunksize=None)


def tick_result(source: Source, symbols: Symbols, start: Moment, end: Moment, tz: TimeZone) -> Result:
    """The statement for `ticks`, with the same errors."""
    chosen = {"feed": None, "cancelled": False, "secondary": False}
    return _result(source, "queries/reading/ticks.sql", _TICK, ("time", "place"), symbols, start, end, chosen, tz)


def _read(
    statement: str,
    columns: Mapping[str, Kind],
    order: Sequence[str],
    symbols: Symbols,
    start: Moment,
    end: Moment,
    chosen: Mapping[str, Any],
    tz: TimeZone,
    to: To,
    chunksize: int | None,
    database: From,
) -> Any:
    source = Source(database)
    result = _result(source, statement, columns, order, symbols, start, end, chosen, tz)
    return read(source, result, to=to, tz=tz, chunksize=chunksize)


def _result(
    source: Source,
    statement: str,
    columns: Mapping[str, Kind],
    order: Sequence[str],
    symbols: Symbols,
    start: Moment,
    end: Moment,
    chosen: Mapping[str, Any],
    tz: TimeZone,
) -> Result:
    asked = time_range(start, end, tz)
    with source.connect() as connection:
        names = find_symbols(connection, symbols)
    parameters = {"symbols": names.asked, **asked.parameters, **chosen}
    return Result(sql_files.compose(statement), columns, parameters, order, {"symbol": names.all})
