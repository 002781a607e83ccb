"""Candles as DataFrames."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from datetime import date, datetime, timedelta, timezone
from typing import Any

import sqlalchemy as sa
from psycopg2 import sql

from ticks_platform.reading import source as sources
from ticks_platform.reading.arguments import (
    DAY,
    HOUR,
    MINUTE,
    Every,
    Moment,
    Range,
    ReadingError,
    Symbols,
    TimeZone,
    interval,
    moment,
    time_range,
)
from ticks_platform.reading.known_symbols import Names, find_symbols
from ticks_platform.reading.results import Kind, Result, To, read
from ticks_platform.reading.source import From, Source
from ticks_platform.timescale import sql_files

_FIRST = datetime(1990, 1, 1, tzinfo=timezone.utc)
"""No tick is older: the tables have a constraint."""

_STORED = {MINUTE: "one_minute_candle", HOUR: "one_hour_candle", DAY: "one_day_candle"}

_PROVEN_AT_ONCE = timedelta(minutes=10)
"""The time that a proof is of."""

_PRICES: dict[str, Kind] = {"open": "float", "high": "float", "low": "float", "close": "float", "volume": "float"}
_CANDLE: dict[str, Kind] = {
    "bucket": "time",
    "symbol": "category",
    **_PRICES,
    "day_volume": "float",
    "tick_count": "count",
    "price_count": "count",
}
_FILLED: dict[str, Kind] = {
    "bucket": "time",
    "symbol": "category",
    **_PRICES,
    "tick_count": "integer",
    "source": "category",
}
_SESSION: dict[str, Kind] = {
    "opens_at": "time",
    "symbol": "category",
    "session": "day",
    **_PRICES,
    "day_volume": "float",
    "tick_count": "count",
    "closes_at": "time",
}
_PROOF: dict[str, Kind] = {"proof": "category", "proven_at": "time"}
_PROOFS = ("final", "proven", "open", "gap", "not_checked", "differs")
_ADJUSTED: dict[str, Kind] = {"adj_close": "float", "split_factor": "float", "dividend_factor": "float"}


def candles(
    symbols: Symbols = None,
    every: Every = "1m",
    start: Moment = None,
    end: Moment = None,
    *,
    tz: TimeZone = "UTC",
    filled: bool = False,
    adjusted: bool = False,
    known_at: Moment = None,
    proof: bool = False,
    proven: bool = False,
    to: To = "pandas",
    chunksize: int | None = None,
    database: From = None,
) -> Any:
    """Candles of symbols, in order of their buckets and, within a bucket, of their symbols.

    :param symbols: one symbol, several, or all.
    :param every: length of a candle: ``"1m"``, ``"5m"``, ``"1h"``, ``"1d"``, another length of which a day is a
        multiple, or ``"session"`` for trading days by each symbol's calendar. Buckets are UTC, whatever `tz` is.
    :param start: the first moment in which a bucket may begin; by default that of the first candle.
    :param end: where buckets may not begin any more; by default the open bucket is the last one.
    :param tz: the time zone of the index, of columns with times, and of `start`, `end` and `known_at` where they have
        none.
    :param filled: with the provider's bars in the minutes of a gap that was not repaired with ticks. Column `source` is
        ``ticks``, ``bars`` or ``both``.
    :param adjusted: prices and volumes adjusted for splits, and `adj_close` for dividends too: of ``"1d"`` and
        ``"session"``.
    :param known_at: the candles as they could have been known at that moment, from the ticks that had been received by
        then. Lengths below a minute exist here alone.
    :param proof: with column `proof`: ``final``, ``proven``, or why not: ``open``, ``gap``, ``not_checked``,
        ``differs``; and `proven_at`: the candle equals all that was received and repaired by then. Candles that are
        `filled` or `known_at` a moment have none.
    :param proven: only those that are final or proven, with the same columns.
    :param to: ``"pandas"``; ``"arrow"`` or ``"polars"`` by the extra of that name, which are read by ADBC.
    :param chunksize: an iterator of frames of so many rows; the statement streams.
    :param database: another one than the platform's: a URL, a `Database`, an engine or a connection of SQLAlchemy with
        psycopg2.
    :returns: index ``bucket`` (``opens_at`` of trading days), aware. Columns: ``symbol`` (category), ``open``,
        ``high``, ``low``, ``close``, ``volume``, ``day_volume`` (float64; NaN where empty), ``tick_count``,
        ``price_count`` (int64). Trading days have ``session`` (the date, as the exchange gives it) and ``closes_at``.
        `volume` is the sum of the trade sizes, or, where the provider sends the volume of the day alone, what that grew
        by since the candle before: after a gap, the gap's volume, too, and in the first candle of a day that of the day
        so far. Candles that are filled, adjusted (``"1d"``) or as known at a moment have the former only. A frame
        without rows has the same columns and dtypes.
    :raises UnknownSymbolError: a symbol that no feed has, with the nearest names.
    :raises ReadingError: an argument that cannot be, alone or with another one.
    :raises DatabaseUnavailableError: the database cannot be reached.
    """
    source = Source(database)
    result = candle_result(source, symbols, every, start, end, tz, filled, adjusted, known_at, proof, proven)
    return read(source, result, to=to, tz=tz, chunksize=chunksize)


def candle_result(
    source: Source,
    symbols: Symbols,
    every: Every,
    start: Moment,
    end: Moment,
    tz: TimeZone,
    filled: bool = False,
    adjusted: bool = False,
    known_at: Moment = None,
    proof: bool = False,
    proven: bool = False,
) -> Result:
    """The statement for `candles`, with the same errors."""
    asked = time_range(start, end, tz)
    known = moment("known_at", known_at, tz)
    if filled + adjusted + (known is not None) > 1:
        raise ReadingError("filled, adjusted and known_at are three kinds of candles: ask for one of them")
    if (proof or proven) and (filled or known is not None):
        raise ReadingError(
            "candles that are filled have bars, which are not proven, and the proof is that of now: leave filled and "
            "known_at out where proof or proven is asked for"
        )
    with source.connect() as connection:
        names = find_symbols(connection, symbols)
        if every == "session":
            if filled or known is not None:
                raise ReadingError("trading days are not filled, and not as of a moment: ask for every='1d', or less")
            found = _session_days(names, asked, adjusted)
            return _with_proof(found, None, proven=proven) if proof or proven else found
        length = interval(every)
        _check(length, every, adjusted=adjusted, as_of=known is not None)
        found = _candles(connection, names, _buckets(asked, length), length, filled, adjusted, known)
        return _with_proof(found, length, proven=proven) if proof or proven else found


def _with_proof(found: Result, length: timedelta | None, *, proven: bool) -> Result:
    """The same candles with their proof; `length` is None for trading days."""
    file = "queries/reading/session_days_with_proof.sql" if length is None else "queries/reading/with_proof.sql"
    statement = sql_files.compose(file, columns=_list(found.columns), candles=found.statement)
    parameters: dict[str, Any] = {**found.parameters, "proven": proven}
    if length is not None:
        levels = [name for stored, name in _STORED.items() if not length % stored]
        # A moment of more time than the bucket is no later than that of the bucket.
        span = next(each for each in (_PROVEN_AT_ONCE, HOUR, DAY) if not each % length)
        parameters |= {"levels": levels, "proof_span": span}
    return dataclasses.replace(
        found,
        statement=statement,
        columns={**found.columns, **_PROOF},
        parameters=parameters,
        categories={**found.categories, "proof": _PROOFS},
    )


def _check(length: timedelta, every: Every, *, adjusted: bool, as_of: bool) -> None:
    if adjusted and length != DAY:
        raise ReadingError(f"candles of {every!r} are not adjusted: ask for every='1d' or 'session'")
    if length % MINUTE and not as_of:
        raise ReadingError(
            f"candles of {every!r} are not stored, the shortest are of a minute: ask for whole minutes, or for the "
            "candles as of a moment (known_at), which are made of ticks"
        )


def _buckets(asked: Range, length: timedelta) -> Range:
    """The buckets that begin in a time, as the range from the first one's begin to the last one's end."""

    def next_begin(time: datetime) -> datetime:
        return time + (_FIRST - time) % length

    return Range(next_begin(asked.start or _FIRST), asked.end and next_begin(asked.end))


def _candles(
    connection: sa.Connection,
    names: Names,
    asked: Range,
    length: timedelta,
    filled: bool,
    adjusted: bool,
    known: datetime | None,
) -> Result:
    parameters = {"symbols": names.asked, **asked.parameters, "every": length}
    if known is not None:
        statement = sql_files.compose("queries/reading/candles_as_of.sql")
        parameters |= {"symbols": names.all, "known_at": known}
        columns = _CANDLE
    elif filled:
        statement, columns = sql_files.compose("queries/reading/candles_filled.sql"), _FILLED
    elif adjusted:
        columns = _CANDLE | _ADJUSTED
        statement = _stored("one_day_candle_adjusted", columns)
    else:
        columns = _CANDLE
        if length in _STORED:
            statement = _stored(_STORED[length], columns)
        else:
            shorter = _STORED[MINUTE if length % HOUR else HOUR]
            statement = sql_files.compose("queries/reading/candles_made_of_shorter.sql", candle=sql.Identifier(shorter))
        if sources.execute(connection, "queries/reading/has_day_volume_only.sql", parameters)[0][0]:
            statement = sql_files.compose("queries/reading/with_derived_volume.sql", candles=statement)
    return Result(statement, columns, parameters, ("bucket",), {"symbol": names.all}, ordered_here_by="symbol")


def _stored(candle: str, columns: Mapping[str, Kind]) -> sql.Composed:
    return sql_files.compose("queries/reading/candles.sql", columns=_list(columns), candle=sql.Identifier(candle))


def _list(columns: Mapping[str, Kind]) -> sql.Composed:
    return sql.SQL(", ").join(map(sql.Identifier, columns))


def _session_days(names: Names, asked: Range, adjusted: bool) -> Result:
    columns = _SESSION | (_ADJUSTED if adjusted else {})
    statement = sql_files.compose(
        "queries/reading/session_days.sql",
        columns=_list(columns),
        candle=sql.Identifier("session_day_candle_adjusted" if adjusted else "session_day_candle"),
    )
    # A trading day has the date of its exchange, which is at most a day from that of its opening in UTC.
    parameters = {
        "symbols": names.asked,
        **asked.parameters,
        "first_day": asked.start.date() - DAY if asked.start else date(1990, 1, 1),
        "last_day": asked.end.date() + DAY if asked.end else date(9999, 1, 1),
    }
    return Result(statement, columns, parameters, ("opens_at",), {"symbol": names.all}, ordered_here_by="symbol")
