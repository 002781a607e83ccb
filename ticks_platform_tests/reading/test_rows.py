"""`ticks`, `quotes`, `bars`, `gaps` and `symbols`, as frames."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pandas as pd
import pytest

import ticks_platform
from ticks_platform import ReadingError
from ticks_platform.timescale.database import Database

DATA = """
INSERT INTO ticks_platform.feed (feed, provider, synthetic, candles)
VALUES ('tape', 'x', true, true), ('other', 'x', true, false);
INSERT INTO ticks_platform.feed_symbol (feed, symbol, wanted_from, wanted_until, calendar)
VALUES ('tape', 'AAPL', '2026-01-01Z', NULL, 'always'), ('other', 'MSFT', '2026-01-01Z', '2026-01-02Z', 'always');
INSERT INTO company VALUES ('AAPL', 'Apple');
INSERT INTO instrument (symbol, asset_class, tick_size) VALUES ('AAPL', 'stock', 0.01), ('CLF6', 'future', NULL);
INSERT INTO stocks_real_time
    (time, symbol, price, size, bid, ask, exchange, trade_id, feed, received_at, updates, conditions, tick_id)
SELECT at, symbol, price, size, bid, ask, exchange, trade_id, feed, '2026-01-05 14:30:02Z', updates, conditions,
    lpad(number::text, 32, '0')::uuid
FROM (VALUES
    (2, '2026-01-05 14:30:00.000001Z'::timestamptz, 'AAPL', 10, 5, NULL::int, NULL::int, 'V', '7', 'tape', 4,
        '{12,37}'::smallint[]),
    (3, '2026-01-05 14:30:00.000001Z', 'AAPL', 11, NULL, 1, 2, NULL, NULL, 'tape', NULL, NULL),
    (4, '2026-01-05 14:30:01Z', 'AAPL', 12, 1, NULL, NULL, 'V', '8', 'tape', 15, NULL),
    (5, '2026-01-05 14:30:02Z', 'MSFT', 13, 1, NULL, NULL, 'V', '9', 'other', 23, NULL)
) AS ticks (number, at, symbol, price, size, bid, ask, exchange, trade_id, feed, updates, conditions);
INSERT INTO stock_quotes
    (time, symbol, bid_price, bid_size, ask_price, ask_size, quote_id, exchange, feed, received_at)
SELECT at, 'AAPL', 1, 2, 3, NULL, lpad('2', 32, '0')::uuid, 'V', 'tape', at
FROM (VALUES ('2026-01-05 14:30:00Z'::timestamptz)) AS quotes (at);
INSERT INTO stock_aggregates
    (symbol, start_time, end_time, open_price, high_price, low_price, close_price, volume, average_price, feed,
    received_at)
SELECT 'AAPL', at, at + length, 1, 4, 0.5, 2, volume, 1.5, 'tape', at + INTERVAL '1 minute'
FROM (VALUES
    ('2026-01-05 14:30Z'::timestamptz, INTERVAL '1 minute', 90), ('2026-01-05 14:30Z', '1 second', 9)
) AS bars (at, length, volume);
INSERT INTO ticks_platform.feed_gap (feed, symbol, begins_at, ends_at, cause, state)
VALUES
    ('tape', 'AAPL', '2026-01-05 14:31Z', '2026-01-05 14:33Z', 'disconnected', 'repaired'),
    ('tape', 'AAPL', '2026-01-05 14:40Z', NULL, 'killed', 'open');
