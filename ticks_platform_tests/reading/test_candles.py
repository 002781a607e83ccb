"""`ticks_platform.candles`: the rows of the database as frames, against rows that are selected by hand."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import date, datetime, timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

import ticks_platform
from ticks_platform import ReadingError, UnknownSymbolError
from ticks_platform.timescale import market_calendar
from ticks_platform.timescale.database import Database, DatabaseUnavailableError
from ticks_platform.timescale.market_calendar import SymbolCalendars
from ticks_platform_tests.support.candles import refresh
from ticks_platform_tests.timescale.candles import test_filled
from ticks_platform_tests.timescale.candles.test_adjusted_candles import ACTION
from ticks_platform_tests.timescale.candles.test_session_day_candle import SESSIONS

BEGIN = datetime(2026, 1, 5, 14, 30, tzinfo=timezone.utc)
"""A Monday, New York 09:30."""

OHLCV = ["open", "high", "low", "close", "volume"]


def store(database: Database, *ticks: tuple[str, str, float | None, float | None, float | None]) -> None:
    """Ticks of (time in UTC, symbol, price, size, day_volume), in order of arrival."""
    with database.transaction() as cursor:
        for number, (at, symbol, price, size, day_volume) in enumerate(ticks):
            time = datetime.fromisoformat(at).replace(tzinfo=timezone.utc)
            tick_id = f"{round(time.timestamp() * 1000):012x}70008000{number:012x}"
            cursor.execute(
                "INSERT INTO stocks_real_time (time, symbol, price, size, day_volume, tick_id, feed, received_at) "
                "VALUES (%s, %s, %s, %s, %s, %s, 'tape', %s)",
                (time, symbol, price, size, day_volume, tick_id, time),
            )


@pytest.fixture
def database(database: Database) -> Database:
    """Two symbols over three hours of a Monday and a minute of Tuesday."""
    store(
        database,
        ("2026-01-05 14:30:01", "AAPL", 10.0, 5.0, None),
        ("2026-01-05 14:30:59", "AAPL", 12.0, 1.0, None),
        ("2026-01-05 14:34:00", "AAPL", 9.0, 2.0, None),
        ("2026-01-05 14:35:00", "AAPL", 11.0, 4.0, None),
        ("2026-01-05 16:20:00", "AAPL", 13.0, 1.0, None),
        ("2026-01-06 14:30:00", "AAPL", 20.0, 1.0, None),
        ("2026-01-05 14:30:30", "MSFT", 100.0, None, 1000.0),
        ("2026-01-05 14:31:30", "MSFT", 101.0, None, 1500.0),
        ("2026-01-05 15:00:30", "MSFT", 99.0, None, 1700.0),
        ("2026-01-06 14:30:30", "MSFT", 90.0, None, 300.0),
    )
    return database


def frame(database: Database, *arguments: Any, **options: Any) -> pd.DataFrame:
    return ticks_platform.candles(*arguments, database=database, **options)


def keep_calendars(database: Database, *symbols: str) -> None:
    calendars = {("tape", symbol): SymbolCalendars("XNYS", "XNYS") for symbol in symbols}
    with database.transaction() as cursor:
        market_calendar.keep(
            cursor, SESSIONS, calendars, begin=BEGIN - timedelta(days=5), end=BEGIN + timedelta(days=9)
        )


def tuples(found: pd.DataFrame, *columns: str) -> list[tuple[Any, ...]]:
    """(minutes since BEGIN, columns…)"""
    minutes = ((found.index - BEGIN) / pd.Timedelta(minutes=1)).astype(int)
    return list(zip(minutes, *(found[name].tolist() for name in columns), strict=True))


def test_minutes_are_the_stored_candles(database: Database) -> None:
    found = frame(database, "AAPL", start="2026-01-05", end="2026-01-06")
    assert tuples(found, *OHLCV, "tick_count", "price_count") == [
        (0, 10.0, 12.0, 10.0, 12.0, 6.0, 2, 2),
        (4, 9.0, 9.0, 9.0, 9.0, 2.0, 1, 1),
        (5, 11.0, 11.0, 11.0, 11.0, 4.0, 1, 1),
        (110, 13.0, 13.0, 13.0, 13.0, 1.0, 1, 1),
    ]


def test_buckets_are_in_order_and_symbols_within_them(database: Database) -> None:
    found = frame(database, ["MSFT", "AAPL"], end=BEGIN + timedelta(minutes=2))
    assert tuples(found, "symbol") == [(0, "AAPL"), (0, "MSFT"), (1, "MSFT")]
    assert found.index.is_monotonic_increasing
    assert found.index.name == "bucket"


@pytest.mark.parametrize("every", ["5m", "5min", timedelta(minutes=5)])
def test_a_length_that_is_not_stored(database: Database, every: str | timedelta) -> None:
    found = frame(database, "AAPL", every, "2026-01-05", "2026-01-05 15:00")
    assert tuples(found, *OHLCV) == [(0, 10.0, 12.0, 9.0, 9.0, 8.0), (5, 11.0, 11.0, 11.0, 11.0, 4.0)]


def test_every_length_is_what_the_minutes_make(database: Database) -> None:
    minutes = frame(database, ["AAPL", "MSFT"])
    refresh(database)
    for every in ("1m", "2m", "15m", "90m", "1h", "2h", "12h", "1d"):
        found = frame(database, ["AAPL", "MSFT"], every)
        grouped = minutes.groupby(
            [pd.Grouper(freq=every.replace("m", "min").replace("d", "D")), "symbol"], observed=True
        )
        by_hand = grouped.agg(open=("open", "first"), high=("high", "max"), low=("low", "min"), close=("close", "last"))
        by_hand["volume"] = grouped["volume"].sum(min_count=1)
        columns = found.reset_index().set_index(["bucket", "symbol"])[OHLCV]
        pd.testing.assert_frame_equal(columns, by_hand, check_index_type=False, check_categorical=False)


def test_buckets_begin_within_the_range(database: Database) -> None:
    # 14:32 is within the first bucket of five minutes, which begins before it; 14:36 within the second, which is whole.
    found = frame(database, "AAPL", "5m", BEGIN + timedelta(minutes=2), BEGIN + timedelta(minutes=6))
    assert tuples(found, "tick_count") == [(5, 1)]
    assert len(frame(database, "AAPL", "1h", BEGIN, BEGIN)) == 0
    assert len(frame(database, "AAPL", "1h", "0001-01-01", "9999-12-31")) == 3
    assert len(frame(database, [])) == 0


def test_volume_is_derived_from_the_volume_of_the_day_where_there_are_no_sizes(database: Database) -> None:
    found = frame(database, "MSFT")
    assert tuples(found, "volume", "day_volume")[:3] == [(0, 1000.0, 1000.0), (1, 500.0, 1500.0), (30, 200.0, 1700.0)]
    assert found["volume"].tolist()[3] == 300.0, "a day begins with nothing"
    assert frame(database, "MSFT", start="2026-01-05 15:00", end="2026-01-06")["volume"].tolist() == [200.0], (
        "what was traded before `start` is not of the first minute"
    )
    assert frame(database, "MSFT", "1h")["volume"].tolist() == [1500.0, 200.0, 300.0]
    with database.transaction() as cursor:
        cursor.execute("SELECT volume FROM one_minute_candle_volume WHERE symbol = 'MSFT' ORDER BY bucket")
        assert found["volume"].tolist() == [volume for (volume,) in cursor.fetchall()]


def test_dtypes_with_rows_and_without(database: Database) -> None:
    whole = frame(database, "AAPL", tz="America/New_York")
    empty = frame(database, "AAPL", end="1999-01-01", tz="America/New_York")
    assert len(whole) == 5
    assert len(empty) == 0
    for found in (whole, empty):
        assert str(found.index.dtype).endswith(", America/New_York]")
        assert found.index.unit == pd.date_range("2000-01-01", periods=1).unit
        assert isinstance(found["symbol"].dtype, pd.CategoricalDtype)
        assert found["symbol"].cat.categories.tolist() == ["AAPL"]
        assert set(map(str, found[[*OHLCV, "day_volume"]].dtypes)) == {"float64"}
        assert set(map(str, found[["tick_count", "price_count"]].dtypes)) == {"int64"}
    assert empty.dtypes.equals(whole.dtypes)
    assert "object" not in map(str, whole.dtypes)


def test_times_without_a_zone_are_in_the_zone_that_is_asked_for(database: Database) -> None:
    found = frame(database, "AAPL", start="2026-01-05 09:34", end="2026-01-05 09:35", tz="America/New_York")
    assert [str(time) for time in found.index] == ["2026-01-05 09:34:00-05:00"]
    same = frame(database, "AAPL", start="2026-01-05 14:34Z", end=pd.Timestamp("2026-01-05 14:35Z"))
    assert same.index.tolist() == found.index.tolist()


def test_chunks_are_parts_of_the_whole(database: Database) -> None:
    whole = frame(database)
    chunks = frame(database, chunksize=4)
    assert isinstance(chunks, Iterator)
    parts = list(chunks)
    assert [len(part) for part in parts] == [4, 4, 1]
    assert {len(part["symbol"].cat.categories) for part in parts} == {2}
    pd.testing.assert_frame_equal(pd.concat(parts), whole, check_categorical=False)
    (only,) = frame(database, end="1999-01-01", chunksize=10)
    assert only.empty


def test_trading_days(database: Database) -> None:
    keep_calendars(database, "AAPL", "MSFT")
    found = frame(database, "AAPL", "session", tz="America/New_York")
    assert found.index.name == "opens_at"
    assert [str(time) for time in found.index] == ["2026-01-05 09:30:00-05:00", "2026-01-06 09:30:00-05:00"]
    assert found["session"].tolist() == [pd.Timestamp("2026-01-05"), pd.Timestamp("2026-01-06")]
    assert found[OHLCV].to_numpy().tolist() == [[10.0, 13.0, 9.0, 13.0, 13.0], [20.0, 20.0, 20.0, 20.0, 1.0]]
    assert len(frame(database, "AAPL", "session", start="2026-01-06")) == 1
    empty = frame(database, "AAPL", "session", end="1999-01-01", tz="America/New_York")
    assert empty.dtypes.equals(found.dtypes)


def test_adjusted_for_a_split(database: Database) -> None:
    keep_calendars(database, "AAPL")
    with database.transaction() as cursor:
        cursor.execute(ACTION, ("AAPL", "split", "2026-01-06", 1, 2, None, None, "a", "polygon"))
    for every in ("1d", "session"):
        found = frame(database, "AAPL", every, adjusted=True)
        assert found["close"].tolist() == [6.5, 20.0]
        assert found["volume"].tolist() == [26.0, 1.0]
        assert found["adj_close"].tolist() == [6.5, 20.0]
    with pytest.raises(ReadingError, match=r"'1h' are not adjusted.*'1d'"):
        frame(database, "AAPL", "1h", adjusted=True)


def test_filled_with_bars(database: Database) -> None:
    with database.transaction() as cursor:
        cursor.execute("TRUNCATE stocks_real_time")
        cursor.execute(test_filled.DATA)
    found = frame(database, "AAPL", filled=True)
    assert found["source"].tolist() == ["ticks", "bars", "ticks"]
    assert found["volume"].tolist() == [50.0, 90.0, 50.0]
    assert found["tick_count"].tolist() == [1, pd.NA, 1]
    five = frame(database, "AAPL", "5m", filled=True)
    assert five["source"].tolist() == ["both"]
    assert five["volume"].tolist() == [190.0]


def test_as_known_at_a_moment(database: Database) -> None:
    known = BEGIN + timedelta(seconds=30)
    found = frame(database, ["AAPL", "MSFT"], known_at=known, start=BEGIN, end=BEGIN + timedelta(hours=1))
    assert tuples(found, "symbol", "close", "tick_count") == [(0, "AAPL", 10.0, 1), (0, "MSFT", 100.0, 1)]
    assert len(frame(database, known_at=known, start=BEGIN, end=BEGIN + timedelta(hours=1))) == 2, "of all symbols"
    seconds = frame(database, "AAPL", "10s", known_at="2027-01-01", start=BEGIN, end=BEGIN + timedelta(minutes=1))
    assert tuples(seconds, "close") == [(0, 10.0), (0, 12.0)]
    assert [time.second for time in seconds.index] == [0, 50]


def test_arrow_and_polars_have_the_same_rows(database: Database) -> None:
    whole = frame(database, tz="America/New_York")
    table = frame(database, tz="America/New_York", to="arrow")
    assert str(table.schema.field("bucket").type) == "timestamp[us, tz=America/New_York]"
    assert str(table.schema.field("symbol").type).startswith("dictionary<values=string")
    pd.testing.assert_frame_equal(
        table.to_pandas().set_index("bucket"), whole, check_index_type=False, check_categorical=False, check_dtype=False
    )
    polars = frame(database, tz="America/New_York", to="polars")
    assert polars["close"].to_list() == whole["close"].tolist()
    assert polars["bucket"].to_list() == whole.index.to_pydatetime().tolist()
    chunks = list(frame(database, to="arrow", chunksize=4))
    assert [chunk.num_rows for chunk in chunks] == [4, 4, 1]
    empty = frame(database, end="1999-01-01", to="arrow")
    assert empty.num_rows == 0
    assert frame(database, to="arrow").schema == empty.schema


def test_unknown_symbols_get_the_nearest_names(database: Database) -> None:
    keep_calendars(database, "AAPL", "MSFT")
    with pytest.raises(UnknownSymbolError, match=r"no feed has 'APPL' \(did you mean 'AAPL'\?\), 'zzzz', and nothing"):
        frame(database, ["zzzz", "APPL", "MSFT"])
    with pytest.raises(UnknownSymbolError, match=r"'aapl' \(did you mean 'AAPL'\?\)"):
        frame(database, "aapl")


def test_a_symbol_with_an_odd_name_is_a_value_and_no_sql(database: Database) -> None:
    name = "100% '); DROP TABLE company; -- %s \u2019"
    store(database, ("2026-01-05 14:30:01", name, 1.0, 1.0, None))
    assert frame(database, name)["symbol"].tolist() == [name]
    assert frame(database, name, to="arrow")["symbol"].to_pylist() == [name]


@pytest.mark.parametrize(
    ("arguments", "options", "words"),
    [
        (("AAPL", "7m"), {}, "'7m' is no length of candles"),
        (("AAPL", "soon"), {}, "'soon' is no length of candles"),
        (("AAPL", "0m"), {}, "'0m' is no length of candles"),
        (("AAPL", "10s"), {}, "known_at"),
        (("AAPL",), {"start": "yesterdayish"}, "start='yesterdayish' is no time"),
        (("AAPL",), {"start": "2026-01-02", "end": "2026-01-01"}, "is before start"),
        (("AAPL",), {"tz": "Mars/Olympus"}, "'Mars/Olympus' is no time zone"),
        (("AAPL",), {"tz": "../etc/passwd"}, "is no time zone"),
        (("AAPL",), {"filled": True, "adjusted": True}, "ask for one of them"),
        (("AAPL",), {"proven": True, "known_at": "2026-01-05"}, "the proof is that of now"),
        (("AAPL",), {"proof": True, "filled": True}, "which are not proven"),
        (("AAPL", "session"), {"filled": True}, "trading days are not filled"),
        (("AAPL",), {"to": "numpy"}, "'numpy' is no form"),
        (("AAPL",), {"chunksize": 0}, "chunksize=0"),
        (("AAPL",), {"chunksize": 2.5}, "chunksize=2.5"),
        (("AAPL",), {"tz": None}, "tz=None is no time zone"),
        (("AAPL",), {"start": 1}, "start=1 is no time"),
        (("AAPL",), {"start": pd.NaT}, "start=NaT is no time"),
        (
            ("AAPL",),
            {"start": "2026-03-08 02:30", "tz": "America/New_York"},
            "show twice, or never: give it with its offset",
        ),
        (
            ("AAPL",),
            {"start": "2026-11-01 01:30", "tz": "America/New_York"},
            "show twice, or never: give it with its offset",
        ),
        (("A\0",), {}, "is no text"),
        (([1],), {}, "symbols has 1"),
        ((5,), {}, "symbols=5 is no symbol"),
        ((b"AAPL",), {}, "symbols=b'AAPL' is no symbol"),
        (("AAPL",), {"start": np.int64(1767600000)}, "is no time: a number has no unit"),
        (("AAPL",), {"chunksize": True}, "chunksize=True"),
        (("AAPL",), {"tz": 5}, "tz=5 is no time zone"),
    ],
)
def test_what_cannot_be_is_refused_in_words(
    database: Database, arguments: tuple[Any, ...], options: dict[str, Any], words: str
) -> None:
    with pytest.raises(ReadingError, match=words):
        frame(database, *arguments, **options)


def test_forms_that_mean_the_same(database: Database) -> None:
    whole = frame(database, "AAPL", every="5m", start="2026-01-05", end="2026-01-06", tz="America/New_York")
    new_york = ZoneInfo("America/New_York")
    for symbols in (["AAPL"], np.array(["AAPL"]), pd.Series(["AAPL"], dtype="category"), {"AAPL"}, iter(["AAPL"])):
        found = frame(database, symbols, "5min", np.datetime64("2026-01-05"), date(2026, 1, 6), tz=new_york)
        pd.testing.assert_frame_equal(found, whole)
    for every in (timedelta(minutes=5), pd.Timedelta("5min"), np.timedelta64(300, "s")):
        found = frame(
            database, "AAPL", every, pd.Timestamp("2026-01-05", tz=new_york), "2026-01-06T05:00Z", tz=new_york
        )
        pd.testing.assert_frame_equal(found, whole)
    assert [len(part) for part in frame(database, "AAPL", chunksize=np.int64(4))] == [4, 1]


def test_now_is_the_clock_of_the_zone_that_is_asked_for(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Pacific/Kiritimati")  # 14 hours ahead
    time.tzset()
    try:
        at = datetime.now(timezone.utc) - timedelta(hours=1)
        store(database, (at.replace(tzinfo=None).isoformat(), "AAPL", 1.0, 1.0, None))
        assert frame(database, "AAPL", end="now").index[-1] > at - timedelta(minutes=2)
        assert frame(database, "AAPL", start="now").empty
    finally:
        monkeypatch.undo()
        time.tzset()


def test_a_database_in_each_form_that_sqlalchemy_has(database: Database) -> None:
    url = sa.make_url(database.url())
    text = url.render_as_string(hide_password=False).replace("postgresql:", "postgresql+psycopg:")
    for given in (url, url.set(drivername="postgresql+asyncpg"), text):
        assert len(ticks_platform.candles("AAPL", database=given)) == 5
    engine = sa.create_engine(database.url().replace("postgresql:", "postgresql+psycopg2:"), poolclass=sa.NullPool)
    with Session(engine) as session, pytest.raises(ReadingError, match="Session: give a URL"):
        ticks_platform.candles("AAPL", database=session)  # type: ignore[arg-type]
    with pytest.raises(ReadingError, match="database= is no URL of PostgreSQL") as error:
        ticks_platform.candles("AAPL", database="sqlite://me:topsecret@here/prices")
    assert "topsecret" not in str(error.value)


@pytest.mark.parametrize("to", ["pandas", "arrow"])
def test_a_database_without_our_tables_says_what_creates_them(database: Database, to: Any) -> None:
    with database.transaction() as cursor:
        cursor.execute("ALTER SCHEMA ticks_platform RENAME TO elsewhere")
    with pytest.raises(ReadingError, match=r"does not have all tables of the platform .*feed_symbol.*`ticks dev`"):
        ticks_platform.candles("AAPL", to=to, database=database)
    with pytest.raises(ReadingError, match="`ticks dev`"):
        ticks_platform.symbols(to="pandas", database=database)
    with database.transaction() as cursor:
        cursor.execute("ALTER SCHEMA elsewhere RENAME TO ticks_platform")


def test_names_that_no_feed_has_are_near_too(database: Database) -> None:
    store(database, ("2026-01-05 14:30:01", "GOOGL", 1.0, 1.0, None))
    with pytest.raises(UnknownSymbolError, match="did you mean 'GOOGL'"):
        frame(database, "GOOG")


def test_a_connection_of_the_callers_own(database: Database) -> None:
    whole = frame(database, "AAPL")
    engine = sa.create_engine(database.url().replace("postgresql:", "postgresql+psycopg2:"))
    pd.testing.assert_frame_equal(ticks_platform.candles("AAPL", database=engine), whole)
    assert ticks_platform.candles("AAPL", to="arrow", database=engine).num_rows == len(whole)
    with engine.connect() as connection:
        pd.testing.assert_frame_equal(ticks_platform.candles("AAPL", database=connection), whole)
        with pytest.raises(ReadingError, match="give a URL or an engine"):
            ticks_platform.candles("AAPL", to="arrow", database=connection)
        assert not {"stream_results", "postgresql_readonly"} & set(connection.get_execution_options())
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        pd.testing.assert_frame_equal(ticks_platform.candles("AAPL", database=connection), whole)
    engine.dispose()
    pd.testing.assert_frame_equal(ticks_platform.candles("AAPL", database=database.url()), whole)
    with pytest.raises(ReadingError, match=r"driver is sqlite\+pysqlite"):
        ticks_platform.candles("AAPL", database=sa.create_engine("sqlite://"))


def test_the_database_of_the_project(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TICKS_DATABASE_URL", database.url())
    assert len(ticks_platform.candles("AAPL")) == 5


@pytest.mark.parametrize("to", ["pandas", "arrow"])
def test_a_database_that_is_away_is_named_without_its_password(to: Any) -> None:
    with pytest.raises(DatabaseUnavailableError) as error:
        ticks_platform.candles("AAPL", to=to, database="postgresql://me:topsecret@127.0.0.1:1/prices")
    assert "127.0.0.1" in str(error.value)
    assert "topsecret" not in str(error.value)


def many(database: Database) -> None:
    """Ten minutes of 20 symbols, whose ticks were stored in no order of their symbols."""
    with database.transaction() as cursor:
        cursor.execute(
            "INSERT INTO stocks_real_time (time, symbol, price, size) "
            "SELECT time, 'S' || (symbol * 37) %% 20, symbol, 1 "
            "FROM generate_series(%s::timestamptz, %s::timestamptz + INTERVAL '9 minutes', '1 minute') AS time "
            "CROSS JOIN generate_series(1, 20) AS symbol",
            (BEGIN, BEGIN),
        )


@pytest.mark.parametrize("to", ["pandas", "arrow", "polars"])
def test_symbols_are_in_order_within_each_bucket_however_they_are_read(database: Database, to: Any) -> None:
    many(database)
    rows = frame(database, start=BEGIN, end=BEGIN + timedelta(minutes=10))
    keys = list(zip(rows.index, rows["symbol"], strict=True))
    assert keys == sorted(keys)
    assert len(keys) > 200
    with_proof = frame(database, start=BEGIN, end=BEGIN + timedelta(minutes=10), to=to, proof=True)
    assert _list(with_proof["symbol"]) == rows["symbol"].tolist()
    for size in (1, 7, 5000):
        chunks = list(frame(database, start=BEGIN, end=BEGIN + timedelta(minutes=10), to=to, chunksize=size))
        assert {len(chunk) for chunk in chunks[:-1]} <= {size}
        assert [symbol for chunk in chunks for symbol in _list(chunk["symbol"])] == rows["symbol"].tolist()


def _list(column: Any) -> list[str]:
    found: list[str] = column.to_pylist() if hasattr(column, "to_pylist") else column.to_list()
    return found


@pytest.mark.parametrize("to", ["pandas", "arrow"])
def test_chunks_that_are_abandoned_leave_no_connection(database: Database, to: Any) -> None:
    many(database)
    engine = sa.create_engine(database.url().replace("postgresql://", "postgresql+psycopg2://", 1))
    chunks = ticks_platform.candles(chunksize=10, to=to, database=engine)
    assert len(next(chunks)) == 10
    chunks.close()
    assert engine.pool.checkedout() == 0  # type: ignore[attr-defined]
    assert len(ticks_platform.candles("S1", start=BEGIN, to=to, database=engine)) == 10
    engine.dispose()
    with database.transaction() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state <> 'idle' "
            "AND backend_type = 'client backend' AND pid <> pg_backend_pid()"
        )
        assert cursor.fetchone() == (0,)
