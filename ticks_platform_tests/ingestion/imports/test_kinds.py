"""Files of quotes and minute bars, and of Parquet: each row once, where the feed's own would be."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ticks_platform.feeds.polygon.flat_file import BARS, QUOTES
from ticks_platform.ingestion.imports.file_frames import FileError
from ticks_platform.ingestion.imports.files import Import
from ticks_platform.ingestion.imports.loader import FileLoader
from ticks_platform.ingestion.imports.options import Options
from ticks_platform.ingestion.imports.quotes import JournalBehindError
from ticks_platform.ingestion.imports.settle import settle
from ticks_platform.timescale.database import Database
from ticks_platform_tests.support.importing import (
    OPENING,
    POLYGON,
    import_files,
    stocks,
    text_of,
    trades,
    write,
)
from ticks_platform_tests.support.ingestion import rows, unbalanced
from ticks_platform_tests.support.repairing import load_frames

PARQUET = Options("parquet")

OPENS_AT = int(OPENING.timestamp())


def quotes(symbol: str, count: int) -> list[dict[str, Any]]:
    """Quotes a second apart, as a flat file has them; each third has no bid."""
    return [
        {
            "ticker": symbol,
            "ask_exchange": 19,
            "ask_price": f"{100.02 + number / 100:.2f}",
            "ask_size": 3,
            "bid_exchange": 0 if number % 3 == 2 else 12,
            "bid_price": "0" if number % 3 == 2 else f"{100 + number / 100:.2f}",
            "bid_size": 0 if number % 3 == 2 else 2,
            "conditions": "1,81" if number % 2 else 1,
            "participant_timestamp": (OPENS_AT + number) * 10**9,
            "sequence_number": number,
            "sip_timestamp": (OPENS_AT + number) * 10**9 + 5_123_456,
            "tape": 3,
            "trf_timestamp": 0,
        }
        for number in range(count)
    ]


def bars(symbol: str, count: int) -> list[dict[str, Any]]:
    return [
        {
            "ticker": symbol,
            "volume": 4930.5 + number,
            "open": 200.29,
            "close": 200.5,
            "high": 200.63,
            "low": 200.29,
            "window_start": (OPENS_AT + 60 * number) * 10**9,
            "transactions": 129,
        }
        for number in range(count)
    ]


def stored_quotes(database: Database) -> list[tuple[Any, ...]]:
    return rows(
        database,
        "SELECT (extract(epoch FROM time) - 1712323800)::float, symbol, bid_price, bid_size, ask_price, ask_size "
        "FROM stock_quotes ORDER BY time, symbol",
    )


def test_quotes_of_a_flat_file(database: Database, tmp_path: Path) -> None:
    made = [*quotes("AAPL", 3), *quotes("ZZZ", 5)]
    made[1]["ask_price"] = "much"
    file = write(tmp_path / "quotes.csv.gz", text_of(made, QUOTES))
    (done,) = import_files(database, stocks("AAPL"), file)
    assert (done.metrics.loaded, done.metrics.rejected) == (3, 0)
    assert stored_quotes(database) == [
        (0.005, "AAPL", 100.0, 2, 100.02, 3),
        (1.005, "AAPL", 100.01, 2, None, None),
        (2.005, "AAPL", None, None, 100.04, 3),
    ]
    assert unbalanced(database) == []
    # No trades: the gaps of the day stay.
    assert settle(database, stocks("AAPL"), owner="test").gaps == 0


def as_received(quote: dict[str, Any]) -> bytes:
    sides = {"bp": float(quote["bid_price"]), "bs": quote["bid_size"], "ap": float(quote["ask_price"]), "as": 3}
    return json.dumps([{"ev": "Q", "sym": quote["ticker"], "t": quote["sip_timestamp"] // 10**6, **sides}]).encode()


def test_quotes_that_are_stored_are_known_as_often_as_they_are(database: Database, tmp_path: Path) -> None:
    feed = stocks("AAPL", options={"channels": ["Q"]}, endpoint="ws://127.0.0.1:9", synthetic_endpoint=True)
    made = quotes("AAPL", 40)
    options = POLYGON._replace(synthetic=True)
    load_frames(database, feed, tmp_path, *map(as_received, made[:10]))
    file = write(tmp_path / "quotes.csv", text_of([*made[:5], made[4], *made[5:]], QUOTES))
    (done,) = import_files(database, feed, file, options=options)
    assert (done.metrics.loaded, done.metrics.duplicate) == (31, 10)
    packed = write(tmp_path / "again.csv.gz", text_of([*made[:5], made[4], *made[5:]], QUOTES))
    (again,) = import_files(database, feed, packed, options=options)
    assert (again.metrics.loaded, again.metrics.duplicate) == (0, 41)
    assert len(stored_quotes(database)) == 41
    assert unbalanced(database) == []


def test_quotes_of_a_time_that_the_feeds_journal_may_still_have_are_refused(database: Database, tmp_path: Path) -> None:
    feed = stocks("AAPL", options={"channels": ["Q"]}, endpoint="ws://127.0.0.1:9", synthetic_endpoint=True)
    load_frames(database, feed, tmp_path, as_received(quotes("AAPL", 1)[0]))
    with database.transaction() as cursor:
        cursor.execute(
            "UPDATE ticks_platform.feed_checkpoint "
            "SET heard_at = now(), heard_from = 0, heard_to = position, is_open = true"
        )
    options = POLYGON._replace(synthetic=True)
    now = quotes("AAPL", 1)
    now[0]["sip_timestamp"] = int(datetime.now(timezone.utc).timestamp()) * 10**9
    with pytest.raises(JournalBehindError, match="its own journal is loaded to an earlier time"):
        import_files(database, feed, write(tmp_path / "today.csv", text_of(now, QUOTES)), options=options)
    file = write(tmp_path / "old.csv", text_of(quotes("AAPL", 4)[1:], QUOTES))
    assert import_files(database, feed, file, options=options)[0].metrics.loaded == 3
    # One that waits, of a feed that had received nothing later than this.
    with database.transaction() as cursor:
        cursor.execute("UPDATE ticks_platform.feed_checkpoint SET heard_to = position + 1 WHERE heard_at IS NOT NULL")
        cursor.execute(
            "UPDATE ticks_platform.feed_ledger SET last_received_at = first_received_at - INTERVAL '9 years'"
        )
    with pytest.raises(JournalBehindError, match="its own journal is loaded to an earlier time"):
        import_files(
            database, feed, write(tmp_path / "more.csv", text_of(quotes("AAPL", 9)[4:], QUOTES)), options=options
        )


def test_minute_bars_of_a_flat_file(database: Database, tmp_path: Path) -> None:
    made = bars("AAPL", 3)
    made[1]["open"] = ""
    made[2]["window_start"] += 1
    feed = stocks("AAPL")
    (done,) = import_files(database, feed, write(tmp_path / "bars.csv.gz", text_of(made, BARS)))
    assert (done.metrics.loaded, done.metrics.rejected) == (1, 2)
    found = rows(
        database,
        "SELECT extract(epoch FROM start_time)::int, end_time - start_time, open_price, high_price, low_price, "
        "close_price, volume, average_price FROM stock_aggregates",
    )
    assert found == [(OPENS_AT, timedelta(minutes=1), 200.29, 200.63, 200.29, 200.5, 4930.5, None)]
    reasons = rows(database, "SELECT reason FROM ticks_platform.rejected_event ORDER BY position")
    assert reasons == [
        ("bars.csv.gz, line 3: row without open",),
        ("bars.csv.gz, line 4: the bar does not begin with a minute",),
    ]
    assert unbalanced(database) == []


def test_a_bar_of_a_file_keeps_the_average_price_of_the_same_bar(database: Database, tmp_path: Path) -> None:
    """A flat file has none. Where the volume is another one, neither is the average right."""
    feed = stocks("AAPL", options={"channels": ["AM"]}, endpoint="ws://127.0.0.1:9", synthetic_endpoint=True)
    sent = [
        {"ev": "AM", "sym": "AAPL", "o": 1, "h": 2, "l": 1, "c": 2, "v": volume, "vw": 1.5, "s": at * 1000}
        for at, volume in ((OPENS_AT, 4930.5), (OPENS_AT + 60, 7))
    ]
    load_frames(database, feed, tmp_path, json.dumps(sent).encode())
    file = write(tmp_path / "bars.csv", text_of(bars("AAPL", 2), BARS))
    import_files(database, feed, file, options=POLYGON._replace(synthetic=True))
    assert rows(database, "SELECT average_price, close_price FROM stock_aggregates ORDER BY start_time") == [
        (1.5, 200.5),
        (None, 200.5),
    ]


@pytest.mark.parametrize("kind", ["quotes", "bars"])
def test_quotes_and_bars_of_csv(database: Database, tmp_path: Path, kind: Any) -> None:
    at = "2024-04-05T13:30:00Z"
    text = {
        "quotes": f"time,symbol,bid,b,ask,ask_size\n{at},AAPL,1.5,10,1.6,\n{at},AAPL,,,1.7,4\n{at},AAPL,,,,\n",
        "bars": f"time,symbol,open,high,low,close,b\n{at},AAPL,1,2,0.5,1.5,100\n{at},AAPL,1,x,1,1,1\n",
    }[kind]
    column = {"quotes": "bid_size", "bars": "volume"}[kind]
    options = Options("csv", {column: "b"}, kind=kind)
    (done,) = import_files(database, stocks("AAPL"), write(tmp_path / "mine.csv", text), options=options)
    assert done.metrics.rejected == 1
    if kind == "quotes":
        assert [row[2:] for row in stored_quotes(database)] == [(1.5, 10, 1.6, None), (None, None, 1.7, 4)]
    else:
        assert rows(database, "SELECT high_price, volume FROM stock_aggregates") == [(2, 100)]
    assert unbalanced(database) == []


def test_a_flat_file_of_another_kind_than_was_said(database: Database, tmp_path: Path) -> None:
    file = write(tmp_path / "bars.csv", text_of(bars("AAPL", 2), BARS))
    with pytest.raises(FileError, match="no flat file of quotes: it has bars, and not quotes"):
        import_files(database, stocks("AAPL"), file, options=POLYGON._replace(kind="quotes"))


def table(count: int) -> pa.Table:
    """As pandas or polars writes it, among others: times with a zone, ids as numbers, a list, a dictionary."""
    at = [datetime(2024, 4, 5, 13, 30, tzinfo=timezone.utc) + timedelta(microseconds=n) for n in range(count)]
    return pa.table(
        {
            "when": pa.array(at, pa.timestamp("us", "America/New_York")),
            "note": pa.array(["x\ny"] * count),
            "symbol": pa.array(["AAPL", "ZZZ"] * (count // 2)).dictionary_encode(),
            "price": pa.array([0.1 + number / 3 for number in range(count)], pa.float64()),
            "size": pa.array([None if number % 5 == 0 else number for number in range(count)], pa.int32()),
            "trade_id": pa.array(range(count), pa.uint64()),
            "conditions": pa.array([[12, 37] if number % 3 else [] for number in range(count)], pa.list_(pa.int16())),
        }
    )


def test_parquet(database: Database, tmp_path: Path) -> None:
    path = tmp_path / "mine.parquet"
    made = table(5000)
    pq.write_table(made, path, row_group_size=1700)
    (done,) = import_files(database, stocks("AAPL"), path, options=PARQUET._replace(columns={"time": "when"}))
    assert (done.metrics.loaded, done.metrics.control, done.metrics.rejected) == (2500, 2500, 0)
    found = rows(
        database,
        "SELECT (extract(epoch FROM time - '2024-04-05 13:30:00+00') * 1000000)::int, price, size::int, "
        "trade_id, conditions FROM stocks_real_time ORDER BY time",
    )
    assert found == [
        (n, 0.1 + n / 3, None if n % 5 == 0 else n, str(n), [12, 37] if n % 3 else None) for n in range(0, 5000, 2)
    ]
    assert unbalanced(database) == []


def test_a_flat_file_that_was_converted_to_parquet_is_one(database: Database, tmp_path: Path) -> None:
    made = trades("AAPL", 30)
    feed = stocks("AAPL")
    import_files(database, feed, write(tmp_path / "day.csv.gz", text_of(made)))
    path = tmp_path / "day.parquet"
    columns = {name: [row[name] for row in made] for name in made[0]}
    columns |= {name: [float(row[name]) for row in made] for name in ("price", "size")}
    pq.write_table(pa.table(columns), path)
    (done,) = import_files(database, feed, path, options=PARQUET)
    assert (done.metrics.loaded, done.metrics.duplicate) == (0, 30)


def test_a_stopped_import_of_parquet_goes_on(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ticks_platform.ingestion.loader.MAX_BATCH_BYTES", 64 << 10)
    path, feed = tmp_path / "mine.parquet", stocks("AAPL", "ZZZ")
    made = table(12_000)
    made = made.set_column(5, "trade_id", made["trade_id"].cast(pa.string()))
    pq.write_table(made, path, row_group_size=3500)
    options = PARQUET._replace(columns={"time": "when"})
    importing = Import(feed=feed, database=database, owner="stopped", options=options)
    committed = FileLoader._committed

    def stop_after(self: FileLoader) -> None:
        committed(self)
        if self.metrics.loaded > 3000:
            importing.stop()

    monkeypatch.setattr(FileLoader, "_committed", stop_after)
    (stopped,) = importing.run([path])
    assert not stopped.is_complete
    assert 3000 < stopped.metrics.loaded < 12_000
    monkeypatch.setattr(FileLoader, "_committed", committed)
    (done,) = import_files(database, feed, path, options=options)
    assert done.metrics.loaded + stopped.metrics.loaded == 12_000
    assert rows(database, "SELECT count(*), count(DISTINCT trade_id) FROM stocks_real_time") == [(12_000, 12_000)]
    assert unbalanced(database) == []


def test_a_rejected_row_of_parquet_says_its_row(database: Database, tmp_path: Path) -> None:
    path = tmp_path / "mine.parquet"
    pq.write_table(pa.table({"time": [1_712_323_800] * 3, "symbol": ["AAPL"] * 3, "price": [1.0, None, 2.0]}), path)
    import_files(database, stocks("AAPL"), path, options=PARQUET._replace(times="s"))
    assert rows(database, "SELECT reason FROM ticks_platform.rejected_event") == [
        ("mine.parquet, row 2: row without price",)
    ]


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (b"no parquet at all", "is no file of Parquet"),
        (b"", "is no file of Parquet"),
        ({"time": [1], "symbol": ["AAPL"], "price": [1.0]}, "time is of type int64; say what its times are"),
        ({"time": [1], "price": [1.0]}, "no column is symbol"),
    ],
)
def test_what_is_no_parquet_of_trades_is_said(database: Database, tmp_path: Path, made: Any, message: str) -> None:
    path = tmp_path / "mine.parquet"
    if isinstance(made, bytes):
        path.write_bytes(made)
    else:
        pq.write_table(pa.table(made), path)
    with pytest.raises(FileError, match=message):
        import_files(database, stocks("AAPL"), path, options=PARQUET)


def test_the_same_values_in_any_type_of_parquet(database: Database, tmp_path: Path) -> None:
    """Those that other writers choose; a time that cannot be stored is the fault of its row alone."""
    at = [OPENING + timedelta(seconds=number) for number in range(3)]
    texts = pa.array([f"{each:%Y-%m-%dT%H:%M:%SZ}" for each in at])
    conditions = pa.array([[12, 37]] * 3)
    times = [
        texts.dictionary_encode(),
        texts.cast(pa.binary()),
        texts.cast(pa.large_string()),
        pa.array(at, pa.timestamp("ms", "America/New_York")),
        pa.array([each.replace(tzinfo=None) for each in at], pa.timestamp("s")),
    ]
    for number, time in enumerate(times):
        path = tmp_path / f"{number}.parquet"
        columns = {
            "time": time,
            "symbol": pa.array([b"AAPL", b"AAPL", b"A\nB"]) if number % 2 else pa.array(["AAPL", "AAPL", "ZZZ"]),
            "price": pa.array([Decimal("1.50")] * 3, pa.decimal128(10, 2)),
            "trade_id": pa.array([f"{number} {place}" for place in range(3)]).cast(pa.large_binary()),
            "conditions": conditions.cast(pa.list_(pa.int64(), 2))
            if number % 2
            else conditions.cast(pa.large_list(pa.int16())),
        }
        pq.write_table(pa.table(columns), path)
        import_files(database, stocks("AAPL"), path, options=PARQUET)
        stored = (
            "SELECT DISTINCT price, conditions, time FROM stocks_real_time WHERE trade_id LIKE '{} %' ORDER BY time"
        )
        assert rows(database, stored.format(number)) == [(1.5, [12, 37], each) for each in at[:2]]
    late = pa.array([OPENING, datetime(9999, 1, 1, tzinfo=timezone.utc), OPENING], pa.timestamp("ms"))
    path = tmp_path / "late.parquet"
    pq.write_table(pa.table({"time": late, "symbol": ["AAPL"] * 3, "price": [7.0, 8.0, 9.0]}), path)
    (done,) = import_files(database, stocks("AAPL"), path, options=PARQUET)
    assert (done.metrics.loaded, done.metrics.rejected, done.is_complete) == (2, 1, True)
    assert rows(database, "SELECT reason FROM ticks_platform.rejected_event") == [
        ("late.parquet, row 2: row without time",)
    ]


@pytest.mark.parametrize("known", [1, 2, 3])
def test_equal_quotes_of_one_microsecond_are_known_as_often_as_they_are_stored(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, known: int
) -> None:
    """Three in a file, each in a batch of its own; the feed had received some of them."""
    monkeypatch.setattr("ticks_platform.ingestion.loader.MAX_BATCH_BYTES", 64 << 10)
    feed = stocks("AAPL", "MSFT", options={"channels": ["Q"]}, endpoint="ws://127.0.0.1:9", synthetic_endpoint=True)
    one, others = quotes("AAPL", 1)[0], quotes("MSFT", 1_500)
    load_frames(database, feed, tmp_path, *[as_received(one)] * known)
    file = write(tmp_path / "quotes.csv", text_of([one, *others, one, *others, one], QUOTES))
    (done,) = import_files(database, feed, file, options=POLYGON._replace(synthetic=True))
    assert (done.metrics.duplicate, done.metrics.loaded) == (known, 3 - known + 2 * len(others))
    assert rows(database, "SELECT count(*) FROM stock_quotes WHERE symbol = 'AAPL'") == [(3,)]


def test_a_null_among_the_conditions_of_a_converted_file(database: Database, tmp_path: Path) -> None:
    """The others are what the trade has; a list of nothing else has none."""
    made = trades("AAPL", 4)
    columns: dict[str, Any] = {name: [str(each[name]) for each in made] for name in made[0]}
    columns["conditions"] = pa.array([[12, None, 37], [None], None, [37]], pa.list_(pa.int32()))
    file = tmp_path / "day.parquet"
    pq.write_table(pa.table(columns), file)
    import_files(database, stocks("AAPL"), file, options=PARQUET)
    assert rows(database, "SELECT conditions FROM stocks_real_time ORDER BY time") == [
        ([12, 37],),
        (None,),
        (None,),
        ([37],),
    ]