"""


@pytest.fixture
def database(database: Database) -> Database:
    """A row of each kind, and some that are left out."""
    with database.transaction() as cursor:
        cursor.execute(DATA)
    return database


def test_ticks_are_those_that_candles_are_made_of(database: Database) -> None:
    found = ticks_platform.ticks("AAPL", database=database)
    assert found["price"].tolist() == [10.0, 11.0]
    assert found.index.tolist() == [pd.Timestamp("2026-01-05 14:30:00.000001Z")] * 2
    assert found["conditions"].tolist() == ["12,37", pd.NA]
    assert found["updates"].tolist() == [4, pd.NA]
    assert found["exchange"].tolist()[0] == "V"
    assert found["tick_id"].tolist()[0] == "00000000-0000-0000-0000-000000000002"
    assert ticks_platform.ticks(database=database, cancelled=True)["price"].tolist() == [10.0, 11.0, 12.0]
    assert ticks_platform.ticks(database=database, secondary=True)["price"].tolist() == [10.0, 11.0, 13.0]
    assert ticks_platform.ticks(database=database, feed="other", secondary=True)["symbol"].tolist() == ["MSFT"]


def test_times_are_exact_to_the_microsecond(database: Database) -> None:
    with database.transaction() as cursor:
        cursor.execute(
            "INSERT INTO stock_quotes (time, symbol, quote_id, feed, received_at) "
            "SELECT at, 'AAPL', gen_random_uuid(), 'tape', at FROM (SELECT '1990-01-02Z'::timestamptz "
            "+ random() * INTERVAL '60 days' + generate_series(0, 40) * INTERVAL '2 years 9 months' AS at) AS times"
        )
        cursor.execute("SELECT time FROM stock_quotes ORDER BY time")
        times = [time for (time,) in cursor.fetchall()]
    found = ticks_platform.quotes(database=database)
    assert found.index.tolist() == [pd.Timestamp(time) for time in times]


def test_quotes(database: Database) -> None:
    found = ticks_platform.quotes(["AAPL"], start="2026-01-05", database=database)
    assert found[["bid", "bid_size", "ask"]].to_numpy().tolist() == [[1.0, 2.0, 3.0]]
    assert found["ask_size"].isna().tolist() == [True]


def test_bars_are_of_one_length(database: Database) -> None:
    assert ticks_platform.bars("AAPL", database=database)["volume"].tolist() == [90.0]
    assert ticks_platform.bars("AAPL", "1s", database=database)["volume"].tolist() == [9.0]
    with pytest.raises(ReadingError, match="is no length"):
        ticks_platform.bars("AAPL", "session", database=database)


def test_gaps_with_a_part_in_the_range(database: Database) -> None:
    found = ticks_platform.gaps("AAPL", database=database)
    assert found["state"].tolist() == ["repaired", "open"]
    assert found["ends_at"].isna().tolist() == [False, True]
    assert len(ticks_platform.gaps("AAPL", start="2026-01-05 14:32", end="2026-01-05 14:40", database=database)) == 1
    assert ticks_platform.gaps(start="2027-01-01", database=database)["cause"].tolist() == ["killed"], "it lasts"
    assert ticks_platform.gaps(state="open", database=database)["cause"].tolist() == ["killed"]


def test_a_state_that_no_gap_has_is_refused(database: Database) -> None:
    with pytest.raises(ReadingError, match="'opne' is no state of a gap: 'open', 'repaired'"):
        ticks_platform.gaps(state="opne", database=database)


def test_symbols(database: Database) -> None:
    found = ticks_platform.symbols(database=database)
    assert found.index.tolist() == ["AAPL", "CLF6", "MSFT"]
    assert found.loc["AAPL", ["name", "asset_class", "tick_size", "feeds"]].tolist() == ["Apple", "stock", 0.01, "tape"]
    assert found["is_streamed"].tolist() == [True, False, False]


def _all(**options: Any) -> list[pd.DataFrame]:
    readers: list[Callable[..., pd.DataFrame]] = [
        ticks_platform.ticks,
        ticks_platform.quotes,
        ticks_platform.bars,
        ticks_platform.gaps,
    ]
    return [reader("AAPL", **options) for reader in readers]


def test_no_column_is_of_objects_and_frames_without_rows_have_the_same_dtypes(database: Database) -> None:
    for whole, empty in zip(_all(database=database), _all(database=database, end="1999-01-01"), strict=True):
        assert len(whole) > 0
        assert len(empty) == 0
        assert "object" not in map(str, whole.dtypes)
        assert str(whole.index.tz) == str(empty.index.tz) == "UTC"
        assert list(map(str, whole.dtypes)) == list(map(str, empty.dtypes))


def test_all_are_read_as_arrow_too(database: Database) -> None:
    frames = [*_all(database=database), ticks_platform.symbols(database=database)]
    tables = [*_all(database=database, to="arrow"), ticks_platform.symbols(database=database, to="arrow")]
    for whole, table in zip(frames, tables, strict=True):
        assert table.column_names == [whole.index.name, *whole.columns]
        assert table.num_rows == len(whole)
